"""``marketsim audit-reward``: is what a dealer is paid for what the desk is after?

Trains as the file says. At a dozen checkpoints the deterministic policy plays the evaluation's episodes, scored by its
reward and by the true objective that nobody optimises, and is watched; docs/reward-audit.md has the figures.
"""

from __future__ import annotations

import json as json_format
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.config import AvellanedaStoikovSpec
from agents.policy import Seat, build
from agents.trainer import Trainer, torch_threads
from experiments import progress, store
from experiments.behaviour import behaviour
from experiments.config import ExperimentConfig, load
from experiments.players import players
from experiments.reward_flags import FIGURES, Flag, Seen, flags, thresholds
from experiments.run import prepare
from marketsim import observe
from marketsim.document import InputError, pointed

CHECKPOINTS = 12
EPISODES = 1000  # at most; CVaR 95 rests on 50 of them
AUDIT = "audit-reward.json"


@dataclass(frozen=True)
class Audit:
    """What was seen of a design and training seed: ``learned`` a row a checkpoint and dealer, ``baseline`` a row a dealer."""

    design: str
    seed: int
    learned: pd.DataFrame
    baseline: pd.DataFrame

    @property
    def seen(self) -> Seen:
        return Seen(self.learned, self.baseline)

    @property
    def flags(self) -> list[Flag]:
        return flags(self.seen, thresholds())


def audit_reward(
    source: str | Path | Mapping[str, Any],
    set: Mapping[str, Any] | Iterable[str] | None = None,
    seed: int | None = None,
    out: str | Path = "runs",
    json: bool = False,
) -> None:
    """Audit every design of an experiment; print tables and flags, or one JSON object.

    The folder ``out/<name>-<hash8>-audit`` keeps behaviour.parquet of each. Flags are findings, not errors. Raises InputError
    with one line, before anything is written, where the experiment cannot be audited.
    """
    folder, audits = audit(source, set, seed, out)
    if json:
        print(json_format.dumps(json_format.loads((folder / AUDIT).read_text()) | {"folder": str(folder)}, indent=1))
        return
    for one in audits:
        _print(one)
    print(folder)


def audit(
    source: str | Path | Mapping[str, Any],
    set: Mapping[str, Any] | Iterable[str] | None = None,
    seed: int | None = None,
    out: str | Path = "runs",
) -> tuple[Path, list[Audit]]:
    """The folder of an audit, and what was found."""
    experiment = load(source, set, seed)
    if not experiment.base.learners:
        raise experiment.document.refusal(("dealers",), "none of them learns, so there is no reward to audit")
    prepare(experiment)
    try:
        baselines = {design: _baseline(desk) for design, desk in experiment.designs.items()}
    except ValueError as error:
        raise error if isinstance(error, InputError) else pointed(experiment.document, str(error)) from None
    path = store.run_folder(experiment, Path(out))
    path = path.with_name(path.name + "-audit")
    store.write_yaml(path / store.EXPERIMENT, experiment.resolved())
    audits = []
    for design, desk in experiment.designs.items():
        for training_seed in experiment.training_seeds:
            folder = store.design_folder(path, design, training_seed)
            found = Audit(design, training_seed, _watch(desk, training_seed, folder, design), baselines[design])
            store.write_table(folder, "behaviour", as_one_table(found))
            audits.append(found)
    store.write_json(path / AUDIT, {"audits": [_as_tree(found) for found in audits]})
    return path, audits


def _watch(desk: ExperimentConfig, seed: int, folder: Path, name: str) -> pd.DataFrame:
    """Train, and look at the policies at the checkpoints, the first before any training."""
    trainer = Trainer(desk, seed, desk.train.markets, desk.train.steps, desk.train.device)
    marks = frozenset(np.linspace(0, trainer.updates, CHECKPOINTS).round().astype(int).tolist())
    quiet = desk.model_copy(update={"evaluate": desk.evaluate.model_copy(update={"stochastic": False})})
    tables = []
    target = trainer.updates * trainer.rollout_steps * trainer.markets
    with progress.task(f"auditing {name}/{seed}", target, "steps") as advance:
        while True:
            if trainer.update_number in marks:
                for policy in trainer.policies:
                    for agent in policy.learners:
                        policy.save(store.checkpoint_folder(folder, desk.agents[agent]))
                with torch_threads(1):
                    table = behaviour(quiet, players(quiet, folder), desk.learners, _episodes(desk))
                tables.append(table.assign(steps=trainer.steps))
                advance(trainer.steps, f"reward {table['proxy'].mean():.4g}, true {table['true'].mean():.4g}")
            if trainer.done:
                return pd.concat(tables, ignore_index=True)
            trainer.update()


def _baseline(desk: ExperimentConfig) -> pd.DataFrame:
    """Avellaneda-Stoikov dealers in the seats of the learners."""
    theory = {"policy": AvellanedaStoikovSpec(kind="avellaneda_stoikov"), "observation": observe.DEFAULT}
    dealers = tuple(d.model_copy(update=theory) if d.policy.learns else d for d in desk.dealers)
    seated = desk.model_copy(update={"dealers": dealers})
    policies = {i: build(dealer.policy, Seat(seated, i)) for i, dealer in enumerate(seated.dealer_of)}
    return behaviour(seated, policies, desk.learners, _episodes(desk))


def _episodes(desk: ExperimentConfig) -> int:
    return min(desk.evaluate.episodes, EPISODES)


def as_one_table(found: Audit) -> pd.DataFrame:
    """Both tables in one: ``policy`` learned or avellaneda_stoikov, the latter at the last step."""
    baseline = found.baseline.assign(steps=found.learned["steps"].max(), policy="avellaneda_stoikov")
    return pd.concat([found.learned.assign(policy="learned"), baseline], ignore_index=True)


# --- what is printed --------------------------------------------------------------------------------


def _as_tree(found: Audit) -> dict[str, Any]:
    seen = found.seen
    return {
        "design": found.design,
        "seed": found.seed,
        "flags": [asdict(flag) for flag in found.flags],
        "figures": {name: figure(seen) for name, figure in FIGURES.items()},
        "thresholds": thresholds(),
        "checkpoints": seen.path.reset_index().to_dict("records"),
        "baseline": seen.base.to_dict(),
    }


# the columns of the table: figure -> head
_COLUMNS = {
    "proxy": "reward", "true": "true", "pnl": "P&L", "cvar": "CVaR", "own_quote": "own quote", "unfillable": "no fill",
    "hedge_close": "close hedge", "hedge_rest": "other hedge", "markup": "mark- up", "interventions": "limits acted",
}  # fmt: skip


def _print(found: Audit) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    seen = found.seen
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("steps", justify="right", no_wrap=True)
    for head in _COLUMNS.values():
        table.add_column(head, justify="right")
    for steps, row in seen.path.iterrows():
        table.add_row(f"{int(str(steps)) // 1000}k", *(_short(row[name]) for name in _COLUMNS))
    table.add_row("A-S", *(_short(seen.base[name]) for name in _COLUMNS), style="dim")
    console = Console()
    console.print(f"{found.design}, training seed {found.seed}", table, sep="\n")
    for flag in found.flags:
        figures = f"{flag.figure:.3g}, flagged above {flag.threshold:.3g}"
        console.print(f"{flag.name}: {flag.sentence} ({figures})", highlight=False, soft_wrap=True)
    if not found.flags:
        said = "no flag: none of the nine was seen, which does not say that the reward is safe"
        console.print(said, highlight=False, soft_wrap=True)


def _short(x: float) -> str:
    return f"{x:.2f}" if abs(x) < 10 else f"{x:.0f}"
