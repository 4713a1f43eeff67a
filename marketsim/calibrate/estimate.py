"""An estimate: a number, how far it may be off, and what it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """``value`` with its standard ``error`` (NaN: at a bound, where there is none), from ``n`` observations."""

    value: float
    error: float
    n: int


def rate(count: int, exposure: float) -> Estimate:
    """The rate of a Poisson process that was seen ``count`` times in ``exposure`` (maximum likelihood)."""
    return Estimate(count / exposure, math.sqrt(count) / exposure, count)
