"""The stylised facts of Cont (2001, Quantitative Finance 1:223), each a statistic of returns with its interval.

``returns`` (n,): of one instrument over equal intervals that follow one another; what each ought to be is in realism.yaml.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from marketsim.measures.jackknife import Measured, ahead_correlation, correlation, jackknife, l_ratios

TAIL = 0.025  # the share of absolute returns that the tail index is of
LONG = 20  # intervals in a long one
DECAY = 0.94  # of the volatility that is taken out: RiskMetrics (1996), for daily returns
NEAR, FAR = (1, 10), (51, 100)  # lags


def return_autocorrelation(returns: np.ndarray) -> Measured:
    """Of a return and the next."""
    return ahead_correlation(returns, returns, 1, 1)


def tail_index(returns: np.ndarray) -> Measured:
    """a in P(|r| > x) ~ x^-a: k / sum of log(x_i / x_{k+1}) over the k largest (Hill 1975, Annals of Statistics 3:1163)."""
    return jackknife(_hill, np.abs(returns - np.median(returns)) if len(returns) else returns)


def _hill(sizes: np.ndarray) -> float:
    k = int(TAIL * len(sizes))
    if k < 2:
        return np.nan
    largest = np.partition(sizes, -k - 1)[-k - 1 :]
    return float(k / np.log(largest[1:] / largest[0]).sum())


def asymmetry(returns: np.ndarray) -> Measured:
    """L-skewness: below 0 where losses are larger than gains."""
    return jackknife(lambda rows: l_ratios(rows)[0], returns)


def aggregation(returns: np.ndarray) -> Measured:
    """L-kurtosis of returns less that of returns over ``LONG`` intervals: above 0 where these are closer to Gaussian."""
    measured = jackknife(lambda rows: l_ratios(rows.ravel())[1] - l_ratios(rows.sum(axis=1))[1], _long(returns))
    return Measured(measured.value, measured.low, measured.high, len(returns))


def intermittency(returns: np.ndarray) -> Measured:
    """Standard deviation over mean of the mean absolute return of ``LONG`` intervals: how much bursts stand out."""
    activity = np.abs(_long(returns)).mean(axis=1)
    measured = jackknife(lambda rows: float(rows.std() / rows.mean()), activity)
    return Measured(measured.value, measured.low, measured.high, len(returns))


def _long(returns: np.ndarray) -> np.ndarray:
    """(n / LONG, LONG): a row a long interval."""
    return returns[: len(returns) // LONG * LONG].reshape(-1, LONG)


def clustering(returns: np.ndarray) -> Measured:
    """Autocorrelation of absolute returns, mean of the ``NEAR`` lags."""
    return ahead_correlation(np.abs(returns), np.abs(returns), *NEAR)


def slow_decay(returns: np.ndarray) -> Measured:
    """Autocorrelation of absolute returns, mean of the ``FAR`` lags."""
    return ahead_correlation(np.abs(returns), np.abs(returns), *FAR)


def conditional_tails(returns: np.ndarray) -> Measured:
    """L-kurtosis of r_t / s_t, with s_t^2 the exponential mean of the squared returns before t."""
    variance = lfilter([0.0, 1 - DECAY], [1.0, -DECAY], returns**2) if len(returns) else returns
    known = np.arange(len(returns)) >= 5 / (1 - DECAY)  # by then the start is forgotten
    known &= variance > 0
    return jackknife(lambda rows: l_ratios(rows)[1], returns[known] / np.sqrt(variance[known]))


def leverage(returns: np.ndarray) -> Measured:
    """Correlation of a return with the absolute returns that follow, mean of the ``NEAR`` lags."""
    return ahead_correlation(returns, np.abs(returns), *NEAR)


def volume_volatility(returns: np.ndarray, volume: np.ndarray) -> Measured:
    """Correlation of the lots traded in an interval and its absolute return."""
    return jackknife(correlation, np.stack([volume, np.abs(returns)], axis=1))


def kurtosis_by_horizon(returns: np.ndarray, horizons: tuple[int, ...]) -> list[float]:
    """L-kurtosis of returns over each of ``horizons`` intervals, NaN where there are fewer than 20 of them."""
    sums = [returns[: len(returns) // h * h].reshape(-1, h).sum(axis=1) for h in horizons]
    with np.errstate(all="ignore"):
        return [l_ratios(rows)[1] if len(rows) >= 20 else np.nan for rows in sums]
