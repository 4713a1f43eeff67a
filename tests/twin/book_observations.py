"""What a dealer sees of the order book."""

import math

from twin.observations import ratio

NAMES = (
    "spread touch_imbalance bid_depth ask_depth trades bid_open ask_open bid_distance ask_distance bid_ahead ask_ahead"
).split()
NEAR = 5  # ticks


def of_the_book(name, market, dealer):
    """One of the names above at the market's present step."""
    book, scale = market.book, dealer.limits.position if math.isfinite(dealer.limits.position) else 20.0
    bids, asks = book.depth(+1), book.depth(-1)
    if name == "spread":
        return (asks[0][0] - bids[0][0] - 1) / 10.0 if bids and asks else 0.0
    if name == "touch_imbalance":
        bid, ask = (levels[0][1] if levels else 0 for levels in (bids, asks))
        return ratio(bid - ask, bid + ask)
    if name == "trades":
        return market.flow / scale
    side = +1 if name.startswith("bid") else -1
    if name.endswith("depth"):
        levels = bids if side > 0 else asks
        return math.log(1 + sum(lots for price, lots in levels if abs(price - levels[0][0]) <= NEAR))
    order = dealer.resting(side)
    if order is None:
        return 0.0
    if name.endswith("open"):
        return order.lots / scale
    if name.endswith("distance"):
        return side * (market.mid / market.tick - order.limit) / 10.0
    ahead = book.ahead(order.number)
    return ahead / (ahead + order.lots)
