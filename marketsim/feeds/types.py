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
