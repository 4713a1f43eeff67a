"""A statistic of a series with dependent terms and its interval: neighbouring blocks are left out one after the other.

Künsch (1989, Annals of Statistics 17:1217): leaving out blocks longer than the memory of the series gives the variance
that leaving out single terms does not. Student's t with one degree less than there are blocks; nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
BLOCKS, BLOCK = 50, 10  # how many blocks at most, and of how many observations at least


@dataclass(frozen=True)
class Measured:
    """A statistic, its 95% interval and the observations that it is of; NaN where it cannot be measured."""

    value: float
    low: float
    high: float
    observations: int


def jackknife(
    statistic: Callable[[np.ndarray], float], rows: np.ndarray, blocks: int = BLOCKS, block: int = BLOCK
) -> Measured:
    """``statistic`` of ``rows`` (n, ...), which are in order of time; it is asked of all, and of all but each block."""
    n = len(rows)
    G = min(blocks, n // block)
    with np.errstate(all="ignore"):  # a series that never moves has no correlation: NaN
        if G < 2:
            return Measured(float(statistic(rows)) if n > 1 else np.nan, np.nan, np.nan, n)
        edges = np.linspace(0, n, G + 1).astype(int)
        without = [statistic(np.concatenate([rows[:a], rows[b:]])) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        value = float(statistic(rows))
    half = stdtrit(G - 1, (1 + CONFIDENCE) / 2) * np.sqrt((G - 1) * np.var(without))
    return Measured(value, float(value - half), float(value + half), n)


# --- statistics of rows ----------------------------------------------------------------------------


def correlation(rows: np.ndarray) -> float:
    """Of the two columns of ``rows`` (n, 2)."""
    x, y = (rows - rows.mean(axis=0)).T
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def ahead_correlation(x: np.ndarray, y: np.ndarray, first: int, last: int) -> Measured:
    """Correlation of x_t with y_{t+k}, mean of the lags k = ``first`` to ``last``; ``x``, ``y`` (n,)."""
    x, y = x - x.mean() if len(x) else x, y - y.mean() if len(y) else y
    n = len(x) - last
    if n < 2:
        return Measured(np.nan, np.nan, np.nan, max(n, 0))
    total = np.concatenate([[0.0], np.cumsum(y)])
    t = np.arange(n)
    ahead = (total[t + last + 1] - total[t + first]) / (last - first + 1)
    products = np.stack([x[:n] * ahead, x[:n] ** 2, y[:n] ** 2], axis=1)
    return jackknife(_of_products, products)


def _of_products(rows: np.ndarray) -> float:
    xy, xx, yy = rows.mean(axis=0)
    return float(xy / np.sqrt(xx * yy))


def autocorrelations(x: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Of ``x`` (n,) at each of ``lags`` (k,), NaN beyond n / 4: of so few pairs they say nothing."""
    x = x - x.mean() if len(x) else x
    with np.errstate(all="ignore"):
        found = [np.mean(x[:-k] * x[k:]) / np.mean(x * x) if 4 * k <= len(x) else np.nan for k in map(int, lags)]
    return np.array(found)


def l_ratios(x: np.ndarray) -> tuple[float, float]:
    """L-skewness and L-kurtosis of ``x`` (n,) (Hosking 1990, J. Royal Statistical Society B 52:105).

    They exist where the mean does and are within -1 and 1, so that heavy tails do not carry them away. Gaussian: 0, 0.1226.
    """
    x = np.sort(x)
    n, j = len(x), np.arange(len(x), dtype=float)
    b0 = x.mean()
    b1 = (j * x).sum() / (n * (n - 1.0))
    b2 = (j * (j - 1) * x).sum() / (n * (n - 1.0) * (n - 2))
    b3 = (j * (j - 1) * (j - 2) * x).sum() / (n * (n - 1.0) * (n - 2) * (n - 3))
    scale = 2 * b1 - b0
    return float((6 * b2 - 6 * b1 + b0) / scale), float((20 * b3 - 30 * b2 + 12 * b1 - b0) / scale)
