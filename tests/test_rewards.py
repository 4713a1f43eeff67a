"""The reward terms against their slow twin, and shaping that leaves the optimum alone. About 20 s, compiling included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin.rewards import TERMS
from twin.step import TwinMarket
from twin.strategies import configs, of_market, random_play, reward_terms

import marketsim
from agents.config import Desk
from agents.exact import evaluate
from agents.optimal import solve
from marketsim import rewards
from marketsim.document import Document, parse

PARAMETERS = {"threshold": 1.5, "target": 0.4, "every": 3, "within": 0.75}


@settings(max_examples=60, deadline=None)
@given(config=configs(), terms=st.lists(reward_terms(), min_size=4, max_size=4), play=st.integers(0, 2**32))
def test_rewards_are_their_twin(config, terms, play):
    """Every term, in markets of any kind but without limits of the dealers' own."""
    config["market"]["price"] = {"kind": "brownian", "mid": 100.0}
    for dealer, reward in zip(config["dealers"], terms, strict=False):
        dealer |= {"reward": reward, "limits": {}}
    check(config, play)


@pytest.mark.parametrize("kind", sorted(TERMS))
def test_each_term_alone_is_its_twin(kind):
    name = rewards.PARAMETERS.get(kind)
    term = {"kind": kind, "weight": 0.5} | ({name: PARAMETERS[name]} if name else {})
    action = {"kind": "skew", "half_spread": [0.0, 1.0], "skew_max": 1.0, "hedge": 3}
    market = {
        "steps": 12,
        "inventory_limit": 4,
        "liquidate": True,
        "venue": {"half_spread": 0.1, "fee": 0.02},
        "segments": [{"sizes": [1, 2], "rates": [0.4, 0.3]}],
    }
    dealer = {"name": "dealer", "count": 2, "action": action, "reward": [term]}
    seen = check({"market": market, "dealers": [dealer]}, play=5)
    assert np.any(seen != 0)


def check(config, play, markets=3):
    """Play an episode in both; the rewards (steps, markets, dealers) of the engine."""
    batch = marketsim.MarketBatch(marketsim.load_config(config), markets=markets, seed=3)
    twins = [TwinMarket(config, 3, 0, market) for market in range(markets)]
    batch.reset()
    seen = []
    for actions, quotes, governing in random_play(config, markets, play):
        governing.of_batch(batch)
        for m, twin in enumerate(twins):
            governing.of_market(m, twin)
        step = batch.step(actions, quotes=quotes)
        done = [twin.step(of_market(m, actions, quotes)).reward for m, twin in enumerate(twins)]
        np.testing.assert_allclose(step.reward, done, rtol=1e-9, atol=1e-9)
        seen.append(step.reward.copy())
    return np.array(seen)


SMALL = {
    "steps": 12,
    "inventory_limit": 6,
    "venue": {"half_spread": 0.3, "slope": 0.05},
    "arrivals": "at_most_one",
    "segments": [{"sizes": [1, 2], "rates": [0.3, 0.15], "choice": {"kind": "logit", "sensitivity": 2.0}}],
}


@pytest.mark.parametrize("liquidate", [False, True])
@pytest.mark.parametrize("weight", [0.3, -0.2])
def test_potential_based_shaping_leaves_the_optimum_alone(weight, liquidate):
    """Ng, Harada and Russell (1999, theorem 1): the same optimal quotes and hedges, V' = V - potential at every state."""
    plain, shaped = (solve(small(liquidate, *terms)) for terms in ((), ({"kind": "potential", "weight": weight},)))
    np.testing.assert_allclose(shaped.markups, plain.markups, atol=1e-7)
    np.testing.assert_array_equal(shaped.hedge, plain.hedge)
    potential = -weight * np.square(plain.inventory)
    np.testing.assert_allclose(shaped.value[:-1], plain.value[:-1] - potential, atol=1e-10)
    assert shaped.optimal == pytest.approx(plain.optimal, abs=1e-10)
    changed = solve(small(liquidate, {"kind": "terminal_inventory_penalty", "weight": weight}))
    assert np.nanmax(np.abs(changed.markups - plain.markups)) > 0.05  # what a bonus that is no potential does


def test_shaping_is_worth_its_potential_to_any_policy():
    """The exact value of a policy that is not optimal, and the engine's own sum of rewards, which is nothing."""
    plain, shaped = small(True), small(True, {"kind": "potential", "weight": 0.3})
    policy = solve(small(True, {"kind": "inventory_penalty", "weight": 0.2}))
    values = [evaluate(config, policy.markups, policy.hedge) for config in (plain, shaped)]
    np.testing.assert_allclose(values[1][:-1], values[0][:-1] + 0.3 * np.square(policy.inventory), atol=1e-10)
    batches = [marketsim.MarketBatch(config, markets=50) for config in (plain, shaped)]
    totals = np.zeros((2, 50))
    for k, batch in enumerate(batches):
        batch.reset()
        for _ in range(batch.steps):
            totals[k] += batch.step_quotes(np.full((50, 1, 2, 1, 2), 0.4), np.zeros((50, 1, 1))).reward[:, 0]
    assert np.abs(totals[0]).max() > 1
    np.testing.assert_allclose(totals[1], totals[0], atol=1e-10)


def small(liquidate, *terms) -> Desk:
    dealer = {"name": "dealer", "policy": "optimal", "reward": ["pnl", *terms]}
    return parse(Desk, Document.of({"market": SMALL | {"liquidate": liquidate}, "dealers": [dealer]}))
