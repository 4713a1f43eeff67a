"""``marketsim calibrate tape``: what a file of quotes and trades says of its market, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.market_block import Orders, market_block
from marketsim.calibrate import fills, hawkes, volatility, zero_intelligence
from marketsim.calibrate.estimate import Estimate
from marketsim.feeds import lobster, open_feed
from marketsim.feeds import tape as read_tape
from marketsim.feeds.events import Grid
from marketsim.tape import Tape
from marketsim.yaml_text import InputError

_ESTIMATORS: dict[str, Callable[[Tape], Any]] = {
    "volatility": volatility.volatility,
    "fills": fills.fills,
    "hawkes": hawkes.hawkes,
    "zero_intelligence": zero_intelligence.zero_intelligence,
}


@dataclass(frozen=True)
class Row:
    name: str
    estimate: Estimate
    meaning: str


@dataclass(frozen=True)
class Calibration:
    """``found``: estimator -> what it returned; ``refused``: estimator -> why it did not."""

    file: str
    tape: Tape
    found: dict[str, Any]
    refused: dict[str, str]


def calibrate(
    file: str | Path,
    book: str | Path | None = None,
    trades: str | Path | None = None,
    tick: float | None = None,
    lot: float | None = None,
    farthest: float | None = None,
    out: str | Path | None = None,
) -> Calibration:
    """Calibrate all models to any file or folder that ``feeds.tape`` reads; ``trades``: a file of them beside ``file``'s quotes.

    ``farthest``: the distance from the mid up to which A e^(-k d) is fitted. ``out``: where the market block is written. Raises InputError where nothing can be estimated, or not what it needs.
    """
    if out is not None and Path(out).exists():
        raise InputError(f"{out}: exists already, it is not overwritten")
    if book is not None and trades is not None:
        raise InputError(f"{book}: a LOBSTER piece tells its own trades, give --book or --trades")
    tape = read_tape(file, book=book, tick=tick, lot=lot) if trades is None else _of_two(file, trades, tick, lot)
    estimators = _ESTIMATORS | {"fills": partial(fills.fills, farthest=farthest)} | _by_messages(file, tape)
    found, refused = {}, {}
    for name, estimator in estimators.items():
        try:
            found[name] = estimator(tape)
        except InputError as error:
            refused[name] = str(error)
    done = Calibration(str(file), tape, found, refused)
    needed = {"volatility", "fills"} if out is not None else {"fills"} if farthest is not None else set()
    for name, why in refused.items():
        if name in needed or not found:
            raise InputError(f"{file}: {why}")
    if out is not None:
        text = market_block(Path(file).name, tape, found["volatility"], found["fills"], _orders(done))
        with Path(out).open("x", encoding="utf-8") as block:
            block.write(text)
    return done


def _by_messages(file: str | Path, tape: Tape) -> dict[str, Callable[[Tape], Any]]:
    """The estimators that know more where ``file`` tells of each order."""
    feed = open_feed(file, tick=tape.tick, lot=tape.lot)
    if feed.format != "lobster":
        return {}
    messages = np.concatenate(list(lobster.messages(Path(feed.path), feed.tick)))
    return {"zero_intelligence": lambda tape: zero_intelligence.of_messages(tape, messages)}


def _of_two(quotes: str | Path, trades: str | Path, tick: float | None, lot: float | None) -> Tape:
    """One tape of two files, in the coarsest tick and lot of which both have whole numbers."""
    feeds = [open_feed(path, tick=tick, lot=lot) for path in (quotes, trades)]
    grid = Grid.of(np.array([feed.tick for feed in feeds]), np.array([feed.lot for feed in feeds]), tick, lot)
    shown, traded = (read_tape(path, tick=grid.tick, lot=grid.lot) for path in (quotes, trades))
    return Tape(shown.quotes, traded.prints, grid.tick, grid.lot)


def _orders(done: Calibration) -> Orders | None:
    if "zero_intelligence" not in done.found:
        return None
    return Orders(done.found["zero_intelligence"], done.found.get("hawkes"))


def rows(found: dict[str, Any]) -> Iterator[Row]:
    """Every estimate and what it means, in the units of the file and seconds."""
    if v := found.get("volatility"):
        yield Row("volatility", v.two_scale, "of the mid, price per root of a second, without what bounces back")
        yield Row("volatility, plain", v.plain, "the same with it")
    if f := found.get("fills"):
        law = f"orders a second that reach d on a side: A e^(-k d), fitted from d = {f.nearest:.4g} on"
        yield Row("A", f.arrival, law)
        yield Row("A bid", f.bid, "sales alone: they reach bids")
        yield Row("A ask", f.ask, "purchases alone")
        yield Row("k", f.decay, "per price unit")
    if h := found.get("hawkes"):
        for i, did in enumerate(("bought", "sold")):
            yield Row(f"mu {did}", h.baseline[i], "orders a second of themselves")
        for i, did in enumerate(("bought", "sold")):
            for j, after in enumerate(("bought", "sold")):
                yield Row(f"n {did}, {after}", h.children[i][j], f"orders {did} that one {after} brings about")
        yield Row("decay", h.decay, "a second: 1 over the mean time that it takes")
        yield Row("branching ratio", h.ratio, "the largest eigenvalue of n: share of orders that others brought about")
    if z := found.get("zero_intelligence"):
        where = "at or inside the best quotes" if z.band is None else f"within {z.band} ticks of the other side's best"
        yield Row("limit rate", z.limit_rate, f"limit orders a second, tick and side, {where}")
        yield Row("market rate", z.market_rate, "market orders a second and side")
        yield Row(
            "cancel rate", z.cancel_rate, f"a second, of each {'lot at the best quotes' if z.band is None else 'order'}"
        )
        yield Row("limit size", z.limit_size, "lots of a limit order")
        yield Row("market size", z.market_size, "lots of a market order")


def notes(done: Calibration) -> list[str]:
    """How well the laws fit, and what could not be estimated."""
    said = []
    if (f := done.found.get("fills")) and not math.isnan(f.p_value):
        said.append(
            f"A e^(-k d): {_verdict(f.p_value)} by how far orders went beyond d = {f.nearest:.4g} (chi-squared)"
        )
    if h := done.found.get("hawkes"):
        said.append(f"hawkes: {_verdict(h.p_value)} by the integrated rate between orders (Kolmogorov-Smirnov)")
    return said + [f"not estimated: {why}" for why in dict.fromkeys(done.refused.values())]


def _verdict(p: float) -> str:
    shown = "< 1e-6" if p < 1e-6 else f"= {p:.2g}"
    return f"{'refuted' if p < 0.01 else 'not refuted'} (p {shown})"


def as_tree(done: Calibration) -> dict[str, Any]:
    """For ``--json``: an error without a value is null."""

    def number(x: float) -> float | None:
        return None if math.isnan(x) else x

    tape = done.tape
    return {
        "file": done.file,
        "tick": tape.tick,
        "lot": tape.lot,
        "quotes": len(tape.quotes),
        "prints": len(tape.prints),
        "estimates": [
            {
                "name": row.name,
                "value": row.estimate.value,
                "error": number(row.estimate.error),
                "n": row.estimate.n,
                "meaning": row.meaning,
            }
            for row in rows(done.found)
        ],
        "p_values": {name: number(done.found[name].p_value) for name in ("fills", "hawkes") if name in done.found},
        "refused": done.refused,
    }


def show(done: Calibration) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for head in ("estimate", "error", "n"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("what it is")
    for row in rows(done.found):
        e = row.estimate
        error = "at its bound" if math.isnan(e.error) else f"{e.error:.2g}"
        table.add_row(row.name, f"{e.value:.4g}", error, f"{e.n:,}", row.meaning)
    tape = done.tape
    console = Console()
    said = f"{done.file}: {len(tape.quotes):,} quotes and {len(tape.prints):,} prints, tick {tape.tick:g}, lot {tape.lot:g}"
    console.print(said, table, sep="\n", highlight=False, soft_wrap=True)
    for note in notes(done):
        console.print(note, highlight=False, soft_wrap=True)
