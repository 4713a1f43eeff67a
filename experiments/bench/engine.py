"""How fast the market steps.

The flow is as configured: every request is drawn, quoted and booked, the ledger and the default observations are
written, and every episode of 96 steps begins with a reset that is timed too. Actions are uniform over their range.
"""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from experiments import progress
from experiments.bench import limits
from experiments.bench.play import Play
from experiments.bench.rows import Row, alternate, rates
from marketsim import MarketConfig, load_config, parallel_env

STEPS = 96
REPEATS = 40
MARKETS = 1_000
MANY_MARKETS = 10_000
ENV_EPISODES = 10
ELEMENTS = 20_000  # of the reference kernel

LOGIT = {"kind": "logit", "intercept": -1.0, "sensitivity": 2.0}
EXPONENTIAL = {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 1.5}}


@dataclass(frozen=True)
class Workload:
    """A market, and how many of its steps a second are asked for and hoped for."""

    name: str
    config: MarketConfig
    at_least: float
    aim: float


def market(
    dealers: int, requests: float, arrivals: str, choice: dict[str, Any], segments: int = 1, sizes: int = 1
) -> MarketConfig:
    """A market with ``requests`` a step on average, spread evenly over its cells; a Brownian mid; hedging in lots."""
    rate = requests / (2 * segments * sizes)
    return load_config(
        {
            "market": {
                "steps": STEPS,
                "price": {"kind": "brownian", "volatility": 1.0},
                "arrivals": arrivals,
                "segments": [
                    {"name": f"s{s}", "sizes": list(range(1, sizes + 1)), "rates": [rate] * sizes, "choice": choice}
                    for s in range(segments)
                ],
            },
            "dealers": [{"count": dealers, "action": {"kind": "ladder", "markup": [-0.2, 1.2], "hedge": 1.0}}],
        }
    )


def workloads() -> list[Workload]:
    return [
        Workload("4 dealers, 1 segment, 1 size, poisson, logit", market(4, 1.0, "poisson", LOGIT), 8e6, 18e6),
        Workload("1 dealer, bernoulli, exponential reservation", market(1, 1.0, "bernoulli", EXPONENTIAL), 12e6, 25e6),
        Workload("4 dealers, 3 segments, 5 sizes, poisson", market(4, 2.0, "poisson", LOGIT, 3, 5), 4e6, 8e6),
    ]


def measure() -> list[Row]:
    """All figures of the engine, and a reference kernel timed in turn with it."""
    work = workloads()
    with progress.if_slow("compiling the market step, once; up to a minute ..."):
        Play(work[0].config, markets=1)()
    rows = [row for workload in work for row in _array_rows(workload)]
    rows += limits.rows(work[0].config)
    return [*rows, *_environment_rows(work[0].config), _threads_row(work[0].config)]


def _array_rows(workload: Workload) -> list[Row]:
    play = Play(workload.config, MARKETS)
    x = np.random.default_rng(0).random(ELEMENTS)
    taken, reference = alternate(REPEATS, play, lambda: reference_kernel(x))
    elements = (taken.best / play.steps) / (reference.best / ELEMENTS)
    return [
        *rates(
            f"{workload.name}, {MARKETS} markets", taken, play.steps, "market steps/s", workload.at_least, workload.aim
        ),
        Row("  a step in elements of the reference kernel", elements, "x"),
    ]


def _environment_rows(config: MarketConfig) -> list[Row]:
    """The same market through PettingZoo's dictionaries."""
    env = parallel_env(config)
    rng = np.random.default_rng(0)
    actions = {
        name: rng.uniform(-1, 1, env.action_space(name).shape).astype(np.float32) for name in env.possible_agents
    }

    def episodes() -> None:
        for _ in range(ENV_EPISODES):
            env.reset()
            while env.agents:
                env.step(actions)

    (taken,) = alternate(REPEATS, episodes)
    return rates("PettingZoo dictionaries, 4 dealers", taken, ENV_EPISODES * STEPS, "steps/s", 100e3, 130e3)


def _threads_row(config: MarketConfig) -> Row:
    name = f"two threads against one, {MANY_MARKETS} markets"
    if (os.cpu_count() or 1) < 2:
        return Row(f"{name}: this machine has one core", None, "x", 1.7, 1.9)
    one, two = (Play(config, MANY_MARKETS, threads) for threads in (1, 2))
    single, double = alternate(REPEATS // 2, one, two)
    paired = [a / b for a, b in zip(single.seconds, double.seconds, strict=True)]
    return Row(f"{name}, median of {len(paired)} pairs", statistics.median(paired), "x", 1.7, 1.9)


@njit(error_model="numpy")
def reference_kernel(x):
    """A root, a division and three sums an element: what a machine makes of plain compiled arithmetic."""
    total = 0.0
    for i in range(x.shape[0]):
        total += np.sqrt(x[i] * 1.3 + 0.1) / (x[i] + 1.0)
    return total
