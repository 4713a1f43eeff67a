"""The array API: a market's path depends on nothing but its own counters and actions."""

import numpy as np
import pytest

import marketsim
from marketsim.types import LEDGER

DESK = {
    "market": {
        "steps": 24,
        "inventory_limit": 8,
        "liquidate": True,
        "price": {
            "kind": "regime",
            "transition": [[0.9, 0.1], [0.2, 0.8]],
            "drift": [0.0, 0.1],
            "volatility": [0.5, 2.0],
        },
        "venue": {"half_spread": 0.1, "slope": 0.01, "impact": 0.02, "fee": 0.01},
        "arrivals": "poisson",
        "segments": [
            {"name": "slow", "sizes": [1, 3], "rates": [0.3, 0.2], "choice": {"kind": "logit", "sensitivity": 2.0}},
            {"name": "fast", "rates": [0.4], "panel": 2, "informed": {"share": 0.5, "accuracy": 0.9, "lead": 3}},
        ],
    },
    "dealers": [
        {"name": "first", "reward": ["pnl", {"kind": "inventory_penalty", "weight": 0.01}]},
        {"name": "second", "count": 2, "action": {"kind": "skew", "hedge": 2.0}},
    ],
}
MARKETS, STEPS = 20, 24


@pytest.fixture(scope="module")
def config():
    return marketsim.load_config(DESK)


def actions_of(config, markets, first=0):
    """Actions that depend on the market's own number alone."""
    width = max(marketsim.MarketBatch(config, 1).action_widths)
    drawn = [
        np.random.default_rng([m, 5]).uniform(-1, 1, (STEPS, len(config.agents), width))
        for m in range(first, first + markets)
    ]
    return np.stack(drawn, axis=1).astype(np.float32)


def play(batch, actions, episode=3):
    """Everything that a run of one episode shows, as bytes a market."""
    batch.reset(episode=episode)
    shown = []
    for k in range(STEPS):
        step = batch.step(actions[k])
        parts = [step.observation, step.reward, step.terminated, step.reasons, *(step.ledger[n] for n in LEDGER)]
        parts += [batch.state["mid"], batch.state["inventory"], batch.state["cash"]]
        shown.append(
            [
                np.concatenate([np.ascontiguousarray(p[m]).view(np.uint8).ravel() for p in parts])
                for m in range(batch.markets)
            ]
        )
    return [b"".join(step[m].tobytes() for step in shown) for m in range(batch.markets)]


@pytest.fixture(scope="module")
def whole(config):
    return play(marketsim.MarketBatch(config, MARKETS, seed=7), actions_of(config, MARKETS))


def test_two_threads_write_the_same_bytes(config, whole):
    assert play(marketsim.MarketBatch(config, MARKETS, seed=7, threads=2), actions_of(config, MARKETS)) == whole


def test_a_market_alone_is_the_market_in_the_crowd(config, whole):
    for m in (0, 7, MARKETS - 1):
        assert play(marketsim.MarketBatch(config, 1, seed=7, first_market=m), actions_of(config, 1, m)) == [whole[m]]


def test_blocks_do_not_show(config, monkeypatch):
    """More markets than a block holds: the second block's first market is the same alone."""
    from marketsim.scratch import BLOCK

    crowd = play(marketsim.MarketBatch(config, BLOCK + 2, seed=7), actions_of(config, BLOCK + 2))
    assert play(marketsim.MarketBatch(config, 1, seed=7, first_market=BLOCK), actions_of(config, 1, BLOCK)) == [
        crowd[BLOCK]
    ]


def test_seed_and_episode_change_the_path(config, whole):
    actions = actions_of(config, MARKETS)
    assert play(marketsim.MarketBatch(config, MARKETS, seed=0), actions) != whole
    assert play(marketsim.MarketBatch(config, MARKETS, seed=7), actions, episode=4) != whole


def test_a_run_split_by_a_snapshot_goes_on_as_if_it_had_not_been(config):
    actions = actions_of(config, MARKETS)
    batch = marketsim.MarketBatch(config, MARKETS, seed=7)
    batch.reset(episode=3)
    for k in range(10):
        batch.step(actions[k])
    kept = batch.snapshot()
    straight = [batch.step(actions[k]).reward.copy() for k in range(10, STEPS)]
    other = marketsim.MarketBatch(config, MARKETS, seed=1)
    observation = other.restore(kept)
    assert np.array_equal(observation, kept["observation"].transpose(2, 0, 1))
    again = [other.step(actions[k]).reward.copy() for k in range(10, STEPS)]
    assert all(np.array_equal(a, b) for a, b in zip(straight, again, strict=True))
    assert other.episode == 3 and other.reset().shape == observation.shape and other.episode == 4


def test_two_policies_meet_the_same_clients_and_the_same_price(config):
    def clients(scale):
        batch = marketsim.MarketBatch(config, MARKETS, seed=7, record=True)
        batch.reset(episode=0)
        met, prices = [], []
        for k in range(STEPS):
            batch.step((actions_of(config, MARKETS)[k] * scale).astype(np.float32))
            met.append(
                batch.requests[["market", "step", "number", "segment", "side", "size", "informed", "asked"]].copy()
            )
            prices.append(batch.state["exogenous"].copy())
        return np.concatenate(met), np.concatenate(prices)

    (one, price), (other, same_price) = clients(1.0), clients(-0.3)
    assert len(one) > 100 and np.array_equal(one, other)
    assert np.array_equal(price, same_price)


def test_the_ledger_is_the_change_of_wealth_and_lots_are_conserved(config):
    batch = marketsim.MarketBatch(config, 500, seed=2)
    batch.reset()
    rng = np.random.default_rng(0)
    before = np.zeros((500, 3))
    held = np.zeros((500, 3))
    for _ in range(STEPS):
        step = batch.step(rng.uniform(-1, 1, (500, 3, 7)).astype(np.float32))
        cash, inventory, mid = batch.state["cash"], batch.state["inventory"][:, :, 0], batch.state["mid"]
        wealth = cash + inventory * mid
        entered = step.ledger["spread"] + step.ledger["inventory"] - step.ledger["hedge_cost"] - step.ledger["fees"]
        scale = np.maximum(1.0, np.abs(cash) + np.abs(inventory * mid))
        assert np.max(np.abs(wealth - before - entered) / scale) < 1e-12
        lots = step.ledger["bought"] - step.ledger["sold"] + step.ledger["hedge"]
        assert np.array_equal(inventory, held + lots)
        before, held = wealth, inventory.copy()
    assert np.all(held == 0)  # liquidated


def test_prices_and_actions_drive_the_same_market(config):
    """The markups that an action maps to, quoted in prices, lead to the same step."""
    from marketsim.quotes import markups_of

    actions = actions_of(config, MARKETS)
    one, other = (marketsim.MarketBatch(config, MARKETS, seed=7) for _ in range(2))
    one.reset(), other.reset()
    for k in range(STEPS):
        inventory = other.state["inventory"]
        quotes = {
            i: markups_of(config, i, actions[k][:, i, :w].copy(), inventory[:, i, 0])
            for i, w in enumerate(other.action_widths)
        }
        a = one.step(actions[k])
        markups = np.stack([quotes[i][0] for i in range(3)], axis=1)
        hedge = np.stack([quotes[i][1] for i in range(3)], axis=1)
        b = other.step_quotes(markups, hedge)
        assert np.array_equal(a.reward, b.reward) and np.array_equal(a.observation, b.observation)


def test_actions_of_any_layout_are_the_same_actions(config):
    """Read-only, strided or float64 actions are copied, and meet the one compiled signature."""
    actions = actions_of(config, MARKETS)[0]
    frozen = actions.copy()
    frozen.flags.writeable = False
    rewards = []
    for given in (actions, frozen, np.asfortranarray(actions), actions.astype(np.float64)):
        batch = marketsim.MarketBatch(config, MARKETS, seed=7)
        batch.reset()
        rewards.append(batch.step(given).reward.copy())
    assert all(np.array_equal(rewards[0], other) for other in rewards[1:])


def test_wrong_shapes_and_order_are_refused_with_a_sentence(config):
    batch = marketsim.MarketBatch(config, 4)
    with pytest.raises(RuntimeError, match="reset"):
        batch.step(np.zeros((4, 3, 7), np.float32))
    batch.reset()
    with pytest.raises(ValueError, match=r"\(4, 3, 7\) is needed"):
        batch.step(np.zeros((4, 3, 2), np.float32))
    with pytest.raises(ValueError, match="first: markups"):
        batch.step(None, {"first": (np.zeros((4, 2, 1, 1)), np.zeros((4, 1)))})
    for _ in range(STEPS):
        batch.step(np.zeros((4, 3, 7), np.float32))
    with pytest.raises(RuntimeError, match="ended after 24 steps"):
        batch.step(np.zeros((4, 3, 7), np.float32))
    with pytest.raises(ValueError):
        marketsim.MarketBatch(config, 0)


def test_four_dealers_in_ten_thousand_markets_stay_small(config):
    desk = DESK | {"dealers": [{"name": "d", "count": 4}]}
    batch = marketsim.MarketBatch(marketsim.load_config(desk), 10_000)
    arrays = [v for v in vars(batch).values() if isinstance(v, np.ndarray)] + [a for s in batch._scratch for a in s]
    assert sum(a.nbytes for a in arrays) < 500e6
