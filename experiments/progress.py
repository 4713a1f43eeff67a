"""What long work shows while it goes on, on stderr: a bar in a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

SECONDS_BETWEEN_LINES = 5.0

Advance = Callable[[float, str], None]  # (done so far, the figure that matters)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def task(name: str, total: float, unit: str, plain: bool = False) -> Iterator[Advance]:
    """Show rate and time left of work of ``total`` units; call what is yielded as it advances.

    ``plain``: in lines in a terminal too, where somebody is asked something at the same time.
    """
    with (_bar if sys.stderr.isatty() and not plain else _lines)(name, total, unit) as advance:
        yield advance


@contextmanager
def if_slow(sentence: str, seconds: float = 3.0) -> Iterator[None]:
    """Say the sentence once what is inside has taken that long."""
    timer = Timer(seconds, say, [sentence])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _bar(name: str, total: float, unit: str) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(), TextColumn("{task.fields[figure]}"),
    )  # fmt: skip
    started, first = time.monotonic(), None
    with Progress(*columns, console=Console(stderr=True)) as progress:
        row = progress.add_task(name, total=total, rate="", figure="")

        def advance(done: float, figure: str) -> None:
            nonlocal first
            first = done if first is None else first
            rate = (done - first) / max(time.monotonic() - started, 1e-9)
            progress.update(row, completed=done, rate=f"{_short(rate)} {unit}/s", figure=figure)

        yield advance


@contextmanager
def _lines(name: str, total: float, unit: str) -> Iterator[Advance]:
    started = shown = time.monotonic()
    first: float | None = None

    def advance(done: float, figure: str) -> None:
        nonlocal shown, first
        first = done if first is None else first  # a resumed run does not begin at 0
        now = time.monotonic()
        if now - shown < SECONDS_BETWEEN_LINES and done < total:
            return
        shown = now
        rate = (done - first) / max(now - started, 1e-9)
        left = f", {duration((total - done) / rate)} left" if rate > 0 and done < total else ""
        figure = f", {figure}" if figure else ""
        say(f"{name}: {_short(done)} of {_short(total)} {unit}, {_short(rate)}/s{left}{figure}")

    yield advance


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """As a person says it: 40 s, 5 min, 3.2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
