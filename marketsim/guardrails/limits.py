"""The limit stage: what a dealer asks for goes on to the market only as far as these let it.

Every check is written ``value <= limit``, so that NaN fails. Hard levels act here; soft levels take
nothing away and are counted by reports. The rules stand in docs/market.md, in the order used here.
"""

import numpy as np

from marketsim.act import affine, side_markup
from marketsim.compiled import stage
from marketsim.types import Action, OnBreach, Reason

_REJECT, _CLIP = int(OnBreach.REJECT), int(OnBreach.CLIP)
_REDUCE_ONLY, _FLATTEN = int(OnBreach.REDUCE_ONLY), int(OnBreach.FLATTEN)
_LADDER = int(Action.LADDER)
_NON_FINITE, _MARKUP, _HEDGE = np.int64(Reason.NON_FINITE), np.int64(Reason.MARKUP), np.int64(Reason.HEDGE)
_POSITION, _LOSS = np.int64(Reason.POSITION), np.int64(Reason.LOSS)


@stage
def approve(d, inventory, cash, alive, stopped, mid, hedge, finite, quoting, reducing, reasons, n):
    """Loss stop, position and reduce-only: approve the hedge, and say who may quote at all.

    In: what was asked (``hedge``; ``finite`` 0 where the action was not). Out: the approved ``hedge``;
    ``quoting`` 1 where the dealer may quote, ``reducing`` 1 where only towards flat; the first reasons.
    """
    for j in range(n):
        quoting[j] = alive[j] * finite[j]
    for j in range(n):
        reducing[j] = 0.0
    for j in range(n):
        hedge[j] *= alive[j]
    for j in range(n):
        reasons[j] = 0 if finite[j] > 0.0 else _NON_FINITE
    if d.loss_hard < np.inf:
        stop_losses(d, inventory, cash, stopped, mid, hedge, quoting, reducing, reasons, n)
    if d.position_hard < np.inf:
        limit_position(d, inventory, hedge, reducing, reasons, n)
    if d.loss_hard < np.inf or d.position_hard < np.inf:
        for j in range(n):
            q = inventory[j]
            h = hedge[j]
            low = -q if q > 0.0 else 0.0
            high = -q if q < 0.0 else 0.0
            towards_flat = low if h < low else (high if h > high else h)
            h = towards_flat if reducing[j] > 0.0 else h
            reasons[j] |= _HEDGE if h != hedge[j] else 0
            hedge[j] = h * alive[j]
    for j in range(n):
        reasons[j] = reasons[j] if alive[j] > 0.0 else 0


@stage
def stop_losses(d, inventory, cash, stopped, mid, hedge, quoting, reducing, reasons, n):
    """The episode loss stop: once ``not (loss <= hard)``, in force until reset."""
    hard, on_breach = d.loss_hard, d.loss_on_breach
    for j in range(n):
        q = inventory[j]
        stopped[j] = stopped[j] if -(cash[j] + q * mid[j]) <= hard else 1.0
        if stopped[j] > 0.0:
            asked = hedge[j]
            reasons[j] |= _LOSS
            if on_breach == _REDUCE_ONLY:
                reducing[j] = 1.0
            else:
                quoting[j] = 0.0
                hedge[j] = -q if on_breach == _FLATTEN else 0.0
            reasons[j] |= _HEDGE if hedge[j] != asked else 0


@stage
def limit_position(d, inventory, hedge, reducing, reasons, n):
    """The hard position limit on the hedge, and what a full dealer may still do."""
    limit, on_breach = d.position_hard, d.position_on_breach
    clips, reduces, flattens = on_breach != _REJECT, on_breach >= _REDUCE_ONLY, on_breach == _FLATTEN
    for j in range(n):
        q = inventory[j]
        h = hedge[j]
        room = limit - q
        clipped = h if h <= room else room
        clipped = clipped if -clipped <= limit + q else -(limit + q)
        rejected = h if abs(q + h) <= limit else 0.0
        approved = clipped if clips else rejected
        full = not abs(q) < limit
        reducing[j] = 1.0 if full and reduces else reducing[j]
        approved = -q if full and flattens else approved
        reasons[j] |= _HEDGE if approved != h else 0
        hedge[j] = approved


@stage
def check_band_of_actions(d, cells, actions, i, quoting, reasons, lo, n):
    """Note the dealers whose action asks for a markup outside the band."""
    reach = d.skew_max if d.action != _LADDER else 0.0
    if d.band_low <= d.markup_low - reach and d.markup_high + reach <= d.band_high:
        return
    for j in range(n):
        outside = 0
        for c in range(cells.shape[0]):
            if d.action == _LADDER:
                x = affine(actions[lo + j, i, cells[c].ladder], d.markup_low, d.markup_high)
            else:
                x = side_markup(d, actions[lo + j, i, 0], actions[lo + j, i, 1], cells[c].side)
            outside |= 0 if d.band_low <= x and x <= d.band_high else 1
        reasons[j] |= _MARKUP if outside and quoting[j] > 0.0 else 0


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
        reasons[j] |= _MARKUP if outside and quoting[j] > 0.0 else 0


@stage
def let_through(d, who, signed_size, inventory, quoting, reducing, asked, markup, can, held, reasons, k):
    """Which of k requests a dealer quotes: band, position limit, reduce-only; rechecked at every request.

    Out: ``can`` 1 where it quotes; ``markup`` clipped into the band, inf where it does not quote. ``held`` is scratch.
    """
    limit, low, high = d.position_hard, d.band_low, d.band_high
    for a in range(k):
        can[a] = quoting[who[a]]
    for a in range(k):
        can[a] = can[a] * asked[a] if abs(markup[a]) < np.inf else 0.0
    if low > -np.inf or high < np.inf:
        clips = d.markup_on_breach == _CLIP
        for a in range(k):
            x = markup[a]
            banded = low if x < low else (high if x > high else x)
            can[a] = can[a] if clips or banded == x else 0.0
            markup[a] = banded
    if limit < np.inf or d.loss_hard < np.inf:
        for a in range(k):
            held[a] = inventory[who[a]]
        if d.loss_hard < np.inf or d.position_on_breach >= _REDUCE_ONLY:
            for a in range(k):
                q = held[a]
                s = signed_size[a]
                inside = abs(q + s) <= limit and (reducing[who[a]] <= 0.0 or s * (q + s) <= 0.0)
                held[a] = 1.0 if inside else 0.0
        else:
            for a in range(k):
                held[a] = 1.0 if abs(held[a] + signed_size[a]) <= limit else 0.0
        refused = 0
        for a in range(k):
            refused += 1 if can[a] > held[a] else 0
        if refused > 0:
            for a in range(k):
                reasons[who[a]] |= _POSITION if can[a] > held[a] else 0
        for a in range(k):
            can[a] *= held[a]
    for a in range(k):
        markup[a] = markup[a] if can[a] > 0.0 else np.inf
