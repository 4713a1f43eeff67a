"""Objectives in the market: what it charges, what is learned, what is kept, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from objectives_fixture import TAIL, one_thread, totals  # noqa: F401 (one is autouse)

import marketsim
from agents.best import deployable
from agents.checkpoint import LearnedPolicy, load_policy, load_state, save_state
from agents.config import Desk
from agents.episodes import COSTS, costs
from agents.objectives import uncharged
from agents.policy import Seat
from agents.trainer import Trainer
from experiments import config
from marketsim.document import InputError


def desk(objective, steps=6, **more) -> Desk:
    """A market with a learner under an objective and a rival that does not learn."""
    dealer = {
        "name": "learner",
        "observation": ["time_left", "inventory", "tail"],
        "policy": {"kind": "ppo", "hidden": [8], "minibatches": 2, "epochs": 2, **more.pop("policy", {})},
        "objective": objective,
        **more,
    }
    market = {
        "steps": steps,
        "inventory_limit": 4.0,
        "liquidate": True,
        "venue": {"half_spread": 0.1},
        "segments": [{"rates": (0.8,)}],
    }
    return Desk.model_validate({"market": market, "dealers": [dealer, {"name": "rival", "policy": "random"}]})


@pytest.mark.parametrize("nu", [-0.8, 0.0, 1.3])
def test_the_charges_of_an_episode_add_up_to_its_excess(nu):
    """Sum of (1 + kappa) r~ = sum of r - kappa [(L_T - nu)+ - (-nu)+], in the compiled step."""
    spec = desk(TAIL)
    plain, charged = (marketsim.MarketBatch(spec, markets=500, seed=3) for _ in range(2))
    charged.set_risk("learner", nu, 20.0)
    rng, sums, loss = np.random.default_rng(0), np.zeros((2, 500)), np.zeros(500)
    plain.reset(), charged.reset()
    undone = np.zeros(500)
    for _ in range(spec.market.steps):
        actions = rng.uniform(-1, 1, (500, 2, 3)).astype(np.float32)
        one, other = plain.step(actions), charged.step(actions)
        pnl = one.ledger["spread"] + one.ledger["inventory"] - one.ledger["hedge_cost"] - one.ledger["fees"]
        sums += one.reward[:, 0], other.reward[:, 0]
        after = loss - pnl[:, 0]
        undone += uncharged(other.reward[:, 0], loss, after, np.float64(nu), np.float64(20.0))
        loss = after
        np.testing.assert_array_equal(one.reward[:, 1], other.reward[:, 1])  # nobody else is charged
    excess = np.maximum(loss - nu, 0.0) - max(-nu, 0.0)
    assert np.abs(21.0 * sums[1] - (sums[0] - 20.0 * excess)).max() < 1e-9
    assert np.abs(undone - sums[0]).max() < 1e-9


def test_a_risk_state_belongs_to_its_batch_and_its_snapshot():
    spec = desk(TAIL)
    one, other = (marketsim.MarketBatch(spec, markets=3) for _ in range(2))
    one.set_risk(0, 1.5, 2.0)
    assert one.risk.tolist() == [[1.5, 2.0], [0.0, 0.0]] and not other.risk.any()
    one.reset(0)
    other.restore(one.snapshot())
    assert (other.risk == one.risk).all()
    for nu, kappa in ((math.nan, 0.0), (0.0, -1.0), (0.0, math.inf)):
        with pytest.raises(ValueError, match="kappa at least 0"):
            one.set_risk(0, nu, kappa)


def test_costs_are_those_of_the_ledger():
    spec = desk(TAIL)
    batch = marketsim.MarketBatch(spec, markets=200, seed=1)
    batch.reset()
    actions = np.full((200, 2, 3), -1.0, np.float32)
    actions[:, 0, 2] = 1.0
    at_limit = turnover = 0.0
    for _ in range(spec.market.steps):
        step = batch.step(actions)
        at_limit += (abs(batch.state["inventory"][:, 1, 0]) == 4).mean() / spec.market.steps
        turnover += (step.ledger["bought"] + step.ledger["sold"] + abs(step.ledger["hedge"]))[:, 1].mean()
        found = costs(batch, step)
        assert set(found) == set(COSTS)
        at_limit -= found["time_at_limit"][:, 1].mean()
        turnover -= found["turnover"][:, 1].mean()
    assert abs(at_limit) < 1e-12 and abs(turnover) < 1e-12


@pytest.mark.parametrize("rollout", [6, 4])  # whole episodes, and updates that fall inside one
@pytest.mark.parametrize("objective", [TAIL, {"kind": "entropic", "risk_aversion": 0.3}])
def test_a_resumed_training_is_the_same_training(tmp_path, objective, rollout):
    if objective is TAIL:
        objective = TAIL | {
            "limit": 0.9,
            "constraints": [{"kind": "turnover", "limit": 2.0}, {"kind": "time_at_limit", "limit": 0.2}],
        }
    spec = desk(objective, policy={"rollout": rollout})
    whole, first, second = (Trainer(spec, 3, 64, 64 * rollout * 12) for _ in range(3))
    for trainer in (whole, first, second):
        if trainer.measure_every:
            trainer.measure_every = 1
    records = [whole.update() for _ in range(12)]
    for _ in range(5):
        first.update()
    save_state(tmp_path, first.update_number, first.state_dict(), {})
    second.load_state_dict(load_state(tmp_path)[0])
    np.testing.assert_equal([second.update() for _ in range(7)], records[5:])
    left, right = whole.state_dict(), second.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].tobytes() == right[name].tobytes(), name


def test_a_deployed_policy_acts_as_it_learned_to(tmp_path):
    """Outside its training nu is 0: the shift of the tail is in the checkpoint."""
    spec = desk(TAIL)
    trainer = Trainer(spec, 0, 64, 64 * 6 * 4)
    while not trainer.done:
        trainer.update()
    trainer.best[0].networks = None
    trainer.batch.set_risk(0, 0.7, 3.0)
    trainer.save(0, tmp_path)
    learning = LearnedPolicy(trainer.policies[0].normaliser, trainer.policies[0].actor, None)
    batch = marketsim.MarketBatch(spec, markets=50)
    shown = batch.reset(0)[:, 0, :3].copy()
    batch.set_risk(0, 0.7, 0.0)
    seen = batch.reset(0)[:, 0, :3].copy()
    assert (shown[:, 2] != seen[:, 2]).all()
    played = load_policy(tmp_path, Seat(spec, 0)).act(shown)
    np.testing.assert_allclose(played, learning.act(seen), atol=1e-6)
    assert np.abs(played - learning.act(shown)).max() > 1e-5


def test_a_policy_is_the_same_when_nu_moves():
    trainer = Trainer(desk(TAIL), 0, 64, 64 * 6 * 4)
    trainer.update()
    seen = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)

    def played():
        return LearnedPolicy(*deployable(trainer.policies[0], trainer.batch.risk[0, 0]), None).act(seen)

    before = played()
    trainer.duals[0].nu += 1.0
    trainer._reset()
    assert trainer.batch.risk[0, 0] == trainer.duals[0].nu
    np.testing.assert_allclose(played(), before, atol=1e-6)
    trainer.policies[0].normaliser.mean[2] += 0.1  # what the shift was
    assert np.abs(played() - before).max() > 1e-5


def test_the_best_policy_within_its_limits_is_kept_and_not_the_last(monkeypatch):
    trainer = Trainer(desk(TAIL), 0, 64, 64 * 6 * 6)
    trainer.measure_every = 1
    # mean and loss when measured, loss when confirmed
    script = iter(
        [(9.0, 0.5, 0.5), (1.0, 0.5, 0.5), (3.0, 0.5, 0.5), (2.0, 0.5, 0.5), (8.0, 2.0, 0.5), (7.0, 0.5, 2.0), (2.9, 0.5, 0.5)]
    )  # fmt: skip

    def played(number):
        if number == 1000:
            played.now = next(script)
        mean, measured, confirmed = played.now
        return totals(np.full((number, 2), mean), np.full((number, 2), measured if number == 1000 else confirmed))

    monkeypatch.setattr(trainer, "_play", played)
    kept = []
    while not trainer.done:
        kept.append(trainer.update()[0]["kept"])
    per = 64 * 6
    assert kept == [per, 2 * per, 2 * per, 2 * per, 2 * per, 2 * per]  # 9.0 is untrained, 8.0 and 7.0 break the limit
    assert trainer.best[0].mean == 3.0


def test_none_kept_is_the_last_and_says_so(tmp_path, monkeypatch):
    trainer = Trainer(desk(TAIL | {"limit": -50.0}), 0, 64, 64 * 6 * 3)
    while not trainer.done:
        record = trainer.update()[0]
    assert (
        math.isnan(record["kept"]) and record["lambda"] > 0 and record["kappa"] == pytest.approx(record["lambda"] / 0.1)
    )
    trainer.save(0, tmp_path)
    last = LearnedPolicy(*deployable(trainer.policies[0], trainer.batch.risk[0, 0]), None)
    seen = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_policy(tmp_path).act(seen), last.act(seen))


def one_step(objective) -> Desk:
    """Buy up to 100 lots at a cost of 0.001 h^2 and hold them over one move of mean 0.1, sd 0.3: nothing else happens."""
    market = {
        "steps": 1,
        "price": {"kind": "brownian", "volatility": 0.3, "drift": 0.1},
        "venue": {"slope": 0.001},
        "segments": [{"rates": (0.0,)}],
    }
    dealer = {
        "name": "learner",
        "observation": ["time_left", "tail"],
        "action": {"kind": "ladder", "hedge": 100.0},
        "policy": {"kind": "ppo", "hidden": [8], "minibatches": 4, "learning_rate": 1e-2, "initial_sd": 0.3},
        "objective": objective,
    }
    return Desk.model_validate({"market": market, "dealers": [dealer]})


def lots_learned(objective, updates=100) -> tuple[float, float, Trainer]:
    """The lots held by the policy at the end, and the multiplier, averaged over the last 40 updates."""
    trainer = Trainer(one_step(objective), 0, 1024, updates * 1024)
    prices = []
    while not trainer.done:
        prices.append(trainer.update()[0]["lambda"])
    batch = marketsim.MarketBatch(trainer.desk, 2)
    policy = LearnedPolicy(*deployable(trainer.policies[0], trainer.batch.risk[0, 0]), None)
    return float(100 * policy.act(batch.reset()[:, 0])[0, -1]), float(np.mean(prices[-40:])), trainer


def test_a_learner_holds_what_the_utility_and_the_limit_ask_for():
    """E = 0.1 h - 0.001 h^2 less g/2 0.09 h^2, g = 0.05, is best at 15.4; a CVaR 95 of at most 10 allows 18.6."""
    assert lots_learned({"kind": "entropic", "risk_aversion": 0.05})[0] == pytest.approx(15.4, abs=3)
    lots, found, trainer = lots_learned({"kind": "cvar_constrained", "limit": 10.0})
    slope = 0.3 * 2.0627 - 0.1
    best = (-slope + math.sqrt(slope**2 + 4 * 0.001 * 10.0)) / 0.002
    assert best == pytest.approx(18.6, abs=0.1)
    assert lots == pytest.approx(best, rel=0.15)
    price = (0.1 - 0.002 * best) / (slope + 0.002 * best)
    assert found == pytest.approx(price, abs=0.05)
    assert trainer.best[0].mean > 0.85 * (0.1 * best - 0.001 * best**2)


# --- refusals ------------------------------------------------------------------------------------------


def test_a_default_observation_gets_the_tail_and_another_is_refused():
    learner = {"name": "learner", "policy": "ppo", "objective": TAIL}
    base = {"market": {"segments": [{"rates": [0.5]}]}, "dealers": [learner]}
    assert config.load(base).base.dealers[0].observation[-1] == "tail"
    assert config.load(config.load(base).resolved()).base == config.load(base).base
    assert "tail" not in config.load(base, {"dealers.learner.objective": "mean"}).base.dealers[0].observation
    for change, words in {
        "observation": (["inventory"], "needs the observation tail"),
        "policy.gamma": (0.99, "policy.gamma must be 1, not 0.99"),
        "objective.constraints": ([{"kind": "time_at_limit", "limit": 0.1}], "needs limits.position"),
        "objective.level": (0.3, "at least 0.5"),
        "objective.episodes": (999, "at least 1000"),
        "objective.weight": (1.0, "unknown key"),
    }.items():
        with pytest.raises(InputError, match=words[1] if isinstance(words, tuple) else words):
            config.load(base, {f"dealers.learner.{change}": words[0]})
    with pytest.raises(InputError, match="market.horizon must be final"):
        config.load(base, {"market.horizon": "continuing"})
