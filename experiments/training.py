"""Training of one design and seed, kept so that it can be killed at any moment and continued to the same result."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from agents.checkpoint import load_state, save_state
from agents.trainer import Trainer
from experiments import progress, store
from experiments.config import ExperimentConfig


def train(desk: ExperimentConfig, seed: int, folder: Path, resume: bool, name: str) -> None:
    """Train the learners of ``desk``; leaves their checkpoints and ``training.parquet`` in ``folder``.

    ``resume``: continue from the newest whole state in the folder, else begin anew; both end bit for bit alike.
    """
    trainer = Trainer(
        desk, seed, desk.train.markets, desk.train.steps, desk.train.device, explores=desk.evaluate.stochastic
    )
    records: list[dict] = []
    if resume:
        records = _restore(trainer, folder)
    else:
        shutil.rmtree(store.training_folder(folder), ignore_errors=True)
    target = trainer.updates * trainer.rollout_steps * trainer.markets
    with progress.task(f"training {name}", target, "steps") as advance:
        advance(trainer.steps, "")
        while not trainer.done:
            records += trainer.update()
            if trainer.done or trainer.update_number % desk.train.checkpoint_every == 0:
                _keep(trainer, records, folder)
            advance(trainer.steps, _figures(records[-1]))


def _figures(record: dict) -> str:
    tail = f", CVaR {record['cvar']:.4g}" if record["cvar"] == record["cvar"] else ""
    return f"objective {record['objective']:.4g}{tail}"


def _keep(trainer: Trainer, records: list[dict], folder: Path) -> None:
    """The state last: whenever the machine stops, what stands beside a state is at least as far."""
    store.write_table(folder, "training", pd.DataFrame(records))
    for policy in trainer.policies:
        for agent in policy.learners:
            trainer.save(agent, store.checkpoint_folder(folder, trainer.desk.agents[agent]))
    save_state(store.training_folder(folder), trainer.update_number, trainer.state_dict(), {})


def _restore(trainer: Trainer, folder: Path) -> list[dict]:
    """Put the trainer where the newest readable state was; the training records up to there."""
    found = load_state(store.training_folder(folder))
    if found is None:
        return []
    trainer.load_state_dict(found[0])
    records = store.read_table(folder, "training")
    return records[records["steps"] <= trainer.steps].to_dict("records")
