"""A storm of messages, made and judged in compiled code by a ledger of orders that knows neither level nor queue.

What a message may do is judged at once; what must hold of the arrays (``book_invariants.broken``) and that they hold
what the ledger holds, every so many messages.
"""

import numpy as np

from marketsim.book.index import find
from marketsim.book.matching import enter
from marketsim.book.state import (
    BEST_ASK,
    BEST_BID,
    CANCELLED,
    FILLED,
    LIVE,
    PREVENTED,
    REJECTED,
    RESTING,
    SELF_TRADE,
    SUBMITTED,
    TRADES,
)
from marketsim.compiled import inlined, kernel, stage
from marketsim.rng import mix
from marketsim.types import MAX_LOTS, MAX_TICKS, Message, SelfTrade, TimeInForce
from tests.book_invariants import FAULTS as INVARIANTS
from tests.book_invariants import NONE, broken

LIMIT, CANCEL, MARKET, AMEND = map(int, Message)
GTC, IOC, FOK, POST_ONLY = map(int, TimeInForce)
ALLOW, CANCEL_RESTING, CANCEL_INCOMING, CANCEL_BOTH = map(int, SelfTrade)
NO_LIMIT = 2**60  # the price of a market order: beyond all

FAULTS = (
    *INVARIANTS,
    "a rejected message changed the book",
    "an order rests that should not, or does not that should",
    "a trade with an order that is not there, or with its own side",
    "a trade of more lots than were left",
    "a trade at another price than the maker's, or past the limit",
    "a trade out of price-time priority",
    "a trade with oneself",
    "orders prevented from trading with themselves that are not those of the owner or desk",
    "a fill-or-kill order that was not filled, or a post-only one that traded",
    "an order that differs from what came of its messages",
    "a queue that is not in the order of arrival",
    "totals that differ from those of the messages",
    "an order of which submitted is not filled + cancelled + resting",
    "cash that does not sum to the fees, or inventory that does not sum to zero",
)
(
    CHANGED,
    RESTS,
    NO_MAKER,
    TOO_MUCH,
    PRICE,
    PRIORITY,
    SELF,
    PREVENTION,
    TERMS,
    ORDER,
    QUEUE,
    TOTALS,
    ACCOUNT,
    CASH,
) = range(len(INVARIANTS), len(FAULTS))

# One row an order id. ``came``: the message with which it took its place.
LEDGER = np.dtype([(name, "i8") for name in "side owner price came submitted filled cancelled left".split()])
TOTAL_SUBMITTED, TOTAL_FILLED, TOTAL_CANCELLED, TOTAL_REJECTED, TOTAL_FEES = range(5)
MAKER_FEE, TAKER_FEE = -1, 3  # a lot

# How a storm blows: ticks from the centre, lots, owners, how many orders back cancels and amends reach, ticks by which
# the centre swings, messages in which it goes one, ticks by which it drifts for each swing.
REACH, SIZES, OWNERS, MEMORY, SWING, SLOW, DRIFT = range(7)


@stage
def make(m, ledger, storm, seed, i):
    """Message number i into row ``m`` of ``MESSAGE``."""
    drawn = mix(np.uint64(seed) + np.uint64(i) * np.uint64(0x9E3779B97F4A7C15))
    a = np.int64(drawn >> np.uint64(1))
    b = np.int64(mix(drawn) >> np.uint64(1))
    ids = ledger.shape[0]
    pick = a & 31
    m.kind = LIMIT if pick < 16 else CANCEL if pick < 25 else MARKET if pick < 28 else AMEND
    m.side = 1 if (a >> 5) & 1 else -1
    tif = (a >> 6) & 7
    m.tif = GTC if tif < 5 else tif - 4
    m.owner = (a >> 9) % (storm[OWNERS] + 1) - 1
    turns = i // (storm[SLOW] * 2 * storm[SWING])
    wave = abs((i // storm[SLOW]) % (2 * storm[SWING]) - storm[SWING]) + turns * storm[DRIFT]
    m.price = wave - m.side * ((a >> 24) % storm[REACH] - storm[REACH] // 4)
    m.size = 1 + (a >> 40) % storm[SIZES]
    m.order = i % ids
    if m.kind == CANCEL or m.kind == AMEND:
        m.order = (i + ids - 1 - (a >> 16) % storm[MEMORY]) % ids
        meant = ledger[m.order]
        if b & 15:
            m.owner = meant.owner
        if b & 16 and meant.left > 0:
            m.price = meant.price + (0 if b & 32 else (b >> 6) % 5 - 2)
            m.size = max(meant.left + (b >> 10) % 7 - 3, 1)
    elif m.kind == MARKET and (b >> 14) & 31 == 0:
        m.size = MAX_LOTS
    if (b >> 20) & 255 == 0:
        spoil(m, (b >> 28) & 7, (b >> 31) & 1)


@stage
def spoil(m, field, which):
    if field == 0:
        m.kind = 0 if which else 5
    elif field == 1:
        m.side = 0 if which else 2
    elif field == 2:
        m.size = 0 if which else 2**63 - 1
    elif field == 3:
        m.price = MAX_TICKS + 1 if which else -MAX_TICKS
    elif field == 4:
        m.tif = -1 if which else 4
    elif field == 5:
        m.order = -1
    else:
        m.owner = -5 if which else 2**31 - 1


@stage
def kin(desks, a, b):
    """Whether two owners are one to self-trade prevention."""
    if a < 0 or b < 0:
        return False
    if a == b:
        return True
    return a < desks.shape[0] and b < desks.shape[0] and desks[a] >= 0 and desks[a] == desks[b]


@stage
def cancel(mine, totals, lots):
    mine.cancelled += lots
    mine.left -= lots
    totals[TOTAL_CANCELLED] += lots


@stage
def settle(accounts, owner, bought, price, fee):
    """``accounts`` (owners, 2): lots and cash; the last row is that of all who are no owner of the storm's."""
    row = owner if 0 <= owner < accounts.shape[0] - 1 else accounts.shape[0] - 1
    accounts[row, 0] += bought
    accounts[row, 1] -= bought * price + fee * abs(bought)


@inlined
def judge(head, levels, orders, index, desks, trades, m, ledger, accounts, totals, outcome, before, i):
    """What one message did, held against the ledger, which then tells it too."""
    bid, ask, live, resting, prevented = before
    is_order = m.kind == LIMIT or m.kind == MARKET
    if is_order and 1 <= m.size <= MAX_LOTS:
        totals[TOTAL_SUBMITTED] += m.size
        if outcome != 0:
            totals[TOTAL_REJECTED] += m.size
    if outcome != 0:
        same = head[BEST_BID] == bid and head[BEST_ASK] == ask and head[LIVE] == live and head[RESTING] == resting
        return NONE if same and head[TRADES] == 0 and head[PREVENTED] == prevented else CHANGED

    mine = ledger[m.order]
    if m.kind == CANCEL:
        cancel(mine, totals, mine.left)
        return NONE if find(orders, index, m.order) < 0 and head[TRADES] == 0 else RESTS
    if m.kind == AMEND:
        added = max(m.size - mine.left, 0)
        mine.submitted += added
        mine.left += added
        totals[TOTAL_SUBMITTED] += added
        cancel(mine, totals, mine.left - m.size)
        if m.price == mine.price and added == 0:
            return NONE if find(orders, index, m.order) >= 0 and head[TRADES] == 0 else RESTS
    else:
        mine.side, mine.owner, mine.submitted, mine.left = m.side, m.owner, m.size, m.size
        mine.filled = mine.cancelled = 0
    mine.came = i
    mine.price = mine.side * NO_LIMIT if m.kind == MARKET else m.price
    policy = head[SELF_TRADE]

    last_price, last_came = mine.side * -NO_LIMIT, 0
    for t in range(head[TRADES]):
        trade = trades[t]
        if not 0 <= trade.maker < ledger.shape[0] or trade.maker == m.order:
            return NO_MAKER
        maker = ledger[trade.maker]
        if maker.side != -mine.side or trade.taker != m.order:
            return NO_MAKER
        if trade.size < 1 or trade.size > maker.left or trade.size > mine.left:
            return TOO_MUCH
        if trade.price != maker.price or mine.side * (mine.price - trade.price) < 0:
            return PRICE
        if mine.side * (trade.price - last_price) < 0 or (trade.price == last_price and maker.came <= last_came):
            return PRIORITY
        if trade.maker_owner != maker.owner or trade.taker_owner != mine.owner:
            return ORDER
        if policy != ALLOW and kin(desks, maker.owner, mine.owner):
            return SELF
        last_price, last_came = trade.price, maker.came
        for row in (maker, mine):
            row.left -= trade.size
            row.filled += trade.size
        totals[TOTAL_FILLED] += 2 * trade.size
        totals[TOTAL_FEES] += (MAKER_FEE + TAKER_FEE) * trade.size
        settle(accounts, maker.owner, maker.side * trade.size, trade.price, MAKER_FEE)
        settle(accounts, mine.owner, mine.side * trade.size, trade.price, TAKER_FEE)

    stopped = False
    if head[PREVENTED] != prevented:
        vanished = 0
        for number in range(ledger.shape[0]):
            other = ledger[number]
            if number != m.order and other.left > 0 and find(orders, index, number) < 0:
                reached = other.side == -mine.side and mine.side * (mine.price - other.price) >= 0
                if not reached or not kin(desks, other.owner, mine.owner):
                    return PREVENTION
                cancel(other, totals, other.left)
                vanished += 1
        met = head[PREVENTED] - prevented
        stopped = policy != CANCEL_RESTING
        if policy == ALLOW or vanished != (0 if policy == CANCEL_INCOMING else met) or (stopped and met != 1):
            return PREVENTION

    touch = head[BEST_ASK] if mine.side > 0 else head[BEST_BID]
    if mine.left > 0 and not stopped and mine.side * (mine.price - touch) >= 0:
        return PRIORITY
    if last_came > 0:  # nothing better than the last trade is left, nor at its price what came before
        if mine.side * (touch - last_price) < 0:
            return PRIORITY
        if touch == last_price:
            if ledger[orders[levels[touch & (levels.shape[0] - 1)].first].order].came < last_came:
                return PRIORITY
    if is_order and ((m.tif == FOK and mine.left > 0) or (m.tif == POST_ONLY and last_came > 0)):
        return TERMS
    rests = mine.left > 0 and not stopped and (m.kind == AMEND or (m.kind == LIMIT and m.tif != IOC))
    if rests != (find(orders, index, m.order) >= 0):
        return RESTS
    if not rests:
        cancel(mine, totals, mine.left)
    return NONE


@kernel
def audit(head, levels, orders, index, ledger, accounts, totals):
    """The first way in which the arrays are not what the ledger says."""
    fault = broken(head, levels, orders, index)
    if fault != NONE:
        return fault
    open_orders = 0
    for number in range(ledger.shape[0]):
        mine = ledger[number]
        if mine.submitted != mine.filled + mine.cancelled + mine.left:
            return ACCOUNT
        if mine.left > 0:
            open_orders += 1
            slot = find(orders, index, number)
            if slot < 0:
                return RESTS
            order = orders[slot]
            if order.side != mine.side or order.owner != mine.owner or order.price != mine.price:
                return ORDER
            if order.size != mine.left:
                return ORDER
            if order.prev != 0 and ledger[orders[order.prev].order].came >= mine.came:
                return QUEUE
    if open_orders != head[LIVE]:
        return RESTS
    if head[SUBMITTED] != totals[TOTAL_SUBMITTED] or head[FILLED] != totals[TOTAL_FILLED]:
        return TOTALS
    if head[CANCELLED] != totals[TOTAL_CANCELLED] or head[REJECTED] != totals[TOTAL_REJECTED]:
        return TOTALS
    lots, cash = 0, 0
    for owner in range(accounts.shape[0]):
        lots += accounts[owner, 0]
        cash += accounts[owner, 1]
    return NONE if lots == 0 and cash == -totals[TOTAL_FEES] else CASH


@kernel
def blow(
    head, levels, orders, index, desks, trades, message, ledger, accounts, totals, storm, seed, first, count, every
):
    """Messages ``first`` to ``first + count`` of a storm: the number of the last one, and the fault it met."""
    m = message[0]
    for i in range(first, first + count):
        make(m, ledger, storm, seed, i)
        before = head[BEST_BID], head[BEST_ASK], head[LIVE], head[RESTING], head[PREVENTED]
        head[TRADES] = 0
        outcome = enter(
            head, levels, orders, index, desks, trades, m.kind, m.side, m.price, m.size, m.order, m.owner, m.tif
        )
        fault = judge(head, levels, orders, index, desks, trades, m, ledger, accounts, totals, outcome, before, i)
        if fault == NONE and i % every == 0:
            fault = audit(head, levels, orders, index, ledger, accounts, totals)
        if fault != NONE:
            return i, fault
    return first + count, NONE
