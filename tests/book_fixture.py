"""What the tests of the book share: messages by hand, and a look into its arrays."""

import numpy as np

from marketsim.book import state
from marketsim.types import MESSAGE, Message, TimeInForce

BUY, SELL = 1, -1
GTC, IOC, FOK, POST_ONLY = TimeInForce


def limit(order, side, price, size, owner=-1, tif=GTC):
    return (Message.LIMIT, side, tif, price, size, order, owner)


def market(order, side, size, owner=-1, tif=GTC):
    return (Message.MARKET, side, tif, 0, size, order, owner)


def cancel(order, owner=-1):
    return (Message.CANCEL, 0, 0, 0, 0, order, owner)


def amend(order, price, size, owner=-1):
    return (Message.AMEND, 0, 0, price, size, order, owner)


def send(book, *messages):
    """The trades as (maker, taker, price, size); every message must be accepted."""
    trades = book.process(np.array(list(messages), MESSAGE))
    assert not book.outcomes.any(), book.outcomes
    return trades[["maker", "taker", "price", "size"]].tolist()


def outcome(book, message):
    book.process(np.array([message], MESSAGE))
    return book.outcomes[0]


def queue(book, price):
    """The orders at a price in the order in which they trade: (id, open lots)."""
    return [(o["order"], o["size"]) for o in book.open_orders()[_by_queue(book, price)]]


def _by_queue(book, price):
    rows = book.open_orders()
    places = np.nonzero(rows["price"] == price)[0]
    return sorted(places, key=lambda k: (book.queue_ahead(rows["order"][k]), k))


def uncounted(book):
    """All that the book is, but for what counts messages and lots."""
    arrays = book.snapshot()
    head = arrays["head"]
    head[[state.SUBMITTED, state.REJECTED, state.TRADES]] = 0
    head[state.OUTCOMES : state.WORDS] = 0
    return {name: array.tobytes() for name, array in arrays.items()}


def check(book):
    """Every invariant of the arrays, from what the orders say."""
    arrays = book.snapshot()
    head, levels, orders, index = (arrays[name] for name in ("head", "levels", "orders", "index"))
    slots = index[index != 0]
    live = orders[slots]
    assert len(np.unique(live["order"])) == len(slots) == head[state.LIVE]
    assert (live["size"] > 0).all() and live["size"].sum() == head[state.RESTING]
    lots = head[[state.FILLED, state.CANCELLED, state.RESTING, state.REJECTED]]
    assert head[state.SUBMITTED] == lots.sum()

    bids, asks = live["price"][live["side"] == 1], live["price"][live["side"] == -1]
    assert head[state.BEST_BID] == bids.max(initial=state.NO_BID)
    assert head[state.BEST_ASK] == asks.min(initial=state.NO_ASK)
    assert head[state.BEST_BID] < head[state.BEST_ASK]
    if len(live):
        assert head[state.LOW] <= live["price"].min() and live["price"].max() <= head[state.HIGH]
        assert head[state.HIGH] - head[state.LOW] < head[state.MAX_SPAN]

    walked = 0
    places = np.unique(live["price"] % len(levels))
    for place in places:
        slot, before, lots = levels["first"][place], 0, 0
        while slot:
            assert orders["prev"][slot] == before and orders["price"][slot] % len(levels) == place
            lots += orders["size"][slot]
            walked += 1
            before, slot = slot, orders["next"][slot]
        assert (levels["last"][place], levels["lots"][place]) == (before, lots)
    assert walked == len(live)
    others = np.delete(levels, places)
    assert not (others["first"].any() or others["last"].any() or others["lots"].any())

    first_bit = state.WORDS + state.words_of_words(len(levels))
    assert (bits(head[first_bit:])[: len(levels)].nonzero()[0] == places).all()
    assert (bits(head[state.WORDS : first_bit])[: len(levels) // 64] == (head[first_bit:] != 0)).all()

    free, slot = 0, head[state.FREE]
    while slot:
        free, slot = free + 1, orders["next"][slot]
    assert free + len(live) == head[state.USED] - 1 <= head[state.MAX_ORDERS]


def bits(words):
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
