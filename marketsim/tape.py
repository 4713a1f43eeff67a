"""A tape: what a limit-order market shows to everybody, recorded from a file or from a simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The best quotes from a time on. One row whenever one of the four changed, or one a sampling interval.
QUOTE = np.dtype([("time", "f8"), ("bid", "i8"), ("bid_size", "i8"), ("ask", "i8"), ("ask_size", "i8")])
# A trade with its aggressor: side +1 bought, -1 sold.
PRINT = np.dtype([("time", "f8"), ("price", "i8"), ("size", "i8"), ("side", "i1")])


@dataclass(frozen=True)
class Tape:
    """Best quotes and trades in order of time.

    ``quotes`` (n,) ``QUOTE``, ``prints`` (k,) ``PRINT``: times in seconds (a file) or units of time (a simulation),
    prices in ticks of ``tick`` price units, sizes in lots of ``lot``; an empty side has size 0 and repeats its last price.
    """

    quotes: np.ndarray
    prints: np.ndarray
    tick: float = 1.0
    lot: float = 1.0

    @property
    def mid(self) -> np.ndarray:
        """The mid of each quote row, float64 (n,), price units."""
        return 0.5 * self.tick * (self.quotes["bid"] + self.quotes["ask"])
