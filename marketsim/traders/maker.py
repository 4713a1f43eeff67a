"""A simple two-sided maker."""

import math

from marketsim.book.index import find
from marketsim.compiled import formula, stage
from marketsim.traders.draws import order_size
from marketsim.traders.orders import CANCEL, GTC, LIMIT, POST_ONLY, order_id, write
from marketsim.traders.state import MID
from marketsim.traders.views import allowed


@formula
def _keeps(orders, index, order, price, size):
    """Whether a quote stands as it is wanted."""
    slot = find(orders, index, order)
    return slot >= 0 and orders[slot].price == price and orders[slot].size == size


@stage
def maker(block, spot, own, agent, orders, index, clock, outbox, key, trader):
    """At ``rate``, quotes ``half_spread`` ticks on either side of the mid less ``skew`` ticks a lot of inventory; what
    stands otherwise is cancelled first. It posts only, and not where a fill would take it beyond ``position``.

    ``own``: the ids of its bid and of its ask, -1 = none.
    """
    size = order_size(block, key, trader)
    centre = 0.5 * clock[MID] - block.skew * agent.inventory
    n = 0
    for which in range(2):
        side = 1 - 2 * which
        price = int(math.floor(centre - block.half_spread) if side > 0 else math.ceil(centre + block.half_spread))
        order = own[spot + which]
        if order >= 0 and not (allowed(block, agent, side, size) and _keeps(orders, index, order, price, size)):
            if agent.first != 0 or find(orders, index, order) >= 0:
                write(outbox, n, CANCEL, side, GTC, 0, 0, order)
                n += 1
            own[spot + which] = -1
    for which in range(2):
        side = 1 - 2 * which
        if own[spot + which] < 0 and allowed(block, agent, side, size):
            price = int(math.floor(centre - block.half_spread) if side > 0 else math.ceil(centre + block.half_spread))
            own[spot + which] = order_id(trader, agent.event, which)
            write(outbox, n, LIMIT, side, POST_ONLY, price, size, own[spot + which])
            n += 1
    return n
