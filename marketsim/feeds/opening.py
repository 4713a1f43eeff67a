"""Which format a file is of, and its feed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from marketsim.feeds import csv, hftbacktest, lobster, table
from marketsim.feeds.events import Feed, Grid
from marketsim.yaml_text import InputError


def open_feed(
    path: str | Path, book: str | Path | None = None, tick: float | None = None, lot: float | None = None
) -> Feed:
    """The feed of a file: ``npz`` or ``npy`` of hftbacktest, CSV (or gzip) of LOBSTER, of updates, trades or best quotes.

    A folder is a LOBSTER piece (``*message*``, ``*orderbook*``) or best quotes with trades (``quotes*``, ``trades*``).
    ``book``: the book file beside LOBSTER's messages, from whose first row the depth is seeded. ``tick``, ``lot``: in units
    of the file, found in its first rows where they are not given. Raises InputError.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, book, tick, lot)
    if book is not None and not _is_lobster(path):
        raise InputError(f"{path}: is no message file of LOBSTER, which a book file belongs to")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if path.suffix in (".npz", ".npy"):
        return hftbacktest.feed(path, tick=tick, lot=lot)
    if _is_lobster(path):
        return lobster.feed(path, Path(book) if book else None, tick)
    return csv.feed(path, tick=tick, lot=lot)


def _is_lobster(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".npz", ".npy") and lobster.is_message_file(table.head(path, 1)[0])


def _of_folder(path: Path, book: str | Path | None, tick: float | None, lot: float | None) -> Feed:
    messages, books = _one(path, "*message*"), _one(path, "*orderbook*")
    if messages is not None:
        return lobster.feed(messages, Path(book) if book else books, tick)
    quotes, trades = _one(path, "quotes*"), _one(path, "trades*")
    if quotes is None or trades is None:
        raise InputError(f"{path}: holds neither a *message* file of LOBSTER nor quotes* and trades*")
    found = [csv.feed(file, tick=tick, lot=lot) for file in (quotes, trades)]
    ticks, lots = (np.array([getattr(feed, unit) for feed in found]) for unit in ("tick", "lot"))
    grid = Grid.of(ticks, lots, float(ticks[0]) if ticks[0] == ticks[1] else None, lot)
    first, second = (csv.feed(file, tick=grid.tick, lot=grid.lot).chunks for file in (trades, quotes))
    return Feed(str(path), "csv quotes and trades", grid.tick, grid.lot, lambda: merged(first, second))


def _one(path: Path, pattern: str) -> Path | None:
    files = sorted(path.glob(pattern))
    if len(files) > 1:
        raise InputError(f"{path}: holds {len(files)} files {pattern}, name one")
    return files[0] if files else None


def merged(
    first: Callable[[], Iterator[np.ndarray]], second: Callable[[], Iterator[np.ndarray]]
) -> Iterator[np.ndarray]:
    """Two feeds of one instrument in order of time; at one time the ``first`` comes first (the trade, then the quote)."""
    sources = first(), second()
    a, b = next(sources[0], None), next(sources[1], None)
    while a is not None and b is not None:
        until = min(a["time"][-1], b["time"][-1])
        m, n = (int(np.searchsorted(part["time"], until, side="right")) for part in (a, b))
        both = np.concatenate([a[:m], b[:n]])
        yield both[np.argsort(both["time"], kind="stable")]
        a = a[m:] if m < len(a) else next(sources[0], None)
        b = b[n:] if n < len(b) else next(sources[1], None)
    yield from (part for part in (a, b) if part is not None)
    for source in sources:
        yield from source
