"""Drift: has a market left the one in which its frozen policy was calibrated? One call updates all streams of all markets.

A stream's value is whitened by an autoregression, looked up among its quiet residuals (the bin it falls into), and
weighed by a mixture of Shiryaev-Roberts statistics, an e-detector (Shin, Ramdas, Rinaldo 2023, "E-detectors"):

    R_k <- (w_k + R_k) L_k[bin],    M = mean over streams of sum_k R_k,    an alarm where not M < threshold

The weights w of a stream sum to 1 and L_k is the likelihood ratio of the bin under component k, of mean 1 over the quiet sample. So M less
the number of steps is a supermartingale however the streams depend on each other, and with M = HEAD at the start the
mean run length is at least threshold - HEAD (optional stopping). The start above 0 makes a change right after a restart
as quick to see as one after a long quiet (Moustakides, Polunchenko, Tartakovsky 2011, SR-r). See docs/drift.md.
"""

from __future__ import annotations

import numpy as np

from marketsim.compiled import kernel, stage

# A component: the mean and variance of the normal score once the market has drifted, and its weight. A weight w costs
# log(1/w) over the information of a step, so small shifts, of which a step says least, weigh most.
_MEANS = ((0.25, 0.36), (0.5, 0.15), (1.0, 0.09), (1.5, 0.10))  # size, weight of both signs together
_VARIANCES = ((1.8, 0.155), (5.0, 0.225), (0.5, 0.02))
_TABLE = np.array(
    [(sign * mean, 1.0, weight / 2.0) for mean, weight in _MEANS for sign in (1.0, -1.0)]
    + [(0.0, variance, weight) for variance, weight in _VARIANCES]
)
MEAN, VARIANCE = _TABLE[:, 0], _TABLE[:, 1]
WEIGHT = _TABLE[:, 2] / _TABLE[:, 2].sum()
K = len(_TABLE)  # components
LAGS = 5  # of the autoregression
BINS = 1024  # a power of 2: a bin is found by log2 comparisons without a branch
HEAD = 10.0  # where M starts, in steps of run length
BLOCK = 256  # markets worked on at a time, so that their rows stay in the cache

# Rows of the state (ROWS, S, M): the K weighted statistics, then the last LAGS values less their centre, newest first,
# then the values seen since the stream's statistic last stood half way, in logarithms, from its start to the threshold.
LAG = K
RISING = K + LAGS
ROWS = RISING + 1


@kernel
def start(weight, state):
    """Begin: the statistics of each stream sum to HEAD, no past. ``weight`` (S, K), ``state`` (ROWS, S, M)."""
    for row in range(state.shape[0]):
        for s in range(state.shape[1]):
            value = HEAD * weight[s, row] if row < K else 0.0
            for m in range(state.shape[2]):
                state[row, s, m] = value


@kernel
def try_components(ratios, bins, threshold, statistic, alarms):
    """Count the ``alarms`` (T, K) that each component alone raises on bins (steps, markets), -1 where there is no value.

    ``ratios`` (T, K, BINS) under each of T tempers; ``statistic`` (T, K, markets) of Shiryaev and Roberts begins at 0.
    """
    for t in range(bins.shape[0]):
        for m in range(bins.shape[1]):
            b = bins[t, m]
            if b < 0:
                continue
            for i in range(ratios.shape[0]):
                for k in range(ratios.shape[1]):
                    r = (1.0 + statistic[i, k, m]) * ratios[i, k, b]
                    over = not r < threshold
                    alarms[i, k] += 1 if over else 0
                    statistic[i, k, m] = 0.0 if over else r


@stage
def _whiten(centre, low, high, autoregression, edges, state, s, x, bins, lo, hi):
    """Which bin the residual of each market falls into, -1 for a NaN; the values are remembered, within their bounds."""
    for j in range(lo, hi):
        value = x[s, j]
        bins[j] = 0 if value == value else -1
        if bins[j] == 0:
            kept = (value if value < high else high) if value > low else low
            residual = value - centre
            for lag in range(LAGS):
                residual -= autoregression[lag] * state[LAG + lag, s, j]
            for lag in range(LAGS - 1, 0, -1):
                state[LAG + lag, s, j] = state[LAG + lag - 1, s, j]
            state[LAG, s, j] = kept - centre
            found = 0
            half = BINS // 2
            while half > 0:  # how many edges lie below the residual
                found += half if edges[found + half - 1] < residual else 0
                half //= 2
            bins[j] = found


@stage
def _weigh(weight, ratio, statistic, bins, total, lo, hi):
    """One component of one stream: R <- (w + R) L where the stream moved."""
    for j in range(lo, hi):
        b = bins[j]
        r = (weight + statistic[j]) * ratio[b] if b >= 0 else statistic[j]
        statistic[j] = r
        total[j] += r


@kernel
def update(
    centre, low, high, autoregression, edges, ratios, weight, threshold, state, x, bins, share, level, alarm, leading,
    component, since,
):  # fmt: skip
    """Take in one step of S streams in M markets; a NaN in ``x`` leaves its stream where it was.

    In: per stream ``centre``, the bounds ``low``, ``high`` (S,) of what is remembered, ``autoregression`` (S, LAGS),
    ``edges`` (S, BINS - 1) ascending, ``ratios`` (S, K, BINS), ``weight`` (S, K); ``threshold``; ``x`` (S, M).
    Changed: ``state`` (ROWS, S, M); the statistics of a market that raises an alarm start again.
    Out: ``share`` (S, M) the statistic of each stream, ``level`` (M,) their mean, ``leading`` (M,) the stream that
    contributes most, all before a restart; ``alarm`` (M,) bool, and where it is raised ``component`` (M,), the largest of
    the leading stream, and ``since`` (M,), values since that stream began to rise: evidence of a change grows by the same
    factor a value, so that it took as long to half way as from there. ``bins`` (M,) is scratch.
    """
    S, M = x.shape
    half_way = np.sqrt(HEAD * threshold)
    for lo in range(0, M, BLOCK):
        hi = min(lo + BLOCK, M)
        for j in range(lo, hi):
            level[j] = 0.0
            leading[j] = 0
        for s in range(S):
            _whiten(centre[s], low[s], high[s], autoregression[s], edges[s], state, s, x, bins, lo, hi)
            total = share[s]
            for j in range(lo, hi):
                total[j] = 0.0
            for k in range(K):
                _weigh(weight[s, k], ratios[s, k], state[k, s], bins, total, lo, hi)
            rising = state[RISING, s]
            for j in range(lo, hi):
                seen = 1.0 if bins[j] >= 0 else 0.0
                rising[j] = rising[j] + seen if total[j] > half_way else 0.0
            for j in range(lo, hi):
                leading[j] = s if total[j] > share[leading[j], j] else leading[j]
            for j in range(lo, hi):
                level[j] += total[j]
        for j in range(lo, hi):
            level[j] /= S
            alarm[j] = not level[j] < threshold
            if alarm[j]:
                lead = leading[j]
                since[j] = 2.0 * state[RISING, lead, j]
                component[j] = 0
                for k in range(K):
                    component[j] = k if state[k, lead, j] > state[component[j], lead, j] else component[j]
                for s in range(S):
                    state[RISING, s, j] = 0.0
                    for k in range(K):
                        state[k, s, j] = HEAD * weight[s, k]
