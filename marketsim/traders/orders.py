"""What a trader's event writes: messages into an outbox, and the orders that the trader keeps in mind."""

from marketsim.book.index import find
from marketsim.compiled import formula
from marketsim.traders.state import HELD_BACK, TRADER_IDS
from marketsim.types import Message, TimeInForce

LIMIT, CANCEL, MARKET = int(Message.LIMIT), int(Message.CANCEL), int(Message.MARKET)
GTC, IOC, POST_ONLY = int(TimeInForce.GTC), int(TimeInForce.IOC), int(TimeInForce.POST_ONLY)


@formula
def order_id(trader, event, which):
    """Of an order of a trader's event; which: 0 or 1, where it places two."""
    return TRADER_IDS + (trader << 32) + 2 * event + which


@formula
def write(outbox, n, kind, side, tif, price, size, order):
    """The n-th message of an event."""
    message = outbox[n]
    message.kind = kind
    message.side = side
    message.tif = tif
    message.price = price
    message.size = size
    message.order = order


@formula
def place(block, place, own, agent, clock, outbox, side, price, size, order):
    """A limit order that the trader will cancel some day: it keeps it in mind. 1, or 0 if there is no room for it."""
    if block.cancel_rate > 0.0:
        if agent.open >= block.room:
            clock[HELD_BACK] += 1
            return 0
        own[place + agent.open] = order
        agent.open += 1
    write(outbox, 0, LIMIT, side, GTC, price, size, order)
    return 1


@formula
def withdraw(place, which, orders, index, own, agent, outbox):
    """Cancel one of the orders it has in mind. It knows of its fills: one that is done needs no message.

    While anything of its own is in flight it cannot know, for the order itself may be.
    """
    order = own[place + which]
    agent.open -= 1
    own[place + which] = own[place + agent.open]
    if agent.first == 0 and find(orders, index, order) < 0:
        return 0
    write(outbox, 0, CANCEL, 0, GTC, 0, 0, order)
    return 1
