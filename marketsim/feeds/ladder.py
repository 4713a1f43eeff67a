"""The book that a feed tells of: lots by side and tick in a dense window, which moves with the market.

``book`` int64 (FIELDS,), ``sizes`` int64 (2, levels), bids then asks: the lots at tick ``t`` stand in column ``t`` modulo
``levels`` (a power of two), so that moving the window moves nothing, it only empties what leaves.
"""

import numpy as np

from marketsim.compiled import kernel, stage
from marketsim.feeds.types import Kind

(
    LOW,  # the lowest tick of the window
    BID,  # the best of each side, NO_BID or NO_ASK where it is empty
    ASK,
    BIDS,  # levels of each side that are not empty
    ASKS,
    BEYOND,  # updates of levels too far from the touch for the window: not kept
    LEFT,  # levels that the window left behind
    CROSSED,  # levels that an update of the other side reached: the newest word counts
    NOW,  # ns: time of the last event
    FIELDS,
) = range(10)
LEVELS = 1 << 14  # ticks of the window where nothing else is asked for
NO_BID, NO_ASK = -(2**62), 2**62
_DEPTH, _TRADE, _CLEAR = int(Kind.DEPTH), int(Kind.TRADE), int(Kind.CLEAR)


def ladder(levels: int) -> tuple[np.ndarray, np.ndarray]:
    """An empty ``book`` and its ``sizes``."""
    book = np.zeros(FIELDS, np.int64)
    book[[BID, ASK, NOW]] = NO_BID, NO_ASK, -(2**62)
    return book, np.zeros((2, levels), np.int64)


@stage
def lots_at(book, sizes, side, price):
    """Lots of a side at a tick; 0 outside the window."""
    if price < book[LOW] or price >= book[LOW] + sizes.shape[1]:
        return 0
    return sizes[0 if side > 0 else 1, price & (sizes.shape[1] - 1)]


@stage
def _find_bid(book, sizes, price):
    """The best bid is the highest level at ``price`` or below."""
    if book[BIDS] == 0:
        book[BID] = NO_BID
        return
    mask = sizes.shape[1] - 1
    while sizes[0, price & mask] == 0:
        price -= 1
    book[BID] = price


@stage
def _find_ask(book, sizes, price):
    if book[ASKS] == 0:
        book[ASK] = NO_ASK
        return
    mask = sizes.shape[1] - 1
    while sizes[1, price & mask] == 0:
        price += 1
    book[ASK] = price


@stage
def clear(book, sizes, side, price):
    """The bids at ``price`` and above are gone (side +1), or the asks at ``price`` and below (-1), or everything (0)."""
    mask = sizes.shape[1] - 1
    if side >= 0 and book[BIDS] > 0:
        last = book[LOW] if side == 0 or price < book[LOW] else price
        tick = book[BID]
        while tick >= last and book[BIDS] > 0:
            if sizes[0, tick & mask] > 0:
                sizes[0, tick & mask] = 0
                book[BIDS] -= 1
            tick -= 1
        _find_bid(book, sizes, tick if tick < book[BID] else book[BID])
    if side <= 0 and book[ASKS] > 0:
        high = book[LOW] + mask
        last = high if side == 0 or price > high else price
        tick = book[ASK]
        while tick <= last and book[ASKS] > 0:
            if sizes[1, tick & mask] > 0:
                sizes[1, tick & mask] = 0
                book[ASKS] -= 1
            tick += 1
        _find_ask(book, sizes, tick if tick > book[ASK] else book[ASK])


@stage
def _move(book, sizes, low):
    """The window begins at ``low``; what it leaves is empty."""
    levels = sizes.shape[1]
    shift = low - book[LOW]
    gone = min(abs(shift), levels)
    first = book[LOW] if shift > 0 else book[LOW] + levels - gone
    for tick in range(first, first + gone):
        k = tick & (levels - 1)
        if sizes[0, k] > 0:
            sizes[0, k] = 0
            book[BIDS] -= 1
            book[LEFT] += 1
        if sizes[1, k] > 0:
            sizes[1, k] = 0
            book[ASKS] -= 1
            book[LEFT] += 1
    book[LOW] = low


@stage
def _reach(book, sizes, side, price):
    """Whether the window, centred on the touch, holds ``price``; if so it is moved there."""
    levels = sizes.shape[1]
    bid = max(book[BID], price) if side > 0 else book[BID]
    ask = min(book[ASK], price) if side < 0 else book[ASK]
    if bid == NO_BID:
        centre = ask
    elif ask == NO_ASK:
        centre = bid
    elif ask - bid >= levels - 1:
        return False
    else:
        centre = (bid + ask) >> 1
    low = centre - levels // 2
    if price < low or price >= low + levels:
        return False
    _move(book, sizes, low)
    return True


@stage
def lay(book, sizes, side, price, lots):
    """``lots`` rest at ``price`` on ``side`` from now on. Returns those before; -1 where the level is not kept."""
    if lots > 0:
        if side > 0 and price >= book[ASK]:
            before = book[ASKS]
            clear(book, sizes, -1, price)
            book[CROSSED] += before - book[ASKS]
        elif side < 0 and price <= book[BID]:
            before = book[BIDS]
            clear(book, sizes, 1, price)
            book[CROSSED] += before - book[BIDS]
    if price < book[LOW] or price >= book[LOW] + sizes.shape[1]:
        if lots == 0:
            return -1
        if not _reach(book, sizes, side, price):
            book[BEYOND] += 1
            return -1
    row = 0 if side > 0 else 1
    k = price & (sizes.shape[1] - 1)
    before = sizes[row, k]
    sizes[row, k] = lots
    if lots > 0:
        if before == 0:
            book[BIDS + row] += 1
        if side > 0:
            book[BID] = max(book[BID], price)
        else:
            book[ASK] = min(book[ASK], price)
    elif before > 0:
        book[BIDS + row] -= 1
        if side > 0:
            if price == book[BID]:
                _find_bid(book, sizes, price)
        elif price == book[ASK]:
            _find_ask(book, sizes, price)
    return before


@stage
def quote_changed(book, sizes, quote):
    """Whether the best of either side is not what ``quote`` (bid, lots, ask, lots) says, which then says it.

    An empty side has 0 lots and repeats its last price.
    """
    changed = False
    for row in range(2):
        best = book[BID + row]
        lots = 0 if book[BIDS + row] == 0 else sizes[row, best & (sizes.shape[1] - 1)]
        if lots > 0 and best != quote[2 * row]:
            quote[2 * row] = best
            changed = True
        if lots != quote[2 * row + 1]:
            quote[2 * row + 1] = lots
            changed = True
    return changed


@kernel
def record_quotes(book, sizes, events, quote, times, quotes):
    """Replay ``events``; write the quotes that stood when time went on, where they had changed. Returns how many.

    ``quote`` int64 (4,) the last one, ``times`` int64 and ``quotes`` int64 (., 4) have room for one an event.
    """
    written = 0
    for i in range(len(events)):
        event = events[i]
        if event.time > book[NOW]:
            if quote_changed(book, sizes, quote):
                times[written] = book[NOW]
                for k in range(4):
                    quotes[written, k] = quote[k]
                written += 1
            book[NOW] = event.time
        if event.kind == _DEPTH:
            lay(book, sizes, event.side, event.price, event.size)
        elif event.kind == _CLEAR:
            clear(book, sizes, event.side, event.price)
    return written
