"""The best mean delay that any detector can have against a known change, at a mean run length between false alarms.

CUSUM is optimal in the sense of Lorden (Moustakides 1986). Its run lengths solve an integral equation (Page 1954); here
by the Markov chain of Brook and Evans (1972), without simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf, ndtr

STATES = 300


def mean_shift(size: float, every: float) -> float:
    """Steps to see a shift of a normal mean by ``size`` sd of either sign: two CUSUMs, each of run length 2 ``every``."""
    quiet, drifted = (lambda x, at=at: ndtr((x + size**2 / 2) / size - at) for at in (0.0, size))
    return _delay(quiet, drifted, 2.0 * every)


def variance_rise(ratio: float, every: float) -> float:
    """Steps to see the variance of a normal rise to ``ratio`` times what it was: one CUSUM."""
    gain = (1.0 - 1.0 / ratio) / 2.0
    quiet, drifted = (lambda x, v=v: _square_below((x + math.log(ratio) / 2) / gain / v) for v in (1.0, ratio))
    return _delay(quiet, drifted, every)


def _square_below(x: np.ndarray) -> np.ndarray:
    """P(Z^2 < x)."""
    return erf(np.sqrt(np.maximum(x, 0.0) / 2.0))


def _delay(quiet: Callable, drifted: Callable, every: float) -> float:
    threshold = brentq(lambda h: math.log(run_length(quiet, h) / every), 0.5, 20.0, xtol=1e-4)
    return run_length(drifted, threshold)


def run_length(distribution: Callable, threshold: float) -> float:
    """Mean steps of a CUSUM from 0 to ``threshold``; ``distribution``: of a step's log-likelihood ratio."""
    width = threshold / STATES
    edges = np.arange(1, STATES + 1) * width
    middles = np.concatenate([[0.0], edges[1:] - width / 2])  # the lowest state is 0 itself
    reached = distribution(edges[None, :] - middles[:, None])
    moves = np.diff(reached, axis=1, prepend=0.0)  # all that falls below stays in the lowest
    return float(np.linalg.solve(np.eye(STATES) - moves, np.ones(STATES))[0])
