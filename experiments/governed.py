"""How an escalation watched and asked, in figures; what it saved or cost is among a summary's comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import store
from experiments.config import ExperimentConfig
from experiments.governance import AUDIT
from marketsim.guardrails.audit import verify


def figures(desk: ExperimentConfig, folders: Mapping[int, Path]) -> dict[str, Any]:
    """Of a design's watch and cases, over its training seeds; NaN where there is nothing to count.

    Steps are of one market, over its episodes in a row. An alarm before the scenario begins is false; ``delay``: the
    median steps from its beginning to a market's first alarm, ``detected`` the share of markets that raise one at all.
    ``restricted``, ``halted``: shares of all market steps. Who answered, and when, is the audit file's to say.
    """
    evaluation = desk.evaluate
    begin = evaluation.scenario.begins(desk.market.steps) if evaluation.scenario else None
    alarms, cases, states = (_all(folders.values(), name) for name in ("drift", "cases", "states"))
    quiet_steps = (begin if begin is not None else evaluation.in_a_row * desk.market.steps) * evaluation.markets
    false = alarms if begin is None else alarms[alarms["step"] < begin]
    counted: dict[str, Any] = {
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
        counted |= {"delay": float(first.median()), "detected": len(first) / watched}
    return counted


def _escalation(desk: ExperimentConfig) -> Any:
    assert desk.escalation is not None
    return desk.escalation


def _all(folders: Sequence[Path] | Any, name: str) -> pd.DataFrame:
    return pd.concat([store.read_table(folder, name).assign(seed=k) for k, folder in enumerate(folders)])
