"""How fast a feed is replayed, without own orders and with a maker among it, and what memory a long one takes.

The feed is made here, seeded: a random walk of the touch by ticks, depth within a few ticks of it, one trade in eight
events, 2,000 events a second. See docs/feeds.md.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from experiments.bench.rows import Row, alternate, rates
from marketsim.compiled import stage
from marketsim.feeds import FeedReplay, execution, ladder
from marketsim.feeds.types import EVENT, Ask, Kind

EVENTS = 2_000_000
CHUNK = 1 << 16
REPEATS = 3
GAP = 500_000  # ns between two events
EVERY = 10_000_000  # ns from one act of the maker to the next
LONG_CHUNKS = 300  # of the replay whose memory is measured
POST_ONLY = int(Ask.POST_ONLY)


def rows() -> list[Row]:
    chunks = list(synthetic(-(-EVENTS // CHUNK)))
    events = sum(len(chunk) for chunk in chunks)
    acts = int(chunks[-1]["time"][-1] - chunks[0]["time"][0]) // EVERY + 1
    span = int(chunks[-1]["time"][-1] - chunks[0]["time"][0])
    memory = np.zeros(1)

    def silent() -> None:
        FeedReplay(chunks, 0.01, 0.001).elapse(span)

    def making() -> None:
        FeedReplay(chunks, 0.01, 0.001, "power", latency=1_000_000).play(maker, EVERY, memory)

    plain, made = alternate(REPEATS, silent, making)
    return [
        *rates("a feed without own orders", plain, events, "events/s", 8e6, 17e6),
        *rates("a maker every 10 ms in it, a compiled strategy", made, acts, "steps/s", 0.3e6, 0.5e6),
        Row("  events a step", events / acts, ""),
        memory_row(),
    ]


@stage
def maker(account, book, sizes, orders, requests, memory):
    """Keeps one lot at either touch: an order that is no longer there is cancelled, a missing one is sent."""
    if book[ladder.BIDS] == 0 or book[ladder.ASKS] == 0:
        return
    bid, ask = True, True
    for k in range(account[execution.OPEN]):
        own = orders[k]
        stands = own.price == (book[ladder.BID] if own.side > 0 else book[ladder.ASK])
        if not stands:
            execution.cancel(account, requests, own.order)
        elif own.side > 0:
            bid = False
        else:
            ask = False
    if bid and account[execution.POSITION] < 100:
        execution.submit(account, requests, POST_ONLY, 1, book[ladder.BID], 1)
    if ask and account[execution.POSITION] > -100:
        execution.submit(account, requests, POST_ONLY, -1, book[ladder.ASK], 1)


def synthetic(chunks: int, seed: int = 7) -> Iterator[np.ndarray]:
    """``chunks`` of ``CHUNK`` events each."""
    mid, time = 1_000_000, 0
    for number in range(chunks):
        rng = np.random.default_rng([seed, number])
        walk = mid + np.cumsum(rng.choice([-1, 0, 1], CHUNK, p=[0.01, 0.98, 0.01]))
        side = rng.choice(np.array([1, -1], np.int8), CHUNK)
        trade = rng.random(CHUNK) < 1 / 8
        away = rng.geometric(0.25, CHUNK) - 1
        events = np.zeros(CHUNK, EVENT)
        events["time"] = time + GAP * np.arange(CHUNK)
        events["kind"] = np.where(trade, Kind.TRADE, Kind.DEPTH)
        events["side"] = side
        # a trade meets the best of the other side, depth lies up to a few ticks behind its own best
        events["price"] = walk + np.where(trade, side > 0, (side < 0) - side * away)
        empty = (rng.random(CHUNK) < 0.25) & ~trade
        events["size"] = np.where(empty, 0, rng.integers(1, 100, CHUNK))
        mid, time = int(walk[-1]), time + GAP * CHUNK
        yield events


def memory_row() -> Row:
    """A process of its own at its largest, numba and all, after a replay of a feed that is made as it goes."""
    code = "from experiments.bench.feed import long_replay; print(long_replay())"
    with_ours = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], env=with_ours, capture_output=True, text=True, check=True)
    return Row(f"a process at its largest, after {LONG_CHUNKS * CHUNK:,} events", int(done.stdout) / 1e6, "MB", 500.0)


def long_replay() -> int:
    """Replay the long feed; the most memory that this process ever had, bytes."""
    FeedReplay(synthetic(LONG_CHUNKS), 0.01, 0.001, "power", latency=1_000_000).play(maker, EVERY, np.zeros(1))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # else kB
