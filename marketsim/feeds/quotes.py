"""Rows of best quotes -> events: a book that knows what was best and when, and nothing that it was not shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from marketsim.feeds.events import Grid, refuse, refuse_disorder, whole
from marketsim.feeds.types import EVENT, Kind


@dataclass(frozen=True)
class QuoteRows:
    """Rows of a file with the best of both sides; ``place(row)`` says where a row stands."""

    place: Callable[[int], str]
    time: np.ndarray  # int64 ns
    bid: np.ndarray  # float64
    bid_size: np.ndarray
    ask: np.ndarray
    ask_size: np.ndarray

    @property
    def price(self) -> np.ndarray:
        return np.concatenate([self.bid, self.ask])

    @property
    def size(self) -> np.ndarray:
        return np.concatenate([self.bid_size, self.ask_size])


def events_of_quotes(
    quotes: QuoteRows, names: dict[str, str], last: int, grid: Grid, before: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The events of some rows, and their last row for the next call (``before``: bid, bid size, ask, ask size).

    A better price is a new level, the old one stays behind it as it was last seen. A worse one ends every level up to it:
    the old best first (its size is 0 now), then whatever lay between. An empty side has size 0.
    """
    place = quotes.place
    refuse_disorder(place, quotes.time, last)
    told = np.empty((len(quotes.time), 4), np.int64)
    for k, role in enumerate(("bid", "bid_size", "ask", "ask_size")):
        values = getattr(quotes, role)
        refuse(place, ~np.isfinite(values), names[role], values, "finite")
        if k % 2:
            refuse(place, values < 0, names[role], values, "0 or more")
        told[:, k] = whole(
            place, values, *((grid.lot, names[role], "lot") if k % 2 else (grid.tick, names[role], "tick"))
        )
    both = (told[:, 1] > 0) & (told[:, 3] > 0)
    refuse(place, both & (told[:, 0] >= told[:, 2]), names["bid"], quotes.bid, "below the ask")
    past = np.vstack([np.zeros((1, 4), np.int64) if before is None else before, told[:-1]])
    ended, shown_now = [], []
    for side, k in ((1, 0), (-1, 2)):
        old, old_size, new, size = past[:, k], past[:, k + 1], told[:, k], told[:, k + 1]
        worse = (old_size > 0) & ((side * (new - old) < 0) | (size == 0))
        behind = np.where(size > 0, new + side, np.int64(-side * 2**40))  # an empty side shows nothing behind its best
        none = np.zeros_like(size)
        ended += [(worse, Kind.DEPTH, side, old, none), (worse, Kind.CLEAR, side, behind, none)]
        shown_now.append(((size > 0) & ((new != old) | (size != old_size)), Kind.DEPTH, side, new, size))
    parts = ended + shown_now  # what ends comes first, so that no side meets the other's past
    shown = np.stack([part[0] for part in parts], axis=1)  # (rows, 6), in the order of the events of a row
    events = np.zeros(shown.shape, EVENT)
    events["time"] = quotes.time[:, None]
    for k, (_, kind, side, price, size) in enumerate(parts):
        events["kind"][:, k], events["side"][:, k] = kind, side
        events["price"][:, k], events["size"][:, k] = price, size
    return events[shown], told[-1]
