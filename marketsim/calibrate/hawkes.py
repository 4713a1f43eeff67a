"""Purchases and sales that excite themselves and one another: a Hawkes process with one exponential memory.

The rate of market orders of side i (0 bought, 1 sold) is

    lambda_i(t) = mu_i + sum_j n_ij decay R_j(t),    R_j(t) = sum over earlier orders of side j of e^(-decay age),

n_ij: how many orders of side i one of side j brings about itself. The log-likelihood (Ozaki 1979, Ann. Inst. Stat.
Math. 31:145; Ogata 1978 for its asymptotics) of orders in [0, T] is

    sum_i [ sum over orders of side i of log lambda_i - mu_i T - sum_j n_ij (N_j - R_j(T)) ],

its gradient and its information are exact, in mu, n and log decay. The branching ratio is the largest eigenvalue of n.
Goodness of fit: the integral of lambda_i from one order of side i to the next is exponential of mean 1 (Papangelou
1972; Ogata 1988, JASA 83:9), of which Kolmogorov and Smirnov's test tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2, kstest

from marketsim.calibrate.estimate import Estimate
from marketsim.calibrate.excitation import remembered
from marketsim.calibrate.market_orders import market_orders
from marketsim.tape import Tape
from marketsim.yaml_text import InputError

LEAST = 30  # orders of each side
_STARTS = (0.5, 10.0, 200.0)  # decay, per mean gap between orders: the likelihood may have several tops
_FASTEST = 1e5
_NONE = 1e-4  # children: at their bound of 0
_DECAY = 6  # parameters: mu (2), n (4, row-major), log decay


@dataclass(frozen=True)
class Hawkes:
    """``baseline``: mu of bought, sold; ``children``: n[i][j], orders of side i that one of side j brings about.

    ``decay`` per unit of time; ``ratio``: the branching ratio; ``log_likelihood``; ``p_value``: of the test that the
    fit is right, too high rather than too low, for the parameters were fitted to the same orders. Errors of what lies
    at its bound of 0 are NaN.
    """

    baseline: tuple[Estimate, Estimate]
    children: tuple[tuple[Estimate, Estimate], tuple[Estimate, Estimate]]
    decay: Estimate
    ratio: Estimate
    log_likelihood: float
    p_value: float


def hawkes(tape: Tape) -> Hawkes:
    """The fit to the tape's market orders. Raises InputError as ``fit`` does."""
    orders = market_orders(tape)
    return fit(orders.time, np.where(orders.side > 0, 0, 1), orders.duration)


def fit(time: np.ndarray, side: np.ndarray, duration: float) -> Hawkes:
    """Maximum likelihood of orders at ``time`` (n,) in [0, ``duration``] of ``side`` (n,) 0 or 1.

    Raises InputError: fewer than 30 orders of a side; no better than a Poisson process (likelihood ratio, 5%); a decay
    without a bound; a branching ratio of 1 or more.
    """
    for i, did in enumerate(("bought", "sold")):
        count = int((side == i).sum())
        if count < LEAST:
            raise InputError(f"hawkes: {count} market orders {did}, at least {LEAST} of each side are needed")
    unit = duration / len(time)
    likelihood = Likelihood(time / unit, side, duration / unit)
    x = max((_top(likelihood, start) for start in _STARTS), key=lambda x: likelihood.value_and_gradient(x)[0])
    return _result(likelihood, x, unit)


def _top(likelihood: Likelihood, decay: float) -> np.ndarray:
    """A maximum of the likelihood, by Newton's steps within a region of trust, in the logarithms of all parameters."""

    def natural(logs: np.ndarray) -> np.ndarray:
        return np.append(np.exp(np.maximum(logs[:_DECAY], -30.0)), np.clip(logs[_DECAY], -30.0, 30.0))

    def scale(logs: np.ndarray) -> np.ndarray:
        return np.append(natural(logs)[:_DECAY], 1.0)

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = likelihood.value_and_gradient(natural(logs))
        return -value, -gradient * scale(logs)

    def bend(logs: np.ndarray) -> np.ndarray:
        x, of = natural(logs), scale(logs)
        curved = np.append(loss(logs)[1][:_DECAY], 0.0)
        return likelihood.information(x) * np.outer(of, of) + np.diag(curved)

    start = np.log([0.3, 0.3, 0.3, 0.1, 0.1, 0.3, decay])
    found = minimize(loss, start, jac=True, hess=bend, method="trust-exact", options={"gtol": 1e-4, "maxiter": 200})
    return natural(found.x)


class Likelihood:
    """The log-likelihood of the orders in units of their mean gap, and its two derivatives, in mu, n and log decay."""

    def __init__(self, time: np.ndarray, side: np.ndarray, duration: float):
        self.time = np.append(time, duration)
        self.side = np.append(side, 0).astype(np.int64)
        self.duration = duration
        self.of = [np.flatnonzero(side == i) for i in range(2)]
        self._memory = np.empty((2, 3, len(self.time)))

    def memory(self, decay: float) -> tuple[np.ndarray, ...]:
        """decay R (2, n + 1) before each order and at the end, its first and its second derivative in log decay."""
        remembered(self.time, self.side, decay, self._memory)
        R, P, Q = (decay ** (p + 1) * self._memory[:, p] for p in range(3))
        return R, R - P, R - 3 * P + Q

    def compensated(self, decay: float) -> tuple[np.ndarray, ...]:
        """N_j - R_j(T) (2,), what the orders have brought about of n_ij, and its derivatives in log decay."""
        R, P, Q = (decay**p * self._memory[:, p, -1] for p in range(3))
        return np.array([len(rows) for rows in self.of]) - R, P, P - Q

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        decay = math.exp(x[_DECAY])
        g, dg, _ = self.memory(decay)
        G, dG, _ = self.compensated(decay)
        value, gradient = 0.0, np.zeros(7)
        for i in range(2):
            n, rows = x[2 + 2 * i : 4 + 2 * i], self.of[i]
            own = g[:, rows]
            weight = 1 / (x[i] + _sum(n, own))
            value -= np.log(weight).sum() + x[i] * self.duration + n @ G
            gradient[i] = weight.sum() - self.duration
            gradient[2 + 2 * i : 4 + 2 * i] = own @ weight - G
            gradient[_DECAY] += weight @ _sum(n, dg[:, rows]) - n @ dG
        return float(value), gradient

    def information(self, x: np.ndarray) -> np.ndarray:
        """Less the second derivative (7, 7)."""
        decay = math.exp(x[_DECAY])
        g, dg, ddg = self.memory(decay)
        _, dG, ddG = self.compensated(decay)
        hessian = np.zeros((7, 7))
        for i in range(2):
            n, rows, own = x[2 + 2 * i : 4 + 2 * i], self.of[i], [2 + 2 * i, 3 + 2 * i]
            weight = 1 / (x[i] + _sum(n, g[:, rows]))
            used = [i, *own, _DECAY]
            slope = weight * np.vstack([np.ones(len(rows)), g[:, rows], _sum(n, dg[:, rows])])
            hessian[np.ix_(used, used)] -= slope @ slope.T
            mixed = dg[:, rows] @ weight - dG
            hessian[own, _DECAY] += mixed
            hessian[_DECAY, own] += mixed
            hessian[_DECAY, _DECAY] += weight @ _sum(n, ddg[:, rows]) - n @ ddG
        return -hessian

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """The integral of lambda_i from each order of side i to the next; exponential of mean 1 where the fit is right."""
        remembered(self.time, self.side, math.exp(x[_DECAY]), self._memory)
        parts = []
        for i, rows in enumerate(self.of):
            before = np.stack([np.searchsorted(other, rows) for other in self.of])
            done = _sum(x[2 + 2 * i : 4 + 2 * i], before - self._memory[:, 0, rows])
            parts.append(np.diff(x[i] * self.time[rows] + done, prepend=0.0))
        return np.concatenate(parts)


def _sum(n: np.ndarray, g: np.ndarray) -> np.ndarray:
    """sum_j n_j g_j (m,), of ``g`` (2, m)."""
    return n[0] * g[0] + n[1] * g[1]


def _result(likelihood: Likelihood, x: np.ndarray, unit: float) -> Hawkes:
    N = len(likelihood.time) - 1
    gain = likelihood.value_and_gradient(x)[0] - sum(
        len(rows) * math.log(len(rows) / likelihood.duration) - len(rows) for rows in likelihood.of
    )
    if chi2.sf(2 * gain, 5) > 0.05:
        raise InputError(
            f"hawkes: the {N} market orders cannot be told from a Poisson process, no order need bring about another "
            f"(log-likelihood +{max(gain, 0.0):.2f} by five parameters)"
        )
    if not 1 / likelihood.duration < math.exp(x[_DECAY]) < _FASTEST:
        what = "shorter than any gap" if x[_DECAY] > 0 else "longer than the tape"
        raise InputError(f"hawkes: the memory of the orders is {what}, its decay has no bound")
    free = np.append(x[:6] > _NONE, True)
    covariance = np.full((7, 7), np.nan)
    try:
        inverse = np.linalg.inv(likelihood.information(x)[np.ix_(free, free)])
    except np.linalg.LinAlgError:
        inverse = np.full((free.sum(), free.sum()), np.nan)
    if not (np.diag(inverse) > 0).all():
        raise InputError("hawkes: the likelihood has no top, the orders do not tell its parameters apart")
    covariance[np.ix_(free, free)] = inverse
    error = np.sqrt(np.diag(covariance))
    ratio, slope = _perron(x[2:6].reshape(2, 2))
    if ratio >= 1:
        raise InputError(f"hawkes: the branching ratio is {ratio:.3f}, it must be below 1: the orders would never end")
    slope = slope.ravel()[free[2:6]]
    ratio_error = math.sqrt(slope @ covariance[2:6, 2:6][np.ix_(free[2:6], free[2:6])] @ slope)
    value = x.copy()
    value[:2], value[_DECAY] = x[:2] / unit, math.exp(x[_DECAY]) / unit
    error[:2], error[_DECAY] = error[:2] / unit, error[_DECAY] * value[_DECAY]
    told = [Estimate(float(v), float(e), N) for v, e in zip(value, error, strict=True)]
    return Hawkes(
        (told[0], told[1]),
        ((told[2], told[3]), (told[4], told[5])),
        told[_DECAY],
        Estimate(float(ratio), ratio_error, N),
        likelihood.value_and_gradient(x)[0] - N * math.log(unit),
        float(kstest(likelihood.residuals(x), "expon").pvalue),
    )


def _perron(n: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest eigenvalue of a matrix without negative entries, and its derivative in each of them."""
    half, gap = (n[0, 0] + n[1, 1]) / 2, (n[0, 0] - n[1, 1]) / 2
    root = math.sqrt(gap**2 + n[0, 1] * n[1, 0])
    if root == 0:  # no entry but the diagonal's, and these alike
        return half, np.eye(2) / 2
    slope = np.array([[1 + gap / root, n[1, 0] / root], [n[0, 1] / root, 1 - gap / root]]) / 2
    return half + root, slope
