"""What an escalation was worth: how it watched and asked, and what it saved or cost against the same design without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import store
from experiments.config import Experiment, ExperimentConfig
from experiments.differences import Measured, differences
from experiments.governance import AUDIT
from marketsim.guardrails.audit import verify

_SAVED = ("pnl", "cvar_95", "drawdown")


def governance(desk: ExperimentConfig, folders: Mapping[int, Path]) -> dict[str, Any]:
    """The figures of a design's watch and cases, over its training seeds; NaN where there is nothing to count.

    Steps are of one market, over its episodes in a row. An alarm before the scenario begins is false; ``delay``: the
    median steps from its beginning to a market's first alarm, ``detected`` the share of markets that raise one at all.
    ``restricted``, ``halted``: shares of all market steps. Who answered, and when, is the audit file's to say.
    """
    evaluation = desk.evaluate
    begin = evaluation.scenario.begins(desk.market.steps) if evaluation.scenario else None
    alarms, cases, states = (_all(folders.values(), name) for name in ("drift", "cases", "states"))
    quiet_steps = (begin if begin is not None else evaluation.in_a_row * desk.market.steps) * evaluation.markets
    false = alarms if begin is None else alarms[alarms["step"] < begin]
    figures: dict[str, Any] = {
        "begin": begin,
        "cases": len(cases),
        "causes": {str(cause): int(count) for cause, count in cases["cause"].value_counts().items()},
        "false_alarm_every": quiet_steps * len(folders) / len(false) if len(false) else np.nan,
        "restricted": float(states["restricted"].mean()),
        "halted": float(states["halted"].mean()),
        "identity": "asserted" if any(a.key is None for a in _escalation(desk).approvers) else "authenticated",
        "heads": {str(seed): verify(folder / AUDIT).head for seed, folder in folders.items()},
    }
    if begin is not None:
        first = alarms[alarms["step"] >= begin].groupby(["seed", "dealer", "market"])["step"].min() - begin
        watched = evaluation.markets * len(folders) * max(1, len(desk.learners))
        figures |= {"delay": float(first.median()), "detected": len(first) / watched}
    return figures


def _escalation(desk: ExperimentConfig) -> Any:
    assert desk.escalation is not None
    return desk.escalation


def _all(folders: Sequence[Path] | Any, name: str) -> pd.DataFrame:
    return pd.concat([store.read_table(folder, name).assign(seed=k) for k, folder in enumerate(folders)])


def saved(experiment: Experiment, measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """Design -> what its escalation saved, dealer by dealer, against a design that differs in the escalation alone.

    ``pnl``, ``cvar_95``, ``drawdown``: the governed design less the other, with 95% intervals that hold at once.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, desk in experiment.designs.items():
        other = next((o for o, d in experiment.designs.items() if d.escalation is None and same_but(desk, d)), None)
        if desk.escalation is None or other is None:
            continue
        agents = [desk.agents[i] for i in desk.learners or (0,)]
        found = differences([(measured[name][agent], measured[other][agent]) for agent in agents], _SAVED)
        rows[name] = {"against": other} | {
            agent: {row.figure: {k: getattr(row, k) for k in ("value", "low", "high", "verdict")} for row in each}
            for agent, each in zip(agents, found, strict=True)
        }
    return rows


def same_but(desk: ExperimentConfig, other: ExperimentConfig) -> bool:
    """Whether two designs train the same policies: all is equal but the escalation."""
    return desk.model_copy(update={"escalation": None}) == other.model_copy(update={"escalation": None})
