"""What must hold of the arrays of a book after every message, and what each message left, in compiled code."""

from marketsim.book.index import find
from marketsim.book.ladder import lots_at
from marketsim.book.matching import enter
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
    REJECTED,
    RESTING,
    SUBMITTED,
    TRADES,
    USED,
    WORDS,
)
from marketsim.compiled import kernel

FAULTS = (
    "none",
    "crossed",
    "a best price that is not that of the extreme level",
    "a level that does not sum its orders",
    "an order that is not where it should be",
    "links that do not fit",
    "a bit that does not say whether its level is empty",
    "prices outside low and high, or these too far apart",
    "slots lost or doubled",
    "a table of ids that does not hold those that rest",
    "lots that do not add up",
)
(
    NONE,
    CROSSED,
    BEST,
    SUM,
    PLACE,
    LINK,
    BIT,
    SPAN,
    POOL,
    INDEX,
    LOTS,
) = range(len(FAULTS))


@kernel
def process_watched(head, levels, orders, index, desks, trades, messages, outcomes, seen):
    """As ``process``; ``seen`` (messages, 6): trades so far, best bid, its lots, best ask, its lots, orders that rest."""
    for i in range(messages.shape[0]):
        m = messages[i]
        outcomes[i] = enter(
            head, levels, orders, index, desks, trades, m.kind, m.side, m.price, m.size, m.order, m.owner, m.tif
        )
        seen[i, 0] = head[TRADES]
        seen[i, 1] = head[BEST_BID]
        seen[i, 2] = lots_at(head, levels, head[BEST_BID])
        seen[i, 3] = head[BEST_ASK]
        seen[i, 4] = lots_at(head, levels, head[BEST_ASK])
        seen[i, 5] = head[LIVE]


@kernel
def broken(head, levels, orders, index):
    """The first invariant of one book that does not hold, 0 if all do."""
    mask = levels.shape[0] - 1
    words = (levels.shape[0] + 4095) // 4096
    bid, ask, live, resting = NO_BID, NO_ASK, 0, 0
    low, high = NO_ASK, NO_BID
    for word in range(levels.shape[0] // 64):
        upper = (head[WORDS + word // 64] >> (word % 64)) & 1
        if upper != (head[WORDS + words + word] != 0):
            return BIT
    for place in range(levels.shape[0]):
        level = levels[place]
        bit = (head[WORDS + words + place // 64] >> (place % 64)) & 1
        if bit != (level.first != 0):
            return BIT
        lots, before, slot = 0, 0, level.first
        while slot != 0:
            order = orders[slot]
            first = orders[level.first]
            if order.price & mask != place or order.price != first.price or order.side != first.side or order.size < 1:
                return PLACE
            if order.prev != before:
                return LINK
            if find(orders, index, order.order) != slot:
                return INDEX
            lots += order.size
            live += 1
            before, slot = slot, order.next
            if live > head[MAX_ORDERS]:
                return POOL
        if level.last != before:
            return LINK
        if level.lots != lots:
            return SUM
        resting += lots
        if before != 0:
            order = orders[before]
            low, high = min(low, order.price), max(high, order.price)
            if order.side > 0:
                bid = max(bid, order.price)
            else:
                ask = min(ask, order.price)
    if head[BEST_BID] != bid or head[BEST_ASK] != ask:
        return BEST
    if bid >= ask:
        return CROSSED
    if live > 0 and (low < head[LOW] or high > head[HIGH] or head[HIGH] - head[LOW] >= head[MAX_SPAN]):
        return SPAN
    free, slot = 0, head[FREE]
    while slot != 0 and free <= orders.shape[0]:
        free += 1
        slot = orders[slot].next
    if head[LIVE] != live or live + free + 1 != head[USED] or head[USED] > orders.shape[0]:
        return POOL
    entries = 0
    for cell in range(index.shape[0]):
        entries += index[cell] != 0
    if entries != live:
        return INDEX
    if resting != head[RESTING] or head[SUBMITTED] != head[FILLED] + head[CANCELLED] + resting + head[REJECTED]:
        return LOTS
    return NONE
