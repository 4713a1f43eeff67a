"""What a feed holds, in a pass of bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marketsim.feeds.events import Feed
from marketsim.feeds.ladder import BEYOND, CROSSED, LEFT, LEVELS, ladder, record_quotes
from marketsim.feeds.types import Kind


@dataclass(frozen=True)
class Summary:
    """Counts; ``span`` in s, ``spread`` in ticks (mean over the time in which both sides were quoted, None without)."""

    events: dict[str, int]  # by Kind
    span: float
    volume: float  # traded, size units
    bought: float | None  # share of the volume whose aggressor bought, of that with a known aggressor
    quotes: int  # changes of the best quotes
    spread: float | None
    lost: dict[str, int]  # levels beyond the window, left behind by it, crossed by the other side


def summarise(feed: Feed) -> Summary:
    """Read a feed to its end."""
    book, sizes = ladder(LEVELS)
    quote = np.zeros(4, np.int64)
    counts = np.zeros(max(Kind) + 1, np.int64)
    volume = np.zeros(3, np.int64)  # sold, unknown, bought
    first, last, quotes, weight, weighted = 0, 0, 0, 0, 0
    since, spread = 0, -1  # ns, ticks; -1 where a side is empty
    for events in feed.chunks():
        first = first if counts.any() else int(events["time"][0])
        last = int(events["time"][-1])
        counts += np.bincount(events["kind"], minlength=len(counts))
        trades = events[events["kind"] == Kind.TRADE]
        volume += [int(trades["size"][trades["side"] == side].sum()) for side in (-1, 0, 1)]
        times, told = np.empty(len(events), np.int64), np.empty((len(events), 4), np.int64)
        n = record_quotes(book, sizes, events, quote, times, told)
        quotes += n
        spreads = np.where((told[:n, [1, 3]] > 0).all(axis=1), told[:n, 2] - told[:n, 0], -1)
        lasted = np.diff(np.append(np.append(since, times[:n]), last if n == 0 else times[n - 1]))
        stood = np.append(spread, spreads)
        known = stood >= 0
        weight += int(lasted[known].sum())
        weighted += int((lasted[known] * stood[known]).sum())
        since, spread = (int(times[n - 1]), int(spreads[-1])) if n else (last, spread)
    if spread >= 0:
        weight, weighted = weight + last - since, weighted + (last - since) * spread
    sided = int(volume[0] + volume[2])
    return Summary(
        {kind.name.lower(): int(counts[kind]) for kind in Kind if counts[kind]},
        (last - first) / 1e9,
        float(volume.sum()) * feed.lot,
        float(volume[2] / sided) if sided else None,
        quotes,
        weighted / weight if weight else None,
        {name: int(book[field]) for name, field in (("beyond", BEYOND), ("left", LEFT), ("crossed", CROSSED))},
    )
