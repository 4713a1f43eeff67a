"""``marketsim compare``: designs and runs of one market held against each other by paired differences.

Everything is held against the first run's first design. Episodes are paired, for all runs of a market meet the same
clients; docs/comparison.md says where the intervals come from.
"""

from __future__ import annotations

import json as json_format
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from experiments.differences import Difference, Measured, differences, measure
from marketsim.document import InputError
from marketsim.measures.figures import NAMES
from marketsim.measures.intervals import Resampled
from reports import quantities
from reports.folder import Design, Estimate, NotARun, Run, open_run

FEW_WORST = 20  # episodes in a tail, below which its intervals are too narrow: docs/comparison.md has the coverage


Side = tuple[Run, Design, dict[int, Resampled]]  # training seed -> the figures of a dealer


@dataclass(frozen=True)
class Comparison:
    """A dealer under ``design`` held against itself under the design ``against``.

    ``values``: of each of the ``differences``, the figure under the design and under the other.
    """

    dealer: str
    design: str
    against: str
    differences: list[Difference]
    values: list[tuple[float, float]]
    notes: list[str]


def compare(folders: Sequence[str | Path], json: bool = False) -> None:
    """Print how the designs of runs differ from the first run's first design, as tables or as one JSON object.

    Raises InputError where a folder is no finished run, runs are of different markets, or there is but one design.
    """
    compared = comparisons(folders)
    if json:
        notes = list(dict.fromkeys(note for comparison in compared for note in comparison.notes))
        print(json_format.dumps({"rows": [row for c in compared for row in _rows(c)], "notes": notes}, indent=1))
    else:
        for comparison in compared:
            _print_table(comparison)


def comparisons(folders: Sequence[str | Path]) -> list[Comparison]:
    """Every other design against the first, for every dealer that learns in the first run or in its own."""
    runs = [_open(Path(folder)) for folder in folders]
    for run in runs[1:]:
        _same_market(runs[0], run)
    everything = [(run, design) for run in runs for design in run.designs.values()]
    if len(everything) < 2:
        raise InputError(f"{runs[0].path}: has one design and nothing to compare it with, name a second run")
    base_run, base = everything[0]
    of_base: Measured = {}
    compared = []
    for run, design in everything[1:]:
        dealers = _dealers(base_run, run)
        of_base |= _measure(base_run, base, [dealer for dealer in dealers if dealer not in of_base])
        mine = _measure(run, design, dealers)
        for dealer in dealers:
            sides = (run, design, mine[dealer]), (base_run, base, of_base[dealer])
            _same_length(*sides)
            compared.append(_compare(dealer, *sides))
    return compared


def _compare(dealer: str, mine: Side, other: Side) -> Comparison:
    rewards = [design.dealers[dealer].entry.get("reward") for _, design, _ in (mine, other)]
    figures = [name for name in NAMES if name != "objective" or rewards[0] == rewards[1]]
    labels = [
        design.name if mine[0] is other[0] and len(run.designs) > 1 else f"{run.path.name}/{design.name}"
        for run, design, _ in (mine, other)
    ]
    means = [np.mean([figures.value for figures in seeds.values()], axis=0) for _, _, seeds in (mine, other)]
    values = [(float(means[0][k]), float(means[1][k])) for k in (NAMES.index(name) for name in figures)]
    episodes = _episodes(mine)
    notes = [
        f"95% intervals (BCa) over {episodes:,} episodes with the same clients, simultaneous over {len(figures)} figures",
        _seeds_note(len(mine[2]), len(other[2])),
    ]
    if episodes < FEW_WORST * 100:
        worst = f"the worst {episodes / 100:.3g} episodes"
        notes.append(f"the figures at 99 rest on {worst}, too few for their intervals to hold")
    if len(figures) < len(NAMES):
        notes.append(f"no objective, for the rewards differ: {rewards[0]} against {rewards[1]}")
    return Comparison(dealer, labels[0], labels[1], differences([(mine[2], other[2])], figures)[0], values, notes)


def _seeds_note(mine: int, other: int) -> str:
    if mine == other == 1:
        return "one training seed on each side: this holds for these two policies, not for other trainings"
    seeds = f"{mine} training seeds" if mine == other else f"{mine} and {other} training seeds"
    return f"{seeds} on the two sides, resampled beside the episodes"


# --- what is compared -------------------------------------------------------------------------------


def _open(folder: Path) -> Run:
    try:
        run = open_run(folder)
    except NotARun as error:
        raise InputError(str(error)) from None
    if not run.manifest.get("complete"):
        raise InputError(f"{folder}: the run is not finished, run it with --resume first")
    if not run.designs:
        raise InputError(f"{folder}: its summary names no design")
    return run


def _dealers(one: Run, two: Run) -> list[str]:
    """The learners that both runs have; where nobody learns, all dealers that both have."""
    there = [set(next(iter(run.designs.values())).dealers) for run in (one, two)]
    candidates = list(dict.fromkeys(one.learners + two.learners)) or list(next(iter(one.designs.values())).dealers)
    shared = [dealer for dealer in candidates if all(dealer in dealers for dealers in there)]
    if not shared:
        raise InputError(f"{one.path} and {two.path} have no dealer in common that learns")
    return shared


def _measure(run: Run, design: Design, dealers: Sequence[str]) -> Measured:
    if not dealers:
        return {}
    try:
        tables = {int(seed.name): table for seed in design.seeds if (table := seed.episodes) is not None}
    except (NotARun, ValueError) as error:
        raise InputError(f"{run.path / design.name}: {error}") from None
    if not tables or len(tables) < len(design.seeds):
        raise InputError(f"{run.path / design.name}: episodes.parquet is missing, run the experiment again")
    return measure(tables, dealers, int(run.summary["steps"]))


def _episodes(side: Side) -> int:
    return len(next(iter(side[2].values())).without_each)


def _same_length(mine: Side, other: Side) -> None:
    if _episodes(mine) != _episodes(other):
        said = [f"{side[0].path / side[1].name} has {_episodes(side)}" for side in (mine, other)]
        raise InputError(f"{said[0]} episodes and {said[1]}: only the same episodes can be paired")


# --- different markets are refused ------------------------------------------------------------------


def _same_market(one: Run, two: Run) -> None:
    if one.manifest.get("market_digest") == two.manifest.get("market_digest"):
        return
    leaves = [dict(_leaves(_shared(run))) for run in (one, two)]
    paths = [path for path in (*leaves[0], *leaves[1]) if leaves[0].get(path) != leaves[1].get(path)]
    if paths:
        said = [f"{leaf[paths[0]]}" if paths[0] in leaf else "not set" for leaf in leaves]
        what = f"{paths[0]} is {said[0]} in the first and {said[1]} in the second"
    elif one.manifest.get("inputs") != two.manifest.get("inputs"):
        what = "the files that they replay differ in content"
    else:
        what = "their market digests differ"
    raise InputError(f"{one.path} and {two.path} are runs of different markets and cannot be compared: {what}")


def _shared(run: Run) -> dict[str, Any]:
    """What runs must share to be compared, as ``store.market_digest`` has it."""
    tree = YAML(typ="safe", pure=True).load(run.experiment) or {}
    others = [dealer for dealer in run.summary.get("dealers") or [] if dealer not in run.learners]
    return {key: tree.get(key) for key in ("market", "evaluate", "seed")} | {"other dealers": ", ".join(others)}


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path -> value of everything in a tree; items of lists by their name."""
    if isinstance(tree, list) and any(isinstance(item, Mapping) for item in tree):
        tree = {item.get("name", k) if isinstance(item, Mapping) else k: item for k, item in enumerate(tree)}
    if not isinstance(tree, Mapping):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


# --- what is printed --------------------------------------------------------------------------------


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    keys = {"design": comparison.design, "against": comparison.against, "dealer": comparison.dealer}
    for difference in comparison.differences:
        row = keys | asdict(difference)
        yield {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}


def _print_table(comparison: Comparison) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for head in ("value", "against", "difference", "95% interval"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for d, values in zip(comparison.differences, comparison.values, strict=True):
        estimate = Estimate(d.value, d.low, d.high)
        places = quantities.decimals([estimate if d.high > d.low else Estimate(values[1])])
        table.add_row(
            d.figure.replace("_per_", "/").replace("_", " "),
            *(quantities.write(value, places) for value in values),
            quantities.write(d.value, places, plus=True),
            quantities.interval(estimate, places, plus=True),
            d.verdict,
            style="dim" if d.verdict == "cannot tell" else "",
        )
    console = Console()
    console.print(f"{comparison.dealer}: {comparison.design} against {comparison.against}", table, sep="\n")
    for note in comparison.notes:
        console.print(note, style="dim", highlight=False)
