"""The limit stage on orders that rest in the book: what a dealer may leave open on a side.

An order that rests may be filled at any instant until it is amended. So what is open counts as if it had traded: with
it, the inventory and the hedge that was approved, no limit may be passed. The rules stand in docs/book-market.md.
Every check is written ``value <= limit``, so that NaN fails.
"""

import numpy as np

from marketsim.compiled import stage
from marketsim.types import BID, OnBreach, Order, Reason

_CLIP = int(OnBreach.CLIP)
_REDUCE_ONLY, _WIDEN, _QUARTER = np.uint32(Order.REDUCE_ONLY), np.uint32(Order.WIDEN), np.uint32(Order.QUARTER)
_MARKUP, _POSITION, _SIZE = np.uint32(Reason.MARKUP), np.uint32(Reason.POSITION), np.uint32(Reason.SIZE)
_WORST_CASE, _DESK, _NOTHING = np.uint32(Reason.WORST_CASE), np.uint32(Reason.DESK), np.uint32(0)


@stage
def approved_distance(d, distance, widen, orders):
    """How far from the mid an order may stand, price units, + = dealer-favourable; NaN: it may not. And why, in bits."""
    reason = _NOTHING
    if orders & _WIDEN:
        distance += widen
    if not (d.band_low <= distance and distance <= d.band_high):
        reason = _MARKUP
        if d.markup_on_breach == _CLIP and distance == distance:
            distance = d.band_low if distance < d.band_low else d.band_high
        else:
            distance = np.nan
    return distance, reason


@stage
def approved_lots(d, side, lots, q, hedge, unsettled, limit, desk, desk_limit, orders):
    """How many of so many lots a dealer may leave open on a side, and why not all, in bits.

    ``q``: its inventory; ``hedge``: approved, still to trade; ``unsettled``: lots on this side, resting or on their
    way, that may trade before the new order takes its place; ``limit``: its position limit in force; ``desk``: what the desk
    would hold on this side, in lots of its direction, if all that is open or approved but this order traded.
    """
    reason = _NOTHING
    sign = 1.0 if side == BID else -1.0
    held = sign * q
    towards = sign * hedge
    held += (towards if towards > 0.0 else 0.0) + unsettled  # what may be held on this side before the order trades
    quarter = 0.25 if orders & _QUARTER else 1.0
    most = np.floor(quarter * d.size_hard)
    if not lots <= most:
        lots, reason = most, np.uint32(reason | _SIZE)
    if orders & _REDUCE_ONLY and not lots <= -held:
        lots, reason = -held, np.uint32(reason | _POSITION)
    if not lots <= limit - held:
        lots, reason = limit - held, np.uint32(reason | _POSITION)
    most = np.floor(quarter * d.worst_case_hard) - held
    if not lots <= most:
        lots, reason = most, np.uint32(reason | _WORST_CASE)
    if d.desk and not lots <= desk_limit - desk - unsettled:
        lots, reason = desk_limit - desk - unsettled, np.uint32(reason | _DESK)
    return lots if lots > 0.0 else 0.0, reason
