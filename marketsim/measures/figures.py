"""The figures by which dealers are compared, as functions of weighted episodes.

A resample of episodes is a row of weights, leaving one out is another: a figure that knows itself under weights can be
bootstrapped a thousand times in one matrix product, jointly with every other figure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marketsim.measures.markouts import HORIZONS
from marketsim.measures.paths import half_life
from marketsim.measures.tail import Tail


@dataclass(frozen=True)
class Figure:
    """A function of the means of some columns of the episodes.

    ``better``: +1 where higher is better, -1 where lower is, 0 where neither is good in itself.
    """

    name: str
    better: int
    columns: tuple[str, ...]
    of_means: Callable[..., np.ndarray] = lambda mean: mean


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return top / bottom


def _sd(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(square - mean * mean, 0.0))


FIGURES = (
    Figure("objective", +1, ("reward",)),
    Figure("pnl", +1, ("pnl",)),
    Figure("pnl_sd", -1, ("pnl_centred", "pnl_square"), _sd),
    Figure("drawdown", -1, ("drawdown",)),
    Figure("max_inventory", -1, ("max_inventory",)),
    Figure("half_life", -1, ("inventory_product", "inventory_square"), half_life),
    Figure("hit_ratio", 0, ("won", "asked"), _ratio),
    *(Figure(f"markout_{h}", +1, (f"markout_{h}", f"marked_{h}"), _ratio) for h in HORIZONS),
    Figure("spread", +1, ("spread",)),
    Figure("inventory", +1, ("inventory",)),
    Figure("hedge_cost", -1, ("hedge_cost",)),
    Figure("fees", -1, ("fees",)),
    Figure("interventions_per_1000", -1, ("interventions_per_1000",)),
)
LEVELS = (0.95, 0.99)
_TAILS = ("var_95", "var_99", "cvar_95", "cvar_99")
_MEASURED = (*(figure.name for figure in FIGURES), *_TAILS)
NAMES = (*_MEASURED[:3], *_TAILS, *_MEASURED[3 : len(FIGURES)])  # as they are read: what was earned, its tail, the rest
_ORDER = [_MEASURED.index(name) for name in NAMES]
BETTER = {figure.name: figure.better for figure in FIGURES} | dict.fromkeys(_TAILS, -1)
_COLUMNS = tuple(dict.fromkeys(column for figure in FIGURES for column in figure.columns))


class Sample:
    """The episodes of one dealer under one policy, from which every figure of ``NAMES`` is measured.

    ``episodes``: column -> (n,), in the order of the episodes; the columns of a run's episodes table, of which a figure
    that lacks one is NaN. ``steps``: of an episode. Weights are by group: n episodes, where they are many, are put into at most ``groups`` groups of
    neighbours, which are as independent of each other as the episodes are.
    """

    def __init__(self, episodes: dict[str, np.ndarray], steps: int, groups: int = 4000):
        pnl = np.asarray(episodes["pnl"], dtype=float)
        n = len(pnl)
        derived = {
            "pnl_centred": pnl - pnl.mean(),
            "pnl_square": (pnl - pnl.mean()) ** 2,
            "interventions_per_1000": np.asarray(episodes["interventions"], dtype=float) * (1000 / steps),
        }
        unknown = np.full(n, np.nan)
        table = [np.asarray((derived | episodes).get(name, unknown), dtype=float) for name in _COLUMNS]
        self.episodes, self.groups = n, min(n, groups)
        group = np.arange(n) * self.groups // n
        starts = np.searchsorted(group, np.arange(self.groups))
        self._columns = np.stack(table, axis=1)
        self._sums = np.add.reduceat(self._columns, starts)
        self._sizes = np.bincount(group).astype(float)
        self._tail = Tail(-pnl, group)

    def under(self, weights: np.ndarray | None) -> np.ndarray:
        """The figures (b, F) under ``weights`` (b, groups); None: of the episodes as they are."""
        if weights is None:
            means = self._columns.mean(axis=0)[None]
        else:
            means = weights @ self._sums / (weights @ self._sizes)[:, None]
        return np.hstack([_of_means(means), *self._tail.at(weights, LEVELS)])[:, _ORDER]

    def without_each(self) -> np.ndarray:
        """The figures (n, F) with each episode left out in turn."""
        means = (self._columns.sum(axis=0) - self._columns) / (self.episodes - 1)
        return np.hstack([_of_means(means), *self._tail.without_each(LEVELS)])[:, _ORDER]


def _of_means(means: np.ndarray) -> np.ndarray:
    """The figures of ``FIGURES`` (b, ...) from the means of ``_COLUMNS`` (b, ...)."""
    by_name = dict(zip(_COLUMNS, means.T, strict=True))
    return np.stack([figure.of_means(*(by_name[c] for c in figure.columns)) for figure in FIGURES], axis=1)


def verdict(figure: str, low: float, high: float) -> str:
    """What an interval of a difference says: ``better``, ``worse`` or ``cannot tell``.

    Of a figure that is not good or bad in itself: ``higher`` or ``lower``.
    """
    if not (low > 0 or high < 0):
        return "cannot tell"
    better = BETTER[figure]
    if better == 0:
        return "higher" if low > 0 else "lower"
    return "better" if (low > 0) == (better > 0) else "worse"
