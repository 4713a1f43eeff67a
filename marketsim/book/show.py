"""What dealers see of the book: its columns of their observations, read off it when a step is over.

| name                       | scale                                                        | neutral             |
|----------------------------|--------------------------------------------------------------|---------------------|
| spread                     | ticks beyond the first, over 10                              | 0: one tick         |
| touch_imbalance            | (bid - ask lots at the best prices) / their sum              | 0                   |
| bid_depth, ask_depth       | log(1 + lots at most 5 ticks from the best price)            | 0: nobody there     |
| trades                     | recent lots bought less sold by incoming orders, a step, over the inventory's scale | 0 |
| bid_open, ask_open         | lots of the own order, over the inventory's scale            | 0: no order         |
| bid_distance, ask_distance | ticks from the mid to the own order, over 10                 | 0: no order         |
| bid_ahead, ask_ahead       | lots before it in its queue, over those and its own          | 0: first, no order  |
"""

from marketsim import observe
from marketsim import scratch as at
from marketsim.book.dealers import order_id
from marketsim.book.index import slot_of
from marketsim.book.ladder import ahead, depth, lots_at, next_level
from marketsim.book.state import BEST_ASK, BEST_BID, NO_ASK, NO_BID
from marketsim.compiled import stage
from marketsim.polynomials import log
from marketsim.types import ASK, BID, INVENTORY, MID

_FIRST = observe.NAMES.index("spread")
_SPREAD, _TOUCH_IMBALANCE, _BID_DEPTH, _ASK_DEPTH, _TRADES, _OPEN, _DISTANCE, _AHEAD = (
    observe.NAMES.index(name)
    for name in (
        "spread",
        "touch_imbalance",
        "bid_depth",
        "ask_depth",
        "trades",
        "bid_open",
        "bid_distance",
        "bid_ahead",
    )
)
_NEAR = 5  # ticks
_PER_TICK = 0.1


@stage
def show_book(p, dealers, columns, books, market, observation, lo, n):
    """Write the columns of the book for a block of markets: ``observation`` (N, width, M)."""
    for j in range(n):
        m = lo + j
        book, ladder = books.head[m], books.levels[m]
        best_bid, best_ask = book[BEST_BID], book[BEST_ASK]
        bids, asks = lots_at(book, ladder, best_bid), lots_at(book, ladder, best_ask)
        for i in range(columns.shape[0]):
            d = dealers[i]
            put(columns, i, _SPREAD, (best_ask - best_bid - 1) * _PER_TICK if bids * asks > 0 else 0.0, observation, m)
            put(columns, i, _TOUCH_IMBALANCE, (bids - asks) / max(bids + asks, 1), observation, m)
            if columns[i, _BID_DEPTH] >= 0:
                put(columns, i, _BID_DEPTH, log(1.0 + depth(book, ladder, 1, _NEAR)), observation, m)
            if columns[i, _ASK_DEPTH] >= 0:
                put(columns, i, _ASK_DEPTH, log(1.0 + depth(book, ladder, -1, _NEAR)), observation, m)
            put(columns, i, _TRADES, books.flow[m] / d.inventory_scale, observation, m)
            for side in (BID, ASK):
                show_order(
                    p, d, columns, i, side, ladder, books.orders[m], books.ids[m], market[MID, m], observation, m
                )


@stage
def show_order(p, d, columns, i, side, levels, orders, index, mid, observation, m):
    """A dealer's own order on a side."""
    if columns[i, _OPEN + side] < 0 and columns[i, _DISTANCE + side] < 0 and columns[i, _AHEAD + side] < 0:
        return
    slot = slot_of(orders, index, order_id(i, side))
    if slot == 0:
        put(columns, i, _OPEN + side, 0.0, observation, m)
        put(columns, i, _DISTANCE + side, 0.0, observation, m)
        put(columns, i, _AHEAD + side, 0.0, observation, m)
        return
    lots = orders[slot].size
    away = mid / p.tick - orders[slot].price
    before = ahead(levels, orders, slot) if columns[i, _AHEAD + side] >= 0 else 0
    put(columns, i, _OPEN + side, lots / d.inventory_scale, observation, m)
    put(columns, i, _DISTANCE + side, (away if side == BID else -away) * _PER_TICK, observation, m)
    put(columns, i, _AHEAD + side, before / (before + lots), observation, m)


@stage
def put(columns, i, name, value, observation, m):
    """A value into the column that a dealer observes it in, if it does."""
    column = columns[i, name]
    if column >= 0:
        observation[i, column, m] = value


@stage
def liquidation_in_book(p, books, dealer, work, lo, n):
    """What the other side of the book would charge for all that every dealer is left with, measured from S_T in row ``NEXT``.

    Each dealer for itself, nothing is taken out. Lots beyond the last level cost what that level costs; an empty side nothing.
    """
    N = dealer.shape[1]
    for i in range(N):
        cost = work[at.GROUPS + at.LIQUIDATION * N + i]
        for j in range(n):
            m = lo + j
            q = dealer[INVENTORY, i, m]
            cost[j] = sweep_cost(books.head[m], books.levels[m], p.tick, -1 if q > 0.0 else 1, abs(q), work[at.NEXT, j])


@stage
def sweep_cost(head, levels, tick, side, lots, mid):
    """Price units x lots that an order of ``side`` pays beyond the mid, level by level, for so many lots."""
    price = head[BEST_ASK] if side > 0 else head[BEST_BID]
    cost, away, left = 0.0, 0.0, lots
    while left > 0.0 and NO_BID < price < NO_ASK:
        away = side * (tick * price - mid)
        taken = min(left, float(levels[price & (levels.shape[0] - 1)].lots))
        cost += taken * away
        left -= taken
        price = next_level(head, levels, -side, price)
    return cost + left * away
