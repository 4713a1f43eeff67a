"""Where controls are tried: the experiment's own market, with one dealer that does what the drill says and others that rest.

A book is tried in a copy of its own (``Copy``), so that no background trader decides about a verdict.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import Desk, FixedSpec
from agents.policy import Seat, build
from experiments import quiet
from experiments.config import ExperimentConfig
from marketsim.batch import MarketBatch
from marketsim.book.config import Opening
from marketsim.book.index import find
from marketsim.config import BookVenue, DeskLimits, Limits, Offsets, Replay, Venue
from marketsim.guardrails import streams
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.escalation import Escalation
from marketsim.types import ASK, BID, REQUEST

MARKETS, STEPS = 64, 64  # of an episode at least, but where the price is a file
OF_A_BOOK: tuple[streams.Name, ...] = ("volatility",)  # which waits for no trade
PEOPLE = ({"name": "first_approver", "role": "risk"}, {"name": "second_approver", "role": "desk"})


class Failed(Exception):
    """What a control did not do."""


def expect(condition: Any, what: str) -> None:
    """Raise Failed unless it holds everywhere."""
    if not np.all(condition):
        raise Failed(what)


@dataclass(frozen=True)
class Control:
    """``tried``: what should be stopped, and what should not. ``rule``: that such a control answers to. ``check`` returns what
    happened in words, or raises Failed. ``needs``: what of the market, one of ``MISSING``."""

    name: str
    tried: str
    rule: str
    check: Callable[[Stand], str]
    needs: str = ""


MISSING = {
    "clients": "nobody requests quotes in this market",
    "curve": "hedges go to the book, see hedge in the book",
    "orders": "this dealer leaves no orders in the book",
    "depth": "hedges go to a curve",
}


@dataclass(frozen=True)
class Copy:
    """The drill's copy of a book. Without its ``traders`` it opens with ``depth`` lots at each of ``levels`` prices on either
    side, nobody else trades, and orders arrive at once. Dealers who quote in it ask for ``lots``."""

    traders: bool = False
    levels: int = 40
    depth: int = 10**6
    lots: int = 1


@dataclass(frozen=True)
class Seen:
    """One step of the drilled dealer, (M,) each. ``won``: its rows of ``REQUEST``; ``sign``: + = it bought.

    Where it quotes in the book, its orders that rest stand there, for each of them may trade at any time.
    """

    before: np.ndarray
    after: np.ndarray
    hedge: np.ndarray
    reasons: np.ndarray
    warnings: np.ndarray
    won: np.ndarray
    sign: np.ndarray

    def wins(self, where: np.ndarray) -> np.ndarray:
        """Its wins in these markets, with their sign: which rows."""
        return where[self.won["market"]]


class Play:
    """A batch under these limits; ``keeps`` the market's own position limit or not."""

    def __init__(
        self,
        stand: Stand,
        limits: dict[str, Any],
        desk: float | None = None,
        keeps: bool = False,
        copy: Copy = Copy(),
    ):
        self.config = stand.config(limits, desk, keeps, copy)
        self.quotes, self.tick = stand.quotes, stand.desk.market.book.tick
        self.batch, self.agent = MarketBatch(self.config, MARKETS, stand.seed, record=not stand.quotes), stand.agent
        self._others = [i for i in range(len(self.batch.agents)) if i != self.agent]
        self._shape = (MARKETS, *self.batch.tables.quote_shape)
        self._due: Any = 0.0
        self.batch.reset()

    def step(self, hedge: Any = 0.0, markup: Any = np.nan, others: Any = 0.0, rivals: Any = np.nan) -> Seen:
        """Quote ``markup`` in every cell and hedge; ``others`` hedge too, and quote ``rivals``."""
        before, mid = self.inventory.copy(), self.mid.copy()
        asked = {self.agent: (self._markups(markup), _lots(hedge))}
        asked |= {i: (self._markups(rivals), _lots(others)) for i in self._others}
        step = self.batch.step(None, asked)
        self.batch.state["cash"][:, self.agent] -= self._due  # type: ignore[index]
        self._due = 0.0
        return self._seen(before, mid, step)

    def act(self, value: float) -> Seen:
        """An action whose every component is this."""
        before, mid = self.inventory.copy(), self.mid.copy()
        actions = np.full((MARKETS, len(self.batch.agents), max(self.batch.action_widths)), value, np.float32)
        rest = {i: (self._markups(np.nan), _lots(0.0)) for i in self._others}
        return self._seen(before, mid, self.batch.step(actions, rest))

    def lose(self, amounts: Any) -> None:
        """In the next step two lots lose this, price units x lots, by a fall of the mid. No shock moves that of a book: there
        it leaves the account."""
        if self.config.market.has_book:
            self._due = amounts
        else:
            self.batch.shock(-np.asarray(amounts) / 2.0)

    def resting(self, mid: np.ndarray) -> np.ndarray:
        """The dealer's orders in the book as rows of ``REQUEST``; ``markup``: how far from ``mid`` at least, price units."""
        books, rows = self.batch._book_of, []
        assert books is not None
        for m in range(MARKETS):
            for side in (BID, ASK):
                slot = find(books.orders[m], books.index[m], 2 * self.agent + side)
                if slot > 0:
                    order = books.orders[m, slot]
                    away = (mid[m] - self.tick * order["price"]) * (1.0 if side == BID else -1.0)
                    rows.append((m, side, float(order["size"]), away - 1e-6 * self.tick))
        won = np.zeros(len(rows), REQUEST)
        for name, column in zip(("market", "side", "size", "markup"), zip(*rows, strict=True), strict=False):
            won[name] = column
        won["winner"] = self.agent
        return won

    def open_lots(self, agent: int) -> np.ndarray:
        """Lots of a dealer's orders in the book, (M, 2): bid, ask."""
        books, lots = self.batch._book_of, np.zeros((MARKETS, 2))
        assert books is not None
        for m in range(MARKETS):
            for side in (BID, ASK):
                slot = find(books.orders[m], books.index[m], 2 * agent + side)
                lots[m, side] = books.orders[m, slot]["size"] if slot > 0 else 0.0
        return lots

    def _markups(self, markup: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(markup, float), self._shape).copy()

    def _seen(self, before: np.ndarray, mid: np.ndarray, step: Any) -> Seen:
        i = self.agent
        won = self.resting(mid) if self.quotes else self.batch.requests[self.batch.requests["winner"] == i].copy()
        sign = np.where(won["side"] == BID, 1.0, -1.0)
        hedge, reasons, warnings = (a[:, i].copy() for a in (step.ledger["hedge"], step.reasons, step.warnings))
        return Seen(before, self.inventory.copy(), hedge, reasons, warnings, won, sign)

    @property
    def inventory(self) -> np.ndarray:
        return self.batch.state["inventory"][:, self.agent, 0]  # type: ignore[index]

    @property
    def mid(self) -> np.ndarray:
        return self.batch.state["mid"][:, 0]  # type: ignore[index]

    @property
    def loss(self) -> np.ndarray:
        return -(self.batch.state["cash"][:, self.agent] + self.inventory * self.batch.state["mid"][:, 0])  # type: ignore[index]

    @property
    def reference(self) -> float:
        return float(np.max(self.batch.tables.cells["reference"]))


def _lots(hedge: Any) -> np.ndarray:
    return np.broadcast_to(np.asarray(hedge, float), MARKETS).reshape(-1, 1)


def _asks(dealer: Any, copy: Copy) -> Any:
    """A dealer that asks for the copy's lots in the book."""
    if not isinstance(dealer.action, Offsets):
        return dealer
    size = (float(copy.lots), float(max(copy.lots, dealer.action.size[1])))
    latency = dealer.action.latency if copy.traders else 0.0
    return dealer.model_copy(update={"action": dealer.action.model_copy(update={"size": size, "latency": latency})})


class Stand:
    """The market of a design, and what its governed dealer is held to."""

    def __init__(self, desk: ExperimentConfig):
        self.desk, self.agent, self.seed = desk, (list(desk.learners) or [0])[0], desk.seed
        self.dealer = desk.agents[self.agent]
        market, book = desk.market, desk.market.book
        self.quotes = isinstance(desk.dealer_of[self.agent].action, Offsets)
        self.in_book = isinstance(market.venue, BookVenue)
        flat = Venue(half_spread=book.tick, fee=max(0.0, book.taker_fee))  # what the copy of a book costs at most
        self.venue = market.venue if isinstance(market.venue, Venue) else flat
        self.limits: Limits = desk.dealer_of[self.agent].limits
        approvers = {"approvers": PEOPLE}
        own = desk.escalation or Escalation.model_validate(approvers)
        watch = tuple(name for name in own.watch if name not in streams.GIVEN)  # the drilled dealer has not learned
        if desk.escalation is None and market.has_book:
            watch = OF_A_BOOK
        self.escalation = own.model_copy(update={"operator": None, "watch": watch or streams.DEFAULT})
        self.largest = max(size for segment in desk.market.cells for size in segment.sizes)
        self.smallest = min(size for segment in desk.market.cells for size in segment.sizes)
        # a markup at which clients come in crowds; in the book: where an order rests
        self.cheap = 3.0 * book.tick if self.quotes else -10.0 * Play(self, {}).reference - 1.0

    def lacks(self, need: str) -> str:
        """Why a control that needs this cannot be tried here; empty: it can."""
        there = {
            "": True,
            "clients": not self.quotes,
            "curve": not self.in_book,
            "orders": self.quotes,
            "depth": self.in_book,
        }
        return "" if there[need] else MISSING[need]

    def config(
        self,
        limits: dict[str, Any],
        desk: float | None = None,
        keeps: bool = False,
        copy: Copy = Copy(),
    ) -> Desk:
        """The market with these limits of the drilled dealer, of the desk, and no others; a book as the copy has it."""
        block = self.desk.dealer_of[self.agent]
        mine = block.model_copy(update={"limits": Limits.model_validate(limits)})
        bare = {"limits": Limits()}
        dealers = tuple(mine if d is block else d.model_copy(update=bare) for d in self.desk.dealers)
        market: dict[str, Any] = {} if keeps else {"inventory_limit": None}
        if not isinstance(self.desk.market.price, Replay):
            market["steps"] = max(STEPS, self.desk.market.steps)
        if self.desk.market.has_book:
            market |= self._book(copy)
            dealers = tuple(_asks(d, copy) for d in dealers)
        changes: dict[str, Any] = {"dealers": dealers, "market": self.desk.market.model_copy(update=market)}
        changes["desk"] = None if desk is None else DeskLimits.model_validate({"position": {"hard": desk}})
        return self.desk.model_copy(update=changes)

    def _book(self, copy: Copy) -> dict[str, Any]:
        if copy.traders:
            return {}
        book = self.desk.market.book
        fit = min(copy.levels, (book.levels - 1) // 4, book.orders // 2 - len(self.desk.agents) - 1)
        opening = Opening(levels=max(fit, 0), lots=copy.depth)
        return {"traders": (), "book": book.model_copy(update={"opening": opening, "warm_up": 0.0})}

    def level(self, name: str, default: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The block of this limit as configured, or the default; and which of the two it is, in words."""
        own = getattr(self.limits, name)
        if own is None:
            return default, "not configured, tried at a default"
        return own.model_dump(exclude_none=True), "as configured"

    @cached_property
    def calibration(self) -> dict[int, Calibration]:
        """Of the drilled dealer quoting the reference markups, as all others do."""
        policies = {i: build(FixedSpec(kind="fixed"), Seat(self.desk, i)) for i in range(len(self.desk.agents))}
        with tempfile.TemporaryDirectory() as folder:
            return quiet.calibrate(self.desk, policies, [self.agent], self.escalation.watch, self.seed, Path(folder))

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A place for files, gone afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
