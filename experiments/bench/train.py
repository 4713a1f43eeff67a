"""How fast PPO trains, in steps a second and in seconds to near the exact optimum; beside it stable-baselines3's."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import torch

from agents import optimal
from agents.config import Desk, PPOSpec
from agents.policy import Policy
from agents.ppo import PPO
from agents.trainer import Trainer, torch_threads
from experiments import progress
from experiments.bench import limits
from experiments.bench.exact_value import worth
from experiments.bench.rows import Row, alternate, rates
from experiments.config import load
from experiments.run import prepare

MARKETS, ROLLOUT = 256, 128
UPDATES = 8  # timed of each learner
SHARE = 0.95  # of the exact optimum, to be reached
MISSING = "stable-baselines3 is not installed (pip install 'dealer-marketsim[bench]')"

# Ours differ in nothing that costs time from what stable-baselines3 is given.
SETTINGS = {"hidden": (64, 64), "activation": "tanh", "epochs": 4, "minibatches": 8, "rollout": ROLLOUT}
# To the optimum both learners are tuned: theirs by ``search``, ours as docs/ppo.md tells.
TUNED = {"learning_rate": 3e-3, "gae_lambda": 0.1, "initial_sd": 0.3}


class Learner(Protocol):
    """Trains by updates: a rollout and an improvement each."""

    @property
    def steps(self) -> int: ...

    def update(self) -> object: ...


def measure() -> list[Row]:
    """The figures of training, on the market of the gallery's ``optimum``."""
    experiment = load("optimum")
    prepare(experiment)
    with torch_threads(1):
        return [*_throughput(with_policy(experiment.base, SETTINGS)), *_to_the_optimum(experiment.base)]


def with_policy(desk: Desk, settings: Mapping[str, object]) -> Desk:
    """The desk of a single dealer with other settings of its learner."""
    dealer = desk.dealers[0]
    assert isinstance(dealer.policy, PPOSpec)
    policy = dealer.policy.model_copy(update=settings)
    return desk.model_copy(update={"dealers": (dealer.model_copy(update={"policy": policy}),)})


def _throughput(desk: Desk) -> list[Row]:
    name = f"PPO, {MARKETS} markets x {ROLLOUT} steps, 2x64 tanh, 4 epochs, 8 minibatches"
    steps = MARKETS * ROLLOUT
    ours = Trainer(desk, 0, MARKETS, 100 * steps)
    if not find_spec("stable_baselines3"):
        (taken,) = alternate(UPDATES, ours.update)
        return [
            *rates(name, taken, steps, "steps/s", None, None),
            limits.share_of_training(desk, taken.best / steps),
            Row(f"against stable-baselines3: {MISSING}", None, "x", 1.2, 2.0),
        ]
    from experiments.bench.stable_baselines import Baseline

    taken, theirs = alternate(UPDATES, ours.update, Baseline(desk, MARKETS, 0).update)
    return [
        *rates(name, taken, steps, "steps/s", None, None),
        limits.share_of_training(desk, taken.best / steps),
        *rates("stable-baselines3, the same", theirs, steps, "steps/s", None, None),
        Row("PPO against stable-baselines3", theirs.best / taken.best, "x", 1.2, 2.0),
    ]


def _to_the_optimum(desk) -> list[Row]:
    """Seconds of training until the deterministic policy is worth SHARE of the optimum; valuing it is not counted."""
    budget = desk.train.steps
    # the learning rate falls to 0 over half the steps that the gallery trains for: sooner there, and a little lower
    trainer = Trainer(with_policy(desk, TUNED), 0, desk.train.markets, budget // 2)
    learner = trainer.policies[0]
    ours, ours_share = seconds_to(desk, trainer, Mean(learner), budget // 2, "PPO")
    rows = [_time_row(f"PPO to {SHARE:.0%} of the exact optimum", ours, ours_share)]
    name = f"time to {SHARE:.0%} of the optimum, stable-baselines3's over ours"
    if not find_spec("stable_baselines3"):
        return [*rows, Row(f"{name}: {MISSING}", None, "x", 3.0, 10.0)]
    from experiments.bench.search import best
    from experiments.bench.stable_baselines import Baseline

    baseline = Baseline(desk, desk.train.markets, 0, **best())
    theirs, theirs_share = seconds_to(desk, baseline, baseline, budget, "stable-baselines3")
    rows.append(_time_row("stable-baselines3, the same", theirs, theirs_share))
    if ours_share < SHARE:
        return [*rows, Row(f"{name}: ours did not get there", None, "x", 3.0, 10.0)]
    if theirs_share < SHARE:
        name += ", which had not got there yet"
    return [*rows, Row(name, theirs / ours, "x", 3.0, 10.0)]


def _time_row(name: str, seconds: float, share: float) -> Row:
    return Row(name if share >= SHARE else f"{name}: stopped at {share:.1%} of it", seconds, "s")


def seconds_to(desk: Desk, learner: Learner, policy: Policy, budget: int, name: str) -> tuple[float, float]:
    """Seconds that ``learner`` trained until ``policy`` was worth SHARE of the optimum, or the budget of market steps
    was spent; and the share of the optimum reached then."""
    value = worth(desk)
    best = optimal.solve(desk).optimal
    seconds, share = 0.0, -np.inf
    with progress.task(f"{name} to {SHARE:.0%} of the optimum", budget, "steps") as advance:
        while share < SHARE and learner.steps < budget:
            began = time.perf_counter()
            learner.update()
            seconds += time.perf_counter() - began
            share = value(policy) / best
            advance(learner.steps, f"{share:.1%} of the optimum after {seconds:.1f} s")
    return seconds, share


class Mean:
    """The deterministic policy of a learner in training: the mean of its Gaussian."""

    native = False

    def __init__(self, learner: PPO):
        self.learner = learner

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(observation)
        mean = self.learner.actor(self.learner.normaliser(rows)).t().numpy()
        return np.clip(mean, -1.0, 1.0, order="C")

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError("it thinks in actions")
