"""``marketsim bench``: how fast this machine steps the market, plays the book, trains, starts and keeps its audit file, and how soon drift is
seen; see docs/performance.md and docs/drift.md."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from experiments import progress
from experiments.bench.rows import Row, print_json, print_table
from marketsim.document import InputError

# what is measured -> where it is, imported when asked for
_PARTS = {which: f"experiments.bench.{which}" for which in ("engine", "book", "train", "start", "audit", "drift")}


def bench(which: str = "engine", json: bool = False) -> list[Row]:
    """Measure, print a table or one JSON object ``{"rows": [...]}``, and return the rows. Raises InputError."""
    if which not in _PARTS:
        raise InputError(f"bench: got {which!r}, allowed are {', '.join(_PARTS)}")
    from experiments.store import cpu

    measure: Callable[[], list[Row]] = import_module(_PARTS[which]).measure
    machine = cpu()
    progress.say(f"measuring on {machine}; whatever else it does at the same time makes the figures worse")
    rows = measure()
    print_json(rows) if json else print_table(which, machine, rows)
    return rows
