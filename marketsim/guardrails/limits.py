"""The limit stage on a dealer's state and hedge: every limit is looked at, and what fails becomes orders.

Every check is written ``value <= limit``, so that NaN fails. Hard levels act here, soft levels only warn. Which
requests a dealer may still quote is ``quoting``'s; the rules stand in docs/market.md, in the order used here.
"""

import numpy as np

from marketsim.compiled import stage
from marketsim.types import (
    ALIVE,
    AT_LIMIT,
    EXECUTIONS,
    HISTORY,
    HISTORY_LENGTH,
    INVENTORY,
    LOSSES,
    ORDERS,
    PEAK,
    SEEN,
    SELF_TRADES,
    STALE,
    STOPPED,
    STOPPED_BY,
    OnBreach,
    Order,
    Reason,
)

_NO_QUOTES, _NO_HEDGE, _FLATTEN = np.uint32(Order.NO_QUOTES), np.uint32(Order.NO_HEDGE), np.uint32(Order.FLATTEN)
_REDUCE_ONLY, _WIDEN, _QUARTER = np.uint32(Order.REDUCE_ONLY), np.uint32(Order.WIDEN), np.uint32(Order.QUARTER)
_REJECT, _REDUCES, _FLATTENS, _WIDENS, _HALT = (
    int(OnBreach.REJECT),
    int(OnBreach.REDUCE_ONLY),
    int(OnBreach.FLATTEN),
    int(OnBreach.WIDEN),
    int(OnBreach.HALT),
)
_NON_FINITE, _HEDGE, _DESK = np.uint32(Reason.NON_FINITE), np.uint32(Reason.HEDGE), np.uint32(Reason.DESK)
_LOSS, _ROLLING_LOSS, _DRAWDOWN = np.uint32(Reason.LOSS), np.uint32(Reason.ROLLING_LOSS), np.uint32(Reason.DRAWDOWN)
_FEED, _TIME_AT_LIMIT, _ORDERED = np.uint32(Reason.FEED), np.uint32(Reason.TIME_AT_LIMIT), np.uint32(Reason.ORDERED)
_HEDGE_SIZE, _SLIPPAGE, _POSITION = np.uint32(Reason.HEDGE_SIZE), np.uint32(Reason.SLIPPAGE), np.uint32(Reason.POSITION)
_SELF_TRADE, _REPEATED_EXECUTION = np.uint32(Reason.SELF_TRADE), np.uint32(Reason.REPEATED_EXECUTION)
_HALVE = np.uint32(Order.HALVE)
_NOTHING, _ALL = np.uint32(0), np.uint32(127)
_KEPT = np.uint32(8)  # orders that stay in force until reset stand eight bits higher, too


@stage
def response(on_breach):
    """The orders that a failed limit gives."""
    if on_breach == _REDUCES:
        return _REDUCE_ONLY
    if on_breach == _FLATTENS:
        return np.uint32(_NO_QUOTES | _FLATTEN)
    if on_breach == _WIDENS:
        return _WIDEN
    rejected = np.uint32(_NO_QUOTES | _NO_HEDGE)
    return kept(rejected) if on_breach == _HALT else rejected


@stage
def kept(given):
    """These orders, in force until reset."""
    return np.uint32(given | (given << _KEPT))


@stage
def hold(value, soft, hard, given, reason, orders, reasons, warnings, n):
    """One limit in every market: where not ``value <= hard``, its reason and orders; past ``soft``, a warning."""
    if hard < np.inf:
        for j in range(n):
            reasons[j] |= _NOTHING if value[j] <= hard else reason
        for j in range(n):
            orders[j] |= _NOTHING if value[j] <= hard else given
    if soft < np.inf:
        for j in range(n):
            warnings[j] |= _NOTHING if value[j] <= soft else reason


@stage
def check_state(p, d, i, t, market, dealer, loss, value, orders, reasons, warnings, lo, n):
    """All limits on the state at a step's start. Out: ``orders``, ``reasons`` and ``warnings``; ``value`` is scratch.

    Loss stop and drawdown, and whatever halts, give orders that stay in force until reset.
    """
    for j in range(n):
        reasons[j] = _NOTHING
    for j in range(n):
        warnings[j] = _NOTHING
    for j in range(n):
        orders[j] = _NOTHING
    given = kept(response(d.loss_on_breach))
    hold(loss, d.loss_soft, d.loss_hard, given, _LOSS, orders, reasons, warnings, n)
    if d.drawdown_hard < np.inf or d.drawdown_soft < np.inf:
        peak = dealer[PEAK, i, lo : lo + n]
        for j in range(n):
            peak[j] = -loss[j] if -loss[j] > peak[j] else peak[j]
        for j in range(n):
            value[j] = peak[j] + loss[j]
        given = kept(response(d.drawdown_on_breach))
        hold(value, d.drawdown_soft, d.drawdown_hard, given, _DRAWDOWN, orders, reasons, warnings, n)
    if d.window > 0:
        before = dealer[LOSSES + t % d.window, i, lo : lo + n]
        for j in range(n):
            value[j] = loss[j] - before[j]
        for j in range(n):
            before[j] = loss[j]
        given = response(d.rolling_loss_on_breach)
        hold(value, d.rolling_loss_soft, d.rolling_loss_hard, given, _ROLLING_LOSS, orders, reasons, warnings, n)
    inventory = dealer[INVENTORY, i, lo : lo + n]
    if d.position_soft < np.inf:
        for j in range(n):
            value[j] = abs(inventory[j])
        hold(value, d.position_soft, np.inf, _NOTHING, _POSITION, orders, reasons, warnings, n)
    if d.limit_level < np.inf:
        steps = dealer[AT_LIMIT, i, lo : lo + n]
        for j in range(n):
            steps[j] = 0.0 if abs(inventory[j]) < d.limit_level else steps[j] + 1.0
        given = response(d.time_at_limit_on_breach)
        hold(steps, d.time_at_limit_soft, d.time_at_limit_hard, given, _TIME_AT_LIMIT, orders, reasons, warnings, n)
    if d.self_trade_hard < np.inf:
        given = response(d.self_trade_on_breach)
        prevented = dealer[SELF_TRADES, i, lo : lo + n]
        hold(prevented, np.inf, d.self_trade_hard, given, _SELF_TRADE, orders, reasons, warnings, n)
    if d.repeated_execution_steps > 0:
        executions = dealer[EXECUTIONS, i, lo : lo + n]
        given = response(d.repeated_execution_on_breach)
        soft, hard = d.repeated_execution_soft, d.repeated_execution_hard
        hold(executions, soft, hard, given, _REPEATED_EXECUTION, orders, reasons, warnings, n)
        if t % d.repeated_execution_steps == 0:
            for j in range(n):
                executions[j] = 0.0
    if p.feed:
        check_feed(p, d, t, market, value, lo, n)
        hold(value, np.inf, 0.0, response(d.feed_on_breach), _FEED, orders, reasons, warnings, n)


@stage
def check_feed(p, d, t, market, bad, lo, n):
    """``bad`` 1 where the price that is seen moved by more than ``jump``, stood still for too long or is no price."""
    ring = SEEN if p.misled else HISTORY
    price = market[ring + t % HISTORY_LENGTH, lo : lo + n]
    before = market[ring + (t - 1) % HISTORY_LENGTH, lo : lo + n]
    stale = market[STALE, lo : lo + n]
    for j in range(n):
        moved = abs(price[j] - before[j]) <= d.jump and stale[j] <= d.stale
        bad[j] = 0.0 if moved and d.low_price < price[j] and price[j] < np.inf else 1.0


@stage
def stay_in_force(d, i, dealer, orders, reasons, lo, n):
    """Merge the step's orders with those in force until reset and those from outside; return all their bits together."""
    stopped, stopped_by = dealer[STOPPED, i, lo : lo + n], dealer[STOPPED_BY, i, lo : lo + n]
    outside = dealer[ORDERS, i, lo : lo + n]
    fired = _NOTHING
    for j in range(n):
        fired |= orders[j] | np.uint32(np.int32(stopped[j])) | np.uint32(np.int32(outside[j]))
    if not fired:
        return fired
    lasting = np.uint32(d.lasting)
    for j in range(n):
        if orders[j] >> _KEPT:
            stopped[j] = np.int32(np.uint32(np.int32(stopped[j])) | (orders[j] >> _KEPT))
            stopped_by[j] = np.int32(np.uint32(np.int32(stopped_by[j])) | (reasons[j] & lasting))
    for j in range(n):
        reasons[j] |= np.uint32(np.int32(stopped_by[j])) | (_ORDERED if outside[j] > 0.0 else _NOTHING)
    fired = _NOTHING
    for j in range(n):
        orders[j] = (orders[j] | np.uint32(np.int32(stopped[j])) | np.uint32(np.int32(outside[j]))) & _ALL
        fired |= orders[j]
    return fired


@stage
def approve_hedge(p, d, inventory, alive, limit, desk, orders, fired, hedge, asked, reasons, n):
    """The hedge that is let through. In: what was asked; orders, position, desk, slippage and size hold it, in this order.

    Out: ``hedge``; ``limit``, the position limit in force; ``desk`` with the approved hedge in it. ``asked`` is scratch.
    """
    for j in range(n):
        asked[j] = hedge[j]
    if d.position_hard < np.inf:
        hard, on_breach = d.position_hard, d.position_on_breach
        for j in range(n):
            limit[j] = np.floor(0.25 * hard) if orders[j] & _QUARTER else hard
        if on_breach >= _REDUCES:
            given = _REDUCE_ONLY | (_FLATTEN if on_breach == _FLATTENS else _NOTHING)
            given = np.uint32(_WIDEN if on_breach == _WIDENS else given)
            for j in range(n):
                orders[j] |= _NOTHING if abs(inventory[j]) < limit[j] else given
            for j in range(n):
                fired |= orders[j]
    if fired & (_FLATTEN | _HALVE | _NO_HEDGE | _REDUCE_ONLY):
        pace = d.pace
        for j in range(n):
            q = inventory[j]
            h = hedge[j]
            flat = -q if abs(q) <= pace else (-pace if q > 0.0 else pace)
            low = -q if q > 0.0 else 0.0
            high = -q if q < 0.0 else 0.0
            towards_flat = low if h < low else (high if h > high else h)
            h = towards_flat if orders[j] & _REDUCE_ONLY else h
            h = 0.0 if orders[j] & _NO_HEDGE else h
            h = np.rint(-0.5 * q) if orders[j] & _HALVE else h
            hedge[j] = flat if orders[j] & _FLATTEN else h
    for j in range(n):
        hedge[j] *= alive[j]
    if d.position_hard < np.inf:
        rejects = d.position_on_breach == _REJECT
        for j in range(n):
            q = inventory[j]
            h = hedge[j]
            most = limit[j] if abs(q) <= limit[j] else abs(q)
            clipped = h if h <= most - q else most - q
            clipped = clipped if -clipped <= most + q else -(most + q)
            hedge[j] = (h if clipped == h else 0.0) if rejects else clipped
    if d.desk and p.desk_position < np.inf:
        hold_desk(p.desk_position, desk, hedge, reasons, n)
    if d.slippage_lots < np.inf:
        cap_hedge(d.slippage_lots, _NOTHING, d.slippage_on_breach, _SLIPPAGE, orders, hedge, reasons, n)
    if d.hedge_hard < np.inf:
        cap_hedge(d.hedge_hard, _QUARTER, d.hedge_on_breach, _HEDGE_SIZE, orders, hedge, reasons, n)
    if d.desk:
        for j in range(n):
            desk[j] += hedge[j]
    for j in range(n):
        reasons[j] |= _HEDGE if hedge[j] != asked[j] else _NOTHING
    return fired


@stage
def sum_desk(dealers, dealer, desk, lo, n):
    """The desk's inventory, lots."""
    for j in range(n):
        desk[j] = 0.0
    for i in range(dealer.shape[1]):
        if dealers[i].desk:
            inventory = dealer[INVENTORY, i, lo : lo + n]
            for j in range(n):
                desk[j] += inventory[j]


@stage
def hold_desk(limit, desk, hedge, reasons, n):
    """The desk's limit on a dealer's hedge, dealers one after another: ``desk`` holds what was approved before."""
    for j in range(n):
        h = hedge[j]
        most = limit if abs(desk[j]) <= limit else abs(desk[j])
        clipped = h if h <= most - desk[j] else most - desk[j]
        clipped = clipped if -clipped <= most + desk[j] else -(most + desk[j])
        reasons[j] |= _DESK if clipped != h else _NOTHING
        hedge[j] = clipped


@stage
def cap_hedge(lots, quarter, on_breach, reason, orders, hedge, reasons, n):
    """At most so many lots either way, or a quarter of them."""
    rejects = on_breach == _REJECT
    for j in range(n):
        h = hedge[j]
        most = np.floor(0.25 * lots) if orders[j] & quarter else lots
        reasons[j] |= _NOTHING if abs(h) <= most else reason
        hedge[j] = h if abs(h) <= most else (0.0 if rejects else (most if h > 0.0 else -most))


@stage
def approve(
    p, d, i, t, market, dealer, loss, hedge, finite, limit, desk, value, quoting, orders, reasons, warnings, lo, n
):
    """What the limits leave of a dealer's step: its hedge, and the orders that its quotes are held to.

    In: the ``hedge`` that was asked for and ``finite``, 0 where the action was not; ``desk``: the desk's inventory with
    the hedges approved before. Out: the approved ``hedge``; ``quoting`` 1 where the dealer may quote at all;
    ``limit``, its position limit; ``orders``, ``reasons``, ``warnings``. Returns the bits of all orders together.
    """
    alive = dealer[ALIVE, i, lo : lo + n]
    check_state(p, d, i, t, market, dealer, loss, value, orders, reasons, warnings, lo, n)
    fired = stay_in_force(d, i, dealer, orders, reasons, lo, n)
    for j in range(n):
        reasons[j] |= _NOTHING if finite[j] > 0.0 else _NON_FINITE
    inventory = dealer[INVENTORY, i, lo : lo + n]
    fired = approve_hedge(p, d, inventory, alive, limit, desk, orders, fired, hedge, value, reasons, n)
    for j in range(n):
        quoting[j] = alive[j] * finite[j]
    if fired & _NO_QUOTES:
        for j in range(n):
            quoting[j] = 0.0 if orders[j] & _NO_QUOTES else quoting[j]
    for j in range(n):
        reasons[j] = reasons[j] if alive[j] > 0.0 else _NOTHING
    for j in range(n):
        warnings[j] = warnings[j] if alive[j] > 0.0 else _NOTHING
    return fired
