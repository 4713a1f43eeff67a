"""The book of cases: whom the guardrails ask, by when, and what happens if nobody answers.

It holds the state of every dealer in every market, and every case. Steps are its only clock. Each step, before anything
executes: answers come in (`acknowledge`, `decide`, `kill`), then `step` takes the step's events and returns the orders
to carry out. Rules and their order stand in docs/escalation.md.

A move is recorded, then made. If it cannot be recorded, a move towards safety is made all the same, a move up is not,
and everything halts within the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from marketsim.guardrails.approval import ended, seconded, takes_two, why_not
from marketsim.guardrails.case import Case, Decision, Exposure, Finding, Order
from marketsim.guardrails.escalation import Escalation, person
from marketsim.guardrails.options import OFFERED, OPTIONS, STAY
from marketsim.guardrails.recorder import Record, Recorder
from marketsim.guardrails.states import NEEDS, RANK, TABLE, Event, Needs, State, advance

_ASKED_ABOUT = np.isin(np.arange(len(Event)), [Event.DRIFT, Event.HARD_BREACH, Event.SEVERE_BREACH, Event.FAULT])
_TO, _NEEDS = TABLE.tolist(), NEEDS.tolist()  # for one dealer, quicker than arrays
_UNFREE = (State.RESTRICTED, State.HALTED)  # what only people end: a case is always open


class CaseBook:
    """The states and cases of ``markets`` markets from ``first_market``, with these dealers (agents, or a desk).

    ``record(kind, body)``: the audit log. ``describe(market, dealer, event) -> Finding``: asked about each event that
    opens or repeats a case. ``look(market, dealer) -> Exposure``: asked whenever people are. ``who(name)``: equal for
    equal persons; by default those whose names are spelt alike, where keys are known also those of one key.
    ``state``, ``version``, ``clean``: arrays (markets, dealers); ``clean`` counts steps without event or open case.
    """

    def __init__(
        self,
        escalation: Escalation,
        dealers: Sequence[str],
        record: Record,
        describe: Callable[[int, str, Event], Finding],
        look: Callable[[int, str], Exposure],
        markets: int = 1,
        first_market: int = 0,
        who: Callable[[str], str] = person,
    ):
        escalation.refuse_agents(dealers)
        self.escalation, self.dealers, self.first_market = escalation, tuple(dealers), first_market
        self._describe, self._look, self._who, self._log = describe, look, who, Recorder(record)
        shape = (markets, len(self.dealers))
        self.state = np.full(shape, State.NORMAL, np.int8)
        self.version, self.clean, self._asking = (np.zeros(shape, np.int64) for _ in range(3))
        self.cases: list[Case] = []
        self._open: dict[tuple[int, int, str], Case] = {}  # one a dealer and cause
        self._causes: dict[str, None] = {}  # all that there have been, in order
        self._numbers = np.zeros(markets, np.int64)  # cases so far in each market
        self._orders: list[Order] = []
        never = np.iinfo(np.int64).max
        self._patience = np.array([never, escalation.cool_off, never, never, escalation.probation])  # of each state
        self._earned = np.zeros(shape, bool)  # the clean steps of PROBATION are done

    @property
    def open(self) -> list[Case]:
        return list(self._open.values())

    # --- a step of the market ---

    def step(self, step: int, *events: np.ndarray, unclean: np.ndarray | bool = False) -> list[Order]:
        """Take what happened: arrays (markets, dealers) of Event, in order; ``unclean``: where the step was not, though
        nothing new happened. Returns all orders since the last step."""
        eventful = (self._asking > 0) | unclean
        for happened in events:
            if not happened.any():
                continue
            eventful |= happened != Event.NOTHING
            for m, d in np.argwhere((advance(self.state, happened) != self.state) | _ASKED_ABOUT[happened]):
                event = Event(happened[m, d])
                finding = self._describe(self.first_market + int(m), self.dealers[d], event)
                did = self._move(step, m, d, event, what="" if _ASKED_ABOUT[event] else finding.what)
                if _ASKED_ABOUT[event] or (did and self.state[m, d] in _UNFREE):
                    self._ask(step, m, d, finding, did)
        self.clean += 1
        self.clean[eventful] = 0
        for m, d in np.argwhere(self.clean >= self._patience[self.state]):
            if not self._move(step, m, d, Event.CLEAN):  # from WARN; PROBATION asks
                self._earned[m, d] = True
                what = f"{self.clean[m, d]} clean steps of probation: may it have its limits back?"
                self._ask(step, m, d, Finding("probation", what), "", STAY)
        for case in self.open:
            if step > case.decide_by or (case.acknowledged is None and step > case.acknowledge_by):
                self._miss(case, step)
        if self._log.broken and (self.state != State.HALTED).any():
            self.fault(step, f"the audit log cannot be written: {self._log.broken}")
        if self._log.catch_up():
            self._log.broken = ""
        orders, self._orders = self._orders, []
        return orders

    def fault(self, step: int, what: str, case_id: int | None = None) -> None:
        """Something in the asking failed: the safe default of that case fires now; without a case, everything halts."""
        self._log.write("fault", {"step": step, "what": what, "case": case_id})
        if case_id is not None and self.cases[case_id - 1].closed is None:
            self._fire(self.cases[case_id - 1], step, f"fault, {what}")
            self._ask_again(self.cases[case_id - 1], step, "fault")
        elif case_id is None:
            for m, d in np.ndindex(self.state.shape):
                if did := self._move(step, m, d, Event.FAULT):
                    self._ask(step, m, d, Finding("fault", what), did, STAY)

    # --- what people do: each returns why it is refused, or nothing ---

    def acknowledge(self, case_id: int, who: str, step: int) -> str:
        """An approver has seen it: the first of the two deadlines is kept."""
        case, approver = self._find(case_id), self.escalation.approver(who)
        if case is None:
            why = f"there is no case {case_id}"
        elif approver is None:
            why = f"{who} is not an approver"
        elif case.closed is not None or step > case.decide_by:
            why = f"late: {ended(case)}"
        elif case.acknowledged is not None:
            why = f"it was acknowledged at step {case.acknowledged}"
        else:
            case.acknowledged = step
            self._tell(case, step, "acknowledged", who=approver.name)
            return ""
        self._log.write("refusal", {"what": "acknowledgement", "step": step, "case": case_id, "who": who, "why": why})
        return why

    def decide(self, decision: Decision, step: int) -> str:
        """A decision that arrives at ``step``. One that needs two people waits as a proposal for the second."""
        decision = replace(decision, step=step)
        case = self._find(decision.case)
        why = why_not(case, decision, self.escalation, self.dealers, self._who)
        if case is not None and not why:
            why = self._accept(case, decision)
        if why:
            self._log.write("refusal", {"what": "decision", **asdict(decision), "why": why})
        return why

    def kill(self, who: str, reason: str, step: int, market: int | None = None, dealer: str | None = None) -> str:
        """Halt a dealer, a market or everything. Anyone may."""
        body = {"what": "kill", "step": step, "who": who, "reason": reason, "market": market, "dealer": dealer}
        places = [
            (m, d)
            for m, d in np.ndindex(self.state.shape)
            if market in (None, self.first_market + m) and dealer in (None, self.dealers[d])
        ]
        if not places:
            why = f"there is no dealer {dealer} in market {market}"
            self._log.write("refusal", {**body, "why": why})
            return why
        self._log.write("decision", body)
        for m, d in places:
            did = self._move(step, m, d, Event.KILL, (who,), Needs.ANYONE)
            self._ask(step, m, d, Finding("kill", f"{who} killed it: {reason}"), did, STAY)
        return ""

    def _accept(self, case: Case, decision: Decision) -> str:
        """Do it, or note the proposal. Returns why not where it cannot be recorded."""
        proposal = seconded(case, decision)
        proposes = takes_two(case, decision.option) and proposal is None
        body = {"what": "proposed" if proposes else "accepted", **asdict(decision)}
        if not self._log.write("decision", body, must=True):
            return f"it cannot be recorded: {self._log.broken}"
        case.acknowledged = decision.step if case.acknowledged is None else case.acknowledged
        if proposes:
            case.proposal = asdict(decision)
            return ""
        m, d = self._place(case)
        option = OPTIONS[decision.option]
        who = (proposal["who"], decision.who) if proposal else (decision.who,)
        by = Needs.TWO_ROLES if proposal else Needs.APPROVER
        did = self._move(decision.step, m, d, option.event, who, by)
        if self._log.broken and not did and option.event in (Event.RESUME, Event.RELEASE):
            return f"it cannot be recorded: {self._log.broken}"
        self._carry_out(case, decision.option, f"{decision.option} by {' and '.join(who)}", did)
        if self.state[m, d] in _UNFREE:
            case.if_silent = STAY
            self._ask_again(case, decision.step, decision.option)
        else:
            self._close(case, decision.step, f"{decision.option} by {' and '.join(who)}")
        return ""

    # --- the life of a case ---

    def _ask(self, step: int, m: int, d: int, finding: Finding, did: str, if_silent: str = "") -> None:
        """Open a case, or count the repeat in the one that is open."""
        key = (int(m), int(d), finding.cause)
        if key in self._open:
            self._repeat(self._open[key], step, did, if_silent or self.escalation.if_silent)
            return
        self._numbers[m] += 1
        self._asking[m, d] += 1
        case = Case(
            id=len(self.cases) + 1,
            number=int(self._numbers[m]),
            market=self.first_market + int(m),
            dealer=self.dealers[d],
            cause=finding.cause,
            opened=step,
            since=finding.since,
            what=finding.what,
            figures=dict(finding.figures),
            if_silent=if_silent or self.escalation.if_silent,
        )
        _note(case, did)
        self.cases.append(case)
        self._open[key] = case
        self._causes[finding.cause] = None
        self._ask_again(case, step)

    def _repeat(self, case: Case, step: int, did: str, if_silent: str) -> None:
        """Count it. Where silence had come to change nothing, and the dealer was let go since, it is a question again."""
        case.repeats += 1
        _note(case, did)
        free = self.state[self._place(case)] not in _UNFREE
        if case.if_silent != if_silent and (did or free):
            case.if_silent = if_silent
            self._ask_again(case, step, "it happened again")

    def _ask_again(self, case: Case, step: int, why: str = "") -> None:
        """Put the case to people as things are now, with new deadlines."""
        case.asked = step
        case.acknowledge_by = step + self.escalation.acknowledge_within
        case.decide_by = step + self.escalation.decide_within
        case.acknowledged = case.proposal = None
        self._refresh(case)
        self._tell(case, step, f"asked again: {why}" if why else "opened")

    def _refresh(self, case: Case) -> None:
        """State, version, exposure and options of a case as they are now."""
        m, d = self._place(case)
        state = State(self.state[m, d])
        case.state, case.version = state.name, int(self.version[m, d])
        exposure = self._look(case.market, case.dealer)
        names = (*OFFERED[state], "release") if self._earned[m, d] else OFFERED[state]
        case.exposure, case.options = dict(exposure.holds), {name: exposure.costs.get(name) for name in names}

    def _miss(self, case: Case, step: int) -> None:
        """A deadline has passed. Both have a safe default: a missed one fires it."""
        place = self._place(case)
        moot = case.if_silent == STAY and self.state[place] not in _UNFREE and not self._earned[place]
        if step > case.decide_by and moot:
            self._close(case, step, "nothing was left to ask")
        elif step > case.decide_by:
            case.lapsed = case.version
            self._fire(case, step, f"nobody decided by step {case.decide_by}")
            self._ask_again(case, step, "nobody decided")
        else:
            self._fire(case, step, f"nobody acknowledged by step {case.acknowledge_by}")
            case.acknowledge_by = case.decide_by  # it has fired; the other deadline stands
            self._tell(case, step, "nobody acknowledged")

    def _fire(self, case: Case, step: int, why: str) -> None:
        """What happens if nobody answers."""
        m, d = self._place(case)
        did = "" if case.if_silent == STAY else self._move(step, m, d, OPTIONS[case.if_silent].silence)
        self._carry_out(case, case.if_silent, f"{why}: {case.if_silent}", did)
        self._outdate(m, d)

    def _carry_out(self, case: Case, option: str, why: str, did: str) -> None:
        _note(case, f"{why}, {did}" if did else why)
        if option != STAY and OPTIONS[option].trades:
            self._orders.append(Order(case.market, case.dealer, option, OPTIONS[option].trades))

    def _close(self, case: Case, step: int, outcome: str) -> None:
        m, d = self._place(case)
        case.closed, case.outcome, case.proposal = step, outcome, None
        del self._open[m, d, case.cause]
        self._asking[m, d] -= 1
        self._tell(case, step, "closed")

    # --- states ---

    def _move(self, step, m, d, event: Event, who: Sequence[str] = (), by: Needs = Needs.NOBODY, what="") -> str:
        """One dealer's state by one event, recorded first; ``what`` happened, where no case says it.

        Returns the move in words, nothing where there was none.
        """
        before = State(self.state[m, d])
        after = State(_TO[before][event]) if _NEEDS[event] <= by else before
        if after == before:
            return ""
        body = {
            "step": step,
            "market": self.first_market + int(m),
            "dealer": self.dealers[d],
            "from": before.name,
            "to": after.name,
            "event": event.name.lower(),
            "who": list(who),
            "version": int(self.version[m, d]) + 1,
        } | ({"what": what} if what else {})
        up = bool(RANK[after] < RANK[before])
        if not self._log.write("state", body, must=up) and up:
            return ""
        self.state[m, d] = after
        self.clean[m, d], self._earned[m, d] = 0, False
        self._outdate(m, d)
        return f"{before.name} to {after.name} at step {step}"

    def _outdate(self, m: int, d: int) -> None:
        """What was seen of this dealer before is stale: its open cases show it anew, and proposals are void."""
        self.version[m, d] += 1
        if self._asking[m, d]:
            for cause in self._causes:
                if case := self._open.get((m, d, cause)):
                    case.proposal = None
                    self._refresh(case)

    # --- the log ---

    def _tell(self, case: Case, step: int, what: str, **more: Any) -> None:
        now = dict(vars(case))  # its lists and dicts are replaced, never changed
        self._log.write("case", {"what": what, "step": step, **more, "case": now})

    def restore(self, records: Iterable[tuple[str, dict[str, Any]]], step: int) -> None:
        """Stand where these records of the log end; clean steps count from 0 again."""
        for kind, body in records:
            if kind == "state":
                m, d = body["market"] - self.first_market, self.dealers.index(body["dealer"])
                self.state[m, d], self.version[m, d] = State[body["to"]], body["version"]
            elif kind == "case":
                case = Case(**body["case"])
                self.cases[case.id - 1 : case.id] = [case]
            elif kind == "decision" and body.get("what") == "proposed":
                case = self.cases[body["case"] - 1]
                case.proposal = {name: body[name] for name in Decision.__dataclass_fields__}
                case.acknowledged = body["step"] if case.acknowledged is None else case.acknowledged
        for case in self.cases:
            m, d = self._place(case)
            self._numbers[m] = max(self._numbers[m], case.number)
            self.version[m, d] = max(self.version[m, d], case.version)
            if case.closed is None:
                self._open[m, d, case.cause] = case
                self._causes[case.cause] = None
                self._asking[m, d] += 1
                self._earned[m, d] |= "release" in case.options and self.state[m, d] == State.PROBATION
        for case in self.open:
            self._refresh(case)
            if case.proposal is not None and case.proposal["version"] != case.version:
                case.proposal = None
        for m, d in np.argwhere(np.isin(self.state, _UNFREE) & (self._asking == 0)):
            self._ask(step, m, d, Finding("restored", "it was stopped before anybody could be asked"), "", STAY)

    def _find(self, case_id: int) -> Case | None:
        return self.cases[case_id - 1] if 1 <= case_id <= len(self.cases) else None

    def _place(self, case: Case) -> tuple[int, int]:
        return case.market - self.first_market, self.dealers.index(case.dealer)


def _note(case: Case, did: str) -> None:
    case.did = [*case.did, did][-4:] if did else case.did
