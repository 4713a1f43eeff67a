"""Volatility of the mid from a tape: realised, and on two time scales, which what bounces back does not raise.

The mid is seen as X + e, e the noise of ticks and of quotes that flicker. On n regular times (the last quotes known at
each), with [X]_K the sum of squares of moves over K times, averaged over where one begins,

    <X> = ([X]_K - m/n [X]_1) / (1 - m/n),    m = (n - K + 1)/K,

which is free of the noise (Zhang, Mykland and Ait-Sahalia 2005, JASA 100:1394, with its small-sample factor). Its variance is

    8 n/K^2 E[e^2]^2 + 8/K E[e^2] <X> + 4/3 K/n T int sigma^4 dt

(the same, and the term of order 1/K that vanishes in its limit); K is where the first and the last are least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marketsim.calibrate.estimate import Estimate
from marketsim.calibrate.market_orders import shown, span
from marketsim.tape import Tape
from marketsim.yaml_text import InputError

LEAST = 30  # moves
MAX_TIMES = 1_000_000


@dataclass(frozen=True)
class Volatility:
    """Price units per square root of the tape's unit of time; ``noise``: standard deviation of e, price units.

    ``scale``: K, the regular times over which the slow moves are taken.
    """

    two_scale: Estimate
    plain: Estimate
    noise: float
    scale: int


def volatility(tape: Tape) -> Volatility:
    """The volatility of the tape's mid. Raises InputError where the mid hardly moved or all of its moves were noise."""
    begin, end = span(tape)
    both = shown(tape)
    mid, time = tape.mid[both], tape.quotes["time"][both]
    n = min(len(mid) - 1, MAX_TIMES)
    moves = int(np.count_nonzero(np.diff(mid)))
    if moves < LEAST:
        raise InputError(f"volatility: the mid moved {moves} times, at least {LEAST} are needed")
    grid = time[0] + (end - time[0]) * np.arange(n + 1) / n
    return of_regular(mid[np.searchsorted(time, grid, side="right") - 1], end - begin)


def of_regular(price: np.ndarray, duration: float) -> Volatility:
    """The volatility of a price seen at n + 1 regular times over ``duration``."""
    n = len(price) - 1
    move = np.diff(price)
    all_of_it = float(move @ move)
    pilot = max(2, round(n ** (2 / 3) / 2))
    variance = _two_scale(price, pilot, all_of_it)
    noise = max(all_of_it - variance, 0.0) / (2 * n)
    best = (12 * noise**2 / _quarticity(price, pilot, variance, noise)) ** (1 / 3) * n ** (2 / 3)
    scale = int(min(max(2, round(best)), n // 4))
    variance = _two_scale(price, scale, all_of_it)
    noise = max(all_of_it - variance, 0.0) / (2 * n)
    quarticity = _quarticity(price, scale, variance, noise)
    error = math.sqrt(8 * n / scale**2 * noise**2 + 8 / scale * noise * variance + 4 / 3 * scale / n * quarticity) / (
        1 - _subsample(n, scale) / n
    )
    plain_error = math.sqrt(2 / 3 * float((move**4).sum()))  # Barndorff-Nielsen and Shephard (2002)
    return Volatility(
        _root(variance, error, duration, n), _root(all_of_it, plain_error, duration, n), math.sqrt(noise), scale
    )


def _two_scale(price: np.ndarray, scale: int, all_of_it: float) -> float:
    """<X>. Raises InputError where it is not above 0."""
    n = len(price) - 1
    slow = price[scale:] - price[:-scale]
    m = _subsample(n, scale)
    variance = (float(slow @ slow) / scale - m / n * all_of_it) / (1 - m / n)
    if not variance > 0:
        raise InputError("volatility: all that the mid moved came back, nothing is left once that is taken away")
    return variance


def _quarticity(price: np.ndarray, scale: int, variance: float, noise: float) -> float:
    """T times the integral of sigma^4: at least <X>^2, as Jensen has it. The noise's share is taken out as if normal."""
    n = len(price) - 1
    slow = price[scale:] - price[:-scale]
    step = variance * scale / n
    share = step / (step + 2 * noise)
    return max(_subsample(n, scale) / (3 * scale) * float((slow**4).sum()) * share**2, variance**2)


def _subsample(n: int, scale: int) -> float:
    return (n - scale + 1) / scale


def _root(variance: float, error: float, duration: float, n: int) -> Estimate:
    value = math.sqrt(variance / duration)
    return Estimate(value, error / (2 * value * duration), n)
