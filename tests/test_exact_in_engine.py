"""The engine earns what exact evaluation says, of the optimum and of bad policies. About 15 s."""

from __future__ import annotations

import math

import numpy as np
import pytest

import marketsim
from agents.config import Desk
from agents.exact import evaluate
from agents.optimal import solve
from agents.policy import Seat, build
from agents.policy_map import policy_map
from marketsim.document import Document, parse

EPISODES = 20_000
LOGIT = {"kind": "logit", "intercept": [-1.0, -0.5, 0.0], "sensitivity": [4.0, 3.5, 3.0]}
EXPONENTIAL = {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 1.5}}
PENALISED = [
    "pnl",
    {"kind": "inventory_penalty", "weight": 0.02},
    {"kind": "terminal_inventory_penalty", "weight": 0.05},
]
THREE_SIZES = {
    "steps": 40,
    "inventory_limit": 10,
    "liquidate": True,
    "price": {"kind": "brownian", "drift": 0.05},
    "venue": {"half_spread": 0.2, "slope": 0.01, "fee": 0.01, "impact": 0.01},
    "arrivals": "at_most_one",
    "segments": [{"sizes": [1, 2, 5], "rates": [0.2, 0.1, 0.05], "choice": LOGIT}],
}
TWO_SIDED = {
    "steps": 40,
    "inventory_limit": 4,
    "arrivals": "bernoulli",
    "price": {"kind": "regime", "drift": [0, 0], "volatility": [0.5, 1.5], "transition": [[0.9, 0.1], [0.3, 0.7]]},
    "venue": {"half_spread": 0.5},
    "segments": [
        {"name": "sellers", "sizes": [2], "rates": {"bid": [0.8], "ask": [0]}, "choice": EXPONENTIAL},
        {"name": "buyers", "sizes": [1], "rates": {"bid": [0], "ask": [0.9]}, "choice": EXPONENTIAL},
    ],
}
LIMITED = {
    "position": {"hard": 4, "on_breach": "reduce_only"},
    "markup": {"low": 0.1, "high": 0.7, "on_breach": "reject"},
}
SHAPED = ["pnl", {"kind": "downside", "weight": 0.2}, {"kind": "asymmetric_dampening", "weight": 0.1}]


def desk(market: dict, policy, **dealer) -> Desk:
    block = {"name": "dealer", "observation": ["time_left", "inventory"], "policy": policy} | dealer
    return parse(Desk, Document.of({"market": market, "dealers": [block]}))


def played(config: Desk, episodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Summed reward, summed P&L and the last inventory before liquidation of each episode."""
    batch = marketsim.MarketBatch(config, markets=episodes, seed=11)
    policy = build(config.dealers[0].policy, Seat(config, 0))
    if hasattr(policy, "reset"):
        policy.reset(11, 0, 0, episodes)
    observation = batch.reset()
    reward, pnl = np.zeros(episodes), np.zeros(episodes)
    for _ in range(batch.steps):
        step = batch.step(None, {0: policy.quote(observation[:, 0])})
        observation = step.observation
        reward += step.reward[:, 0]
        ledger = step.ledger
        pnl += (ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"])[:, 0]
    return reward, pnl, batch.state["inventory"][:, 0, 0].copy()


@pytest.mark.parametrize("market", [THREE_SIZES, TWO_SIDED], ids=["three sizes", "two sided"])
@pytest.mark.parametrize(
    "policy",
    [
        "optimal",
        {"kind": "fixed", "markup": -0.1},
        {"kind": "fixed", "markup": 0.4, "hedge": 0.5},
        "avellaneda_stoikov",
    ],
    ids=["optimal", "gives away", "hedges", "avellaneda_stoikov"],
)
@pytest.mark.parametrize("limits", [{}, LIMITED], ids=["", "limited"])
def test_a_policy_earns_its_exact_value(market, policy, limits):
    config = desk(market, policy, reward=PENALISED, limits=limits)
    seat = Seat(config, 0)
    exact = evaluate(config, *policy_map(build(config.dealers[0].policy, seat), seat))
    reward, _, _ = played(config, EPISODES)
    error = reward.std() / math.sqrt(EPISODES)
    assert abs(reward.mean() - exact[0, exact.shape[1] // 2]) <= 4 * error + 1e-12  # a band may withdraw all quotes
    if policy == "optimal":
        assert exact[0, exact.shape[1] // 2] == pytest.approx(solve(config).optimal, abs=1e-10)


def test_rewards_shaped_by_the_move_are_earned_too():
    market = THREE_SIZES | {"price": {"kind": "brownian", "drift": 0.1, "volatility": 0.7}}
    config = desk(market, "optimal", reward=SHAPED)
    reward, _, _ = played(config, EPISODES)
    assert abs(reward.mean() - solve(config).optimal) < 4 * reward.std() / math.sqrt(EPISODES)


def test_the_symmetric_dealer_of_avellaneda_and_stoikov():
    """Half-spread .6454, no limit, no liquidation: mean profit 68.635, sd of the terminal inventory 8.836."""
    market = {
        "steps": 200,
        "dt": 0.005,
        "price": {"kind": "brownian", "volatility": 2.0},
        "arrivals": "bernoulli",
        "segments": [{"rates": [0.7], "choice": EXPONENTIAL}],
    }
    config = desk(market, {"kind": "fixed", "markup": 0.6454})
    episodes = 100_000
    reward, pnl, inventory = played(config, episodes)
    assert abs(pnl.mean() - 68.635) < 3 * pnl.std() / math.sqrt(episodes)
    assert abs(inventory.std() - 8.836) < 3 * 8.836 / math.sqrt(2 * episodes)
    assert abs(inventory.mean()) < 3 * 8.836 / math.sqrt(episodes)
    np.testing.assert_allclose(reward, pnl, atol=1e-9)


def test_the_optimal_dealer_leans_with_the_drift():
    """Mean inventory at mid-episode: the sign of the drift, mirrored with it, near zero without."""

    def held(drift: float) -> np.ndarray:
        market = {k: v for k, v in THREE_SIZES.items() if k != "venue"} | {
            "price": {"kind": "brownian", "drift": drift}
        }
        config = desk(market | {"venue": {"half_spread": 1.0}}, "optimal", reward=PENALISED)
        batch = marketsim.MarketBatch(config, markets=EPISODES, seed=3)
        policy = build(config.dealers[0].policy, Seat(config, 0))
        observation = batch.reset()
        for _ in range(20):
            observation = batch.step(None, {0: policy.quote(observation[:, 0])}).observation
        return batch.state["inventory"][:, 0, 0].copy()

    up, down, flat = held(0.1), held(-0.1), held(0.0)
    error = math.sqrt((up.var() + down.var()) / EPISODES)
    assert up.mean() > 1.0 and down.mean() < -1.0
    assert abs(up.mean() + down.mean()) < 4 * error
    assert abs(flat.mean()) < 4 * flat.std() / math.sqrt(EPISODES)
