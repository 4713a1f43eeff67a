"""How often trades reach a distance from the mid: A e^(-k delta) on each side.

Avellaneda and Stoikov (2008, Quantitative Finance 8:217, section 2.5). A market order that trades down to the distance r
would have met an order at every nearer one. Prices are on a lattice, so of an order's reach R, exponential of rate k,
one sees the last price that it reached: R in [r, r + tick). With d the nearest distance from ``nearest`` on at which
there was a price (two of them: the mid lies on a tick or between two), T_d how long there was, the likelihood of N
orders of both sides is that of a marked Poisson process,

    log L = N log A - k sum(r) + N log(1 - e^(-k tick)) - 2 A sum_d T_d e^(-k d),

whose maximum in A is A = N / (2 sum_d T_d e^(-k d)) and in k the one root of a falling function. Where all prices lie
at one d this is k = log(1 + tick / mean(r - d)) / tick. Both sides have one k, each its own A.

A dealer quotes near the touch, and few markets' reaches are exponential all the way: with a ``farthest`` distance, an
order that goes so far or further is only known to (r is the price there, and it leaves the third term, which then
counts the orders that stopped before).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2

from marketsim.calibrate.estimate import Estimate
from marketsim.calibrate.market_orders import MarketOrders, market_orders, stood
from marketsim.tape import Tape
from marketsim.yaml_text import InputError

LEAST = 20  # orders
_STEEPEST = 20
_EXPECTED = 5  # orders in a cell of the chi-squared test, at least


@dataclass(frozen=True)
class Fills:
    """``arrival``: A on a side, per unit of time; ``bid``: of sales alone, which reach bids; ``ask``: of purchases.

    ``decay``: k, per price unit. ``nearest``: from which distance on the law was fitted, price units. ``p_value``: of
    Pearson's test that reaches beyond it are exponential, NaN where there are too few of them to say.
    """

    arrival: Estimate
    bid: Estimate
    ask: Estimate
    decay: Estimate
    nearest: float
    p_value: float


def fills(tape: Tape, farthest: float | None = None) -> Fills:
    """A and k of the tape, fitted from its median half-spread outwards, where orders that rest can be.

    ``farthest``: the distance up to which the law is fitted, price units; None: as far as orders go. Raises InputError:
    fewer than 20 orders reach the half-spread, or none of a side; none goes further, or all go to ``farthest``, which
    leaves k unbounded; the law falls by more than e^20 from the mid to there, which leaves A unknown.
    """
    orders = market_orders(tape)
    distance, standing = _standing(tape)
    far = orders.reach >= distance.min()
    reach, side = orders.reach[far], orders.side[far]
    N, bought, half_tick = len(reach), int((side > 0).sum()), 0.5 * tape.tick
    if N < LEAST or not 0 < bought < N:
        told = f"{bought} purchases and {N - bought} sales reached the median half-spread"
        raise InputError(f"fills: {told}, at least {LEAST} in all and one of each are needed")
    first = np.where((reach - distance.min()) % 2 == 0, distance.min(), distance.min() + 1)
    ticks = (reach - first) // 2
    most = _ticks(first, farthest, half_tick) if farthest is not None else ticks + 1
    stopped = float((ticks < most).mean())
    ticks = np.minimum(ticks, most)
    k = _decay(float((first + 2 * ticks).mean()), stopped, distance, standing)
    if k * distance.min() > _STEEPEST:
        raise InputError(
            f"fills: e^(-k d) falls to e^-{k * distance.min():.0f} from the mid to the median half-spread, "
            f"at most e^-{_STEEPEST} is allowed: A cannot be told from so far"
        )
    weight = standing * np.exp(-k * (distance - distance.min()))
    mean = float(weight @ distance / weight.sum())
    spread = float(weight @ (distance - mean) ** 2 / weight.sum())
    own = N * (stopped / math.sinh(k) ** 2 + spread)  # information about k
    A = N / (2 * float(standing @ np.exp(-k * distance)))

    def arrival(count: int, factor: float) -> Estimate:
        return Estimate(factor * A, factor * A * math.sqrt(1 / count + mean**2 / own), count)

    return Fills(
        arrival(N, 1.0),
        arrival(N - bought, 2 * (N - bought) / N),
        arrival(bought, 2 * bought / N),
        Estimate(k / half_tick, 1 / math.sqrt(own) / half_tick, N),
        float(distance.min()) * half_tick,
        _p_value(ticks, k, int(most.min()) if farthest is not None else N),
    )


def rates(tape: Tape, orders: MarketOrders, distances: np.ndarray) -> np.ndarray:
    """What the law is fitted to: orders of a side, per unit of time, that reach ``distances`` (m,), price units."""
    reach = np.sort(orders.reach) * 0.5 * tape.tick
    return (len(reach) - np.searchsorted(reach, distances - 1e-9 * tape.tick)) / (2 * orders.duration)


def _standing(tape: Tape) -> tuple[np.ndarray, np.ndarray]:
    """The nearest distances with a price (1 or 2,), half ticks, from the median half-spread on; how long there was."""
    held = stood(tape)
    spread = tape.quotes["ask"] - tape.quotes["bid"]
    order = np.argsort(spread, kind="stable")
    past = np.cumsum(held[order])
    nearest = int(spread[order][np.searchsorted(past, past[-1] / 2)])
    even = spread % 2 == nearest % 2
    distance, standing = np.array([nearest, nearest + 1]), np.array([held[even].sum(), held[~even].sum()])
    return distance[standing > 0], standing[standing > 0]


def _ticks(first: np.ndarray, farthest: float, half_tick: float) -> np.ndarray:
    """Ticks from the ``first`` price of an order (n,), half ticks, to the first at ``farthest`` or beyond."""
    ticks = np.ceil((farthest / half_tick - first) / 2 - 1e-9).astype(np.int64)
    if not math.isfinite(farthest) or ticks.min() < 1:
        nearest = (int(first.max()) + 1) * half_tick
        raise InputError(f"fills: farthest: got {farthest:g}, it must be above the half-spread, at least {nearest:.6g}")
    return ticks


def _decay(reach: float, stopped: float, distance: np.ndarray, standing: np.ndarray) -> float:
    """k per half tick, of orders of a mean ``reach`` of which the share ``stopped`` goes no further."""
    if not reach > distance.min():
        raise InputError("fills: no market order went further than the median half-spread, the decay k has no bound")
    if stopped == 0:
        raise InputError("fills: every market order went as far as the farthest distance, k has no bound but 0")

    def slope(log_k: float) -> float:
        k = math.exp(log_k)
        weight = standing * np.exp(-k * (distance - distance.min()))
        return float(weight @ distance / weight.sum()) - reach + 2 * stopped / math.expm1(2 * k)

    return math.exp(brentq(slope, math.log(1e-9 * stopped / (1 + reach)), math.log(300.0), xtol=1e-13))


def _p_value(ticks: np.ndarray, k: float, most: int) -> float:
    """Of the chi-squared test of the ticks gone beyond the nearest price, geometric up to ``most`` of them."""
    N, q = len(ticks), math.exp(-2 * k)
    cells = 0
    while cells < most and N * q ** (cells + 1) >= _EXPECTED and N * q**cells * (1 - q) >= _EXPECTED:
        cells += 1
    if cells < 2:
        return math.nan
    j = np.arange(cells)
    expected = np.append(N * q**j * (1 - q), N * q**cells)
    seen = np.bincount(np.minimum(ticks, cells), minlength=cells + 1)
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), cells - 1))
