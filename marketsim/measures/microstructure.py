"""What quotes and trades of a limit-order market look like: the metrics that Vyetrenko et al. (2020, "Get real: realism
metrics for robust limit order book market simulations", ICAIF) collected, each a statistic with its interval.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import digamma, polygamma

from marketsim.measures.jackknife import Measured, ahead_correlation, correlation, jackknife
from marketsim.measures.sampled_tape import SampledTape
from marketsim.measures.stylised import FAR, NEAR

# --- quotes ----------------------------------------------------------------------------------------


def spread_to_volatility(sampled: SampledTape) -> Measured:
    """Mean spread at trades over the root mean square move of the mid from trade to trade."""
    quotes = sampled.quotes_before
    mid = 0.5 * (quotes["bid"] + quotes["ask"])
    rows = np.stack([(quotes["ask"] - quotes["bid"])[:-1].astype(float), np.diff(mid) ** 2], axis=1)
    return jackknife(lambda kept: float(kept[:, 0].mean() / np.sqrt(kept[:, 1].mean())), rows)


def best_volume_shape(sampled: SampledTape) -> Measured:
    """Shape of the gamma law of the lots at the best bid and ask, each over its own mean, by maximum likelihood."""
    quotes = sampled.quotes
    sizes = np.stack([quotes["bid_size"], quotes["ask_size"]], axis=1).astype(float)
    sizes = sizes[(sizes > 0).all(axis=1)]
    return jackknife(lambda rows: gamma_shape((rows / rows.mean(axis=0)).ravel()), sizes)


def gamma_shape(x: np.ndarray) -> float:
    """The k that solves log k - psi(k) = log(mean x) - mean(log x), by Newton's steps from Minka's start; ``x`` > 0."""
    s = np.log(x.mean()) - np.log(x).mean()
    if not s > 1e-12:  # all the same
        return np.nan
    k = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    for _ in range(4):
        k -= (np.log(k) - digamma(k) - s) / (1 / k - polygamma(1, k))
    return float(k)


def imbalance_move(sampled: SampledTape) -> Measured:
    """Correlation of (bid lots - ask lots) / both with the direction of the next move of the mid."""
    quotes, move = sampled.quotes, sampled.next_move
    bid, ask = quotes["bid_size"].astype(float), quotes["ask_size"].astype(float)
    known = (bid + ask > 0) & (move != 0)
    return jackknife(correlation, np.stack([(bid - ask)[known] / (bid + ask)[known], move[known]], axis=1))


# --- trades ----------------------------------------------------------------------------------------


def duration_shape(sampled: SampledTape) -> Measured:
    """Shape of the Weibull law of the times between trades, from the spread of their logarithms: pi / (sqrt(6) sd).

    Menon (1963, Technometrics 5:175). 1 is exponential, below it short and long times are both more frequent.
    """
    durations = np.diff(sampled.trades["time"])
    logs = np.log(durations[durations > 0])
    return jackknife(lambda rows: float(np.pi / (np.sqrt(6) * rows.std())), logs)


def dispersion(sampled: SampledTape) -> Measured:
    """Variance over mean of the number of trades in an interval."""
    return jackknife(lambda rows: float(rows.var() / rows.mean()), sampled.count.astype(float))


def sign_correlation(sampled: SampledTape) -> Measured:
    """Autocorrelation of the signs of trades, mean of the near lags, counted in trades."""
    return ahead_correlation(_signs(sampled), _signs(sampled), *NEAR)


def sign_memory(sampled: SampledTape) -> Measured:
    """Autocorrelation of the signs of trades, mean of the far lags, counted in trades."""
    return ahead_correlation(_signs(sampled), _signs(sampled), *FAR)


def sign_exponent(sampled: SampledTape) -> Measured:
    """Hurst exponent of the signs of trades: 0.5 without long memory."""
    return hurst(_signs(sampled))


def _signs(sampled: SampledTape) -> np.ndarray:
    return sampled.trades["side"].astype(float)


def hurst(x: np.ndarray) -> Measured:
    """1/2 + d by local Whittle on the lowest n^0.6 frequencies (Robinson 1995, Annals of Statistics 23:1630).

    d minimises log(mean(w^2d I(w))) - 2 d mean(log w); its asymptotic standard error is 1 / (2 sqrt(m)).
    """
    n = len(x)
    m = int(n**0.6)
    if m < 10 or np.ptp(x) == 0:
        return Measured(np.nan, np.nan, np.nan, n)
    spectrum = np.abs(np.fft.rfft(x - x.mean())[1 : m + 1]) ** 2
    w = np.log(2 * np.pi * np.arange(1, m + 1) / n)

    def loss(d: float) -> float:
        return float(np.log(np.mean(np.exp(2 * d * w) * spectrum)) - 2 * d * w.mean())

    value = 0.5 + minimize_scalar(loss, bounds=(-0.5, 1.0), method="bounded").x
    half = 1.959964 / (2 * np.sqrt(m))
    return Measured(float(value), float(value - half), float(value + half), n)


# --- trades and the mid ----------------------------------------------------------------------------


def flow_return(sampled: SampledTape) -> Measured:
    """Correlation of the signed volume of an interval and its return."""
    return jackknife(correlation, np.stack([sampled.signed_volume, sampled.returns], axis=1))


def impact_exponent(sampled: SampledTape) -> Measured:
    """b in E[r sign(Q)] ~ |Q|^b, Q the signed volume of an interval: 1 is linear, below it concave.

    From the means of the intervals with |Q| above its median and of those below.
    """
    rows = _impact_rows(sampled)
    if not len(rows):
        return Measured(np.nan, np.nan, np.nan, 0)
    middle = np.median(rows[:, 0])

    def exponent(kept: np.ndarray) -> float:
        large = kept[:, 0] > middle
        if not large.any():
            return np.nan
        ratio = kept[large].mean(axis=0) / kept[~large].mean(axis=0)
        return float(np.log(ratio[1]) / np.log(ratio[0]))

    return jackknife(exponent, rows)


def impact_curve(sampled: SampledTape, points: int) -> tuple[np.ndarray, np.ndarray]:
    """|Q| and the mean of r sign(Q), each (points,), over groups of intervals from the smallest |Q| to the largest."""
    rows = _impact_rows(sampled)
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    groups = [group.mean(axis=0) for group in np.array_split(rows, points) if len(group)]
    return np.array([group[0] for group in groups]), np.array([group[1] for group in groups])


def _impact_rows(sampled: SampledTape) -> np.ndarray:
    """|Q| and r sign(Q) of the intervals in which trades did not balance."""
    Q, r = sampled.signed_volume, sampled.returns
    return np.stack([np.abs(Q), r * np.sign(Q)], axis=1)[Q != 0]
