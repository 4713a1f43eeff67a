"""What the guardrails did about one dealer in a design, counted from the tables; ``governance`` puts it into words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from reports.folder import Design, Difference, Estimate, Run, Scenario, Seed

STATES = ("normal", "warn", "probation", "restricted", "halted")  # from free to safe


class Cause(NamedTuple):
    """The cases of one cause. ``people``, ``deadline``: by which of the two they were answered first."""

    name: str
    cases: int
    people: int
    deadline: int
    median: float  # steps until people answered, NaN where none did
    open: int  # at the end

    @property
    def waiting(self) -> int:
        return self.cases - self.people - self.deadline


class Saved(NamedTuple):
    """What the escalation changed, against a design without: ungoverned less governed, as the run judged it."""

    against: str
    pnl: Difference
    cvar: Difference


@dataclass(frozen=True)
class Governed:
    """``markets`` of all seeds, watched for ``steps`` each. ``before``, ``after``: alarms before and after the scenario
    began (all are before where there is none); ``first``: of each market that had one after it, the steps to the first.
    """

    dealer: str
    markets: int
    steps: int
    scenario: Scenario | None
    shares: pd.DataFrame = field(repr=False)  # by step: the share of the markets in each of STATES, mean of the seeds
    watched: bool  # whether the run kept the alarms
    before: pd.Series = field(repr=False)  # steps of the alarms
    after: int
    first: pd.Series = field(repr=False)
    causes: tuple[Cause, ...] | None  # None where the run kept no cases

    @property
    def delay(self) -> float:
        """Median over all markets of the steps to the first alarm; inf where fewer than half had one."""
        middle = max(0, self.markets - 1) // 2
        return float(np.sort(self.first.to_numpy())[middle]) if middle < len(self.first) else np.inf

    def held(self, state: str) -> float:
        """The share of its time in a state."""
        return float(self.shares[state].mean())


def governed(design: Design, dealer: str) -> Governed | None:
    """None where nobody watched this dealer, or nothing was kept of it."""
    table = design.table("states", dealer)
    if table is None or not design.escalation:
        return None
    shares = table.groupby("step")[list(STATES)].mean()
    scenario = design.scenario
    alarms = design.table("drift", dealer)
    if alarms is None:
        alarms = pd.DataFrame({"seed": [], "market": [], "step": []})
    begins = scenario.begins if scenario else np.inf
    late = alarms[alarms["step"] >= begins]
    first = late.groupby(["seed", "market"])["step"].min() - begins + 1 if len(late) else late["step"]
    return Governed(
        dealer, _markets(design), int(table["step"].max()) + 1, scenario, shares,
        all(seed.kept("drift") for seed in design.seeds),
        alarms["step"][alarms["step"] < begins], len(late), first, _causes(design, dealer),
    )  # fmt: skip


def _markets(design: Design) -> int:
    """Of all seeds: each plays ``in_a_row`` of the episodes."""
    table = design.table("episodes")
    if table is None:
        return 0
    return sum(rows["episode"].nunique() // design.in_a_row for _, rows in table.groupby("seed"))


def _causes(design: Design, dealer: str) -> tuple[Cause, ...] | None:
    table = design.table("cases")
    if table is None:
        return () if all(seed.kept("cases") for seed in design.seeds) else None
    first = {seed.name: seed.audit.first for seed in design.seeds if seed.audit is not None}
    if any(seed not in first for seed in table["seed"].unique()):
        return None
    answers = [first[seed].get(case) for seed, case in zip(table["seed"], table["id"], strict=True)]
    table = table.assign(
        people=[answer is not None and answer.who != "" for answer in answers],
        deadline=[answer is not None and answer.who == "" for answer in answers],
        taken=[answer.step if answer is not None and answer.who else np.nan for answer in answers] - table["opened"],
    )
    mine = table[table["dealer"] == dealer]
    return tuple(
        Cause(
            str(name), len(rows), int(rows["people"].sum()), int(rows["deadline"].sum()),
            float(rows["taken"].median()), int(rows["closed"].isna().sum()),
        )
        for name, rows in mine.groupby("cause", sort=False)
    )  # fmt: skip


def told_case(design: Design, dealer: str) -> tuple[Seed, pd.Series] | None:
    """The first drift case after the scenario began; where there is none, the first drift case, or the first at all."""
    begins = design.scenario.begins if design.scenario else 0
    for wanted in _preferred(begins):
        for seed in design.seeds:
            if seed.cases is None:
                continue
            rows = seed.cases[seed.cases["dealer"] == dealer]
            rows = rows[wanted(rows)].sort_values(["opened", "id"])
            if len(rows):
                return seed, rows.iloc[0]
    return None


def _preferred(begins: int) -> Iterator:
    yield lambda rows: (rows["cause"] == "drift") & (rows["opened"] >= begins)
    yield lambda rows: rows["cause"] == "drift"
    yield lambda rows: rows["opened"] >= 0


def identities(design: Design) -> list[str]:
    """How sure it is who decided, as the audit files say."""
    found = (seed.audit.identity for seed in design.seeds if seed.audit is not None)
    return list(dict.fromkeys(identity for identity in found if identity))


def saved(run: Run, design: Design, dealer: str) -> Saved | None:
    """Against the design that differs in the escalation alone; where there is none, the first without one."""
    others = [d for d in run.designs.values() if not d.escalation and dealer in d.dealers]
    if not others:
        return None
    twin = next((d for d in others if _without(d) == _without(design)), others[0])
    return Saved(twin.name, *(_difference(run, design, twin, dealer, figure) for figure in ("pnl", "cvar_95")))


def _without(design: Design) -> dict:
    return {key: value for key, value in design.experiment.items() if key != "escalation"}


def _difference(run: Run, design: Design, other: Design, dealer: str, figure: str) -> Difference:
    """``figure`` without less with the escalation; the verdict is that of the governed design."""
    for entry in run.summary.get("comparisons") or []:
        if entry.get("dealer") != dealer or entry.get("figure") != figure:
            continue
        estimate, verdict = Estimate.of(entry), str(entry.get("verdict") or "")
        pair = (entry.get("design"), entry.get("against"))
        if pair == (other.name, design.name):
            verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
            return Difference(estimate, verdict)
        if pair == (design.name, other.name):
            return Difference(Estimate(-estimate.value, -estimate.high, -estimate.low), verdict)
    return Difference(Estimate(), "")
