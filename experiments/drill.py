"""``marketsim drill``: try every control on an experiment's own market and limits, and say which of them held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NOTE = "A control that held answers to the rule named beside it; whether you comply with that rule this cannot say."


@dataclass(frozen=True)
class Tried:
    """What became of a control. ``passed`` None: it could not be tried here; ``rule``: that such a control answers to."""

    control: str
    tried: str
    happened: str
    passed: bool | None
    rule: str


def drill(
    source: str | Path | Mapping[str, Any],
    set: Mapping[str, Any] | Iterable[str] | None = None,
    seed: int | None = None,
    allow_plugins: bool = False,
) -> list[Tried]:
    """Try every control; policies are not asked, the drill plays the dealer. Raises InputError where the file cannot be run."""
    from experiments import config, progress
    from experiments.drills import book, limits, people
    from experiments.drills.stand import Stand
    from experiments.run import prepare

    experiment = config.load(source, set, seed, allow_plugins)
    prepare(experiment)
    stand, done = Stand(experiment.base), []
    controls = (*limits.CONTROLS, *(book.CONTROLS if experiment.base.market.has_book else ()), *people.CONTROLS)
    with progress.task("drill", len(controls), "controls") as advance:
        for control in controls:
            done.append(_try(control, stand))
            advance(len(done), control.name)
    return done


def _try(control: Any, stand: Any) -> Tried:
    from experiments.drills.stand import Failed

    if lacks := stand.lacks(control.needs):
        return Tried(control.name, control.tried, f"not tried: {lacks}", None, control.rule)
    try:
        happened, passed = control.check(stand), True
    except Failed as failed:
        happened, passed = str(failed), False
    except Exception as error:  # a control that breaks has not held
        happened, passed = f"it broke: {type(error).__name__}: {error}", False
    return Tried(control.name, control.tried, happened, passed, control.rule)


def as_tree(done: list[Tried]) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {"controls": [asdict(tried) for tried in done], "passed": not failed(done), "note": NOTE}


def failed(done: list[Tried]) -> list[str]:
    """The controls that did not hold."""
    return [tried.control for tried in done if tried.passed is False]


def show(done: list[Tried]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "control", "tried", "happened", "", "the rule that such a control answers to", box=None, pad_edge=False
    )
    for tried in done:
        mark = "-" if tried.passed is None else "pass" if tried.passed else "FAIL"
        table.add_row(tried.control, tried.tried, tried.happened, mark, tried.rule)
    console = Console(markup=False, highlight=False)
    console.print(table)
    broken, held = failed(done), sum(tried.passed is True for tried in done)
    console.print(f"{held} of {held + len(broken)} controls held" + (f"; not: {', '.join(broken)}" if broken else ""))
    console.print(NOTE)
