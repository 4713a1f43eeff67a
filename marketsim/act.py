"""From an action in [-1, 1] to markups in price units and a hedge in lots.

ladder  markup of a cell = low + (a + 1) (high - low) / 2
skew    half = low + (a0 + 1) (high - low) / 2, skew = a1 skew_max; bid half + skew, ask half - skew
hedge   fraction: h = rint(-x q), x = (a + 1) / 2; lots n: h = rint(a n), half to even
"""

import numpy as np

from marketsim.compiled import formula, stage
from marketsim.types import BID, Action, Hedge

_LADDER, _FRACTION = int(Action.LADDER), int(Hedge.FRACTION)
_EXPONENT = 0x7F800000  # of a float32: all ones in NaN and inf


@formula
def clipped(a):
    """An action component, widened and clipped to [-1, 1]."""
    x = np.float64(a)
    x = x if x < 1.0 else 1.0
    return x if x > -1.0 else -1.0


@formula
def affine(a, low, high):
    """[-1, 1] -> [low, high]."""
    return low + (clipped(a) + 1.0) * (0.5 * (high - low))


@formula
def hedge_lots(d, a, q):
    """Whole lots, half to even."""
    x = clipped(a)
    return np.rint(-(0.5 * (x + 1.0)) * q) if d.hedge == _FRACTION else np.rint(x * d.hedge_lots)


@formula
def side_markup(d, half_spread, skew, side):
    """The markup of one side of a skew action."""
    shift = clipped(skew) * d.skew_max
    return affine(half_spread, d.markup_low, d.markup_high) + (shift if side == BID else -shift)


@stage
def all_finite(actions, lo, n):
    """Whether no component of a block's actions, padding included, is NaN or inf: one scan of the exponents."""
    size = actions.shape[1] * actions.shape[2]
    bits = actions.view(np.int32).reshape(-1)[lo * size : (lo + n) * size]
    worst = np.int32(0)
    for k in range(bits.shape[0]):
        worst = max(worst, bits[k] & np.int32(_EXPONENT))
    return worst < np.int32(_EXPONENT)


@stage
def finite_actions(d, actions, i, finite, lo, n):
    """``finite`` 0 where any component of dealer i's action is NaN or inf."""
    for j in range(n):
        finite[j] = 0.0
        for c in range(d.width):
            finite[j] += np.float64(actions[lo + j, i, c]) * 0.0
        finite[j] = 1.0 if finite[j] == 0.0 else 0.0


@stage
def asked_hedge(d, actions, i, inventory, hedge, finite, lo, n):
    """The hedge that dealer i's actions ask for; 0 where they are not finite."""
    row = actions.shape[1] * actions.shape[2]
    flat = actions.reshape(-1)
    first = lo * row + i * actions.shape[2] + d.hedge_column
    for j in range(n):
        hedge[j] = clipped(flat[np.uint64(first + j * row)])
    if d.hedge == _FRACTION:
        for j in range(n):
            hedge[j] = np.rint(-(0.5 * (hedge[j] + 1.0)) * inventory[j])
    else:
        lots = d.hedge_lots
        for j in range(n):
            hedge[j] = np.rint(hedge[j] * lots)
    for j in range(n):
        hedge[j] = hedge[j] if finite[j] > 0.0 else 0.0


@stage
def asked_markups(d, actions, i, who, column, signed_size, markup, k, lo):
    """Dealer i's markup for each of k requests, by the ladder column and signed size of their cells."""
    low, half = d.markup_low, 0.5 * (d.markup_high - d.markup_low)
    if d.action == _LADDER:
        row = actions.shape[1] * actions.shape[2]
        flat = actions.reshape(-1)
        first = lo * row + i * actions.shape[2]
        for a in range(k):
            markup[a] = flat[np.uint64(first + who[a] * row + column[a])]
        for a in range(k):
            markup[a] = low + (clipped(markup[a]) + 1.0) * half
    else:
        reach = d.skew_max
        for a in range(k):
            m = lo + who[a]
            shift = clipped(actions[m, i, 1]) * reach
            half_spread = low + (clipped(actions[m, i, 0]) + 1.0) * half
            markup[a] = half_spread + (shift if signed_size[a] > 0.0 else -shift)
