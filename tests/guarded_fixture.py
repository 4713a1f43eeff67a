"""What a governed run and an acceptance leave in the folder of a design and seed, made without the engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from marketsim.guardrails.audit import Audit

IN_A_ROW, AFTER, MARKETS = 20, 10, 30
YAML = f"""\
evaluate: {{episodes: {MARKETS * IN_A_ROW}, in_a_row: {IN_A_ROW}, scenario: {{overlay: volatility_x3, after: {AFTER}, begin: 0.0}}}}
escalation:
  false_alarm_every: 10000
  approvers: [{{name: ann, role: risk}}, {{name: bob, role: desk}}]
"""
IDENTITY = "identity asserted, not authenticated"
REASON = "it looks as if the <b>market</b> has not drifted"  # whatever people write stays text


def govern(folder: Path, dealer: str, steps: int) -> None:
    """Three false alarms; after the scenario market m is noticed m // 2 + 1 steps in, but for the last three. Four cases:
    one answered in time, one first by a deadline, one not yet, and one of the probation that a restart began.
    """
    begins, end = AFTER * steps, IN_A_ROW * steps
    false = [(begins // 4, 3), (begins // 2, 17), (begins - 5, 3)]
    true = [(begins + m // 2, m) for m in range(MARKETS - 3)]
    again = [(begins + 40, 0), (begins + 60, 0)]
    alarms = [(step, market, dealer, "volatility", 12000.0) for step, market in (*false, *true, *again)]
    columns = ["step", "market", "dealer", "stream", "level"]
    pd.DataFrame(alarms, columns=columns).to_parquet(folder / "drift.parquet")
    late = np.arange(end) - begins
    restricted = np.where(late > 0, 0.5 * (1 - np.exp(-np.maximum(late, 0) / 40)), 0.0)
    halted = np.where(late > 0, 0.3 * np.exp(-(((late - 60) / 50) ** 2)), 0.0)
    warn, probation = np.full(end, 0.05), np.where(late > 100, 0.1, 0.0)
    normal = 1 - warn - probation - restricted - halted
    states = {"normal": normal, "warn": warn, "restricted": restricted, "halted": halted, "probation": probation}
    pd.DataFrame({"step": np.arange(end), "dealer": dealer, **states}).to_parquet(folder / "states.parquet")
    _cases(folder, dealer, begins)


def _cases(folder: Path, dealer: str, begins: int) -> None:
    what = "volatility is higher than in its calibration: 0.52 of late, 0.40 when it was calibrated"
    cases = [
        {"id": 1, "market": 3, "cause": "drift", "opened": begins // 4 + 1, "closed": begins // 4 + 40.0, "outcome": "resume by ann and bob"},
        {"id": 2, "market": 0, "cause": "drift", "opened": begins + 1, "closed": begins + 15.0, "outcome": "keep by ann"},
        {"id": 3, "market": 1, "cause": "drift", "opened": begins + 1, "closed": np.nan, "outcome": ""},
        {"id": 4, "market": 3, "cause": "probation", "opened": begins + 90, "closed": np.nan, "outcome": ""},
    ]  # fmt: skip
    cases = [
        {**case, "dealer": dealer, "what": what, "since": begins - 8.0, "repeats": 0, "did": "hedge"} for case in cases
    ]
    pd.DataFrame(cases).to_parquet(folder / "cases.parquet")
    audit = Audit(folder / "audit.jsonl", durable=False)
    audit.record("configuration", {"identity": IDENTITY})

    def case(number: int, what: str, step: int, **more) -> None:
        entry = cases[number - 1]
        body = {key: entry[key] for key in ("id", "market", "dealer", "cause", "opened", "outcome")}
        body |= {"closed": step if what == "closed" else None, "did": more.pop("did", []), "if_silent": "hedge"}
        audit.record(
            "case", {"what": what, "step": step, **more, "case": {**body, "acknowledge_by": entry["opened"] + 20}}
        )

    def move(market: int, step: int, before: str, after: str, event: str) -> None:
        body = {"step": step, "market": market, "dealer": dealer, "from": before, "to": after, "event": event}
        audit.record("state", {**body, "who": [], "version": 1})

    def decide(number: int, step: int, what: str, option: str) -> None:
        body = {"what": what, "case": number, "step": step, "option": option, "reason": REASON}
        audit.record("decision", {**body, "who": "ann", "role": "risk", "version": 1})

    first = begins // 4 + 1
    move(3, first, "NORMAL", "WARN", "drift")
    case(1, "opened", first)
    case(1, "nobody acknowledged", first + 21, did=[f"nobody acknowledged by step {first + 20}: hedge"])
    decide(1, first + 30, "proposed", "resume")
    case(1, "closed", first + 39)
    move(0, begins + 1, "NORMAL", "WARN", "drift")
    move(1, begins + 1, "NORMAL", "WARN", "drift")
    case(2, "opened", begins + 1)
    case(3, "opened", begins + 1)
    case(2, "acknowledged", begins + 9, who="ann")
    audit.record("refusal", {"what": "decision", "case": 2, "step": begins + 10, "who": "maker", "why": "a dealer"})
    decide(2, begins + 15, "accepted", "keep")
    case(2, "closed", begins + 15)
    move(0, begins + 20, "NORMAL", "WARN", "soft_breach")
    decide(3, begins + 29, "accepted", "widen")
    case(4, "opened", begins + 90)
    audit.close()


def accept(folder: Path, learners: Sequence[str], accepted: bool) -> None:
    """As ``acceptance.json`` is described in docs/objectives.md; under the overlay no limit is kept."""

    def figures(value: float) -> dict:
        bound = value + 1.645 * 0.21
        cvar = {"value": value, "se": 0.21, "bound": bound, "limit": 25.0, "within": bound <= 25.0}
        return {"within": cvar["within"], "objective": {"value": 40.2, "se": 0.05}, "constraints": {"cvar": cvar}}

    base = 24.1 if accepted else 25.4
    reasons = [] if accepted else ["cvar 25.4 + 1.645 x 0.21 is not within 25"]
    entry = {
        "accepted": accepted, "reasons": reasons, "kept_steps": 2654208.0 if accepted else None,
        "deterministic": figures(base), "stochastic": figures(base + 0.9),
        "overlays": {"volatility_x3": {"deterministic": figures(61.0), "stochastic": figures(63.0)}},
    }  # fmt: skip
    report = {
        "episodes": 100_000,
        "errors": 1.645,
        "deployed": "deterministic",
        "dealers": dict.fromkeys(learners, entry),
    }
    (folder / "acceptance.json").write_text(json.dumps(report))
