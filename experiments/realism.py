"""``marketsim realism``: does a market look like markets do?

Facts, statistics and the ranges that were fixed beforehand: ``marketsim/measures/realism.yaml``; how to read it: docs/realism.md.
"""

from __future__ import annotations

import json as json_format
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments import progress, store
from experiments.tapes import experiment_file, tapes_of
from marketsim.document import InputError
from marketsim.measures import realism as yardstick

STEPS = 100_000  # of a simulated tape: as many as the slowest facts need


def realism(
    source: str | Path,
    seeds: Iterable[int] = range(1, 6),
    steps: int = STEPS,
    require: Sequence[str] = (),
    out: str | Path | None = None,
    json: bool = False,
) -> bool:
    """Measure every fact on the tape of a file, or on one tape of each of ``seeds`` of a market with a book; print.

    ``out``: a page that is written. Returns whether each fact of ``require`` passes on every tape. Raises InputError.
    """
    seeds = list(seeds)
    unknown = [name for name in require if name not in (fact.name for fact in yardstick.facts())]
    if unknown:
        names = ", ".join(fact.name for fact in yardstick.facts())
        raise InputError(f"--require: there is no fact {unknown[0]!r}, allowed are {names}")
    tree = measure(source, seeds, steps)
    if out is not None:
        from reports.realism import compose

        store.write_text(Path(out), compose(tree))
    if json:
        print(json_format.dumps(store.finite(tree), indent=1))
    else:
        _print(tree)
    return all(
        fact["verdict"] == yardstick.PASS for tape in tree["tapes"] for fact in tape["facts"] if fact["name"] in require
    )


def measure(source: str | Path, seeds: Sequence[int], steps: int = STEPS) -> dict[str, Any]:
    """What was found, as a tree of plain values. Raises InputError."""
    tapes: list[dict[str, Any]] = []
    with (
        progress.if_slow("simulating; the first time, the traders are compiled: up to two minutes ..."),
        progress.task("realism", len(seeds), "tapes") as advance,
    ):
        for name, tape in tapes_of(source, seeds, steps):
            try:
                sampled = yardstick.sample(tape)
            except ValueError as error:
                raise InputError(f"{source}: {name}: {error}") from None
            tapes.append(_tape(name, sampled))
            passed = sum(fact["verdict"] == yardstick.PASS for fact in tapes[-1]["facts"])
            advance(len(tapes), f"{name}: {passed} facts pass")
    file = experiment_file(source)
    return {
        "source": str(source),
        "experiment": file.read_text(encoding="utf-8") if file else None,
        "facts": [
            {
                "name": f.name,
                "statistic": f.statistic,
                "range": f.range,
                "asked": f.asked,
                "least": f.least,
                "source": f.source,
            }
            for f in yardstick.facts()
        ],
        "tapes": tapes,
    }


def _tape(name: str, sampled: yardstick.SampledTape) -> dict[str, Any]:
    quotes = sampled.tape.quotes
    return {
        "name": name,
        "duration": float(quotes["time"][-1] - quotes["time"][0]),
        "interval": sampled.interval,
        "returns": len(sampled.returns),
        "trades": len(sampled.trades),
        "facts": [
            {
                "name": finding.fact.name,
                "value": finding.measured.value,
                "low": finding.measured.low,
                "high": finding.measured.high,
                "observations": finding.measured.observations,
                "verdict": finding.verdict,
            }
            for finding in yardstick.findings(sampled)
        ],
        "curves": yardstick.curves(sampled),
    }


# --- what is printed -------------------------------------------------------------------------------


def _print(tree: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console, tapes = Console(), tree["tapes"]
    for tape in tapes:
        console.print(
            f"{tape['name']}: {tape['returns']:,} returns over {tape['interval']:.3g} each, {tape['trades']:,} trades",
            style="dim",
            highlight=False,
        )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for head in ("must be", "is", ""):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", min_width=8)
    for k, fact in enumerate(tree["facts"]):
        found = [tape["facts"][k] for tape in tapes]
        values = [f["value"] for f in found]
        if len(found) == 1:
            span = "" if math.isnan(found[0]["low"]) else f"{found[0]['low']:.3f} to {found[0]['high']:.3f}"
        else:
            span = f"{min(values):.3f} to {max(values):.3f}"
        middle = sorted(values)[len(values) // 2]
        verdict = verdicts([f["verdict"] for f in found])
        good = verdict.endswith(yardstick.PASS) and "," not in verdict
        style = "green" if good else "" if fact["range"] is None else "red" if yardstick.FAIL in verdict else "yellow"
        table.add_row(fact["name"], fact["asked"], f"{middle:.3f}", span, verdict, style=style)
    console.print(table)
    told = "a value and its 95% interval" if len(tapes) == 1 else "the middle one of the tapes, lowest to highest"
    console.print(told, style="dim", highlight=False)


def verdicts(given: Sequence[str]) -> str:
    """``pass`` of one tape, ``5 of 5 pass`` or ``4 pass, 1 fail`` of several."""
    if len(given) == 1 or set(given) == {yardstick.REPORTED}:
        return given[0]
    counted = Counter(given)
    if len(counted) == 1:
        return f"{len(given)} of {len(given)} {given[0]}"
    order = (yardstick.PASS, yardstick.FAIL, yardstick.UNDECIDED)
    return ", ".join(f"{counted[verdict]} {verdict}" for verdict in order if counted[verdict])
