"""The matching engine driven by a LOBSTER file, and its book held against LOBSTER's, row by row (docs/feeds.md)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marketsim.book.order_book import OrderBook
from marketsim.feeds import lobster
from marketsim.feeds.lobster import Type
from marketsim.types import MESSAGE, Message, Outcome, TimeInForce
from marketsim.yaml_text import InputError

SEED = 2**60  # ids from here on are not the file's
LEVELS, ORDERS = 1 << 16, 1 << 14


@dataclass(frozen=True)
class Check:
    """How the engine's book compares with LOBSTER's after each message, and its trades with the file's executions."""

    rows: int
    best: float  # share of rows whose best bid and ask agree in price and size
    levels: tuple[float, ...]  # the same of each level 1, 2, ...
    first_levels: float  # levels from the best on that agree, mean over the rows
    executions: int
    named: int  # ... of an order that the file told of, the others are of the seed
    makers: int  # executions that met the order that the file names, or the seed, and it alone
    stale: int  # orders taken out because a message shows that they must have gone
    unseen: int  # messages about orders that neither the seed nor the file told of
    outcomes: dict[str, int]  # messages to the engine by what became of them


class Driver:
    """Messages of LOBSTER -> messages to the engine.

    What rested before the file began is one anonymous order a level, seeded from the first row of the book; messages
    about unknown ids shrink it. Cancels beyond the file's levels are not in it; so what a new order would meet but does
    not, and what an execution would have met before, must have gone.
    """

    def __init__(self) -> None:
        self.book = OrderBook(levels=LEVELS, orders=ORDERS)
        self.seeds: dict[tuple[int, int], int] = {}  # (side, price) -> id
        self.left: dict[int, int] = {}  # id -> lots that rest in the engine
        self.where: dict[int, tuple[int, int]] = {}  # id -> (side, price)
        self.at: dict[tuple[int, int], dict[int, None]] = {}  # (side, price) -> ids, in order of arrival
        self.executions = self.named = self.makers = self.stale = self.unseen = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.next_seed = SEED

    def seed(self, book: np.ndarray, first: np.void) -> None:
        """Levels of the book (levels, 4) after the ``first`` message, whose order they hold already."""
        for ask, ask_size, bid, bid_size in book.tolist():
            for side, price, lots in ((-1, ask, ask_size), (1, bid, bid_size)):
                if first["type"] == Type.NEW and (side, price) == (first["side"], first["price"]):
                    lots -= int(first["size"])
                if lots > 0:
                    self._seed(side, price, lots)
        if first["type"] == Type.NEW:
            self._rest(int(first["order"]), int(first["side"]), int(first["price"]), int(first["size"]))

    def reveal(self, side: int, price: int, lots: int) -> None:
        """A price has come into the file's view, where ``lots`` rest: one anonymous order, as nobody saw what became of
        those that the engine may hold there."""
        for order in list(self.at.get((side, price), ())):
            self._shrink(order, self.left[order])
        if lots:
            self._seed(side, price, lots)

    def _seed(self, side: int, price: int, lots: int) -> None:
        self._rest(self.next_seed, side, price, lots)
        if self.next_seed in self.left:
            self.seeds[side, price] = self.next_seed
        self.next_seed += 1

    def step(self, kind: int, side: int, order: int, lots: int, price: int) -> None:
        """One row of a message file; ``side`` is the resting order's."""
        if kind == Type.NEW:
            self._make_way(-side, price)  # it rests: what it would meet is not there
            self._rest(order, side, price, lots)
        elif kind in (Type.LESS, Type.DELETE):
            known = order if order in self.left else self.seeds.get((side, price))
            if known is None:
                self.unseen += 1
            else:
                self._shrink(known, lots)
        elif kind == Type.EXECUTION:
            self._execute(side, order, lots, price)

    def _execute(self, side: int, order: int, lots: int, price: int) -> None:
        self.executions += 1
        self.named += order in self.left
        known = order if order in self.left else self.seeds.get((side, price))
        if known is None:
            self.unseen += 1
            return
        self._make_way(side, price + side)  # what stands before it would have been met first
        trades = self._send(Message.LIMIT, self.next_seed, -side, price, lots, TimeInForce.IOC)
        self.next_seed += 1
        self.makers += int((trades["maker"] == known).all() and trades["size"].sum() == lots)
        for maker, traded in zip(trades["maker"].tolist(), trades["size"].tolist(), strict=True):
            self._less(maker, traded)

    def _make_way(self, side: int, price: int) -> None:
        """Take out the orders of ``side`` at ``price`` and better: a message shows that they are gone."""
        best = self.book.best_bid if side > 0 else self.book.best_ask
        if best is None or side * (best - price) < 0:
            return
        for place in [(s, p) for s, p in self.at if s == side and side * (p - price) >= 0]:
            for order in list(self.at[place]):
                self._shrink(order, self.left[order])
                self.stale += 1

    def _rest(self, order: int, side: int, price: int, lots: int) -> None:
        self._send(Message.LIMIT, order, side, price, lots)
        if self.book.outcomes[0] == Outcome.ACCEPTED:
            self.left[order], self.where[order] = lots, (side, price)
            self.at.setdefault((side, price), {})[order] = None

    def _shrink(self, order: int, lots: int) -> None:
        side, price = self.where[order]
        if lots < self.left[order]:
            self._send(Message.AMEND, order, side, price, self.left[order] - lots)
        else:
            self._send(Message.CANCEL, order, side, price, 0)
        self._less(order, lots)

    def _less(self, order: int, lots: int) -> None:
        self.left[order] -= lots
        if self.left[order] <= 0:
            del self.left[order]
            place = self.where.pop(order)
            del self.at[place][order]
            if not self.at[place]:
                del self.at[place]
            if self.seeds.get(place) == order:
                del self.seeds[place]

    def _send(
        self, kind: Message, order: int, side: int, price: int, lots: int, tif: TimeInForce = TimeInForce.GTC
    ) -> np.ndarray:
        trades = self.book.process(np.array([(kind, side, tif, price, lots, order, -1)], MESSAGE))
        self.outcomes[Outcome(int(self.book.outcomes[0]))] += 1
        return trades


def check(path: Path, book: Path, tick: float, revealed: bool = False) -> Check:
    """Drive the engine by a message file and compare after every row.

    ``revealed``: levels that come into the file's view later than in its first row are taken from the row in which they
    do; from then on messages alone change them. Raises InputError.
    """
    driver = Driver()
    expected = lobster.books(book, tick)
    before: np.ndarray | None = None
    rows, first_levels, same = 0, 0, np.zeros(0, np.int64)
    for message in (message for messages in lobster.messages(path, tick) for message in messages):
        wanted = next(expected, None)
        if wanted is None:
            raise InputError(f"{book}: holds {rows} rows, {path} has more")
        if before is None:
            driver.seed(wanted, message)
            same = np.zeros(len(wanted), np.int64)
        else:
            driver.step(*message[["type", "side", "order", "size", "price"]].item())
            if revealed:
                _reveal(driver, before, wanted)
        before = wanted
        agrees = _agrees(driver.book, wanted)
        rows, same, first_levels = rows + 1, same + agrees, first_levels + int(np.cumprod(agrees).sum())
    if next(expected, None) is not None:
        raise InputError(f"{book}: holds more than the {rows} rows of {path}")
    return Check(
        rows=rows,
        best=float(same[0] / rows),
        levels=tuple((same / rows).tolist()),
        first_levels=first_levels / rows,
        executions=driver.executions,
        named=driver.named,
        makers=driver.makers,
        stale=driver.stale,
        unseen=driver.unseen,
        outcomes={outcome.name.lower(): n for outcome, n in sorted(driver.outcomes.items())},
    )


def _reveal(driver: Driver, before: np.ndarray, now: np.ndarray) -> None:
    """What of a row of the book lies beyond the deepest level of the row before, and what does not lie there."""
    for side, k in ((-1, 0), (1, 2)):
        view = dict(now[now[:, k + 1] > 0, k : k + 2].tolist())
        ended = len(view) < len(now)  # all that there is is in view
        deepest = side * min((side * price for price in view), default=0)
        known = before[before[:, k + 1] > 0, k]
        held = {price for s, price in driver.at if s == side and (ended or side * (price - deepest) >= 0)}
        for price in sorted(held | set(view)):
            if len(known) == 0 or side * (price - known[-1]) < 0:
                driver.reveal(side, price, view.get(price, 0))


def _agrees(book: OrderBook, wanted: np.ndarray) -> np.ndarray:
    """Which levels agree in price and size on both sides, bool (levels,)."""
    found = np.zeros_like(wanted)
    for k, depth in zip((2, 0), book.depth(len(wanted)), strict=True):
        found[: len(depth), k], found[: len(depth), k + 1] = depth["price"], depth["lots"]
    empty = wanted[:, [1, 3]] == 0
    wanted = wanted.copy()
    wanted[:, [0, 2]] = np.where(empty, 0, wanted[:, [0, 2]])
    return (found == wanted).all(axis=1)
