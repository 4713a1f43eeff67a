"""The settings that stable-baselines3 is compared with: the best of its defaults and of twenty trials drawn at random.

``python -m experiments.bench.search`` draws and plays them again, and writes ``stable_baselines.json`` beside this file.
Every trial trains on the market of the gallery's ``optimum``, does the same work whatever the machine, and is then
valued exactly.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).with_name("stable_baselines.json")
SEED, TRIALS = 0, 20
WORK = 1_500_000  # of a trial: a market step counts once when it is played, and once more each epoch it is learned in
CHOICES = {
    "gae_lambda": (0.3, 0.5, 0.8, 0.95),
    "gamma": (0.99, 1.0),
    "n_epochs": (4, 10),
    "minibatches": (4, 8, 16),
    "clip_range": (0.1, 0.2, 0.3),
    "ent_coef": (0.0, 0.001, 0.01),
    "log_std_init": (-1.2, -0.7, 0.0),
}
LEARNING_RATES = (2e-4, 5e-3)  # drawn log-uniformly between them


def trials() -> list[dict[str, Any]]:
    """Their defaults, which are no settings at all, and ``TRIALS`` settings drawn at random, the same ones always."""
    rng = np.random.default_rng(SEED)
    low, high = np.log(LEARNING_RATES)
    return [{}] + [
        {"learning_rate": float(f"{np.exp(rng.uniform(low, high)):.2g}")}
        | {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
        for _ in range(TRIALS)
    ]


def best() -> dict[str, Any]:
    """The settings of the table's best trial; empty if no trial was better than their defaults."""
    return max(json.loads(TABLE.read_text(encoding="utf-8"))["trials"], key=lambda trial: trial["share"])["settings"]


def search() -> None:
    """Play every trial and write the table."""
    from agents import optimal
    from agents.trainer import torch_threads
    from experiments import progress, store
    from experiments.bench.exact_value import worth
    from experiments.bench.stable_baselines import Baseline
    from experiments.config import load
    from experiments.run import prepare

    experiment = load("optimum")
    prepare(experiment)
    desk = experiment.base
    value, optimum = worth(desk), optimal.solve(desk).optimal
    table = []
    with torch_threads(1), progress.task("trials", TRIALS + 1, "trials") as advance:
        for settings in trials():
            learner = Baseline(desk, desk.train.markets, SEED, **settings)
            steps = WORK / (1 + learner.epochs)
            while learner.steps < steps:
                learner.update()
            share = value(learner) / optimum
            table.append({"share": round(share, 4), "steps": learner.steps, "settings": settings})
            advance(len(table), f"{share:.1%} of the optimum")
    about = {"market": "optimum", "markets": desk.train.markets, "work": WORK, "seed": SEED}
    store.write_text(TABLE, json.dumps(about | {"trials": table}, indent=1) + "\n")


if __name__ == "__main__":
    search()
