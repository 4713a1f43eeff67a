"""The governor of a batch: it watches dealers step by step, keeps their states and cases, and holds the engine to both.

    governor.begin()                    # after every reset of the batch
    for t in range(batch.steps):
        governor.before()               # answers come in, states move, the engine gets its orders
        step = batch.step(...)
        governor.after(step, supplied)  # what happened is noted for the next step

Its clock is the number of steps since it was made; states, detectors and cases go on from one episode to the next.

A limit that begins to fail is an event; as long as it fails, steps are not clean. So what people decide about a dealer that
a limit holds until the end of the episode is not undone by that same limit in the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from marketsim.batch import MarketBatch, Step
from marketsim.guardrails import streams
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.case import Case, Exposure, Finding
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.detector import Detector
from marketsim.guardrails.escalation import Escalation, person
from marketsim.guardrails.options import predicted_costs
from marketsim.guardrails.recorder import Record
from marketsim.guardrails.states import Event, State
from marketsim.guardrails.streams import Streams
from marketsim.guardrails.supplied import SoftReason, Supplied, passed, soft_levels
from marketsim.types import OnBreach, Order, Reason

# What the engine holds a dealer to in each state; docs/escalation.md.
HELD_TO = np.zeros(len(State), np.int64)
HELD_TO[State.RESTRICTED] = Order.REDUCE_ONLY | Order.WIDEN
HELD_TO[State.HALTED] = Order.REDUCE_ONLY | Order.NO_QUOTES
HELD_TO[State.PROBATION] = Order.QUARTER

# Reasons that say that something is wrong, gravest first; the others held back a request or a hedge.
_BREACHES = (
    Reason.LOSS, Reason.DRAWDOWN, Reason.ROLLING_LOSS, Reason.FEED, Reason.NON_FINITE, Reason.TIME_AT_LIMIT,
)  # fmt: skip
_BREACH = np.uint32(sum(_BREACHES))
_RECENT = 1.0 / 20.0  # weight of the newest value in the averages that cases quote
# Streams that are the market's, whatever the dealer is held to. All others say another thing while orders are in force,
# and the trades of that time are marked out as late as this.
_MARKETS_OWN = ("requests", "volatility", "trend", "flow_")
_EVERY = np.array(list(State))[:, None, None]
_LINGERS = max(streams.HORIZONS.values())
# Figures of the agent go on over a reset, and so does what they fail.
_LASTING = np.uint32(sum(SoftReason))


class Operator(Protocol):
    """Who answers cases: scripted, recorded, or a person behind a hook."""

    def attend(self, book: CaseBook, step: int, drifted: Any) -> None: ...


@dataclass
class _Watch:
    """The drift watch of one dealer."""

    detector: Detector
    streams: Streams
    rows: np.ndarray  # the streams that the detector takes
    own: np.ndarray  # of these, those that the dealer's own orders change
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
        self._failing: np.ndarray = np.zeros(shape, np.uint32)  # reasons of the last step
        self._warned: np.ndarray = np.zeros(shape, np.uint32)  # its warnings, bits of Reason and SoftReason
        self._soft_levels = [soft_levels(batch.config.dealer_of[agent].limits) for agent in self.agents]
        self._supplied: Mapping[int, Supplied] = {}  # in the last step
        self._fresh = False  # no step since the batch was reset
        self._new: np.ndarray = np.zeros(shape, np.uint32)  # the reasons that began with it
        self._bare = np.full(shape, -_LINGERS - 1)  # the last step in which there were orders from here
        self._events = [np.full(shape, Event.NOTHING) for _ in range(3)]
        self._halts = np.array([self._halting(agent) for agent in self.agents], np.uint32)
        self.alarms: list[tuple[int, int, str, str, float]] = []  # step, market, dealer, leading stream, level
        self.occupation: list[np.ndarray] = []  # of each step: (states, dealers), the share of the markets in each

    def _watch(self, agent: int, calibration: Calibration, escalation: Escalation) -> _Watch:
        watched = Streams(self.batch, agent, escalation.watch)
        rows = np.array([watched.names.index(name) for name in calibration.names])
        quiet = np.repeat(calibration.centre[:, None], self.batch.markets, axis=1)
        detector = Detector(calibration, self.batch.markets, escalation.false_alarm_every)
        own = np.array([not name.startswith(_MARKETS_OWN) for name in calibration.names])
        return _Watch(detector, watched, rows, own, quiet, calibration.centre)

    def _halting(self, agent: int) -> int:
        """Bits of the reasons that halt a dealer: of the limits whose ``on_breach`` is halt."""
        row = self.batch.tables.dealers[agent]
        limits = [reason for reason in _BREACHES if reason != Reason.NON_FINITE]
        return sum(int(r) for r in limits if row[f"{str(r.name).lower()}_on_breach"] == OnBreach.HALT)

    def begin(self) -> None:
        """The batch has been reset."""
        self._fresh = True
        for watch in self._watches:
            watch.streams.begin()

    def before(self) -> None:
        """A step is about to execute: let people answer, move the states, and give the engine its orders."""
        self._operator.attend(self.book, self.step, self._is_drifted)
        for order in self.book.step(self.step, *self._events, unclean=(self._failing | self._warned) != 0):
            m, d = order.market - self.book.first_market, self.names.index(order.dealer)
            self._closing[m, d] |= order.share >= 1.0
            self._halving[m, d] |= order.share < 1.0
        state = self.book.state
        inventory = self.batch.state["inventory"][:, self.agents, 0]  # type: ignore[index]
        self._closing &= (inventory != 0) & (state == State.HALTED)
        orders = HELD_TO[state]
        orders[self._closing] |= Order.FLATTEN
        orders[self._halving] |= Order.HALVE
        self._halving[:] = False
        self._bare[orders != 0] = self.step
        for d, agent in enumerate(self.agents):
            self.batch.order(agent, orders[:, d])
        self.occupation.append((state == _EVERY).mean(axis=1))

    def after(self, step: Step, supplied: Mapping[int, Supplied] | None = None) -> None:
        """A step has executed: what it says becomes the events of the next. ``supplied``: by agents about themselves."""
        soft, hard, drift = self._events
        self._supplied = supplied or {}
        reasons, warnings = step.reasons[:, self.agents] & _BREACH, self._warnings(step)
        if self._fresh:  # a limit that held until the reset begins to fail anew
            self._failing, self._warned, self._fresh = np.zeros_like(reasons), self._warned & _LASTING, False
        self._new = reasons & ~self._failing
        soft[:] = np.where(warnings & ~self._warned, Event.SOFT_BREACH, Event.NOTHING)
        hard[:] = np.where(self._new, Event.HARD_BREACH, Event.NOTHING)
        hard[(self._new & self._halts) != 0] = Event.SEVERE_BREACH
        self._failing, self._warned = reasons, warnings
        self._income += (step.ledger["spread"][:, self.agents] - self._income) * _RECENT
        for d in range(len(self.agents)):
            drift[:, d] = np.where(self._look_for_drift(d, step), Event.DRIFT, Event.NOTHING)
        self.step += 1

    def _warnings(self, step: Step) -> np.ndarray:
        """The soft levels that are passed: those that the step knows, and those of the agents' own figures."""
        warnings = step.warnings[:, self.agents]
        for d, levels in enumerate(self._soft_levels):
            if levels:
                bits = passed(levels, self._supplied.get(self.agents[d]), self.batch.markets)
                bits[self._held(d)] &= ~np.uint32(SoftReason.CRITIC_ERROR)  # it learned of a dealer that was free
                warnings[:, d] |= bits
        return warnings

    def _held(self, d: int) -> np.ndarray:
        """Where a dealer is under orders, or was a moment ago."""
        return self.step - self._bare[:, d] <= _LINGERS

    def _look_for_drift(self, d: int, step: Step) -> np.ndarray:
        watch, supplied = self._watches[d], self._supplied.get(self.agents[d])
        values = watch.streams.update(step, supplied and supplied.streams)[watch.rows]
        held = self._held(d)
        if held.any():
            values[np.ix_(watch.own, held)] = np.nan
        alarm = watch.detector.update(values)
        moved = (values - watch.recent) * _RECENT
        watch.recent += np.nan_to_num(moved, copy=False)
        for m in np.flatnonzero(alarm):
            leading = watch.detector.names[watch.detector.leading[m]]
            market, level = self.batch.first_market + int(m), float(watch.detector.level[m])
            self.alarms.append((self.step, market, self.names[d], leading, level))
        return alarm

    # --- what a case says ---

    def _describe(self, market: int, dealer: str, event: Event) -> Finding:
        m, d = market - self.book.first_market, self.names.index(dealer)
        if event != Event.DRIFT:
            soft = event == Event.SOFT_BREACH
            fired = int(self._warned[m, d] if soft else self._new[m, d])
            words = [str(r.name).lower() for r in (*_BREACHES, Reason.POSITION, *SoftReason) if r & fired]
            cause = f"soft_{words[0]}" if soft else words[0]
            what = f"{dealer} passed its {'soft' if soft else 'hard'} limit: {' and '.join(words).replace('_', ' ')}"
            row = self.batch.tables.dealers[self.agents[d]]
            levels = [f"{word}_{'soft' if soft else 'hard'}" for word in words]
            figures = {level: float(row[level]) for level in levels if level in row.dtype.names}
            if soft:
                figures |= self._own_figures(m, d, fired)
            return Finding(cause, what, figures, self.step - 1)
        detector, watch = self._watches[d].detector, self._watches[d]
        s = int(detector.leading[m])
        recent, quiet = float(watch.recent[s, m]), float(watch.quiet[s])
        figures = {"recent": recent, "quiet": quiet, "level": float(detector.level[m]), "threshold": detector.threshold}
        what = f"{detector.words(m)}: {recent:.3g} of late, {quiet:.3g} when it was calibrated"
        return Finding("drift", what, figures, max(0, self.step - int(detector.since[m])))

    def _own_figures(self, m: int, d: int, fired: int) -> dict[str, float]:
        """Of the soft levels that are passed, those of the agent's own figures, each with the figure."""
        supplied = self._supplied.get(self.agents[d])
        figures = {}
        for reason, soft in self._soft_levels[d].items():
            if reason & fired:
                name = str(reason.name).lower()
                figures[f"{name}_soft"] = soft
                if supplied and name in supplied.figures:
                    figures[name] = float(supplied.figures[name][m])
        return figures

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
