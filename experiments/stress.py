"""``marketsim stress``: the policies of a run played again while something goes wrong, against the same episodes without.

Episode k meets the same clients and the same mid with and without an overlay until that begins, so that what it does is
a paired difference; docs/stress.md says what each overlay does and how to read the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.differences import differences, measure
from marketsim import scenarios
from marketsim.document import InputError
from marketsim.measures.figures import NAMES

if TYPE_CHECKING:
    import pandas as pd

    from experiments.config import Experiment, ExperimentConfig

EPISODES = 5000  # of each training seed under each overlay; as many as the run was measured on where these are fewer
FIGURES = ("pnl", "cvar_95", "max_inventory", "interventions_per_1000")
WORST = "worst"  # the lowest P&L of any episode
COLUMNS = ("episode", "dealer", "reward", "pnl", "worst_loss", "max_inventory", "interventions")
NONE = "none"  # the overlay of an episode that has none

Played = dict[str, dict[int, "pd.DataFrame"]]  # overlay -> training seed -> its episodes table


@dataclass(frozen=True)
class Row:
    """A figure of a dealer under an overlay (``value``), without it (``base``), and the paired ``difference``.

    ``low``, ``high``: the difference's 95% interval; NaN for ``worst``, of which none is known.
    """

    design: str
    dealer: str
    overlay: str
    figure: str
    base: float
    value: float
    difference: float
    low: float = np.nan
    high: float = np.nan
    verdict: str = ""


def stress(folder: str | Path, overlays: Sequence[str] = (), episodes: int | None = None, json: bool = False) -> None:
    """Print what overlays do to the learners of every design of a finished run; write stress.json and stress.parquet.

    ``overlays``: names of ``marketsim.scenarios``, ``a+b`` for several at once; default all of them. ``episodes``: of
    each training seed. Raises InputError where the folder is no finished run or an overlay has no such name.
    """
    import pandas as pd

    from experiments import config, store
    from experiments.finished import open_run

    run = open_run(folder)
    experiment = config.load(run.path / store.EXPERIMENT)
    names = list(dict.fromkeys(overlays or scenarios.NAMES))
    drawn = {design: _drawn(names, desk) for design, desk in experiment.designs.items()}
    episodes = episodes or min(EPISODES, experiment.base.evaluate.episodes)
    _compile(experiment)
    rows: list[Row] = []
    kept: list[pd.DataFrame] = []
    for design, desk in experiment.designs.items():
        dealers = [desk.agents[i] for i in desk.learners] or list(desk.agents)
        played = _play(run.path, design, experiment, drawn[design][0], dealers, episodes)
        rows += _rows(design, desk, dealers, played)
        for overlay, tables in played.items():
            for seed, table in tables.items():
                kept.append(table[list(COLUMNS)].assign(design=design, seed=seed, overlay=overlay))
    sentences = {overlay.name: overlay.sentence for applied, _ in drawn.values() for overlay in applied}
    notes = _notes(experiment, episodes, [reason for _, reasons in drawn.values() for reason in reasons])
    tree = {
        "episodes": episodes,
        "seed": experiment.base.seed,
        "overlays": sentences,
        "rows": [asdict(row) for row in rows],
        "notes": notes,
    }
    store.write_table(run.path, store.STRESS, pd.concat(kept, ignore_index=True))
    store.write_json(run.path / f"{store.STRESS}.json", tree)
    if json:
        print((run.path / f"{store.STRESS}.json").read_text(encoding="utf-8"), end="")
    else:
        _print_tables(rows, sentences, notes)


def _drawn(names: Sequence[str], desk: ExperimentConfig) -> tuple[list[scenarios.Overlay], list[str]]:
    """The overlays of these names for a desk, and of those that do not apply to it why."""
    applied, reasons = [], []
    for name in names:
        try:
            applied.append(scenarios.overlay(name, desk))
        except scenarios.DoesNotApply as reason:
            reasons.append(f"left out: {reason}")
        except ValueError as error:
            raise InputError(f"--overlay: {error}") from None
    return applied, reasons


# --- playing ---------------------------------------------------------------------------------------


def _compile(experiment: Experiment) -> None:
    from experiments import progress
    from marketsim.batch import MarketBatch

    with progress.if_slow("compiling the market step, once; up to a minute ..."):
        batch = MarketBatch(experiment.base, markets=1)
        batch.reset()
        batch.step(None)


def _play(
    run: Path,
    design: str,
    experiment: Experiment,
    overlays: Sequence[scenarios.Overlay],
    dealers: Sequence[str],
    episodes: int,
) -> Played:
    """What ``dealers`` made of the same episodes without an overlay and under each."""
    from agents.trainer import torch_threads
    from experiments import progress, store
    from experiments.evaluate import outcomes
    from experiments.players import players

    desk = experiment.designs[design]
    played: Played = {}
    for seed in experiment.training_seeds:
        policies = players(desk, store.design_folder(run, design, seed))
        total = episodes * (1 + len(overlays))
        with torch_threads(1), progress.task(f"stressing {design}/{seed}", total, "episodes") as advance:
            for k, overlay in enumerate((None, *overlays)):
                name = NONE if overlay is None else overlay.name

                def tell(done: float, figure: str, before: int = k * episodes, name: str = name) -> None:
                    advance(before + done, f"{name}: {figure}")

                table = outcomes(desk, policies, desk.seed, episodes, overlay, tell)
                played.setdefault(name, {})[seed] = table[table["dealer"].isin(dealers)]
    return played


# --- measuring -------------------------------------------------------------------------------------


def _rows(design: str, desk: ExperimentConfig, dealers: Sequence[str], played: Played) -> Iterator[Row]:
    """Every overlay against none; a dealer's intervals hold for all overlays and figures at once."""
    measured = {overlay: measure(tables, dealers, desk.market.steps) for overlay, tables in played.items()}
    base = measured.pop(NONE)
    for dealer in dealers:
        pairs = [(under[dealer], base[dealer]) for under in measured.values()]
        family = differences(pairs, FIGURES) if pairs else []
        for (overlay, under), found in zip(measured.items(), family, strict=True):
            for d in found:
                k = NAMES.index(d.figure)
                without, value = (
                    float(np.mean([figures.value[k] for figures in side[dealer].values()])) for side in (base, under)
                )
                yield Row(design, dealer, overlay, d.figure, without, value, d.value, d.low, d.high, d.verdict)
            without, value = (_worst(played[name], dealer) for name in (NONE, overlay))
            yield Row(design, dealer, overlay, WORST, without, value, value - without)


def _worst(tables: Mapping[int, pd.DataFrame], dealer: str) -> float:
    return min(float(table["pnl"].to_numpy()[table["dealer"].to_numpy() == dealer].min()) for table in tables.values())


def _notes(experiment: Experiment, episodes: int, left_out: Sequence[str]) -> list[str]:
    seeds = len(experiment.training_seeds)
    return [
        f"{episodes:,} episodes of each training seed under each overlay, the same ones as without it",
        "95% intervals (BCa) of the paired differences, simultaneous over a dealer's overlays and figures; none of worst",
        f"{seeds} training seeds, resampled beside the episodes"
        if seeds > 1
        else "one training seed: this holds for its policies, not for other trainings",
        *dict.fromkeys(left_out),
    ]


# --- what is printed -------------------------------------------------------------------------------


def _print_tables(rows: Sequence[Row], sentences: Mapping[str, str], notes: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.design, row.dealer, row.overlay), []).append(row)
    for (design, dealer, overlay), group in groups.items():
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column("", no_wrap=True, min_width=18)
        for head, width in (("without", 7), ("under", 7), ("difference", 10), ("95% interval", 14)):
            table.add_column(head, justify="right", no_wrap=True, min_width=width)
        table.add_column("", no_wrap=True)
        for row in sorted(group, key=lambda row: _PRINTED.index(row.figure)):
            dim = row.verdict == "cannot tell"
            table.add_row(*_cells(row), style="dim" if dim else "")
        console.print(f"{design}, {dealer}: {overlay}", style="bold", highlight=False)
        console.print(sentences[overlay], table, sep="\n", highlight=False)
    for note in notes:
        console.print(note, style="dim", highlight=False)


_PRINTED = ("pnl", "cvar_95", WORST, "max_inventory", "interventions_per_1000")


def _cells(row: Row) -> tuple[str, ...]:
    from reports import quantities
    from reports.folder import Estimate

    estimate = Estimate(row.difference, row.low, row.high)
    places = quantities.decimals([estimate if row.high > row.low else Estimate(row.value)])
    return (
        row.figure.replace("_per_", "/").replace("_", " "),
        quantities.write(row.base, places),
        quantities.write(row.value, places),
        quantities.write(row.difference, places, plus=True),
        quantities.interval(estimate, places, plus=True),
        row.verdict,
    )
