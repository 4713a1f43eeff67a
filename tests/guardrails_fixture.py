"""A small escalation, and a book of cases whose log is a list."""

from __future__ import annotations

import numpy as np

from marketsim.guardrails.case import Decision, Exposure, Finding
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.escalation import Escalation
from marketsim.guardrails.states import Event, State

PEOPLE = [
    {"name": "ada", "role": "risk"},
    {"name": "bob", "role": "desk"},
    {"name": "cyd", "role": "desk"},
]


def escalation(**changes) -> Escalation:
    tree = {"approvers": PEOPLE, "acknowledge_within": 5, "decide_within": 20, "cool_off": 10, "probation": 8}
    return Escalation.model_validate({**tree, **changes})


class Desk:
    """One market with dealers learner and rival; ``events`` of the coming steps by dealer."""

    def __init__(self, record=None, **changes):
        self.log: list[tuple[str, dict]] = []
        self.record = record or (lambda kind, body: self.log.append((kind, body)))
        self.inventory = 7.0
        self.book = CaseBook(escalation(**changes), ["learner", "rival"], self.record, self.describe, self.look)
        self.now = -1

    def describe(self, market, dealer, event):
        return Finding(event.name.lower(), f"{event.name} of {dealer}", {"z": 3.5}, since=max(0, self.now - 4))

    def look(self, market, dealer):
        return Exposure({"inventory": self.inventory, "pnl": -3.0, "loss": 3.0}, {"keep": 12.0, "hedge": 5.0})

    def step(self, event=Event.NOTHING, other=Event.NOTHING):
        """The next step of the market, in which these happen to learner and rival."""
        self.now += 1
        return self.book.step(self.now, np.array([[event, other]]))

    def until(self, step):
        """The orders of all quiet steps up to and with this one."""
        return [order for _ in range(self.now, step) for order in self.step()]

    @property
    def state(self) -> State:
        return State(self.book.state[0, 0])

    def decide(self, option, who="ada", role="risk", case=1, version=None, step=None) -> str:
        """As a person who has just looked, unless told otherwise."""
        version = self.book.cases[case - 1].version if version is None else version
        step = self.now + 1 if step is None else step
        return self.book.decide(Decision(case, version, option, "because", who, role), step)

    def kinds(self, kind):
        return [body for k, body in self.log if k == kind]
