"""Paired differences between designs, figure by figure, from the episodes that their runs left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from marketsim.measures.figures import NAMES, Sample, verdict
from marketsim.measures.intervals import Contrast, Resampled, contrast, intervals, resample

if TYPE_CHECKING:
    import pandas as pd

GROUPS = 4000  # of markets, at most, that are resampled
RESAMPLING_KEY = 0  # every comparison draws the same resamples: they are common random numbers too

Measured = dict[str, dict[int, Resampled]]  # dealer -> training seed -> its figures and their resamples


@dataclass(frozen=True)
class Difference:
    """A figure of one dealer less that of another, or of the same under another design, with its 95% interval."""

    figure: str
    value: float
    low: float
    high: float
    verdict: str


def measure(tables: Mapping[int, pd.DataFrame], dealers: Sequence[str], steps: int) -> Measured:
    """The figures of ``dealers``, in the same resamples of episodes. ``tables``: training seed -> episodes table."""
    keys, samples = [], []
    for seed, table in tables.items():
        names = table["dealer"].to_numpy()
        for dealer in dealers:
            keys.append((dealer, seed))
            # episodes that one market played in a row hang together: they are resampled together
            rows = table[names == dealer].sort_values(["market", "episode"])
            columns = {c: rows[c].to_numpy() for c in rows.columns if c != "dealer"}
            samples.append(Sample(columns, steps, min(GROUPS, rows["market"].nunique())))
    resampled = resample(samples, np.random.Generator(np.random.Philox(key=RESAMPLING_KEY)))
    measured: Measured = {dealer: {} for dealer in dealers}
    for (dealer, seed), figures in zip(keys, resampled, strict=True):
        measured[dealer][seed] = figures
    return measured


def differences(
    pairs: Sequence[tuple[Mapping[int, Resampled], Mapping[int, Resampled]]], figures: Sequence[str] = NAMES
) -> list[list[Difference]]:
    """For each pair the first less the second; the intervals hold for all pairs and figures at once."""
    columns = [NAMES.index(figure) for figure in figures]
    family = Contrast.joined([contrast(mine, other).only(columns) for mine, other in pairs])
    rows = zip(list(figures) * len(pairs), *intervals(family, simultaneous=True), strict=True)
    flat = [Difference(f, float(v), float(low), float(high), verdict(f, low, high)) for f, v, low, high in rows]
    return [flat[k : k + len(figures)] for k in range(0, len(flat), len(figures))]
