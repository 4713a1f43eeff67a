"""The governor of a batch: it watches dealers step by step, keeps their states and cases, and holds the engine to both.

    governor.begin()                    # after every reset of the batch
    for t in range(batch.steps):
        governor.before()               # answers come in, states move, the engine gets its orders
        step = batch.step(...)
        governor.after(step)            # what happened is noted for the next step

Its clock is the number of steps since it was made; states, detectors and cases go on from one episode to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from marketsim.batch import MarketBatch, Step
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.case import Case, Exposure, Finding
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.detector import Detector
from marketsim.guardrails.escalation import Escalation, person
from marketsim.guardrails.options import predicted_costs
from marketsim.guardrails.recorder import Record
from marketsim.guardrails.states import Event, State
from marketsim.guardrails.streams import Streams
from marketsim.types import OnBreach, Order, Reason

# What the engine holds a dealer to in each state; docs/escalation.md.
HELD_TO = np.zeros(len(State), np.int64)
HELD_TO[State.RESTRICTED] = Order.REDUCE_ONLY | Order.WIDEN
HELD_TO[State.HALTED] = Order.REDUCE_ONLY | Order.NO_QUOTES
HELD_TO[State.PROBATION] = Order.QUARTER

# Reasons that say that something is wrong, with the limit that they are of; the others held back a request or a hedge.
_BREACHES = {
    Reason.LOSS: "loss",
    Reason.ROLLING_LOSS: "rolling_loss",
    Reason.DRAWDOWN: "drawdown",
    Reason.FEED: "feed",
    Reason.TIME_AT_LIMIT: "time_at_limit",
    Reason.NON_FINITE: "",
}
_RECENT = 1.0 / 50.0  # weight of the newest value in the averages that cases quote


class Operator(Protocol):
    """Who answers cases: scripted, recorded, or a person behind a hook."""

    def attend(self, book: CaseBook, step: int, drifted: Any) -> None: ...


@dataclass
class _Watch:
    """The drift watch of one dealer."""

    detector: Detector
    streams: Streams
    rows: np.ndarray  # the streams that the detector takes
    recent: np.ndarray  # (streams, M): their averages of late
    quiet: np.ndarray  # (streams,): what those were in quiet episodes


class Governor:
    """Governs the dealers of ``calibrations``, agent -> calibration of its frozen policy.

    ``record(kind, body)``: the audit log. ``operator``: who answers. ``drifted``: the step from which the market is
    another one, as an experiment knows; scripted operators judge by it. ``who``: the person of a name, see ``CaseBook``.
    """

    def __init__(
        self,
        batch: MarketBatch,
        escalation: Escalation,
        calibrations: Mapping[int, Calibration],
        record: Record,
        operator: Operator,
        drifted: float = np.inf,
        who: Callable[[str], str] = person,
    ):
        self.batch, self.agents, self.step = batch, tuple(calibrations), 0
        self.names = tuple(batch.agents[agent] for agent in self.agents)
        self._operator, self._drifted = operator, drifted
        self.book = CaseBook(
            escalation, self.names, record, self._describe, self._look, batch.markets, batch.first_market, who
        )
        shape = (batch.markets, len(self.agents))
        self._watches = [self._watch(agent, calibrations[agent], escalation) for agent in self.agents]
        self._closing = np.zeros(shape, bool)  # to be flattened, until it is flat
        self._halving = np.zeros(shape, bool)  # to be halved in this step
        self._income = np.zeros(shape)  # spread a step, of late
        self._reasons = np.zeros(shape, np.uint32)
        self._events = [np.full(shape, Event.NOTHING) for _ in range(3)]
        self._breaches = [self._severity(agent) for agent in self.agents]
        self.alarms: list[tuple[int, int, str, str, float]] = []  # step, market, dealer, leading stream, level
        self.occupation: list[
            np.ndarray
        ] = []  # of each step: (states, dealers), the share of the markets in each state

    def _watch(self, agent: int, calibration: Calibration, escalation: Escalation) -> _Watch:
        streams = Streams(self.batch, agent, escalation.watch)
        rows = np.array([streams.names.index(name) for name in calibration.names])
        quiet = np.repeat(calibration.centre[:, None], self.batch.markets, axis=1)
        detector = Detector(calibration, self.batch.markets, escalation.false_alarm_every)
        return _Watch(detector, streams, rows, quiet.copy(), calibration.centre)

    def _severity(self, agent: int) -> tuple[int, int]:
        """Bits of the reasons that restrict a dealer, and of those that halt it: limits whose ``on_breach`` is halt."""
        row = self.batch.tables.dealers[agent]
        halts = sum(
            reason for reason, limit in _BREACHES.items() if limit and row[f"{limit}_on_breach"] == OnBreach.HALT
        )
        return int(sum(_BREACHES)) & ~halts, int(halts)

    def begin(self) -> None:
        """The batch has been reset."""
        for watch in self._watches:
            watch.streams.begin()

    def before(self) -> None:
        """A step is about to execute: let people answer, move the states, and give the engine its orders."""
        self._operator.attend(self.book, self.step, self._is_drifted)
        for order in self.book.step(self.step, *self._events):
            m, d = order.market - self.book.first_market, self.names.index(order.dealer)
            self._closing[m, d] |= order.share >= 1.0
            self._halving[m, d] |= order.share < 1.0
        inventory = self.batch.state["inventory"][:, :, 0]  # type: ignore[index]
        for d, agent in enumerate(self.agents):
            self._closing[:, d] &= (inventory[:, agent] != 0) & (self.book.state[:, d] == State.HALTED)
            orders = HELD_TO[self.book.state[:, d]]
            orders = orders | np.where(self._closing[:, d], int(Order.FLATTEN), 0)
            self.batch.order(agent, orders | np.where(self._halving[:, d], int(Order.HALVE), 0))
        self._halving[:] = False
        self.occupation.append(np.stack([(self.book.state == state).mean(axis=0) for state in State]))

    def after(self, step: Step) -> None:
        """A step has executed: what it says becomes the events of the next."""
        soft, hard, drift = self._events
        for d, agent in enumerate(self.agents):
            restricts, halts = self._breaches[d]
            reasons = step.reasons[:, agent]
            self._reasons[:, d] = reasons
            soft[:, d] = np.where(step.warnings[:, agent] > 0, Event.SOFT_BREACH, Event.NOTHING)
            hard[:, d] = np.where(reasons & restricts, Event.HARD_BREACH, Event.NOTHING)
            hard[:, d] = np.where(reasons & halts, Event.SEVERE_BREACH, hard[:, d])
            self._income[:, d] += (step.ledger["spread"][:, agent] - self._income[:, d]) * _RECENT
            drift[:, d] = np.where(self._look_for_drift(d, step), Event.DRIFT, Event.NOTHING)
        self.step += 1

    def _look_for_drift(self, d: int, step: Step) -> np.ndarray:
        watch = self._watches[d]
        values = watch.streams.update(step)[watch.rows]
        alarm = watch.detector.update(values)
        watch.recent += np.where(np.isfinite(values), values - watch.recent, 0.0) * _RECENT
        for m in np.flatnonzero(alarm):
            leading = watch.detector.names[watch.detector.leading[m]]
            market, level = self.batch.first_market + int(m), float(watch.detector.level[m])
            self.alarms.append((self.step, market, self.names[d], leading, level))
        return alarm

    # --- what a case says ---

    def _describe(self, market: int, dealer: str, event: Event) -> Finding:
        m, d = market - self.book.first_market, self.names.index(dealer)
        if event != Event.DRIFT:
            fired = [r for r in _BREACHES if int(self._reasons[m, d]) & r]
            words = " and ".join(str(reason.name).lower().replace("_", " ") for reason in fired)
            return Finding(words.replace(" ", "_"), f"{dealer} breached {words}", {}, self.step - 1)
        detector, watch = self._watches[d].detector, self._watches[d]
        s = int(detector.leading[m])
        recent, quiet = float(watch.recent[s, m]), float(watch.quiet[s])
        figures = {"recent": recent, "quiet": quiet, "level": float(detector.level[m]), "threshold": detector.threshold}
        what = f"{detector.words(m)}: {recent:.3g} of late, {quiet:.3g} when it was calibrated"
        return Finding("drift", what, figures, max(0, self.step - int(detector.since[m])))

    def _look(self, market: int, dealer: str) -> Exposure:
        m, d = market - self.book.first_market, self.names.index(dealer)
        agent, state = self.agents[d], self.batch.state
        inventory = float(state["inventory"][m, agent, 0])  # type: ignore[index]
        pnl = float(state["cash"][m, agent] + inventory * state["mid"][m, 0])  # type: ignore[index]
        p = self.batch.tables.market[0]
        costs = predicted_costs(
            self.book.state[m, d], inventory, self.book.escalation.decide_within, float(p["half_spread"]),
            float(p["slope"]), float(p["fee"]), float(p["move_sd"]), float(self._income[m, d]),
        )  # fmt: skip
        return Exposure({"inventory": inventory, "pnl": pnl, "loss": -pnl}, costs)

    def _is_drifted(self, case: Case) -> bool:
        return case.asked >= self._drifted
