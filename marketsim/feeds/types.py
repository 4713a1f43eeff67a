"""What every feed is read as: events in order of time, prices in whole ticks and sizes in whole lots."""

from enum import IntEnum

import numpy as np


class Kind(IntEnum):
    DEPTH = 1  # from now on ``size`` lots rest at ``price`` on ``side``
    TRADE = 2  # ``size`` lots traded at ``price``, ``side`` is the aggressor's
    CLEAR = 3  # side +1: the bids at ``price`` and above are gone; -1: the asks at ``price`` and below; 0: everything
    HALT = 4  # ``price`` -1: trading stops, 0: quoting resumes, 1: trading resumes


EVENT = np.dtype(
    [
        ("time", "i8"),  # ns
        ("kind", "i1"),  # Kind
        ("side", "i1"),  # +1 bid or bought, -1 ask or sold, 0 both or unknown
        ("price", "i8"),  # ticks
        ("size", "i8"),  # lots
    ],
    align=True,
)


class Ask(IntEnum):
    """What is asked of the market for an own order: field ``kind`` of ``REQUEST``."""

    LIMIT = 1  # trades as far as its price reaches, what is left rests
    POST_ONLY = 2  # rests, or is rejected
    IOC = 3  # trades as far as its price reaches, what is left is cancelled
    MARKET = 4  # an IOC without a price
    CANCEL = 5


class Queue(IntEnum):
    """How the place in the queue of an own order is estimated where orders ahead or behind are cancelled."""

    RISK_AVERSE = 0  # all that is cancelled stood behind
    POWER = 1  # behind with probability b^n / (b^n + a^n), of a lots ahead and b behind


# An own order that rests.
OPEN_ORDER = np.dtype(
    [
        ("order", "i8"),
        ("side", "i1"),
        ("price", "i8"),  # ticks
        ("left", "i8"),  # lots
        ("ahead", "f8"),  # lots estimated to stand before it
        ("traded", "i8"),  # lots traded at its price since the feed last told its level
    ],
    align=True,
)

# On its way to the market.
REQUEST = np.dtype(
    [("arrives", "i8"), ("order", "i8"), ("kind", "i1"), ("side", "i1"), ("price", "i8"), ("size", "i8")], align=True
)

# An own order traded.
FILL = np.dtype(
    [
        ("time", "i8"),  # ns
        ("order", "i8"),
        ("side", "i1"),  # +1 bought, -1 sold
        ("maker", "i1"),  # 1: it rested
        ("price", "i8"),  # ticks
        ("size", "i8"),  # lots
    ],
    align=True,
)
