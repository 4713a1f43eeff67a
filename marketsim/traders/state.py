"""What the traders of a market consist of: their families, their tables, and the rows of their state.

Times in units of time, prices and distances in ticks, sizes and inventories in lots, money in price units.
"""

from enum import IntEnum

import numpy as np


class Family(IntEnum):
    ZERO_INTELLIGENCE = 0
    HAWKES = 1
    MOMENTUM = 2
    VALUE = 3
    INFORMED = 4
    MAKER = 5


class Size(IntEnum):
    FIXED = 0
    GEOMETRIC = 1


class Latency(IntEnum):
    NONE = 0
    FIXED = 1
    LOG_NORMAL = 2


# One row a block of the file: what its ``count`` traders have in common.
BLOCK = np.dtype(
    [
        ("family", "i4"),  # Family
        ("sizes", "i4"),  # Size
        ("latencies", "i4"),  # Latency
        ("room", "i4"),  # own orders that a trader keeps in mind
        ("rate", "f8"),  # acts a unit of time; hawkes: without excitation
        ("market_rate", "f8"),  # zero_intelligence: market orders a unit of time, both sides together
        ("limit_rate", "f8"),  # zero_intelligence: limit orders a unit of time, of one side at one price
        ("cancel_rate", "f8"),  # of each order that rests
        ("band", "f8"),  # ticks from the opposite best within which limit orders are placed
        ("size", "f8"),  # lots; geometric: 1 / log(1 - 1/mean)
        ("latency", "f8"),  # units of time; log_normal: the median
        ("latency_sigma", "f8"),
        ("market_share", "f8"),  # hawkes: of its orders
        ("own_excitation", "f8"),  # hawkes: what an order adds to the intensity of its own side
        ("cross_excitation", "f8"),  # ... of the other side
        ("decay", "f8"),
        ("fast", "f8"),  # momentum: times over which the mid is averaged
        ("slow", "f8"),
        ("threshold", "f8"),  # ticks: momentum, informed: what an act needs; value: what it wants to earn
        ("noise", "f8"),  # value: sd of its signal in ticks
        ("half_spread", "f8"),  # maker, ticks
        ("skew", "f8"),  # maker: ticks a lot of inventory
        ("position", "f8"),  # lots that its inventory may reach
    ],
    align=True,
)

# One row an owner: dealers, who have no block, and then the traders.
ROSTER = np.dtype(
    [
        ("block", "i4"),  # its row of BLOCK
        ("own", "i4"),  # where its orders stand in ``own``
        ("name", "i4"),  # the owner that the book knows it by: its number, or a crowd's (``crowd``)
    ]
)


def crowd(owner):
    """The name of an owner who is many people: no self-trade prevention keeps those below 0 apart. Its own inverse."""
    return -2 - owner


CROWDS = (Family.ZERO_INTELLIGENCE, Family.HAWKES)

# One row an owner and market.
AGENT = np.dtype(
    [
        ("wake", "f8"),  # when its next event is; inf = never
        ("bound", "f8"),  # the rate at which that event was drawn
        ("since", "f8"),  # hawkes, momentum: when x and y were last brought up to date
        ("x", "f8"),  # hawkes: excitation of buys; momentum: the fast average of the mid in ticks
        ("y", "f8"),  # hawkes: of sells; momentum: the slow one
        ("what", "f8"),  # draws of its next event, made beforehand: a uniform,
        ("gap", "f8"),  # an exponential of mean 1,
        ("latency", "f8"),  # what its messages will need to reach the book
        ("cash", "f8"),  # price units x lots, fees taken off; of dealers see types.CASH
        ("inventory", "i8"),
        ("event", "i8"),  # its events so far
        ("first", "u4"),  # its messages in flight: slots of ``flight``, 0 = none
        ("last", "u4"),
        ("open", "i4"),  # own orders that it keeps in mind
    ],
    align=True,
)

# One row a message in flight; slot 0 is nobody's.
FLIGHT = np.dtype(
    [
        ("time", "f8"),  # when it arrives
        ("number", "i8"),  # of the messages put in flight in its market: who was sent first arrives first
        ("price", "i8"),
        ("size", "i8"),
        ("order", "i8"),
        ("next", "u4"),  # slot of its owner's next one; of a free slot: the next free one
        ("kind", "i1"),
        ("side", "i1"),
        ("tif", "i1"),
    ],
    align=True,
)

# A node of the tournament of next events: the earliest below it (schedule.py).
NODE = np.dtype([("time", "i8"), ("order", "i8")])

# Rows of ``clock``, int64: what is common to the traders of a market.
(
    SENT,  # messages ever put in flight
    FREE,  # first free slot of ``flight``
    LAST_BID,  # ticks: the best bid, or the last there was
    LAST_ASK,
    MID,  # half ticks: bid + ask when both sides were last there
    PRINTS,  # rows written to the log; those that found no room are counted too
    QUOTES,
    EVENTS,  # of traders, since reset
    REQUESTS,  # messages that came to the book, since reset
    LOST,  # messages that were not sent because too many were in flight
    FLOW,  # lots that incoming orders bought less those they sold, in this step
    HELD_BACK,  # limit orders not placed because the trader has no room to keep them in mind
    CLOCK,
) = range(13)

OUTBOX = 4  # the most messages of one event
TRADER_IDS = 2**40  # ids below are the dealers'
OPENING_IDS = 2**61  # ids from here are of orders that stood in the book at reset
