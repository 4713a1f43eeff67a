"""Event arrays of hftbacktest (github.com/nkaz001/hftbacktest): an npz or npy of a structured array, streamed.

Bits of ``ev``: 31 the exchange's row (in order of ``exch_ts``), 30 the receiver's (``local_ts``), 29 buy, 28 sell; its
lowest byte is 1 depth, 2 trade, 3 clear, 4 depth of a snapshot. A clear of one side reaches from its best to ``px``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from marketsim.feeds.events import CHUNK, Feed, Grid, Rows, refuse
from marketsim.feeds.types import Kind
from marketsim.yaml_text import InputError

EXCHANGE, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty")
_KIND = np.zeros(256, np.int8)
_KIND[[DEPTH, TRADE, CLEAR, SNAPSHOT]] = Kind.DEPTH, Kind.TRADE, Kind.CLEAR, Kind.DEPTH


def feed(path: Path, clock: str = "exchange", tick: float | None = None, lot: float | None = None) -> Feed:
    """The feed of an event array by one ``clock``: ``exchange`` as it happened there, ``local`` as it was received."""
    if clock not in ("exchange", "local"):
        raise InputError(f"clock: got {clock!r}, allowed are exchange, local")
    if tick is None or lot is None:
        rows = next(_rows(path, clock), None)
        if rows is None:
            raise InputError(f"{path}: holds no rows of the {clock}'s clock")
        grid = Grid.of(rows.price[rows.kind != Kind.CLEAR], rows.size, tick, lot)
    else:
        grid = Grid.of(np.ones(1), np.ones(1), tick, lot)
    return Feed(str(path), "hftbacktest", grid.tick, grid.lot, lambda: _events(path, clock, grid))


def _events(path: Path, clock: str, grid: Grid) -> Iterator[np.ndarray]:
    last = -(2**62)
    for rows in _rows(path, clock):
        yield rows.events(("px", "qty"), last, grid)
        last = int(rows.time[-1])


def _rows(path: Path, clock: str) -> Iterator[Rows]:
    bit, stamp = (EXCHANGE, "exch_ts") if clock == "exchange" else (LOCAL, "local_ts")
    first = 0
    for block in _blocks(path):
        numbers = first + np.arange(len(block))
        first += len(block)
        ev = block["ev"].astype(np.int64)

        def place(row: int, numbers: np.ndarray = numbers) -> str:
            return f"{path}: row {numbers[row]}"

        refuse(place, _KIND[ev & 0xFF] == 0, "ev", ev & 0xFF, "of type 1 to 4 in its lowest byte")
        refuse(place, ev & (EXCHANGE | LOCAL) == 0, "ev", ev, "the exchange's or the receiver's: bit 31 or 30")
        kept = np.flatnonzero(ev & bit)
        if len(kept) == 0:
            continue
        block, ev = block[kept], ev[kept]

        def kept_place(row: int, numbers: np.ndarray = numbers[kept]) -> str:
            return f"{path}: row {numbers[row]}"

        kind = _KIND[ev & 0xFF]
        side = np.sign((ev & BUY) // 2 - (ev & SELL)).astype(np.int8)
        refuse(kept_place, (kind == Kind.DEPTH) & (side == 0), "ev", ev, "depth with a side: bit 29 or 28")
        side[(kind == Kind.CLEAR) & ~np.isfinite(block["px"])] = 0
        time = block[stamp].astype(np.int64)
        yield Rows(kept_place, time, kind, side, block["px"].astype(np.float64), block["qty"].astype(np.float64))


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """The array, some rows at a time; never unpickled, never whole."""
    with ExitStack() as opened:
        try:
            file: IO[bytes]
            if path.suffix == ".npy":
                file = opened.enter_context(open(path, "rb"))
            else:
                archive = opened.enter_context(zipfile.ZipFile(path))
                file = opened.enter_context(archive.open(_member(path, archive.namelist())))
            n, dtype = _header(path, file)
            while n > 0:
                data = _read(file, min(n, CHUNK) * dtype.itemsize)
                if len(data) < min(n, CHUNK) * dtype.itemsize:
                    raise InputError(f"{path}: is cut off, {n} more rows were promised")
                yield np.frombuffer(data, dtype)
                n -= CHUNK
            file.read(1)  # so that the archive checks its sum
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.filename:
                raise InputError(f"{path}: {error.strerror}") from None
            raise InputError(f"{path}: is no whole npz or npy file: {error}") from None


def _member(path: Path, names: list[str]) -> str:
    arrays = [name for name in names if name.endswith(".npy")]
    if "data.npy" in arrays:
        return "data.npy"
    if len(arrays) != 1:
        raise InputError(f"{path}: holds the arrays {', '.join(arrays) or 'none'}, it must hold one, or one named data")
    return arrays[0]


def _header(path: Path, file: IO[bytes]) -> tuple[int, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, SyntaxError, TokenError) as error:
        raise InputError(f"{path}: is no npy array: {' '.join(str(error).split())[:200]}") from None
    if dtype.hasobject:
        raise InputError(
            f"{path}: holds pickled objects, which are never read; it must hold a structured array of numbers"
        )
    missing = [name for name in FIELDS if name not in (dtype.names or ())]
    if missing:
        raise InputError(f"{path}: has no column {', '.join(missing)}, it must have {', '.join(FIELDS)}")
    numbers = [dtype[name].kind in "iuf" and dtype[name].shape == () for name in FIELDS]
    if len(shape) != 1 or not all(numbers):
        raise InputError(f"{path}: has the shape {shape} and {dtype}, it must be one row of numbers after another")
    if shape[0] == 0:
        raise InputError(f"{path}: holds no rows")
    return shape[0], dtype


def _read(file: IO[bytes], size: int) -> bytes:
    """``size`` bytes, fewer only at the end: one read of an archive gives fewer."""
    parts = []
    while size > 0:
        part = file.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
