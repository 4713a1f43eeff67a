"""What a book consists of: plain arrays that the caller holds, so that M books are ``(M, ...)`` arrays and one a row.

| array    | what it is                                                                                        |
|----------|---------------------------------------------------------------------------------------------------|
| head     | int64: the rows below, then a bit for every level that is not empty and a bit for every such word  |
| levels   | ``LEVEL``: price p stands at place p & (levels - 1), a circle that the market walks round           |
| orders   | ``ORDER``: slot 0 is nobody's; the slots of orders that are done form a list                        |
| index    | uint32 hash table: order id -> slot, 0 = empty                                                     |
| desks    | int32: owner -> desk; below 0, or beyond its length: a desk of its own                             |
| trades   | ``TRADE``: what was executed since somebody set ``head[TRADES]`` to 0                               |
"""

import numpy as np

from marketsim.types import TRADE, Outcome, SelfTrade

NO_BID = -(2**62)  # the best price of an empty side: no price reaches it
NO_ASK = 2**62

(
    BEST_BID,  # ticks, or NO_BID
    BEST_ASK,  # ticks, or NO_ASK
    LOW,  # all that rests lies from LOW to HIGH, fewer ticks apart than the ladder is long; they may be too wide,
    HIGH,  # and are brought up to date only where it matters
    LIVE,  # orders that rest
    FREE,  # the first slot of the list of those that are done, 0 = none
    USED,  # slots that were ever in use, slot 0 among them
    TRADES,  # rows written in ``trades``
    SUBMITTED,  # lots: submitted = filled + cancelled + resting + rejected
    FILLED,
    CANCELLED,
    RESTING,
    REJECTED,
    PREVENTED,  # times that an order met one of its own owner or desk, and did not trade
    SELF_TRADE,  # setting: SelfTrade
    MAX_SPAN,  # setting: consecutive ticks of the ladder
    MAX_ORDERS,  # setting: orders that may rest
    OUTCOMES,  # the first of a row an Outcome: messages
) = range(18)
WORDS = OUTCOMES + len(Outcome)  # here the bits begin: words of words first

# One row a tick. First in, first out: ``first`` is the next to trade.
LEVEL = np.dtype([("lots", "i8"), ("first", "u4"), ("last", "u4")])

# One row a resting order.
ORDER = np.dtype(
    [
        ("order", "i8"),  # id
        ("price", "i8"),  # ticks
        ("size", "i8"),  # open lots
        ("owner", "i4"),
        ("side", "i4"),  # +1 buy, -1 sell
        ("next", "u4"),  # slot of the one behind it at its price, 0 = none; of a free slot: the next free one
        ("prev", "u4"),
    ]
)


def power_of_two(n: int) -> int:
    """The smallest power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def book_arrays(
    books: int, levels: int, orders: int, self_trade: SelfTrade = SelfTrade.CANCEL_RESTING
) -> dict[str, np.ndarray]:
    """``head``, ``levels``, ``orders``, ``index`` of so many empty books, each ``(books, ...)``.

    ``levels``: consecutive ticks of the ladder; ``orders``: that may rest. Both are limits to the tick and the order,
    although the arrays are rounded up. ``index`` is at most a quarter full.
    """
    ticks = power_of_two(max(levels, 64))
    bits = ticks // 64
    head = np.zeros((books, WORDS + words_of_words(ticks) + bits), np.int64)
    head[:, [BEST_BID, HIGH]] = NO_BID
    head[:, [BEST_ASK, LOW]] = NO_ASK
    head[:, USED] = 1
    head[:, SELF_TRADE], head[:, MAX_SPAN], head[:, MAX_ORDERS] = self_trade, levels, orders
    return {
        "head": head,
        "levels": np.zeros((books, ticks), LEVEL),
        "orders": np.zeros((books, orders + 1), ORDER),
        "index": np.zeros((books, 4 * power_of_two(orders)), np.uint32),
    }


def words_of_words(ticks: int) -> int:
    """How many words have a bit for each word that has a bit for each tick."""
    return max(1, ticks // 4096)


def trade_log(live: int, messages: int) -> np.ndarray:
    """Room for the trades of so many messages to a book of ``live`` orders.

    A trade is the last of its incoming order, or the last of a resting one: of those that rested or of those that came.
    """
    return np.zeros(live + 2 * messages, TRADE)
