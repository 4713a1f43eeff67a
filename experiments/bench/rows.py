"""What a benchmark says: a row a figure, held against the least that is asked and the aim."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

LESS_IS_BETTER = ("s", "ms", "us", "ns", "MB", "steps late", "x optimum", "% of the time")  # units


@dataclass(frozen=True)
class Row:
    """A measured figure; None where it could not be measured, the name then says why.

    ``at_least`` and ``aim``: what is asked and what is hoped for, None where the figure only explains another one. Of
    time and delay less is better: there ``at_least`` is the most that is allowed.
    """

    name: str
    value: float | None
    unit: str
    at_least: float | None = None
    aim: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the figure is at least what is asked; None where nothing is, or nothing was measured."""
        return self._reaches(self.at_least)

    @property
    def aim_met(self) -> bool | None:
        return self._reaches(self.aim)

    def _reaches(self, bound: float | None) -> bool | None:
        if bound is None or self.value is None:
            return None
        return self.value <= bound if self.unit in LESS_IS_BETTER else self.value >= bound


@dataclass(frozen=True)
class Times:
    """Seconds of the same work, done several times. The best is the machine's own; the median is what one gets.

    ``share``: processor seconds over seconds. One thread that shares its core with others has a share below 1, and its
    figures are that much too low.
    """

    seconds: tuple[float, ...]
    share: float

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def alternate(repeats: int, *works: Callable[[], object]) -> tuple[Times, ...]:
    """Time each work ``repeats`` times in turn, so that what disturbs one disturbs all; the first turn warms up."""
    wall: list[list[float]] = [[] for _ in works]
    processor = [0.0 for _ in works]
    for turn in range(repeats + 1):
        for k, work in enumerate(works):
            began, began_processor = time.perf_counter(), time.process_time()
            work()
            if turn:
                wall[k].append(time.perf_counter() - began)
                processor[k] += time.process_time() - began_processor
    return tuple(Times(tuple(taken), used / sum(taken)) for taken, used in zip(wall, processor, strict=True))


def rates(name: str, taken: Times, steps: int, unit: str, at_least: float | None, aim: float | None) -> list[Row]:
    """``steps`` of a repeat a second: the best, held against the bounds, and what explains it."""
    return [
        Row(name, steps / taken.best, unit, at_least, aim),
        Row(f"  median of {len(taken.seconds)}", steps / taken.median, unit),
        Row("  share of a core that it had", 100 * taken.share, "%"),
    ]


def print_json(rows: list[Row]) -> None:
    print(json.dumps({"rows": [asdict(row) | {"met": row.met} for row in rows]}, indent=1))


def print_table(which: str, machine: str, rows: list[Row]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"marketsim bench {which}, {machine}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("name")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for bound in ("at least", "aim"):
        table.add_column(bound, justify="right")
    table.add_column("met")
    for row in rows:
        verdict = {True: "aim" if row.aim_met else "yes", False: "no", None: ""}[row.met]
        asked = (_short(row.at_least), _short(row.aim))
        table.add_row(
            escape(row.name), _short(row.value), row.unit, *asked, verdict, style=None if asked != ("", "") else "dim"
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _short(value: float | None) -> str:
    """Three figures, thousands and millions by letter: 13.1M."""
    if value is None:
        return ""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
