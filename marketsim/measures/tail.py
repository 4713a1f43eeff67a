"""The tail of the losses of episodes: value at risk and conditional value at risk.

Of losses L (+ = lost) at a level a:  VaR = min{x: P(L <= x) >= a},
CVaR = min over c of c + E[(L - c)+] / (1 - a) = VaR + E[(L - VaR)+] / (1 - a): Rockafellar and Uryasev (2002, J. Banking
and Finance 26:1443, theorem 10), where the loss at the VaR counts by the fraction that fills the tail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def value_at_risk(losses: np.ndarray, level: float) -> float:
    """The loss that is exceeded with a probability of at most ``1 - level``; same unit as ``losses``."""
    return float(Tail(losses).at(None, [level])[0][0, 0])


def cvar(losses: np.ndarray, level: float) -> float:
    """The mean of the worst ``1 - level`` of ``losses``, fractional at its edge: 1..7 at 0.8 -> 6.714286."""
    return float(Tail(losses).at(None, [level])[1][0, 0])


def cvars(losses: np.ndarray, level: float) -> np.ndarray:
    """``cvar`` of each column of ``losses`` (n, m), n few: (m,); NaN where one of them is."""
    mass = float(_mass(level, np.array(float(len(losses)))))
    whole = math.floor(mass)
    worst = np.sort(losses, axis=0)[::-1]  # NaN sorts as the worst
    return (worst[:whole].sum(axis=0) + (mass - whole) * worst[min(whole, len(losses) - 1)]) / mass


class Tail:
    """Sorted losses, whose tail can be measured again and again under other weights.

    ``losses``: (n,). ``groups``: (n,) the group of each, from 0 on, where weights are given by the group; default: each
    is its own. Raises ValueError where there are no losses or any is not finite.
    """

    def __init__(self, losses: np.ndarray, groups: np.ndarray | None = None):
        losses = np.asarray(losses, dtype=float)
        if losses.ndim != 1 or not len(losses) or not np.isfinite(losses).all():
            raise ValueError("the tail is measured of a list of finite losses, at least one")
        order = np.argsort(-losses, kind="stable")
        self._order = order
        self._worst = losses[order]
        self._groups = order if groups is None else groups[order]
        self._sizes = np.bincount(self._groups).astype(float)

    def at(self, weights: np.ndarray | None, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """VaR and CVaR, each (b, levels), under ``weights`` >= 0 (b, groups) of every loss of a group; None: all 1."""
        if weights is None:
            weights = np.ones((1, len(self._sizes)))
        total = weights @ self._sizes
        masses = [_mass(level, total) for level in levels]
        # only the worst losses can be in the tail: as many as counts of resampling fill it with, else all
        n, widest = len(self._worst), max(float(mass.max()) for mass in masses)
        depth = min(n, math.ceil(widest + 8 * math.sqrt(widest * n / len(self._sizes)) + 16))
        weight, below = self._cumulated(weights, depth)
        if depth < n and below[:, -1].min() <= widest:
            weight, below = self._cumulated(weights, n)
        worst = self._worst[: weight.shape[1]]
        var, cvar = np.empty((2, len(weights), len(levels)))
        for k, mass in enumerate(masses):
            in_tail = np.clip(mass[:, None] - (below - weight), 0.0, weight)
            cvar[:, k] = in_tail @ worst / mass
            var[:, k] = worst[np.argmax(below > mass[:, None], axis=1)]
        return var, cvar

    def without_each(self, levels: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """VaR and CVaR, each (n, levels), with each of the n losses left out in turn; in closed form, O(n)."""
        n, x = len(self._worst), self._worst
        if n < 2:
            raise ValueError("one loss alone cannot be left out")
        var, cvar = np.empty((2, n, len(levels)))
        for k, level in enumerate(levels):
            mass = float(_mass(level, np.array(n - 1.0)))
            whole = math.floor(mass)  # losses 0..whole-1 are in the tail, the next one by a fraction
            worse, better = self._order[: whole + 1], self._order[whole + 1 :]
            cvar[worse, k] = (x[: whole + 1].sum() - x[: whole + 1] + (mass - whole) * x[whole + 1]) / mass
            cvar[better, k] = (x[:whole].sum() + (mass - whole) * x[whole]) / mass
            var[worse, k], var[better, k] = x[whole + 1], x[whole]
        return var, cvar

    def _cumulated(self, weights: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the ``depth`` worst losses: their weights, and the running sum from the worst on."""
        weight = np.take(weights, self._groups[:depth], axis=1)
        return weight, np.cumsum(weight, axis=1)


def _mass(level: float, total: np.ndarray) -> np.ndarray:
    """How much of the total weight is the tail; a whole number where it is one but for rounding."""
    if not 0 < level < 1:
        raise ValueError(f"a tail level is between 0 and 1, not {level:g}")
    mass = (1 - level) * total
    whole = np.rint(mass)
    return np.where((np.abs(mass - whole) < 1e-9 * total) & (whole > 0) & (whole < total), whole, mass)
