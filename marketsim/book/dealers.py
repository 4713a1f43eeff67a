"""Stage 4 in the book: what the dealers of a market send to it, quotes first, hedges after them.

Dealer i has at most one order a side, of id 2 i (bid) or 2 i + 1 (ask). A step asks for a distance from the mid that it
sees and for lots. At the price where its order rests already, the order keeps its place and is never topped up; else it
is amended, and loses it. Hedges are market orders, or, under a limit on slippage, immediate ones at the worst price it
allows. Dealers take turns at being first: dealer t mod N in step t.
"""

import math

import numpy as np

from marketsim import scratch as at
from marketsim.act import affine, clipped
from marketsim.book.index import slot_of
from marketsim.book.rows import send
from marketsim.compiled import formula, stage
from marketsim.guardrails.resting import approved_distance, approved_lots
from marketsim.types import (
    ASK,
    BID,
    CASH,
    HISTORY,
    HISTORY_LENGTH,
    INVENTORY,
    MAX_LOTS,
    MESSAGES,
    MID,
    SEEN,
    Action,
    Ledger,
    Message,
    Outcome,
    Reason,
    TimeInForce,
)
from marketsim.venue import venue_cost, venue_fee

_OFFSETS = int(Action.OFFSETS)
_ORDER_RATE, _HEDGE = np.uint32(Reason.ORDER_RATE), np.uint32(Reason.HEDGE)
_NOTHING = np.uint32(0)
# numbers with a type and no literals, for which what they are given to would be compiled once more
LIMIT, CANCEL, MARKET, AMEND = (np.int64(kind) for kind in Message)
GTC, IOC, BUY, SELL, NONE = np.int64(TimeInForce.GTC), np.int64(TimeInForce.IOC), np.int64(1), np.int64(-1), np.int64(0)
ACCEPTED = int(Outcome.ACCEPTED)
_FAR = 1e12  # ticks: no price


@formula
def order_id(i, side):
    """Of dealer i's order on a side."""
    return 2 * i + side


@formula
def price_at(mid, distance, side, tick):
    """The tick at least ``distance`` from the mid, a float64: bid floor((S - x) / tick), ask ceil((S + x) / tick)."""
    if side == BID:
        return math.floor((mid - distance) / tick + 1e-9)
    return math.ceil((mid + distance) / tick - 1e-9)


@stage
def open_lots(books, m, i, side):
    """What is left of dealer i's order on a side, and what is on its way to another price."""
    orders, number = books.orders[m], order_id(i, side)
    slot = slot_of(orders, books.ids[m], number)
    total = float(orders[slot].size) if slot != 0 else 0.0
    sent = books.agents[m, i].first
    while sent != 0:
        message = books.flight[m, sent]
        if message.order == number and (message.kind == LIMIT or (slot != 0 and message.price != orders[slot].price)):
            total += float(message.size)
        sent = message.next
    return total


@stage
def asked_distance(d, actions, quotes, slot, m, i, side):
    """The distance from the mid that a dealer asks for on a side, price units; NaN: no order."""
    if slot < 0:
        return affine(actions[m, i, side], d.markup_low, d.markup_high)
    return quotes[slot, m, 0 if side == BID else quotes.shape[2] // 2]


@stage
def asked_lots(d, actions, slot, m, i, side):
    """And the lots; one that is driven in prices quotes the smallest size."""
    return np.rint(affine(actions[m, i, 2 + side], d.size_low, d.size_high)) if slot < 0 else d.size_low


@stage
def quote_side(
    p, d, actions, quotes, slot, seen, widen, quoting, hedge, limit, desk, orders, market, dealer, ledger, books, t, m, i, side
):  # fmt: skip
    """Bring dealer i's order on a side to what it asks for and may have. Returns why that is not the same, in bits."""
    book = books.orders[m]
    rests = slot_of(book, books.ids[m], order_id(i, side))
    old_price = book[rests].price if rests != 0 else 0
    old_lots = float(book[rests].size) if rests != 0 else 0.0
    sign = 1.0 if side == BID else -1.0
    reasons = np.uint32(0)
    lots, price = 0.0, 0.0
    if quoting:
        keeps = slot < 0 and clipped(actions[m, i, 4]) > 0.0
        if keeps:
            asked, lots = sign * (seen - old_price * p.tick), old_lots
        else:
            asked, lots = asked_distance(d, actions, quotes, slot, m, i, side), asked_lots(d, actions, slot, m, i, side)
        if lots > 0.0 and abs(asked) < np.inf:
            distance, why = approved_distance(d, asked, widen, orders)
            reasons |= why
            price = float(old_price) if keeps and distance == asked else price_at(seen, distance, side, p.tick)
            if not abs(price) <= _FAR:
                lots = 0.0
        else:
            lots = 0.0
    if lots > 0.0:
        unsettled = old_lots if d.latency > 0.0 and price != old_price else 0.0
        q = dealer[INVENTORY, i, m]
        lots, why = approved_lots(d, side, lots, q, hedge, unsettled, limit, desk, p.desk_position, orders)
        reasons |= why
    same_price = rests != 0 and price == old_price
    if same_price and lots > old_lots:
        lots = old_lots
    if lots > 0.0 and not same_price and not dealer[MESSAGES, i, m] + 1.0 <= d.order_rate_hard:
        reasons |= _ORDER_RATE  # what takes away always goes, what adds does not
        away = sign * (seen - old_price * p.tick)
        lots = min(lots, old_lots) if d.band_low <= away and away <= d.band_high else 0.0
        price = float(old_price)
    if rests == 0 and lots > 0.0:
        kind = LIMIT
    elif rests != 0 and lots == 0.0:
        kind = CANCEL
    elif rests != 0 and (price != old_price or lots != old_lots):
        kind = AMEND
    else:
        return reasons
    outcome = send(
        p, d, market, dealer, ledger, books, t, m, kind, BUY if side == BID else SELL, np.int64(price), np.int64(lots),
        order_id(i, side), i, GTC,
    )  # fmt: skip
    dealer[MESSAGES, i, m] += 1.0
    if kind == AMEND and outcome > ACCEPTED:  # what rests may be more than is allowed now
        send(p, d, market, dealer, ledger, books, t, m, CANCEL, NONE, NONE, NONE, order_id(i, side), i, GTC)
        dealer[MESSAGES, i, m] += 1.0
    return reasons


@stage
def held_by_desk(dealers, dealer, work, books, m, j, side):
    """What the desk would hold, in lots of a side's direction, if all its orders on it and approved hedges traded."""
    N = dealer.shape[1]
    sign, total = 1.0 if side == BID else -1.0, 0.0
    for i in range(N):
        if dealers[i].desk:
            total += sign * dealer[INVENTORY, i, m] + open_lots(books, m, i, side)
            total += max(sign * work[at.GROUPS + at.HEDGE * N + i, j], 0.0)
    return total


@stage
def quote_in_book(p, dealers, cells, actions, quotes, slots, market, dealer, ledger, work, ints, books, t, lo, n):
    """The quotes of all dealers who quote in the book, in turn; afterwards they quote no client."""
    N = dealer.shape[1]
    ring = SEEN if p.misled else HISTORY
    for j in range(n):
        m = lo + j
        seen = market[ring + t % HISTORY_LENGTH, m]
        for turn in range(N):
            i = (t + turn) % N
            d = dealers[i]
            if d.action != _OFFSETS:
                continue
            if t % d.order_rate_steps == 0:
                dealer[MESSAGES, i, m] = 0.0
            limit = work[at.GROUPS + at.LIMIT * N + i, j] if d.position_hard < np.inf else np.inf
            quoting = work[at.GROUPS + at.QUOTING * N + i, j] > 0.0
            hedge = work[at.GROUPS + at.HEDGE * N + i, j]
            orders = ints[at.INTEGER_GROUPS + at.ORDERS * N + i, j]
            for side in (BID, ASK):
                cell, desk = 0 if side == BID else cells[0].other_side, 0.0
                if d.desk and p.desk_position < np.inf:
                    desk = held_by_desk(dealers, dealer, work, books, m, j, side) - open_lots(books, m, i, side)
                ints[at.INTEGER_GROUPS + at.REASONS * N + i, j] |= quote_side(
                    p, d, actions, quotes, slots[i], seen, d.widen * cells[cell].reference, quoting, hedge, limit, desk, orders,
                    market, dealer, ledger, books, t, m, i, side,
                )  # fmt: skip
    for i in range(N):
        if dealers[i].action == _OFFSETS:
            quoting = work[at.GROUPS + at.QUOTING * N + i]
            for j in range(n):
                quoting[j] = 0.0


@stage
def recheck_hedges(p, dealers, dealer, work, ints, books, t, lo, n):
    """What is left of the approved hedges once the quotes are placed: some orders have traded meanwhile."""
    N = dealer.shape[1]
    for j in range(n):
        m = lo + j
        for turn in range(N):
            i = (t + turn) % N
            d = dealers[i]
            hedge = work[at.GROUPS + at.HEDGE * N + i, j]
            if hedge == 0.0:
                continue
            side = NONE + BID if hedge > 0.0 else NONE + ASK
            sign = 1.0 if side == BID else -1.0
            most = np.inf
            if d.position_hard < np.inf and d.action == _OFFSETS:
                limit = work[at.GROUPS + at.LIMIT * N + i, j]
                most = limit - sign * dealer[INVENTORY, i, m] - open_lots(books, m, i, side)
            if d.desk and p.desk_position < np.inf:
                others = held_by_desk(dealers, dealer, work, books, m, j, side) - abs(hedge)
                most = min(most, p.desk_position - others)
            if not abs(hedge) <= most:
                ints[at.INTEGER_GROUPS + at.REASONS * N + i, j] |= _HEDGE
                work[at.GROUPS + at.HEDGE * N + i, j] = sign * max(most, 0.0)


@stage
def hedge_in_book(p, dealers, market, dealer, ledger, work, books, t, lo, n):
    """The hedges of all dealers, in turn: market orders, whatever does not trade at once is cancelled."""
    N = dealer.shape[1]
    for j in range(n):
        m = lo + j
        for turn in range(N):
            i = (t + turn) % N
            d = dealers[i]
            h = work[at.GROUPS + at.HEDGE * N + i, j]
            if h == 0.0:
                continue
            side, kind, price = BUY if h > 0.0 else SELL, MARKET, 0.0
            if d.slippage_hard < np.inf:
                kind = LIMIT
                worst = (market[MID, m] + side * (d.slippage_hard - p.fee)) / p.tick
                price = math.floor(worst + 1e-9) if side > 0 else math.ceil(worst - 1e-9)
            lots = np.int64(min(abs(h), float(MAX_LOTS)))
            send(p, d, market, dealer, ledger, books, t, m, kind, side, np.int64(price), lots, 2 * N + i, i, IOC)
            dealer[MESSAGES, i, m] += 1.0


@stage
def hedge_at_curve(p, market, dealer, ledger, work, lo, n):
    """The hedges of all dealers at the venue's curve, beside a book whose mid they do not move."""
    N = dealer.shape[1]
    for i in range(N):
        for j in range(n):
            m = lo + j
            h = work[at.GROUPS + at.HEDGE * N + i, j]
            cost, fee = venue_cost(p.half_spread, p.slope, h), venue_fee(p.fee, h)
            dealer[INVENTORY, i, m] += h
            dealer[CASH, i, m] -= h * market[MID, m] + cost + fee
            ledger[Ledger.HEDGE_COST, i, m] += cost
            ledger[Ledger.FEES, i, m] += fee
            ledger[Ledger.HEDGE, i, m] += h
