"""Rows of files -> events: whole ticks, whole lots, order of time, and what is refused with its line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np

from marketsim.feeds.types import EVENT, Kind
from marketsim.yaml_text import InputError

CHUNK = 1 << 16  # events, about: what a reader holds at once
MAX_DECIMALS = 12
ENOUGH = 10  # different prices, of which a common divisor is no chance
_NEAR = 1e-4  # ticks or lots by which a price or size may miss a whole one: the error of a sum of floats, no more


@dataclass(frozen=True)
class Feed:
    """A file that was recognised. ``chunks()`` begins to read it from its start, ``EVENT`` (n,) at a time.

    ``tick``: price units of a tick, ``lot``: size units of a lot. ``book``: LOBSTER's book file, where there is one.
    """

    path: str
    format: str
    tick: float
    lot: float
    chunks: Callable[[], Iterator[np.ndarray]]
    book: Path | None = None


@dataclass(frozen=True)
class Rows:
    """Rows of a file, not yet in ticks and lots; ``place(row)`` says where a row stands, as ``file:line``."""

    place: Callable[[int], str]
    time: np.ndarray  # int64 ns
    kind: np.ndarray
    side: np.ndarray
    price: np.ndarray  # float64, price units
    size: np.ndarray  # float64, size units

    def events(self, names: tuple[str, str], last: int, grid: Grid) -> np.ndarray:
        """The rows as ``EVENT``; ``names`` of the columns of price and size, ``last`` the time before the first row."""
        refuse_disorder(self.place, self.time, last)
        events = np.zeros(len(self.time), EVENT)
        told = self.kind != Kind.CLEAR  # the price of a clear may be empty: everything
        refuse(self.place, told & ~np.isfinite(self.price), names[0], self.price, "finite")
        refuse(self.place, told & ~np.isfinite(self.size), names[1], self.size, "finite")
        refuse(self.place, told & (self.size < 0), names[1], self.size, "0 or more")
        refuse(self.place, (self.kind == Kind.TRADE) & (self.size == 0), names[1], self.size, "above 0 in a trade")
        price, size = np.where(np.isfinite(self.price), self.price, 0.0), np.where(told, self.size, 0.0)
        for name, field in (("time", self.time), ("kind", self.kind), ("side", self.side)):
            events[name] = field
        events["price"] = whole(self.place, price, grid.tick, names[0], "tick")
        events["size"] = whole(self.place, size, grid.lot, names[1], "lot")
        return events


@dataclass(frozen=True)
class Grid:
    """The units of a feed: ``tick`` in price units, ``lot`` in size units."""

    tick: float
    lot: float

    @classmethod
    def of(cls, price: np.ndarray, size: np.ndarray, tick: float | None, lot: float | None) -> Grid:
        """The coarsest tick and, among 1, .1, .01, ..., the coarsest lot of which these are whole multiples.

        Of fewer than ``ENOUGH`` different prices the tick is among 1, .1, .01, ..., too.
        """
        if tick is None:
            price = np.unique(price[np.isfinite(price)])
            places = _decimals(price)
            multiples = np.rint(price * 10.0**places)
            multiples = np.unique(multiples[np.abs(multiples) < 2**53].astype(np.int64))  # others are refused as rows
            tick = (gcd(*multiples.tolist()) if len(multiples) >= ENOUGH else 1) / 10**places
        if lot is None:
            lot = 1 / 10 ** _decimals(np.unique(size[np.isfinite(size)]))
        for name, value in (("tick", tick), ("lot", lot)):
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"{name}: got {value}, it must be above 0")
        return cls(float(tick), float(lot))


def _decimals(values: np.ndarray) -> int:
    for places in range(MAX_DECIMALS):
        scaled = values * 10.0**places
        if (np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(1.0, np.abs(scaled))).all():
            return places
    return MAX_DECIMALS


def whole(place: Callable[[int], str], values: np.ndarray, unit: float, name: str, of: str) -> np.ndarray:
    """``values`` in whole units, int64. Raises InputError where one is no whole number of them."""
    ratio = values / unit
    units = np.rint(ratio)
    refuse(place, np.abs(units) >= 2**53, name, values, f"below {2**53 * unit:.3g}")
    refuse(
        place, ~(np.abs(ratio - units) <= _NEAR), name, values, f"a whole number of {of}s of {unit:.12g}, or give {of}"
    )
    return units.astype(np.int64)


def refuse(place: Callable[[int], str], bad: np.ndarray, name: str, values: np.ndarray, must: str) -> None:
    """Raise InputError about the first bad row, if there is one."""
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(f"{place(row)}: {name}: got {values[row]:.17g}, it must be {must}")


def refuse_disorder(place: Callable[[int], str], time: np.ndarray, last: int) -> None:
    """Raise InputError where a time lies before the one of the row above, or before ``last`` ns."""
    early = np.diff(time, prepend=max(last, -(2**62))) < 0
    if early.any():
        row = int(np.argmax(early))
        before = time[row - 1] if row else last
        raise InputError(
            f"{place(row)}: time: got {time[row]} ns, it must be at least the {before} ns of the row above"
        )
