"""A learner of somebody else's, through the environment that it expects: stable-baselines3's PPO through SuperSuit."""

from __future__ import annotations

import numpy as np
import pytest

import agents
from agents import optimal
from agents.config import Desk
from agents.trainer import torch_threads
from experiments.bench.train import worth

DESK = {
    "market": {
        "steps": 10,
        "inventory_limit": 3,
        "price": {"kind": "brownian", "volatility": 0.1},
        "arrivals": "at_most_one",
        "segments": [{"rates": [0.4], "choice": {"kind": "logit", "intercept": -1.0, "sensitivity": 4.0}}],
    },
    "dealers": [
        {
            "name": "learner",
            "observation": ["time_left", "inventory"],
            "action": {"kind": "ladder", "markup": [-0.2, 2.2], "hedge": "fraction"},
            "policy": "ppo",  # a dealer that learns; by whom, it does not say
            "reward": ["pnl", {"kind": "inventory_penalty", "weight": 0.05}],
        }
    ],
}
MARKETS, STEPS = 16, 200_000


class Learned:
    """What their PPO has learned, as a policy of ours: its deterministic action."""

    native = False

    def __init__(self, model):
        self.model = model

    def act(self, observation: np.ndarray) -> np.ndarray:
        return self.model.predict(observation, deterministic=True)[0]


@pytest.mark.long
def test_stable_baselines_learns_a_single_dealer_market_through_supersuit():
    """At least 90% of the exact optimum, from an untrained policy that is worth less."""
    stable_baselines3 = pytest.importorskip("stable_baselines3", reason="pip install 'dealer-marketsim[bench]'")
    supersuit = pytest.importorskip("supersuit", reason="pip install 'dealer-marketsim[bench]'")
    desk = Desk.model_validate(DESK)
    one = supersuit.pettingzoo_env_to_vec_env_v1(agents.learner_env(desk))
    markets = supersuit.concat_vec_envs_v1(one, MARKETS, base_class="stable_baselines3")
    markets.venv.reset(seed=0)  # its copies would all play the same market otherwise
    stable_baselines3.common.utils.set_random_seed(0)  # seed=0 below would ask SuperSuit for what it has not
    model = stable_baselines3.PPO(
        "MlpPolicy", markets, n_steps=200, batch_size=200, gamma=1.0, gae_lambda=0.5, learning_rate=1e-3, device="cpu"
    )
    value, best = worth(desk), optimal.solve(desk).optimal
    before = value(Learned(model)) / best
    with torch_threads(1):  # a network this small loses on two
        model.learn(STEPS)
    after = value(Learned(model)) / best
    print(f"{before:.1%} of the optimum before, {after:.1%} after")
    assert before < 0.8 and after >= 0.9
