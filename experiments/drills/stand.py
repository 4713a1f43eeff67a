"""Where controls are tried: the experiment's own market, with one dealer that does what the drill says and others that rest."""

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
from marketsim.config import DeskLimits, Limits, Replay, Venue
from marketsim.guardrails import streams
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.escalation import Escalation
from marketsim.types import BID

MARKETS, STEPS = 64, 64  # of an episode at least, but where the price is a file
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
    happened in words, or raises Failed."""

    name: str
    tried: str
    rule: str
    check: Callable[[Stand], str]


@dataclass(frozen=True)
class Seen:
    """One step of the drilled dealer, (M,) each. ``won``: its rows of ``REQUEST``; ``sign``: + = it bought."""

    before: np.ndarray
    after: np.ndarray
    hedge: np.ndarray
    reasons: np.ndarray
    won: np.ndarray
    sign: np.ndarray

    def wins(self, where: np.ndarray) -> np.ndarray:
        """Its wins in these markets, with their sign: which rows."""
        return where[self.won["market"]]


class Play:
    """A batch under these limits; ``keeps`` the market's own position limit or not."""

    def __init__(self, stand: Stand, limits: dict[str, Any], desk: float | None = None, keeps: bool = False):
        self.config = stand.config(limits, desk, keeps)
        self.batch, self.agent = MarketBatch(self.config, MARKETS, stand.seed, record=True), stand.agent
        self._others = [i for i in range(len(self.batch.agents)) if i != self.agent]
        self._shape = (MARKETS, *self.batch.tables.quote_shape)
        self.batch.reset()

    def step(self, hedge: Any = 0.0, markup: float = np.nan, others: Any = 0.0) -> Seen:
        """Quote ``markup`` in every cell and hedge; ``others`` hedge too, and quote nothing."""
        before = self.inventory.copy()
        asked = {self.agent: (np.full(self._shape, markup), _lots(hedge))}
        asked |= {i: (np.full(self._shape, np.nan), _lots(others)) for i in self._others}
        return self._seen(before, self.batch.step(None, asked))

    def act(self, value: float) -> Seen:
        """An action whose every component is this."""
        actions = np.full((MARKETS, len(self.batch.agents), max(self.batch.action_widths)), value, np.float32)
        rest = {i: (np.full(self._shape, np.nan), _lots(0.0)) for i in self._others}
        return self._seen(self.inventory.copy(), self.batch.step(actions, rest))

    def _seen(self, before: np.ndarray, step: Any) -> Seen:
        i = self.agent
        won = self.batch.requests[self.batch.requests["winner"] == i].copy()
        sign = np.where(won["side"] == BID, 1.0, -1.0)
        return Seen(
            before, self.inventory.copy(), step.ledger["hedge"][:, i].copy(), step.reasons[:, i].copy(), won, sign
        )

    @property
    def inventory(self) -> np.ndarray:
        return self.batch.state["inventory"][:, self.agent, 0]  # type: ignore[index]

    @property
    def loss(self) -> np.ndarray:
        return -(self.batch.state["cash"][:, self.agent] + self.inventory * self.batch.state["mid"][:, 0])  # type: ignore[index]

    @property
    def reference(self) -> float:
        return float(np.max(self.batch.tables.cells["reference"]))


def _lots(hedge: Any) -> np.ndarray:
    return np.broadcast_to(np.asarray(hedge, float), MARKETS).reshape(-1, 1)


class Stand:
    """The market of a design, and what its governed dealer is held to."""

    def __init__(self, desk: ExperimentConfig):
        self.desk, self.agent, self.seed = desk, (list(desk.learners) or [0])[0], desk.seed
        self.dealer = desk.agents[self.agent]
        assert isinstance(desk.market.venue, Venue)
        self.venue = desk.market.venue
        self.limits: Limits = desk.dealer_of[self.agent].limits
        approvers = {"approvers": PEOPLE}
        own = desk.escalation or Escalation.model_validate(approvers)
        watch = tuple(name for name in own.watch if name not in streams.GIVEN)  # the drilled dealer has not learned
        self.escalation = own.model_copy(update={"operator": None, "watch": watch or streams.DEFAULT})
        self.largest = max(size for segment in desk.market.cells for size in segment.sizes)
        self.smallest = min(size for segment in desk.market.cells for size in segment.sizes)
        self.cheap = -10.0 * Play(self, {}).reference - 1.0  # a markup at which clients come in crowds

    def config(self, limits: dict[str, Any], desk: float | None = None, keeps: bool = False) -> Desk:
        """The market with these limits of the drilled dealer, of the desk, and no others."""
        block = self.desk.dealer_of[self.agent]
        mine = block.model_copy(update={"limits": Limits.model_validate(limits)})
        bare = {"limits": Limits()}
        dealers = tuple(mine if d is block else d.model_copy(update=bare) for d in self.desk.dealers)
        market: dict[str, Any] = {} if keeps else {"inventory_limit": None}
        if not isinstance(self.desk.market.price, Replay):
            market["steps"] = max(STEPS, self.desk.market.steps)
        changes: dict[str, Any] = {"dealers": dealers, "market": self.desk.market.model_copy(update=market)}
        changes["desk"] = None if desk is None else DeskLimits.model_validate({"position": {"hard": desk}})
        return self.desk.model_copy(update=changes)

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
