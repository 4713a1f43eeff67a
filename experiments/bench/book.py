"""How fast the order book is: messages, background traders, learning dealers in it, and feeds of real markets."""

from __future__ import annotations

from experiments.bench import feed, matching, quoting, traders
from experiments.bench.rows import Row


def measure() -> list[Row]:
    """All figures of the book."""
    return [*matching.rows(), *traders.rows(), *quoting.rows(), *feed.rows()]
