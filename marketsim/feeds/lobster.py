"""LOBSTER files (lobsterdata.com): every message of Nasdaq's book of one stock and day, and the book after each.

Message file: time (s after midnight), type, order id, size, price x 10000, direction of the resting order. Book file,
one row a message: ask price, ask size, bid price, bid size of level 1, then of level 2, ...; an empty level has the
price 9999999999 (ask) or -9999999999 (bid) and size 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import numpy as np

from marketsim.feeds import table
from marketsim.feeds.events import Feed, Grid, refuse, refuse_disorder, whole
from marketsim.feeds.types import EVENT, Kind
from marketsim.yaml_text import InputError

COLUMNS = ["time", "type", "order", "size", "price", "direction"]
PRICE = 1e-4  # price units of 1 in a file
NO_LEVEL = 9_999_999_999
_TYPES = dict(zip(COLUMNS, (table.NUMBER, *(table.INTEGER,) * 5), strict=True))


class Type(IntEnum):
    NEW = 1
    LESS = 2  # a part was cancelled
    DELETE = 3
    EXECUTION = 4
    HIDDEN = 5  # execution of an order that the book does not show
    CROSS = 6  # an auction's trade
    HALT = 7  # price -1: trading stops, 0: quoting resumes, 1: trading resumes


# A row of a message file; ``side`` is the resting order's. Prices of hidden executions may lie between two ticks:
# they stand at the tick nearest to them (half to even).
ROW = np.dtype(
    [("time", "i8"), ("type", "i1"), ("side", "i1"), ("order", "i8"), ("size", "i8"), ("price", "i8")], align=True
)


def is_message_file(first: list[str]) -> bool:
    """Whether a first line looks like a row of one: numbers without a header."""
    return len(first) == len(COLUMNS) and all(_is_number(cell) for cell in first)


def feed(path: Path, book: Path | None = None, tick: float | None = None) -> Feed:
    """The feed of a message file: depth by a plain replay of its levels, seeded from the first row of the ``book`` file.

    A level that neither the seed nor a message told of is unknown; what is taken from it is not missed. Lots are shares.
    ``tick`` is found in the first rows where it is not given.
    """
    if tick is None:
        tick = _tick(path)
    seed = next(books(book, tick), None) if book else None
    return Feed(str(path), "lobster", tick, 1.0, lambda: _events(path, tick, seed), book)


def _tick(path: Path) -> float:
    for block in table.blocks(path, COLUMNS, _TYPES, header=False):
        shown = np.isin(block.columns["type"], (Type.NEW, Type.LESS, Type.DELETE, Type.EXECUTION))
        price = block.columns["price"][shown].astype(np.float64)
        return Grid.of(price * PRICE, np.ones(1), None, None).tick if shown.any() else 0.01
    raise InputError(f"{path}: holds no rows")


def messages(path: Path, tick: float) -> Iterator[np.ndarray]:
    """The rows of a message file, ``ROW`` (n,) at a time. Raises InputError with the line."""
    last = -(2**62)
    for block in table.blocks(path, COLUMNS, _TYPES, header=False):
        c, place = block.columns, block.place
        refuse(place, ~((c["time"] >= 0) & (c["time"] <= 172_800)), "time", c["time"], "seconds after midnight")
        refuse(place, ~np.isin(c["type"], list(Type)), "type", c["type"], "1 to 7")
        refuse(place, ~np.isin(c["direction"], (1, -1)), "direction", c["direction"], "1 or -1")
        halt = c["type"] == Type.HALT
        refuse(place, (c["size"] <= 0) & ~halt, "size", c["size"], "above 0")
        refuse(place, c["size"] >= 2**31, "size", c["size"], "below 2**31")
        refuse(place, (c["price"] <= 0) & ~halt, "price", c["price"], "above 0")
        refuse(place, halt & ~np.isin(c["price"], (-1, 0, 1)), "price", c["price"], "-1, 0 or 1 in a halt")
        rows = np.empty(len(c["time"]), ROW)
        rows["time"] = np.rint(c["time"] * 1e9).astype(np.int64)
        refuse_disorder(place, rows["time"], last)
        last = int(rows["time"][-1])
        hidden = np.isin(c["type"], (Type.HIDDEN, Type.CROSS))
        units = tick / PRICE
        price = np.where(hidden, units * np.rint(c["price"] / units), c["price"])
        price = np.where(halt, 0.0, price)
        rows["price"] = np.where(halt, c["price"], whole(place, price, units, "price", "tick"))
        for name, column in (("type", "type"), ("side", "direction"), ("order", "order"), ("size", "size")):
            rows[name] = c[column]
        yield rows


def books(path: Path, tick: float) -> Iterator[np.ndarray]:
    """The rows of a book file, int64 (levels, 4) each: ask, ask size, bid, bid size, in ticks; size 0: no such level."""
    for block in book_blocks(path, tick):
        yield from block


def book_blocks(path: Path, tick: float) -> Iterator[np.ndarray]:
    """The same, int64 (n, levels, 4) at a time. Raises InputError with the line."""
    first = table.head(path, 1)[0]
    if len(first) % 4 or not all(_is_number(cell) for cell in first):
        raise InputError(f"{path}:1: got {len(first)} columns, a LOBSTER book has 4 numbers a level and no header")
    names = [
        f"{name}_{level}" for level in range(1, len(first) // 4 + 1) for name in ("ask", "ask_size", "bid", "bid_size")
    ]
    for block in table.blocks(path, names, dict.fromkeys(names, table.INTEGER), header=False):
        rows = np.stack([np.asarray(block.columns[name], np.int64) for name in names], axis=1)
        for k, name in enumerate(names):
            column = rows[:, k]
            if k % 2:
                refuse(block.place, column < 0, name, column, "0 or more")
            else:
                price = np.where(np.abs(column) == NO_LEVEL, 0, column).astype(np.float64)
                rows[:, k] = whole(block.place, price, tick / PRICE, name, "tick")
        yield rows.reshape(len(rows), -1, 4)


def _events(path: Path, tick: float, seed: np.ndarray | None) -> Iterator[np.ndarray]:
    size: dict[tuple[int, int], int] = {}  # (side, price) -> lots
    first = True
    for rows in messages(path, tick):
        events = []
        if first and seed is not None:
            time = int(rows["time"][0])
            for ask, ask_size, bid, bid_size in seed.tolist():
                for side, price, lots in ((-1, ask, ask_size), (1, bid, bid_size)):
                    if lots:
                        size[side, price] = lots
                        events.append((time, Kind.DEPTH, side, price, lots))
        skip = first and seed is not None  # the first row of the book is the book after the first message
        for time, kind, side, _, lots, price in rows.tolist():
            if kind in (Type.EXECUTION, Type.HIDDEN):
                events.append((time, Kind.TRADE, -side, price, lots))
            elif kind == Type.CROSS:
                events.append((time, Kind.TRADE, 0, price, lots))
            elif kind == Type.HALT:
                events.append((time, Kind.HALT, 0, price, 0))
            if kind <= Type.EXECUTION and not skip:
                now = size.get((side, price), 0) + (lots if kind == Type.NEW else -lots)
                if now > 0:
                    size[side, price] = now
                else:
                    size.pop((side, price), None)
                events.append((time, Kind.DEPTH, side, price, max(now, 0)))
            skip = False
        first = False
        if events:
            yield np.array(events, EVENT)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
