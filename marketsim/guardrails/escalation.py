"""The ``escalation:`` block of an experiment file: who is asked, by when, and what fires if nobody answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from marketsim.guardrails import streams
from marketsim.guardrails.identity import fold as person
from marketsim.guardrails.options import SafeDefault
from marketsim.model import NAME, Listed, Model, Probability

Steps = Annotated[int, Field(ge=1, le=1_000_000_000)]
MAX_APPROVERS = 16  # the operators' draws are indexed by 64 * case + 4 * approver


class Approver(Model):
    """``key``: the file that their decisions are signed with; without one, identity is asserted, not authenticated."""

    name: Annotated[str, Field(pattern=NAME)]
    role: Annotated[str, Field(pattern=NAME)]
    key: str | None = None


class Delay(Model):
    """Log-normal, in steps."""

    median: Annotated[float, Field(gt=0, le=1e6)]
    p90: Annotated[float, Field(gt=0, le=1e6)]

    @model_validator(mode="after")
    def _ordered(self):
        if self.p90 < self.median:
            raise ValueError(f"p90: {self.p90:g} is below the median {self.median:g}, it must be at least that")
        return self


class WorkingHours(Model):
    """At work in the steps with ``start <= step % every < end``."""

    every: Annotated[int, Field(ge=1, le=100_000)]
    start: Annotated[int, Field(ge=0)] = 0
    end: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _within(self):
        if not self.start < self.end <= self.every:
            raise ValueError(f"start {self.start}, end {self.end}: they must obey start < end <= every ({self.every})")
        return self


class Fatigue(Model):
    """Each further case of the last ``recent`` steps multiplies the delays and the accuracy by these."""

    recent: Steps
    slower: Annotated[float, Field(ge=1, le=10)] = 1.0
    less_accurate: Annotated[float, Field(gt=0, le=1)] = 1.0


class ScriptedOperator(Model):
    kind: Literal["scripted"] = "scripted"
    delay: Delay
    accuracy: Probability = 1.0
    working_hours: WorkingHours | None = None
    fatigue: Fatigue | None = None


class Escalation(Model):
    watch: Listed[streams.Name] = streams.DEFAULT
    false_alarm_every: Annotated[int, Field(ge=100, le=1_000_000_000)] = 10_000
    acknowledge_within: Steps = 20
    decide_within: Steps = 60
    if_silent: SafeDefault = "hedge"
    approvers: Listed[Approver]
    operator: ScriptedOperator | None = None
    cool_off: Steps = 100
    probation: Steps = 500
    hook_timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None  # seconds; default: by who is asked
    pace: Literal["pause", "walk"] = "pause"
    channel: Literal["files", "terminal"] = "files"  # how people are asked

    @model_validator(mode="after")
    def _somebody_answers_in_time(self):
        people = [person(approver.name) for approver in self.approvers]
        if len(set(self.watch)) != len(self.watch) or not self.watch:
            raise ValueError("watch: each stream once, and at least one")
        if self.decide_within < self.acknowledge_within:
            raise ValueError(
                f"decide_within: {self.decide_within} is below acknowledge_within {self.acknowledge_within}, "
                f"it must be at least that"
            )
        if len(people) > MAX_APPROVERS:
            raise ValueError(f"approvers: {len(people)} in all, at most {MAX_APPROVERS} are allowed")
        if len(set(people)) != len(people):
            again = next(a.name for a in self.approvers if people.count(person(a.name)) > 1)
            raise ValueError(f"approvers: two are named {again!r}, or nearly so: that is one person")
        if len({person(approver.role) for approver in self.approvers}) < 2:
            raise ValueError("approvers: a restricted dealer is let go by two people of different roles, name both")
        return self

    @property
    def function_timeout(self) -> float:
        """Seconds that a hook has to answer: it computes."""
        return self.hook_timeout or 30.0

    @property
    def people_timeout(self) -> float:
        """Seconds that people have: they may have to be fetched, and the run waits meanwhile."""
        return self.hook_timeout or 900.0

    def approver(self, name: str) -> Approver | None:
        """The approver of that name, however it is spelt."""
        return next((a for a in self.approvers if person(a.name) == person(name)), None)

    def refuse_agents(self, agents: Collection[str]) -> None:
        """An agent approves nothing. Raises ValueError where an approver is named as one of these dealers."""
        dealers = {person(agent) for agent in agents}
        for approver in self.approvers:
            if person(approver.name) in dealers:
                raise ValueError(f"escalation.approvers: {approver.name!r} is a dealer, and no agent approves anything")
