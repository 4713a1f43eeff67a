"""Which levels are not empty, and the next such level in a direction: a bit a level, and a bit a word of those bits.

The ladder is a circle: price p stands at place p & (levels - 1). So it moves with the market and no level is ever
copied. All that rests lies from LOW to HIGH, less than a circle apart: a search that starts there and comes round to
the other end has found nothing.
"""

from marketsim.book.bits import highest_one, lowest_one
from marketsim.book.state import BEST_ASK, BEST_BID, HIGH, LOW, NO_ASK, NO_BID, WORDS
from marketsim.compiled import formula, stage


@formula
def _words_of_words(levels):
    """As ``state.words_of_words``."""
    return (levels.shape[0] + 4095) >> 12


@formula
def occupy(head, levels, price):
    """A level is not empty (any more)."""
    place = price & (levels.shape[0] - 1)
    word = place >> 6
    head[WORDS + _words_of_words(levels) + word] |= 1 << (place & 63)
    head[WORDS + (word >> 6)] |= 1 << (word & 63)


@formula
def vacate(head, levels, price):
    """A level is empty."""
    place = price & (levels.shape[0] - 1)
    word = place >> 6
    left = head[WORDS + _words_of_words(levels) + word] & ~(1 << (place & 63))
    head[WORDS + _words_of_words(levels) + word] = left
    if left == 0:
        head[WORDS + (word >> 6)] &= ~(1 << (word & 63))


@stage
def _down(head, levels, price):
    """The first price at or below this one whose place is not empty, at most a circle away; NO_BID if all are."""
    mask = levels.shape[0] - 1
    count = _words_of_words(levels)
    place = price & mask
    word = place >> 6
    bits = head[WORDS + count + word] & ~(-2 << (place & 63))
    if bits == 0:
        group = word >> 6
        words = head[WORDS + group] & ~(-1 << (word & 63))
        tried = 0
        while words == 0 and tried < count:
            group = group - 1 if group > 0 else count - 1
            words = head[WORDS + group]
            tried += 1
        if words == 0:
            return NO_BID
        word = (group << 6) | highest_one(words)
        bits = head[WORDS + count + word]
    return price - ((price - ((word << 6) | highest_one(bits))) & mask)


@stage
def _up(head, levels, price):
    """The first price at or above this one whose place is not empty, at most a circle away; NO_ASK if all are."""
    mask = levels.shape[0] - 1
    count = _words_of_words(levels)
    place = price & mask
    word = place >> 6
    bits = head[WORDS + count + word] & (-1 << (place & 63))
    if bits == 0:
        group = word >> 6
        words = head[WORDS + group] & (-2 << (word & 63))
        tried = 0
        while words == 0 and tried < count:
            group = group + 1 if group < count - 1 else 0
            words = head[WORDS + group]
            tried += 1
        if words == 0:
            return NO_ASK
        word = (group << 6) | lowest_one(words)
        bits = head[WORDS + count + word]
    return price + ((((word << 6) | lowest_one(bits)) - price) & mask)


@stage
def next_level(head, levels, side, price):
    """The next price on a side with orders, further from the touch than ``price``; NO_BID or NO_ASK if there is none."""
    if side > 0:
        start = min(price - 1, head[BEST_BID])
        if start >= head[LOW]:
            found = _down(head, levels, start)
            if found >= head[LOW]:
                return found
        return NO_BID
    start = max(price + 1, head[BEST_ASK])
    if start <= head[HIGH]:
        found = _up(head, levels, start)
        if found <= head[HIGH]:
            return found
    return NO_ASK


@stage
def stretch(head, levels, price):
    """The lowest and the highest price with orders, and this one: exact where it matters, which is at the ladder's end."""
    low, high = head[LOW], head[HIGH]
    if low <= high:
        low = _up(head, levels, low)
        high = _down(head, levels, high)
    return min(low, price), max(high, price)


@stage
def lots_at(head, levels, price):
    """Lots that rest at a price, of whichever side."""
    if price < head[LOW] or price > head[HIGH]:
        return 0
    return levels[price & (levels.shape[0] - 1)].lots


@stage
def depth(head, levels, side, ticks):
    """Lots of a side at most so many ticks from its best price, the best included: 0 ticks are the best price alone."""
    lots = 0
    best = head[BEST_BID] if side > 0 else head[BEST_ASK]
    price = best
    while NO_BID < price < NO_ASK and side * (best - price) <= ticks:
        lots += levels[price & (levels.shape[0] - 1)].lots
        price = next_level(head, levels, side, price)
    return lots


@stage
def ahead(levels, orders, slot):
    """Lots that trade before an order at its price: those of the orders before it in its queue."""
    lots = 0
    before = orders[slot].prev
    while before != 0:
        lots += orders[before].size
        before = orders[before].prev
    return lots
