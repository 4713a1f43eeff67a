"""Who may decide what about a case: the four-eyes rule, and every reason to refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from marketsim.guardrails.case import Case, Decision
from marketsim.guardrails.escalation import Escalation, person
from marketsim.guardrails.options import OPTIONS
from marketsim.guardrails.states import NEEDS, TABLE, Needs, State


def why_not(
    case: Case | None, decision: Decision, escalation: Escalation, dealers: Sequence[str], who: Callable[[str], str]
) -> str:
    """Why this decision about this case is refused, if it is; nothing if not. ``who(name)``: equal for equal persons."""
    approver = escalation.approver(decision.who)
    if case is None:
        return f"there is no case {decision.case}"
    if approver is None:
        agent = person(decision.who) in map(person, dealers)
        return f"{decision.who} is {'a dealer, and no agent decides' if agent else 'not an approver'}"
    if person(approver.role) != person(decision.role):
        return f"{approver.name} is {approver.role}, not {decision.role}"
    if case.closed is not None or decision.step > case.decide_by or decision.version <= case.lapsed:
        return f"late: {ended(case)}"
    if decision.version != case.version:
        return f"stale: it is about state version {decision.version}, the dealer is at {case.version}"
    if decision.option not in case.options:
        return f"{decision.option} is not offered, there are {', '.join(case.options)}"
    if proposal := seconded(case, decision):
        if who(proposal["who"]) == who(approver.name):
            return f"same person: {approver.name} proposed it, somebody else must approve"
        if person(proposal["role"]) == person(approver.role):
            return f"same role: {proposal['who']} is {approver.role} too, another role must approve"
    return ""


def takes_two(case: Case, option: str) -> bool:
    """Whether this option of the case takes two people."""
    state, event = State[case.state], OPTIONS[option].event
    return bool(NEEDS[event] == Needs.TWO_ROLES and TABLE[state, event] != state)


def seconded(case: Case, decision: Decision) -> dict[str, Any] | None:
    """The proposal that this decision would approve."""
    same = case.proposal is not None and case.proposal["option"] == decision.option
    return case.proposal if same and takes_two(case, decision.option) else None


def ended(case: Case) -> str:
    if case.closed is not None:
        return f"case {case.id} was closed at step {case.closed} ({case.outcome})"
    return "the deadline of what was asked has passed"
