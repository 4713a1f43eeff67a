"""The matching engine: one order message to one book, by the rules of docs/book.md.

Every function here takes the arrays of ``state.py`` as they are; none allocates. ``side`` is +1 or -1 throughout, so that one
text serves both sides: ``side * (a - b) > 0`` reads "a is better than b, for an order of that side".
"""

import numpy as np

from marketsim.book.index import add, remove, slot_of
from marketsim.book.ladder import best, next_level, occupy, stretch, vacate
from marketsim.book.state import (
    BEST_ASK,
    BEST_BID,
    CANCELLED,
    FILLED,
    FREE,
    HIGH,
    LIVE,
    LOW,
    MAX_ORDERS,
    MAX_SPAN,
    NO_ASK,
    NO_BID,
    OUTCOMES,
    PREVENTED,
    REJECTED,
    RESTING,
    SELF_TRADE,
    SUBMITTED,
    TRADES,
    USED,
)
from marketsim.compiled import formula, inlined, kernel, stage
from marketsim.types import MAX_LOTS, MAX_TICKS, Message, Outcome, SelfTrade, TimeInForce

# plain numbers, so that an outcome is one in compiled code
LIMIT, CANCEL, MARKET, AMEND = (int(kind) for kind in Message)
GTC, IOC, FOK, POST_ONLY = (int(tif) for tif in TimeInForce)
ALLOW, CANCEL_RESTING, CANCEL_INCOMING, CANCEL_BOTH = (int(policy) for policy in SelfTrade)
(
    ACCEPTED,
    BAD_KIND,
    BAD_SIDE,
    BAD_SIZE,
    BAD_PRICE,
    BAD_TIF,
    BAD_ORDER,
    DUPLICATE_ORDER,
    UNKNOWN_ORDER,
    NOT_OWNER,
    WOULD_CROSS,
    WOULD_NOT_FILL,
    OFF_LADDER,
    BOOK_FULL,
) = (int(outcome) for outcome in Outcome)
NO_LIMIT = 2**61  # the price of a market order, times its side: better than any, and it does not reach an empty side


@kernel
def process(head, levels, orders, index, desks, trades, messages, outcomes):
    """Many messages (``MESSAGE``), one after another; their outcomes into ``outcomes`` (uint8)."""
    for i in range(messages.shape[0]):
        m = messages[i]
        outcomes[i] = enter(
            head, levels, orders, index, desks, trades, np.int64(m.kind), np.int64(m.side), m.price, m.size, m.order,
            np.int64(m.owner), np.int64(m.tif),
        )  # fmt: skip


@stage
def clear(head, levels, orders, index):
    """The empty book: all but the settings begins anew, the counters too."""
    head[:SELF_TRADE] = 0
    head[OUTCOMES:] = 0
    head[BEST_BID] = head[HIGH] = NO_BID
    head[BEST_ASK] = head[LOW] = NO_ASK
    head[USED] = 1
    for i in range(levels.shape[0]):
        levels[i].lots = 0
        levels[i].first = 0
        levels[i].last = 0
    index[:] = 0


@inlined
def enter(head, levels, orders, index, desks, trades, kind, side, price, size, order, owner, tif):
    """One message; its ``Outcome``. Trades are written from row ``head[TRADES]``; it is for the caller that there is room.

    n messages make at most ``head[LIVE]`` + 2 n trades: a trade is the last of its incoming order, or the last of a
    resting one, which rested already or came with a message.
    """
    slot = slot_of(orders, index, order)
    outcome = _check(head, levels, orders, desks, slot, kind, side, price, size, order, owner, tif)
    head[OUTCOMES + outcome] += 1
    if kind == LIMIT or kind == MARKET:
        lots = size if 1 <= size <= MAX_LOTS else 0  # no message can make the counters overflow
        head[SUBMITTED] += lots
        if outcome != ACCEPTED:
            head[REJECTED] += lots
    if outcome != ACCEPTED:
        return outcome

    if kind == CANCEL or kind == AMEND:
        open_lots = orders[slot].size
        if kind == AMEND:
            head[SUBMITTED] += max(size - open_lots, 0)
            head[CANCELLED] += max(open_lots - size, 0)
            if price == orders[slot].price and size <= open_lots:
                orders[slot].size = size
                levels[price & (levels.shape[0] - 1)].lots -= open_lots - size
                head[RESTING] -= open_lots - size
                return ACCEPTED
            side = orders[slot].side
            owner = orders[slot].owner
            tif = GTC
        else:
            head[CANCELLED] += open_lots
        _leave(head, levels, orders, index, slot)
        if kind == CANCEL:
            return ACCEPTED

    limit = side * NO_LIMIT if kind == MARKET else price
    left = _trade(head, levels, orders, index, desks, trades, side, limit, size, order, owner)
    if left > 0:
        if kind == MARKET or tif == IOC:
            head[CANCELLED] += left
        else:
            _rest(head, levels, orders, index, side, price, left, order, owner)
    return ACCEPTED


@formula
def _check(head, levels, orders, desks, slot, kind, side, price, size, order, owner, tif):
    """Whether a message is accepted, or why not, in the order of the enumeration. Nothing is written."""
    if kind == LIMIT or kind == MARKET:
        if side != 1 and side != -1:
            return BAD_SIDE
        if size < 1 or size > MAX_LOTS:
            return BAD_SIZE
        if kind == LIMIT and (price < -MAX_TICKS or price > MAX_TICKS):
            return BAD_PRICE
        if tif < GTC or tif > POST_ONLY or (tif == POST_ONLY and kind == MARKET):
            return BAD_TIF
        if order < 0:
            return BAD_ORDER
        if slot != 0:
            return DUPLICATE_ORDER
        if tif == POST_ONLY and side * (price - head[best(-side)]) >= 0:
            return WOULD_CROSS
        if tif == FOK:
            limit = side * NO_LIMIT if kind == MARKET else price
            if not _would_fill(head, levels, orders, desks, side, limit, size, owner):
                return WOULD_NOT_FILL
        if kind == LIMIT and (tif == GTC or tif == POST_ONLY):
            if _off_ladder(head, levels, price):
                return OFF_LADDER
            if head[LIVE] >= head[MAX_ORDERS]:
                return BOOK_FULL
        return ACCEPTED
    if kind == CANCEL or kind == AMEND:
        if kind == AMEND:
            if size < 1 or size > MAX_LOTS:
                return BAD_SIZE
            if price < -MAX_TICKS or price > MAX_TICKS:
                return BAD_PRICE
        if order < 0:
            return BAD_ORDER
        if slot == 0:
            return UNKNOWN_ORDER
        if owner >= 0 and owner != orders[slot].owner:
            return NOT_OWNER
        if kind == AMEND and _off_ladder(head, levels, price):
            return OFF_LADDER
        return ACCEPTED
    return BAD_KIND


@formula
def _off_ladder(head, levels, price):
    """Whether this price and those that rest span more than the ladder."""
    off = max(head[HIGH], price) - min(head[LOW], price) >= head[MAX_SPAN]
    if off:
        low, high = stretch(head, levels, price)
        off = high - low >= head[MAX_SPAN]
    return off


@formula
def _desk(desks, owner):
    """The desk of an owner, or -1: a desk of its own."""
    return desks[owner] if 0 <= owner < desks.shape[0] else -1


@formula
def _same(desks, owner, desk, other):
    """Whether two owners are one to self-trade prevention; ``owner`` is not anonymous, ``desk`` is its desk."""
    return other == owner or (desk >= 0 and _desk(desks, other) == desk)


@stage
def _would_fill(head, levels, orders, desks, side, limit, size, owner):
    """Whether all lots of an order would trade at once: judged with self-trade prevention, as it would act."""
    policy = head[SELF_TRADE] if owner >= 0 else ALLOW
    desk = _desk(desks, owner)
    price = head[best(-side)]
    left = size
    while left > 0 and side * (limit - price) >= 0:
        level = levels[price & (levels.shape[0] - 1)]
        if policy == ALLOW:
            left -= level.lots
        else:
            slot = level.first
            while slot != 0 and left > 0:
                if not _same(desks, owner, desk, orders[slot].owner):
                    left -= orders[slot].size
                elif policy != CANCEL_RESTING:
                    return False
                slot = orders[slot].next
        price = next_level(head, levels, -side, price)
    return left <= 0


@formula
def _trade(head, levels, orders, index, desks, trades, side, limit, size, order, owner):
    """Trade with the other side as far as the limit reaches; the lots that are left and not cancelled."""
    policy = head[SELF_TRADE] if owner >= 0 else ALLOW
    desk = _desk(desks, owner)
    other_best = best(-side)
    left = size
    while left > 0 and side * (limit - head[other_best]) >= 0:
        level = levels[head[other_best] & (levels.shape[0] - 1)]
        slot = level.first
        maker = orders[slot]
        if policy != ALLOW and _same(desks, owner, desk, maker.owner):
            head[PREVENTED] += 1
            if policy != CANCEL_RESTING:
                head[CANCELLED] += left
                left = 0
            lots = 0 if policy == CANCEL_INCOMING else maker.size
            head[CANCELLED] += lots
        else:
            lots = min(left, maker.size)
            left -= lots
            head[FILLED] += 2 * lots
            trade = trades[head[TRADES]]
            head[TRADES] += 1
            trade.maker = maker.order
            trade.taker = order
            trade.price = maker.price
            trade.size = lots
            trade.maker_owner = maker.owner
            trade.taker_owner = owner
        if lots == maker.size:
            _leave(head, levels, orders, index, slot)
        else:
            maker.size -= lots
            level.lots -= lots
            head[RESTING] -= lots
    return left


@formula
def _rest(head, levels, orders, index, side, price, size, order, owner):
    """To the end of the queue at its price."""
    slot = head[FREE]
    if slot != 0:
        head[FREE] = orders[slot].next
    else:
        slot = head[USED]
        head[USED] += 1
    head[LIVE] += 1
    head[RESTING] += size
    add(index, order, slot)

    level = levels[price & (levels.shape[0] - 1)]
    last = level.last
    mine = orders[slot]
    mine.order = order
    mine.price = price
    mine.size = size
    mine.owner = owner
    mine.side = side
    mine.next = 0
    mine.prev = last
    orders[last].next = slot  # where nobody is before it: of slot 0, which nobody reads
    level.first = level.first if last != 0 else slot
    level.last = slot
    level.lots += size

    low, high = min(head[LOW], price), max(head[HIGH], price)
    if high - low >= head[MAX_SPAN]:
        low, high = stretch(head, levels, price)
    head[LOW], head[HIGH] = low, high
    occupy(head, levels, price)
    touch = head[best(side)]
    head[best(side)] = price if side * (price - touch) > 0 else touch


@inlined
def _leave(head, levels, orders, index, slot):
    """A resting order leaves the book, from wherever it stands in its queue."""
    mine = orders[slot]
    side, price = mine.side, mine.price
    remove(orders, index, mine.order, slot)
    head[LIVE] -= 1
    head[RESTING] -= mine.size

    level = levels[price & (levels.shape[0] - 1)]
    before, behind = mine.prev, mine.next
    orders[before].next = behind  # of slot 0, where there is nobody
    orders[behind].prev = before
    level.first = level.first if before != 0 else behind
    level.last = level.last if behind != 0 else before
    level.lots -= mine.size
    mine.next = head[FREE]
    head[FREE] = slot

    empty = 1 if level.first == 0 else 0
    vacate(head, levels, price, empty)
    if empty & (price == head[best(side)]):
        head[best(side)] = next_level(head, levels, side, price)
