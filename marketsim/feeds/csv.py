"""CSV files, plain or gzip: L2 updates, trades, both in one, or best quotes; columns by their usual names.

What a row says is told by the columns: ``bid`` and ``ask`` are best quotes; a ``kind`` column (depth, trade, clear) or
``is_snapshot`` or sides called bid and ask are updates of the book; else rows are trades with their aggressor's side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.feeds import table
from marketsim.feeds.events import Feed, Grid, Rows, refuse
from marketsim.feeds.quotes import QuoteRows, events_of_quotes
from marketsim.feeds.types import Kind
from marketsim.readers import ASK, BID, TIME
from marketsim.yaml_text import InputError

NAMES = {
    "time": TIME,
    "price": ("price", "px"),
    "size": ("size", "qty", "quantity", "amount", "volume"),
    "side": ("side", "aggressor", "direction"),
    "kind": ("kind", "type", "event"),
    "snapshot": ("is_snapshot", "snapshot"),
    "bid": BID,
    "bid_size": ("bid_size", "bid_qty", "bid_amount", "best_bid_size"),
    "ask": ASK,
    "ask_size": ("ask_size", "ask_qty", "ask_amount", "best_ask_size"),
}
SIDES = {"1": 1, "-1": -1, "buy": 1, "sell": -1, "b": 1, "s": -1, "bid": 1, "ask": -1, "+1": 1}
KINDS = {"depth": Kind.DEPTH, "trade": Kind.TRADE, "clear": Kind.CLEAR}
SNAPSHOTS = {"true": 1, "false": 0, "1": 1, "0": 0}
UNITS = {"time_s": 10**9, "time_ms": 10**6, "time_us": 10**3, "time_ns": 1}


def feed(
    path: Path, names: Mapping[str, str] | None = None, tick: float | None = None, lot: float | None = None
) -> Feed:
    """The feed of one file. ``names``: role (a key of ``NAMES``) -> column, where it has another name than usual."""
    columns = _columns(path, names or {})
    rows: Callable[..., Iterator[QuoteRows | Rows]] = _quotes if "bid" in columns else _rows
    first = next(rows(path, columns), None)
    if first is None:
        raise InputError(f"{path}: holds no rows")
    grid = Grid.of(first.price, first.size, tick, lot)
    return Feed(str(path), "csv " + _content(columns, path), grid.tick, grid.lot, lambda: _events(path, columns, grid))


def _content(columns: dict[str, str], path: Path) -> str:
    if "bid" in columns:
        return "quotes"
    return "updates" if _is_depth(columns, path) or "kind" in columns else "trades"


def _events(path: Path, columns: dict[str, str], grid: Grid) -> Iterator[np.ndarray]:
    last = -(2**62)
    if "bid" in columns:
        before = None
        for quotes in _quotes(path, columns):
            events, before = events_of_quotes(quotes, columns, last, grid, before)
            last = int(quotes.time[-1])
            if len(events):
                yield events
        return
    for rows in _rows(path, columns):
        events = rows.events((columns["price"], columns["size"]), last, grid)
        last = int(rows.time[-1])
        yield events


def _columns(path: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Role -> column."""
    header = table.head(path, 1)[0]
    unknown = [role for role in names if role not in NAMES]
    if unknown:
        raise InputError(f"{path}: names: there is no role {unknown[0]!r}, allowed are {', '.join(NAMES)}")
    found = dict(names)
    for role, usual in NAMES.items():
        if role not in found:
            column = next((name for usual_name in usual for name in header if name.lower() == usual_name), None)
            if column is not None:
                found[role] = column
    absent = [name for name in found.values() if name not in header]
    if absent:
        raise InputError(f"{path}:1: there is no column {absent[0]!r} among {', '.join(header)}")
    wanted = (
        ("time", "bid", "bid_size", "ask", "ask_size")
        if {"bid", "ask"} <= set(found)
        else ("time", "price", "size", "side")
    )
    missing = [role for role in wanted if role not in found]
    if missing:
        raise InputError(
            f"{path}:1: no column for {' and '.join(missing)} among {', '.join(header)}, usual names are "
            + "; ".join(f"{role}: {', '.join(NAMES[role])}" for role in missing)
        )
    optional = () if "bid" in wanted else ("kind", "snapshot")
    return {role: found[role] for role in (*wanted, *optional) if role in found}


def _head(path: Path) -> tuple[list[str], list[str]]:
    """The header and the first row."""
    lines = table.head(path, 2)
    if len(lines) < 2:
        raise InputError(f"{path}: holds no rows")
    header, row = lines
    if len(row) != len(header):
        raise InputError(f"{path}:2: got {len(row)} columns, it must have {len(header)}")
    return header, row


def _blocks(path: Path, columns: dict[str, str]) -> Iterator[tuple[table.Block, np.ndarray]]:
    """Blocks with their times in ns."""
    header, row = _head(path)
    clock = columns["time"]
    text = row[header.index(clock)]
    whole_numbers = text.lstrip("-").isdigit()
    types = dict.fromkeys(columns.values(), table.NUMBER)
    types[clock] = table.INTEGER if whole_numbers else table.NUMBER
    types |= {columns[role]: table.WORD for role in ("side", "kind", "snapshot") if role in columns}
    unit = UNITS.get(clock.lower())
    for block in table.blocks(path, header, types):
        times = block.columns[clock]
        refuse(block.place, ~np.isfinite(times), clock, times, "finite")
        unit = unit or _unit(float(times[0]))
        limit = 2**62 / unit
        refuse(block.place, ~(np.abs(times) < limit), clock, times, f"below {limit:.3g}")
        yield block, times * unit if whole_numbers else np.rint(times * float(unit)).astype(np.int64)


def _unit(time: float) -> int:
    """Ns in a unit of time that the column's name does not tell: seconds, or what makes a date of 1973 to 5138 of it."""
    return next((10**9 // 10**k for k, limit in ((0, 1e11), (3, 1e14), (6, 1e17)) if abs(time) < limit), 1)


def _rows(path: Path, columns: dict[str, str]) -> Iterator[Rows]:
    depth = _is_depth(columns, path)
    in_snapshot = False
    for block, time in _blocks(path, columns):
        side = _words(block, columns["side"], SIDES)
        if "kind" in columns:
            kind = _words(block, columns["kind"], KINDS)
        else:
            kind = np.full(len(time), Kind.DEPTH if depth else Kind.TRADE, np.int8)
        price, size = block.columns[columns["price"]], block.columns[columns["size"]]
        rows = Rows(block.place, time, kind, side, price, size)
        if "snapshot" in columns:
            flags = _words(block, columns["snapshot"], SNAPSHOTS)
            rows = _with_clears(rows, np.flatnonzero(np.diff(flags, prepend=np.int8(in_snapshot)) > 0))
            in_snapshot = bool(flags[-1])
        yield rows


def _with_clears(rows: Rows, at: np.ndarray) -> Rows:
    """A snapshot tells the whole book: what was known before it is gone."""
    source = np.insert(np.arange(len(rows.time)), at, at)

    def place(row: int) -> str:
        return rows.place(int(source[row]))

    kind, side = np.insert(rows.kind, at, Kind.CLEAR), np.insert(rows.side, at, 0)
    price, size = rows.price[source], rows.size[source]
    return Rows(place, rows.time[source], kind, side, np.where(kind == Kind.CLEAR, np.nan, price), size)


def _quotes(path: Path, columns: dict[str, str]) -> Iterator[QuoteRows]:
    for block, time in _blocks(path, columns):
        sides = [block.columns[columns[role]] for role in ("bid", "bid_size", "ask", "ask_size")]
        yield QuoteRows(block.place, time, *sides)


def _is_depth(columns: dict[str, str], path: Path) -> bool:
    """Whether a file without a ``kind`` tells of the book: it has snapshots, or its sides are called bid and ask."""
    header, row = _head(path)
    return "snapshot" in columns or row[header.index(columns["side"])].lower() in ("bid", "ask")


def _words(block: table.Block, name: str, meaning: Mapping[str, int]) -> np.ndarray:
    """A column of words as int8."""
    from pyarrow import array, compute

    column: Any = block.columns[name]
    number = compute.index_in(compute.utf8_lower(column), array(list(meaning))).to_numpy(zero_copy_only=False)
    bad = ~np.isfinite(number)
    if bad.any():
        row = int(np.argmax(bad))
        got = column[row].as_py()
        raise InputError(f"{block.place(row)}: {name}: got {got!r}, it must be one of {', '.join(meaning)}")
    return np.array(list(meaning.values()), np.int8)[number.astype(np.int64)]
