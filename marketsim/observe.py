"""What a dealer sees: the catalogue of observations, their order, scale and neutral value."""

import math
from typing import Literal, get_args

from marketsim.compiled import stage
from marketsim.polynomials import log
from marketsim.types import (
    AHEAD,
    CASH,
    HISTORY,
    HISTORY_LENGTH,
    INVENTORY,
    LOTS,
    MARKOUT_STEPS,
    MID,
    NET,
    RECENT,
    RECENT_ASKED,
    RECENT_COVER,
    RECENT_GAIN,
    RECENT_IMBALANCE,
    RECENT_LOTS,
    RECENT_RIVAL_MARKUP,
    RECENT_WON,
    SEEN,
    STALE,
    VARIANCE,
    Ledger,
)

Name = Literal[
    "time_left",
    "inventory",
    "mid_move_1",
    "mid_move_5",
    "mid_move_20",
    "volatility",
    "requests",
    "imbalance",
    "hit_ratio",
    "cover",
    "markout",
    "pnl",
    "rival_inventory",
    "rival_markup",
    "regime",
    "tail",
    # of the book (marketsim/book/observe.py)
    "spread",
    "touch_imbalance",
    "bid_depth",
    "ask_depth",
    "trades",
    "bid_open",
    "ask_open",
    "bid_distance",
    "ask_distance",
    "bid_ahead",
    "ask_ahead",
]
NAMES: tuple[Name, ...] = get_args(Name)
DEFAULT: tuple[Name, ...] = NAMES[: NAMES.index("pnl") + 1]
OF_THE_BOOK: tuple[Name, ...] = NAMES[NAMES.index("tail") + 1 :]

(
    _TIME_LEFT,
    _INVENTORY,
    _MID_MOVE_1,
    _MID_MOVE_5,
    _MID_MOVE_20,
    _VOLATILITY,
    _REQUESTS,
    _IMBALANCE,
    _HIT_RATIO,
    _COVER,
    _MARKOUT,
    _PNL,
    _RIVAL_INVENTORY,
    _RIVAL_MARKUP,
    _REGIME,
    _TAIL,
) = range(len(NAMES) - len(OF_THE_BOOK))
_VARIANCE_FLOOR = math.exp(-14.0)


@stage
def remember_market(p, market, t, mid, move, lo, n):
    """Carry the averages and the ring of mids of a block forward over the move t -> t+1; ``mid`` is S_{t+1}."""
    variance = market[VARIANCE, lo : lo + n]
    slot = market[HISTORY + (t + 1) % HISTORY_LENGTH, lo : lo + n]
    per_sd = 1.0 / p.move_sd if p.move_sd > 0.0 else 0.0
    for j in range(n):
        slot[j] = mid[j]
    if p.misled:
        see(p, market, t, move, lo, n)
    if p.feed:
        stale = market[STALE, lo : lo + n]
        for j in range(n):
            stale[j] = stale[j] + 1.0 if move[j] == 0.0 else 0.0
    for j in range(n):
        z = move[j] * per_sd
        variance[j] += (z * z - variance[j]) * RECENT


@stage
def see(p, market, t, move, lo, n):
    """What dealers see of S_{t+1}: late, wrong or standing still, as the feed is. ``move`` becomes that of what they see."""
    now = market[SEEN + t % HISTORY_LENGTH, lo : lo + n]
    after = market[SEEN + (t + 1) % HISTORY_LENGTH, lo : lo + n]
    source = market[HISTORY + (t + 1 - p.lag) % HISTORY_LENGTH, lo : lo + n]
    for j in range(n):
        after[j] = now[j] if p.frozen else source[j] + p.offset
    for j in range(n):
        move[j] = after[j] - now[j]


@stage
def mislead(market, t, who, signed_size, markup, k, lo):
    """Dealers quote around the price that they see: their markups as clients meet them, measured from the mid."""
    for a in range(k):
        m = lo + who[a]
        error = market[SEEN + t % HISTORY_LENGTH, m] - market[MID, m]
        markup[a] += -error if signed_size[a] > 0.0 else error


@stage
def remember_dealer(market, dealer, ledger, i, t, mid, asked_skew, lo, n):
    """The same for one dealer's averages. ``asked_skew``: requests on the ask side less those on the bid side."""
    asked = dealer[RECENT_ASKED, i, lo : lo + n]
    imbalance = dealer[RECENT_IMBALANCE, i, lo : lo + n]
    won = dealer[RECENT_WON, i, lo : lo + n]
    step_asked = ledger[Ledger.ASKED, i, lo : lo + n]
    step_won = ledger[Ledger.WON, i, lo : lo + n]
    for j in range(n):
        asked[j] += (step_asked[j] - asked[j]) * RECENT
    for j in range(n):
        imbalance[j] += (asked_skew[j] - imbalance[j]) * RECENT
    for j in range(n):
        won[j] += (step_won[j] - won[j]) * RECENT
    now, then = t % MARKOUT_STEPS, (t + 1) % MARKOUT_STEPS
    bought = ledger[Ledger.BOUGHT, i, lo : lo + n]
    sold = ledger[Ledger.SOLD, i, lo : lo + n]
    net, lots = dealer[NET + now, i, lo : lo + n], dealer[LOTS + now, i, lo : lo + n]
    for j in range(n):
        net[j] = bought[j] - sold[j]
    for j in range(n):
        lots[j] = bought[j] + sold[j]
    # the trades of step t - 4 are five moves old once S_{t+1} is known
    old_net, old_lots = dealer[NET + then, i, lo : lo + n], dealer[LOTS + then, i, lo : lo + n]
    old_mid = market[HISTORY + (t + 1 - MARKOUT_STEPS) % HISTORY_LENGTH, lo : lo + n]
    gain, volume = dealer[RECENT_GAIN, i, lo : lo + n], dealer[RECENT_LOTS, i, lo : lo + n]
    for j in range(n):
        gain[j] += (old_net[j] * (mid[j] - old_mid[j]) - gain[j]) * RECENT
    for j in range(n):
        volume[j] += (old_lots[j] - volume[j]) * RECENT


@stage
def look_at_market(p, wanted, market, features, first, t, lo, n):
    """What is the same for every dealer at step t, into rows ``first + name`` of ``features``, where ``wanted``."""
    ring = SEEN if p.misled else HISTORY
    mid = market[ring + t % HISTORY_LENGTH, lo : lo + n]
    if wanted[_TIME_LEFT]:
        time_left = (p.steps - t) / p.steps
        row = features[first + _TIME_LEFT]
        for j in range(n):
            row[j] = time_left
    for name, k in ((_MID_MOVE_1, 1), (_MID_MOVE_5, 5), (_MID_MOVE_20, 20)):
        if wanted[name]:
            scale = 1.0 / (p.move_sd * math.sqrt(k)) if p.move_sd > 0.0 else 0.0
            past = market[ring + (t - k) % HISTORY_LENGTH, lo : lo + n]
            row = features[first + name]
            for j in range(n):
                row[j] = (mid[j] - past[j]) * scale
    if wanted[_VOLATILITY]:
        variance = market[VARIANCE, lo : lo + n]
        row = features[first + _VOLATILITY]
        scale = 0.5 if p.move_sd > 0.0 else 0.0
        for j in range(n):
            v = variance[j]
            row[j] = log(v if v > _VARIANCE_FLOOR else _VARIANCE_FLOOR) * scale
    if wanted[_REGIME]:
        ahead = p.ahead + 1
        regime = market[AHEAD + ahead + t % ahead, lo : lo + n]
        row = features[first + _REGIME]
        for j in range(n):
            row[j] = regime[j]


@stage
def show_market(columns, i, features, first, observation, lo, n):
    """Lay those of them that dealer i observes into its observation."""
    for name in (_TIME_LEFT, _MID_MOVE_1, _MID_MOVE_5, _MID_MOVE_20, _VOLATILITY, _REGIME):
        column = columns[i, name]
        if column >= 0:
            row = features[first + name]
            out = observation[i, column, lo : lo + n]
            for j in range(n):
                out[j] = row[j]


@stage
def show_position(d, columns, i, market, dealer, observation, lo, n):
    """Inventory, P&L and the loss beyond nu."""
    mid = market[MID, lo : lo + n]
    q = dealer[INVENTORY, i, lo : lo + n]
    cash = dealer[CASH, i, lo : lo + n]
    per_scale, per_pnl, nu = 1.0 / d.inventory_scale, 1.0 / d.pnl_scale, d.nu
    column = columns[i, _INVENTORY]
    if column >= 0:
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            out[j] = q[j] * per_scale
    column = columns[i, _PNL]
    if column >= 0:
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            out[j] = (cash[j] + q[j] * mid[j]) * per_pnl
    column = columns[i, _TAIL]
    if column >= 0:
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            out[j] = (-(cash[j] + q[j] * mid[j]) - nu) * per_pnl


@stage
def show_clients(d, columns, i, dealer, observation, lo, n):
    """Recent requests, their imbalance, the hit ratio."""
    asked = dealer[RECENT_ASKED, i, lo : lo + n]
    known = 1.0 if d.expected_requests > 0.0 else 0.0
    per_expected = 1.0 / d.expected_requests if d.expected_requests > 0.0 else 0.0
    column = columns[i, _REQUESTS]
    if column >= 0:
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            out[j] = asked[j] * per_expected - known
    column = columns[i, _IMBALANCE]
    if column >= 0:
        skew = dealer[RECENT_IMBALANCE, i, lo : lo + n]
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            out[j] = skew[j] * per_expected
    column = columns[i, _HIT_RATIO]
    if column >= 0:
        won = dealer[RECENT_WON, i, lo : lo + n]
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            ratio = won[j] / (asked[j] if asked[j] > 0.0 else 1.0)
            out[j] = ratio - 0.5 if asked[j] > 0.0 else 0.0


@stage
def show_trades(p, columns, i, dealer, observation, lo, n):
    """Cover, mark-out, and the rivals' best quote."""
    column = columns[i, _MARKOUT]
    if column >= 0:
        gain = dealer[RECENT_GAIN, i, lo : lo + n]
        lots = dealer[RECENT_LOTS, i, lo : lo + n]
        scale = 1.0 / (p.move_sd * math.sqrt(MARKOUT_STEPS)) if p.move_sd > 0.0 else 0.0
        out = observation[i, column, lo : lo + n]
        for j in range(n):
            out[j] = gain[j] / (lots[j] if lots[j] > 0.0 else 1.0) * scale
    for name, source in ((_COVER, RECENT_COVER), (_RIVAL_MARKUP, RECENT_RIVAL_MARKUP)):
        column = columns[i, name]
        if column >= 0:
            seen = dealer[source, i, lo : lo + n]
            out = observation[i, column, lo : lo + n]
            for j in range(n):
                out[j] = seen[j]


@stage
def show_rivals(d, columns, i, dealer, features, first, observation, lo, n):
    """The mean inventory of the other dealers."""
    column = columns[i, _RIVAL_INVENTORY]
    if column < 0:
        return
    dealers = dealer.shape[1]
    scale = 1.0 / ((dealers - 1) * d.inventory_scale) if dealers > 1 else 0.0
    total = features[first + _RIVAL_INVENTORY]
    for j in range(n):
        total[j] = 0.0
    for other in range(dealers):
        if other != i:
            q = dealer[INVENTORY, other, lo : lo + n]
            for j in range(n):
                total[j] += q[j]
    out = observation[i, column, lo : lo + n]
    for j in range(n):
        out[j] = total[j] * scale


@stage
def observe(p, dealers, columns, wanted, market, dealer, features, first, observation, t, lo, n):
    """Write the observations of step t of a block of markets: ``observation`` (N, width, M)."""
    look_at_market(p, wanted, market, features, first, t, lo, n)
    for i in range(dealer.shape[1]):
        show_market(columns, i, features, first, observation, lo, n)
        show_position(dealers[i], columns, i, market, dealer, observation, lo, n)
        show_clients(dealers[i], columns, i, dealer, observation, lo, n)
        show_trades(p, columns, i, dealer, observation, lo, n)
        show_rivals(dealers[i], columns, i, dealer, features, first, observation, lo, n)
