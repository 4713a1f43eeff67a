"""``marketsim feed``: what a file of limit-order data holds, and whether the matching engine follows it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from marketsim.feeds import lobster_check, open_feed
from marketsim.feeds.summary import Summary, summarise


def feed(
    path: str | Path, book: str | Path | None = None, tick: float | None = None, lot: float | None = None
) -> dict[str, Any]:
    """Read any supported file or folder to its end; a LOBSTER piece with its book drives the engine, too.

    Keys: ``format``, ``tick``, ``lot``, those of ``feeds.summary.Summary``, and ``checks``: of the engine, seeded from the
    first row of the book, and with the levels that come into view later (``feeds.lobster_check.Check``). Raises InputError.
    """
    source = open_feed(path, book=book, tick=tick, lot=lot)
    found: dict[str, Any] = {
        "format": source.format,
        "tick": source.tick,
        "lot": source.lot,
        **asdict(summarise(source)),
    }
    found["checks"] = {}
    if source.book is not None:
        for name, revealed in (("seeded", False), ("revealed", True)):
            check = lobster_check.check(Path(source.path), source.book, source.tick, revealed)
            found["checks"][name] = asdict(check)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The same for reading."""
    summary = Summary(**{name: found[name] for name in Summary.__dataclass_fields__})
    counts = ", ".join(f"{n:,} {kind}" for kind, n in summary.events.items())
    spread = "never quoted on both sides" if summary.spread is None else f"mean spread {summary.spread:.3g} ticks"
    bought = "" if summary.bought is None else f", {100 * summary.bought:.1f}% bought"
    said = [
        f"{found['format']}: tick {found['tick']:.12g}, lot {found['lot']:.12g}",
        f"{sum(summary.events.values()):,} events in {summary.span:,.3f} s: {counts}",
        f"{summary.events.get('trade', 0):,} prints of {summary.volume:,.12g} in all{bought}",
        f"{summary.quotes:,} changes of the best quotes, {spread}",
    ]
    if any(summary.lost.values()):
        said.append("levels lost: " + ", ".join(f"{n:,} {why}" for why, n in summary.lost.items() if n))
    for name, check in found["checks"].items():
        seed = "the first row of the book" if name == "seeded" else "each level's first row in view"
        levels = len(check["levels"])
        said += [
            f"the engine, seeded from {seed}:",
            f"  best bid and ask as in the book file on {100 * check['best']:.1f}% of {check['rows']:,} rows, the first "
            f"{check['first_levels']:.2f} of {levels} levels on average",
            f"  {check['makers']:,} of {check['executions']:,} executions met the order that the file names "
            f"({check['named']:,} of an order it told of before); "
            f"{check['unseen']:,} messages about orders never seen, {check['stale']:,} orders found gone",
            "  messages: " + ", ".join(f"{n:,} {outcome}" for outcome, n in check["outcomes"].items()),
        ]
    return said
