"""Operators that answer cases without a person at the desk: scripted ones, and recorded ones.

Scripted, so that the value of an escalation design can be measured: each approver acknowledges after a log-normal delay
of working steps, decides after another, judges rightly with probability ``accuracy`` whether the market has drifted, and
chooses what that judgement asks for. Each has its own random stream; a case is judged anew each time it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scipy.special import ndtri

from marketsim.guardrails.case import Case, Decision
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.escalation import Approver, Escalation, ScriptedOperator, WorkingHours
from marketsim.rng import OPERATOR, draw

_Z90 = 1.2815515655446004  # the normal quantile of 90%
_ACKNOWLEDGES, _DECIDES, _JUDGES = range(3)

Drifted = Callable[[Case], bool]  # the ground truth, which an experiment knows


@dataclass
class _Plan:
    """What an approver does about a case as it was asked at a step."""

    who: Approver
    asked: int
    acknowledges: int
    decides: int
    right: bool  # its judgement


class Scripted:
    """The approvers of an escalation, played by its ``operator:`` block."""

    def __init__(self, escalation: Escalation, seed: int, episode: int = 0):
        if escalation.operator is None:
            raise ValueError("escalation.operator: is missing, scripted operators need it")
        self._spec: ScriptedOperator = escalation.operator
        self._approvers, self._if_silent = escalation.approvers, escalation.if_silent
        self._seed, self._episode = seed, episode
        self._plans: dict[int, list[_Plan]] = {}  # of each case

    def attend(self, book: CaseBook, step: int, drifted: Drifted) -> None:
        """Whoever is due by this step acknowledges or decides; after one decision on a case the others look again."""
        if self._spec.working_hours and at_work(step - 1, 1, self._spec.working_hours) != step:
            return
        for case in book.open:
            plans = self._plans.get(case.id)
            if plans is None or plans[0].asked != case.asked:
                plans = self._plans[case.id] = self._plan(book, case)
            for plan in plans:
                if plan.acknowledges <= step and case.acknowledged is None:
                    book.acknowledge(case.id, plan.who.name, step)
                waits = case.proposal is not None and case.proposal["role"] == plan.who.role  # for another role
                if plan.decides <= step and not waits:
                    book.decide(self._decision(case, plan, drifted(case)), step)
                    break

    def _plan(self, book: CaseBook, case: Case) -> list[_Plan]:
        """What each approver will do about a case as it was just asked, if nobody comes first."""
        spec, plans = self._spec, []
        recent = _cases_before(book, case, spec.fatigue.recent) if spec.fatigue else 0
        slower = spec.fatigue.slower**recent if spec.fatigue else 1.0
        accuracy = spec.accuracy * (spec.fatigue.less_accurate**recent if spec.fatigue else 1.0)
        for i, approver in enumerate(self._approvers):
            seen = at_work(case.asked, self._delay(case, i, _ACKNOWLEDGES, slower), spec.working_hours)
            decides = at_work(seen, self._delay(case, i, _DECIDES, slower), spec.working_hours)
            right = self._uniform(case, i, _JUDGES) < accuracy
            plans.append(_Plan(approver, case.asked, seen, decides, right))
        return plans

    def _delay(self, case: Case, i: int, what: int, slower: float) -> int:
        """Working steps, at least 1."""
        delay = self._spec.delay
        sigma = math.log(delay.p90 / delay.median) / _Z90
        steps = delay.median * slower * math.exp(sigma * ndtri(self._uniform(case, i, what)))
        return max(1, round(min(steps, 1e9)))

    def _decision(self, case: Case, plan: _Plan, drifted: bool) -> Decision:
        believes = drifted if plan.right else not drifted
        reason = f"it looks as if the market has {'drifted' if believes else 'not drifted'}"
        option = self.asked_for(case, believes)
        return Decision(case.id, case.version, option, reason, plan.who.name, plan.who.role)

    def asked_for(self, case: Case, drifted: bool) -> str:
        """The right option of a case: if the market has drifted, be safe; if not, give back what was taken."""
        if drifted:
            return self._if_silent if case.state in ("NORMAL", "WARN", "PROBATION") else "keep"
        return next((option for option in ("release", "resume") if option in case.options), "keep")

    def _uniform(self, case: Case, i: int, what: int) -> float:
        index = 64 * case.number + 4 * i + what
        return draw(self._seed, self._episode, case.market, OPERATOR, case.asked, index)


def _cases_before(book: CaseBook, case: Case, steps: int) -> int:
    """How many other cases of its market were opened in so many steps before it was asked."""
    since, count = case.asked - steps, 0
    for other in reversed(book.cases):
        if other.opened < since:
            break
        count += other.market == case.market and other.id != case.id and other.opened <= case.asked
    return count


def at_work(step: int, delay: int, hours: WorkingHours | None) -> int:
    """The step at which ``delay`` further working steps have passed."""
    if hours is None:
        return step + delay
    cycles = (delay - 1) // (hours.end - hours.start)
    step, left = step + cycles * hours.every, delay - cycles * (hours.end - hours.start)
    while left:
        step += 1
        left -= hours.start <= step % hours.every < hours.end
    return step


_ARRIVALS = {  # what of a log is an answer that reached the book, whether it was taken or refused
    "case": ("acknowledged",),
    "decision": ("proposed", "accepted", "kill"),
    "refusal": ("acknowledgement", "decision", "kill"),
}


class Replay:
    """Plays recorded answers and faults back at the steps at which they arrived, the refused ones too: no clock.

    ``records``: the (kind, body) of an audit log, in order.
    """

    def __init__(self, records: Iterable[tuple[str, dict[str, Any]]]):
        self._due: dict[int, list[tuple[str, dict[str, Any]]]] = {}
        for kind, body in records:
            if body.get("what") in _ARRIVALS.get(kind, ()) or (kind == "fault" and "step" in body):
                self._due.setdefault(body["step"], []).append((kind, body))

    def attend(self, book: CaseBook, step: int, drifted: Any = None) -> None:
        """What arrived at this step arrives again."""
        for kind, body in self._due.get(step, ()):
            if kind == "fault":
                book.fault(step, body["what"], body["case"])
            elif kind == "case":
                book.acknowledge(body["case"]["id"], body["who"], step)
            elif body["what"] == "acknowledgement":
                book.acknowledge(body["case"], body["who"], step)
            elif body["what"] == "kill":
                book.kill(body["who"], body["reason"], step, body["market"], body["dealer"])
            else:
                book.decide(Decision(**{name: body[name] for name in Decision.__dataclass_fields__}), step)
