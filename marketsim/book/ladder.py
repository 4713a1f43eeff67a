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
def vacate(head, levels, price, empty):
    """A level is empty, if ``empty`` is 1, and is as it was, if 0: a branch here would be a coin's."""
    place = price & (levels.shape[0] - 1)
    word = place >> 6
    left = head[WORDS + _words_of_words(levels) + word] & ~(empty << (place & 63))
    head[WORDS + _words_of_words(levels) + word] = left
    if left == 0:
        head[WORDS + (word >> 6)] &= ~(1 << (word & 63))


@formula
def best(side):
    """The row of the best price of a side."""
    return BEST_BID if side > 0 else BEST_ASK


@formula
def _onwards(side, place):
    """The bits of a word from a place on, in the direction that leads away from the touch: down for bids."""
    return ~(-2 << (place & 63)) if side > 0 else -1 << (place & 63)


@formula
def _first(side, word):
    """The first bit that one meets in that direction."""
    return highest_one(word) if side > 0 else lowest_one(word)


@stage
def _seek(head, levels, side, price):
    """The first price from this one on, away from the touch, whose place is not empty; beyond all if every one is."""
    mask = levels.shape[0] - 1
    count = _words_of_words(levels)
    place = price & mask
    word = place >> 6
    bits = head[WORDS + count + word] & _onwards(side, place)
    if bits == 0:
        group = word >> 6
        words = head[WORDS + group] & _onwards(side, word) & ~(1 << (word & 63))
        tried = 0
        while words == 0 and tried < count:
            group = (group - side) & (count - 1)
            words = head[WORDS + group]
            tried += 1
        if words == 0:
            return -side * NO_ASK
        word = (group << 6) | _first(side, words)
        bits = head[WORDS + count + word]
    found = (word << 6) | _first(side, bits)
    return price - side * ((side * (price - found)) & mask)


@stage
def next_level(head, levels, side, price):
    """The next price on a side with orders, further from the touch than ``price``; NO_BID or NO_ASK if there is none."""
    touch = head[best(side)]
    start = price - side if side * (touch - price) >= 0 else touch
    end = head[LOW] if side > 0 else head[HIGH]
    if side * (start - end) >= 0:
        found = _seek(head, levels, side, start)
        if side * (found - end) >= 0:
            return found
    return -side * NO_ASK


@stage
def stretch(head, levels, price):
    """The lowest and the highest price of those that rest and this one: exact, where LOW and HIGH may be too wide."""
    low, high = head[LOW], head[HIGH]
    if low <= high:
        low = _seek(head, levels, -1, low)
        high = _seek(head, levels, 1, high)
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
    touch = head[best(side)]
    price = touch
    while NO_BID < price < NO_ASK and side * (touch - price) <= ticks:
        lots += levels[price & (levels.shape[0] - 1)].lots
        price = next_level(head, levels, side, price)
    return lots


@stage
def ahead(levels, orders, slot):
    """Lots that trade before an order at its price: those of the orders before it in its queue.

    The queue is walked both ways at once: who stands near either end of a long one is found soon.
    """
    lots, later = 0, 0
    before, behind = orders[slot].prev, orders[slot].next
    while before != 0:
        if behind == 0:
            return levels[orders[slot].price & (levels.shape[0] - 1)].lots - orders[slot].size - later
        lots += orders[before].size
        later += orders[behind].size
        before, behind = orders[before].prev, orders[behind].next
    return lots
