"""The limit stage on quotes: band, and which requests a dealer quotes, rechecked at every request.

Every check is written ``value <= limit``, so that NaN fails; the rules stand in docs/market.md.
"""

import numpy as np

from marketsim.act import affine, side_markup
from marketsim.compiled import stage
from marketsim.types import BID, INVENTORY, Action, OnBreach, Order, Reason

_CLIP, _REDUCES = int(OnBreach.CLIP), int(OnBreach.REDUCE_ONLY)
_LADDER = int(Action.LADDER)
_REDUCE_ONLY, _WIDEN, _QUARTER = np.uint32(Order.REDUCE_ONLY), np.uint32(Order.WIDEN), np.uint32(Order.QUARTER)
_MARKUP, _POSITION, _SIZE = np.uint32(Reason.MARKUP), np.uint32(Reason.POSITION), np.uint32(Reason.SIZE)
_WORST_CASE, _DESK = np.uint32(Reason.WORST_CASE), np.uint32(Reason.DESK)


@stage
def check_band_of_actions(d, cells, actions, i, quoting, outside, reasons, lo, n):
    """Note the dealers whose action asks for a markup outside the band. ``outside`` is scratch."""
    reach = d.skew_max if d.action != _LADDER else 0.0
    low, high, band_low, band_high = d.markup_low, d.markup_high, d.band_low, d.band_high
    if band_low <= low - reach and high + reach <= band_high:
        return
    flat = actions.reshape(-1)
    row = actions.shape[1] * actions.shape[2]
    first = lo * row + i * actions.shape[2]
    for j in range(n):
        outside[j] = 0.0
    for c in range(cells.shape[0]):
        if d.action == _LADDER:
            column = first + cells[c].ladder
            for j in range(n):
                x = affine(flat[np.uint64(column + j * row)], low, high)
                outside[j] = outside[j] if band_low <= x and x <= band_high else 1.0
        else:
            side = cells[c].side
            for j in range(n):
                x = side_markup(d, flat[np.uint64(first + j * row)], flat[np.uint64(first + j * row + 1)], side)
                outside[j] = outside[j] if band_low <= x and x <= band_high else 1.0
    for j in range(n):
        reasons[j] |= _MARKUP if outside[j] * quoting[j] > 0.0 else np.uint32(0)


@stage
def check_band_of_quotes(d, cells, quotes, slot, quoting, reasons, lo, n):
    """The same for a dealer driven in prices; a non-finite markup is no quote and no breach."""
    if d.band_low == -np.inf and d.band_high == np.inf:
        return
    for j in range(n):
        outside = 0
        for c in range(cells.shape[0]):
            x = quotes[slot, lo + j, cells[c].quote]
            outside |= 0 if not np.isfinite(x) or (d.band_low <= x and x <= d.band_high) else 1
        reasons[j] |= _MARKUP if outside and quoting[j] > 0.0 else np.uint32(0)


@stage
def largest_quoted(d, i, cells, actions, quotes, slot, orders, fired, bid, ask, lo, n):
    """Rows ``bid`` and ``ask``: the largest size that a dealer asks to quote on each side, of those it may quote."""
    rejects = d.markup_on_breach != _CLIP
    for j in range(n):
        bid[j] = 0.0
    for j in range(n):
        ask[j] = 0.0
    if slot < 0 and not rejects and not fired & _QUARTER:  # an action quotes every cell
        for c in range(cells.shape[0]):
            size = cells[c].size if cells[c].size <= d.size_hard else 0.0
            side = bid if cells[c].side == BID else ask
            for j in range(n):
                side[j] = side[j] if side[j] > size else size
        return
    for j in range(n):
        most = 0.25 * d.size_hard if orders[j] & _QUARTER else d.size_hard
        for c in range(cells.shape[0]):
            if slot >= 0:
                x = quotes[slot, lo + j, cells[c].quote]
            elif d.action == _LADDER:
                x = affine(actions[lo + j, i, cells[c].ladder], d.markup_low, d.markup_high)
            else:
                x = side_markup(d, actions[lo + j, i, 0], actions[lo + j, i, 1], cells[c].side)
            size = cells[c].size
            if size <= most and abs(x) < np.inf and not (rejects and not (d.band_low <= x and x <= d.band_high)):
                if cells[c].side == BID:
                    bid[j] = max(bid[j], size)
                else:
                    ask[j] = max(ask[j], size)


@stage
def sum_desk_at(dealers, dealer, who, desk, k, lo):
    """The desk's inventory, lots, in the markets that have a request."""
    for a in range(k):
        desk[a] = 0.0
    for i in range(dealer.shape[1]):
        if dealers[i].desk:
            for a in range(k):
                desk[a] += dealer[INVENTORY, i, lo + who[a]]


@stage
def refuse(wanted, can, allowed, who, reason, reasons, k):
    """Of the requests that a dealer wants to quote, drop those not ``allowed``, and note why."""
    refused = 0
    for a in range(k):
        refused += 1 if wanted[a] > allowed[a] else 0
    if refused > 0:
        for a in range(k):
            reasons[who[a]] |= reason if wanted[a] > allowed[a] else np.uint32(0)
        for a in range(k):
            can[a] *= allowed[a]


@stage
def hold_to_band(d, reference, who, orders, fired, markup, can, k):
    """Markups into the band or off; wider where that is ordered, and still within the band."""
    low, high = d.band_low, d.band_high
    if low > -np.inf or high < np.inf:
        clips = d.markup_on_breach == _CLIP
        for a in range(k):
            x = markup[a]
            banded = low if x < low else (high if x > high else x)
            can[a] = can[a] if clips or banded == x else 0.0
            markup[a] = banded
    if fired & _WIDEN:
        for a in range(k):
            x = markup[a] + d.widen * reference[a]
            markup[a] = (x if x < high else high) if orders[who[a]] & _WIDEN else markup[a]


@stage
def let_through(
    p,
    d,
    who,
    signed_size,
    reference,
    inventory,
    limit,
    desk,
    largest_bid,
    largest_ask,
    quoting,
    orders,
    fired,
    asked,
    markup,
    can,
    wanted,
    allowed,
    reasons,
    k,
):
    """Which of k requests a dealer quotes: band, size, position and reduce-only, worst case, desk, each for itself.

    Out: ``can`` 1 where it quotes; ``markup`` as the band leaves it, inf where it does not quote. The last rows are scratch.
    """
    for a in range(k):
        can[a] = quoting[who[a]]
    for a in range(k):
        can[a] = can[a] * asked[a] if abs(markup[a]) < np.inf else 0.0
    hold_to_band(d, reference, who, orders, fired, markup, can, k)
    for a in range(k):
        wanted[a] = can[a]
    if d.size_hard < np.inf:
        for a in range(k):
            most = 0.25 * d.size_hard if orders[who[a]] & _QUARTER else d.size_hard
            allowed[a] = 1.0 if abs(signed_size[a]) <= most else 0.0
        refuse(wanted, can, allowed, who, _SIZE, reasons, k)
    if d.position_hard < np.inf or fired & _REDUCE_ONLY:
        for a in range(k):
            allowed[a] = inventory[who[a]]
        if fired & (_REDUCE_ONLY | _QUARTER):
            unlimited = not d.position_hard < np.inf
            for a in range(k):
                q = allowed[a]
                after = abs(q + signed_size[a])
                inside = unlimited or after <= limit[who[a]] or after < abs(q)
                towards = signed_size[a] * (q + signed_size[a]) <= 0.0 or not orders[who[a]] & _REDUCE_ONLY
                allowed[a] = 1.0 if inside and towards else 0.0
        else:
            hard = d.position_hard
            for a in range(k):
                allowed[a] = 1.0 if abs(allowed[a] + signed_size[a]) <= hard else 0.0
        refuse(wanted, can, allowed, who, _POSITION, reasons, k)
    if d.worst_case_hard < np.inf:
        hard = d.worst_case_hard
        for a in range(k):
            q = inventory[who[a]]
            most = np.floor(0.25 * hard) if orders[who[a]] & _QUARTER else hard
            worst = q + largest_bid[who[a]] if signed_size[a] > 0.0 else largest_ask[who[a]] - q
            allowed[a] = 1.0 if worst <= most else 0.0
        refuse(wanted, can, allowed, who, _WORST_CASE, reasons, k)
    if d.desk and p.desk_position < np.inf:
        for a in range(k):
            after = abs(desk[a] + signed_size[a])
            allowed[a] = 1.0 if after <= p.desk_position or after < abs(desk[a]) else 0.0
        refuse(wanted, can, allowed, who, _DESK, reasons, k)
    for a in range(k):
        markup[a] = markup[a] if can[a] > 0.0 else np.inf
