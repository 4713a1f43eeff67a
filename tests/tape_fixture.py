"""Series with known answers, and tapes that show them: for the measures of realism."""

import numpy as np

from marketsim.tape import PRINT, QUOTE, Tape

MOVES = 10  # changes of the mid in an interval of realism.yaml
TICK = 1e-8  # so fine that returns are what was planted


def garch(n, alpha, beta, seed):
    """Gaussian GARCH(1,1) returns of unconditional variance 1 (Bollerslev 1986)."""
    z = np.random.default_rng(seed).standard_normal(n)
    r, variance = np.empty(n), 1.0
    for t in range(n):
        r[t] = np.sqrt(variance) * z[t]
        variance = 1 - alpha - beta + alpha * r[t] ** 2 + beta * variance
    return r


def garch_square_autocorrelation(alpha, beta, lags):
    """Of r^2 (Bollerslev 1986, J. Econometrics 31:307, section 4; He and Terasvirta 1999)."""
    first = alpha * (1 - alpha * beta - beta**2) / (1 - 2 * alpha * beta - beta**2)
    return first * (alpha + beta) ** (np.asarray(lags) - 1)


def noise_autocorrelation(hurst, lags):
    """Of fractional Gaussian noise (Mandelbrot and Van Ness 1968)."""
    k = np.asarray(lags, float)
    return 0.5 * ((k + 1) ** (2 * hurst) - 2 * k ** (2 * hurst) + np.abs(k - 1) ** (2 * hurst))


def fractional_noise(n, hurst, seed):
    """Exact fractional Gaussian noise by circulant embedding (Davies and Harte 1987, Biometrika 74:95)."""
    row = noise_autocorrelation(hurst, np.arange(n + 1))
    eigenvalues = np.fft.rfft(np.concatenate([row, row[-2:0:-1]])).real
    rng = np.random.default_rng(seed)
    z = rng.standard_normal(n + 1) + 1j * rng.standard_normal(n + 1)
    z[[0, n]] = np.sqrt(2) * z[[0, n]].real
    return np.fft.irfft(z * np.sqrt(eigenvalues * n), 2 * n)[:n]


def persistent_signs(n, hurst, seed):
    """+1 and -1 with autocorrelation 2/pi asin(rho), rho that of the noise whose signs they are."""
    return np.sign(fractional_noise(n, hurst, seed)).astype(np.int8)


def sign_autocorrelation(hurst, lags):
    return 2 / np.pi * np.arcsin(noise_autocorrelation(hurst, lags))


def tape_of(returns, sides=None, seed=0, trades=5):
    """A tape whose sampled returns are ``returns`` (n,) but for rounding: a return a unit of time, in ``MOVES`` equal
    moves. ``sides``: of trades at even times, ``trades`` a unit of time where they are not given.
    """
    n = len(returns)
    path = np.log(100.0) + np.concatenate([[0], np.cumsum(np.repeat(returns, MOVES) / MOVES)])
    mid = np.round(np.exp(path) / TICK).astype(np.int64)
    quotes = np.zeros(len(mid), QUOTE)
    quotes["time"] = np.arange(len(mid)) / MOVES
    quotes["bid"], quotes["ask"] = mid - 1, mid + 1
    quotes["bid_size"], quotes["ask_size"] = np.random.default_rng(seed).geometric(0.2, (2, len(mid)))
    if sides is None:
        sides = np.random.default_rng(seed + 1).choice(np.array([-1, 1], np.int8), n * trades)
    prints = np.zeros(len(sides), PRINT)
    prints["time"] = np.linspace(0, n, len(sides) + 2)[1:-1]
    row = np.searchsorted(quotes["time"], prints["time"], side="right") - 1
    prints["side"], prints["size"] = sides, 1
    prints["price"] = mid[row] + sides
    return Tape(quotes, prints, TICK)
