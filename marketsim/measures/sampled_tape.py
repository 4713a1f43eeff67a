"""A tape cut into intervals of equal time, and its trades one an order."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from marketsim.tape import Tape


class SampledTape:
    """A tape seen at times an interval apart, in which the mid changes ``moves`` times on average.

    The interval is one of time, the same throughout, and no interval of a busy hour: that would take out the
    clustering that is looked for. ``returns``, ``volume``, ``signed_volume``, ``count``: (n,), of the n whole intervals; log
    returns of the mid, lots traded, lots bought less lots sold by aggressors, trades. Raises ValueError where the mid is
    not above 0 or moves less than ``moves`` times.
    """

    def __init__(self, tape: Tape, moves: int):
        self.tape = tape
        mid = tape.mid
        if len(mid) and mid.min() <= 0:
            raise ValueError(f"the mid comes down to {mid.min():g}: returns are of prices above 0")
        self._moved = np.flatnonzero(np.diff(mid) != 0) + 1  # rows at which the mid is another
        if len(self._moved) < moves:
            raise ValueError(f"the mid moves {len(self._moved)} times, a single interval is made of {moves} moves")
        time = tape.quotes["time"]
        self.interval = float((time[-1] - time[0]) * moves / len(self._moved))
        n = int((time[-1] - time[0]) / self.interval + 1e-9)
        self.times = time[0] + self.interval * np.arange(n + 1)
        self._rows = np.searchsorted(time, self.times, side="right") - 1
        self.returns = np.diff(np.log(mid[self._rows]))
        order = self.trades
        within = (order["time"] > self.times[0]) & (order["time"] <= self.times[-1])
        which = np.searchsorted(self.times, order["time"][within], side="left") - 1
        size, side = (order[name][within].astype(float) for name in ("size", "side"))
        self.count = np.bincount(which, minlength=n)
        self.volume = np.bincount(which, size, minlength=n)
        self.signed_volume = np.bincount(which, size * side, minlength=n)

    @cached_property
    def trades(self) -> np.ndarray:
        """The prints with those of one time and side as one: an order that meets several is one decision to trade."""
        prints = self.tape.prints
        if not len(prints):
            return prints
        first = np.append(True, (np.diff(prints["time"]) > 0) | (np.diff(prints["side"]) != 0))
        orders = prints[first].copy()
        orders["size"] = np.add.reduceat(prints["size"], np.flatnonzero(first))
        return orders

    @property
    def quotes(self) -> np.ndarray:
        """The quotes that stand at ``times``."""
        return self.tape.quotes[self._rows]

    @property
    def next_move(self) -> np.ndarray:
        """+1 or -1: where the mid goes next, at ``times``; 0 where it stays to the end."""
        mid = self.tape.mid
        k = np.searchsorted(self._moved, self._rows, side="right")
        after = mid[np.append(self._moved, -1)[k]]
        return np.where(k < len(self._moved), np.sign(after - mid[self._rows]), 0.0)

    @property
    def quotes_before(self) -> np.ndarray:
        """The quotes that stood when each of ``trades`` came, from the first that met any on."""
        rows = np.searchsorted(self.tape.quotes["time"], self.trades["time"], side="left") - 1
        return self.tape.quotes[rows[rows >= 0]]
