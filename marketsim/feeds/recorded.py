"""Feeds that fit memory -> a tape: best quotes and trades as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from marketsim.feeds import lobster
from marketsim.feeds.events import Feed
from marketsim.feeds.ladder import LEVELS, ladder, record_quotes
from marketsim.feeds.opening import open_feed
from marketsim.feeds.types import EVENT, Kind
from marketsim.tape import PRINT, QUOTE, Tape
from marketsim.yaml_text import InputError

DAY = 86_400 * 10**9  # ns


def tape(path: str | Path, book: str | Path | None = None, tick: float | None = None, lot: float | None = None) -> Tape:
    """The tape of any file or folder that ``open_feed`` knows, whole in memory. Times in s after midnight (UTC).

    Quotes are those that stood when time went on, once for each change of one of the four; of a LOBSTER piece with a
    ``book`` file they are the file's own, else those of the rebuilt book. Trades whose aggressor is unknown (auctions)
    are left out. Raises InputError.
    """
    feed = open_feed(path, book=book, tick=tick, lot=lot)
    if feed.book is not None:
        return _of_lobster(feed, feed.book)
    times, quotes, trades = [], [], []
    state, sizes = ladder(LEVELS)
    quote = np.zeros(4, np.int64)
    midnight = None
    for events in feed.chunks():
        midnight = int(events["time"][0]) // DAY * DAY if midnight is None else midnight
        found_times, found = np.empty(len(events), np.int64), np.empty((len(events), 4), np.int64)
        n = record_quotes(state, sizes, events, quote, found_times, found)
        times.append(found_times[:n].copy())
        quotes.append(found[:n].copy())
        trades.append(events[(events["kind"] == Kind.TRADE) & (events["side"] != 0)])
    end = np.zeros(1, EVENT)
    end["time"], end["kind"] = 2**62, Kind.HALT  # time goes on: the quotes after the last event
    found_times, found = np.empty(1, np.int64), np.empty((1, 4), np.int64)
    n = record_quotes(state, sizes, end, quote, found_times, found)
    if midnight is None:
        raise InputError(f"{path}: tells of no quote and no trade")
    return _tape(
        feed, midnight, np.concatenate([*times, found_times[:n]]), np.concatenate([*quotes, found[:n]]), trades
    )


def _of_lobster(feed: Feed, book: Path) -> Tape:
    trades = [events[(events["kind"] == Kind.TRADE) & (events["side"] != 0)] for events in feed.chunks()]
    time = np.concatenate([rows["time"] for rows in lobster.messages(Path(feed.path), feed.tick)])
    best = [block[:, 0].copy() for block in lobster.book_blocks(book, feed.tick)]
    quote = np.concatenate(best)[:, [2, 3, 0, 1]]
    if len(time) != len(quote):
        raise InputError(f"{book}: holds {len(quote)} rows, the messages of {feed.path} are {len(time)}")
    for k in (0, 2):  # an empty side repeats its last price
        seen = np.maximum.accumulate(np.where(quote[:, k + 1] > 0, np.arange(len(quote)), 0))
        quote[:, k] = quote[seen, k]
    last = np.append(time[1:] > time[:-1], True)
    time, quote = time[last], quote[last]
    changed = np.append(True, (quote[1:] != quote[:-1]).any(axis=1))
    return _tape(feed, 0, time[changed], quote[changed], trades)


def _tape(feed: Feed, midnight: int, time: np.ndarray, quote: np.ndarray, trades: list[np.ndarray]) -> Tape:
    known = (quote[:, [1, 3]] > 0).cumsum(axis=0).all(axis=1)  # from where on both sides have had a price
    time, quote = time[known], quote[known]
    quotes = np.zeros(len(time), QUOTE)
    quotes["time"] = (time - midnight) / 1e9
    for k, name in enumerate(("bid", "bid_size", "ask", "ask_size")):
        quotes[name] = quote[:, k]
    trade = np.concatenate([*trades, np.zeros(0, EVENT)])
    prints = np.zeros(len(trade), PRINT)
    prints["time"] = (trade["time"] - midnight) / 1e9
    for name in ("price", "size", "side"):
        prints[name] = trade[name]
    return Tape(quotes, prints, feed.tick, feed.lot)
