"""Objectives: CVaR against closed forms, the dual against known optima, what the market charges, what is kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import experiments
import marketsim
from agents.best import deployable
from agents.cast import Cast
from agents.checkpoint import LearnedPolicy, load_policy, load_state, save_state
from agents.config import PID, CVaRConstrained, Desk, Entropic, MeanCVaR
from agents.episodes import COSTS, Totals, costs, play
from agents.objectives import LARGEST, Dual, Multiplier, tail_of, uncharged
from agents.policy import Seat
from agents.ppo import gae
from agents.trainer import Trainer
from experiments import acceptance, config, store
from marketsim.document import InputError


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- the tail ----------------------------------------------------------------------------------------


def test_cvar_of_seven_losses_by_hand():
    nu, found = tail_of(np.arange(1.0, 8.0), 0.8)
    assert nu == 6.0 and found.value == pytest.approx(6.714286, abs=5e-7)  # 7 whole and 0.4 of 6


def test_a_constant_loss_is_its_own_tail():
    assert tail_of(np.full(10, 2.5), 0.95) == (2.5, (found := tail_of(np.full(10, 2.5), 0.95)[1]))
    assert found.value == 2.5 and found.se == 0.0


def normal(level):
    z = stats.norm.ppf(level)
    return stats.norm, z, stats.norm.pdf(z) / (1 - level)


def student(level, freedom=4):
    law = stats.t(freedom)
    z = law.ppf(level)
    return law, z, law.pdf(z) * (freedom + z**2) / ((freedom - 1) * (1 - level))


def exponential(level):
    z = -math.log(1 - level)
    return stats.expon, z, z + 1


@pytest.mark.parametrize("law", [normal, student, exponential])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_cvar_against_closed_forms(law, level):
    """McNeil, Frey and Embrechts (2005, examples 2.18, 2.19); losses at the law's own mid-quantiles."""
    distribution, quantile, expected = law(level)
    losses = distribution.ppf((np.arange(400_000) + 0.5) / 400_000)
    nu, found = tail_of(losses, level)
    assert nu == pytest.approx(quantile, abs=2e-3)
    assert found.value == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize("law", [normal, exponential])
def test_the_standard_error_is_the_spread_of_repeated_samples(law):
    distribution, _, expected = law(0.95)
    samples = distribution.rvs(size=(600, 2000), random_state=np.random.default_rng(1))
    found = [tail_of(sample, 0.95)[1] for sample in samples]
    values, errors = (np.array([getattr(e, part) for e in found]) for part in ("value", "se"))
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)
    assert 0.91 < np.mean(np.abs(values - expected) <= 1.96 * errors) < 0.97  # the tail of 2,000 is still skewed


# --- the multipliers -----------------------------------------------------------------------------------


def test_a_multiplier_is_never_negative_and_does_not_wind_up():
    rng = np.random.default_rng(0)
    for gains in (PID(), PID(proportional=3.0, integral=1.0, derivative=2.0), PID(integral=0.0)):
        multiplier = Multiplier(gains)
        for excess in rng.normal(-0.5, 2.0, 2000):
            assert 0.0 <= multiplier.update(float(excess)) <= LARGEST
            assert 0.0 <= multiplier.integral <= LARGEST
        for _ in range(5000):
            multiplier.update(-1.0)  # slack for long
        assert multiplier.value == 0.0
        if gains.integral:
            assert multiplier.update(0.5) > 0.0  # and awake at once
        for _ in range(5000):
            multiplier.update(1.0)  # cannot be met
        assert multiplier.update(-200.0) == 0.0


def test_pid_is_that_of_its_source():
    """Stooke et al. (2020, alg. 2): K_P e + K_I (sum of e)+ + K_D (rise of the cost)+."""
    multiplier = Multiplier(PID(proportional=2.0, integral=0.5, derivative=3.0))
    assert multiplier.update(1.0) == pytest.approx(2.0 + 0.5)  # nothing rose yet
    assert multiplier.update(1.5) == pytest.approx(3.0 + 1.25 + 1.5)
    assert multiplier.update(0.5) == pytest.approx(1.0 + 1.5)


def totals(reward, loss, time_at_limit=0.0, turnover=0.0) -> Totals:
    return Totals(
        *(np.broadcast_to(np.asarray(a, float), np.shape(loss)) for a in (reward, loss, time_at_limit, turnover))
    )


def test_the_dual_finds_the_constrained_optimum_and_its_multiplier():
    """Hold a lots: P&L a (m + s Z) - c a^2, so CVaR = a (s k - m) + c a^2, k = phi(z)/(1 - level).

    max E subject to CVaR = d: a* the root of the constraint, lambda* = (m - 2 c a*)/(s k - m + 2 c a*). The learner is
    exact: for every nu and kappa it plays the best a, found on a fine grid.
    """
    mean, sd, cost, level, limit = 1.0, 2.0, 0.05, 0.95, 8.0
    k = stats.norm.pdf(stats.norm.ppf(level)) / (1 - level)
    slope = sd * k - mean + 2.465 * sd / math.sqrt(4000)  # what is kept is the value plus its standard error
    best = (-slope + math.sqrt(slope**2 + 4 * cost * limit)) / (2 * cost)
    price = (mean - 2 * cost * best) / (sd * k - mean + 2 * cost * best)
    dual = Dual(CVaRConstrained(kind="cvar_constrained", limit=limit, level=level, pid=PID(proportional=0.1)))
    grid = np.linspace(0.0, 10.0, 1001)
    z = stats.norm.ppf((np.arange(300) + 0.5) / 300)
    rng = np.random.default_rng(2)
    prices, held = [], []
    a = 10.0
    for _ in range(200):
        gain = a * (mean + sd * rng.standard_normal(4000)) - cost * a**2
        dual.update(totals(gain, -gain))
        loss = -(grid[:, None] * (mean + sd * z) - cost * grid[:, None] ** 2)
        worth = -loss.mean(1) - dual.kappa * np.maximum(loss - dual.nu, 0.0).mean(1)
        a += 0.3 * (grid[np.argmax(worth)] - a)  # it learns, it does not jump
        prices.append(dual.prices["cvar"])
        held.append(a)
    assert np.mean(held[-100:]) == pytest.approx(best, rel=0.02)
    assert np.mean(prices[-100:]) == pytest.approx(price, rel=0.1)


def test_every_constraint_has_its_own_multiplier():
    spec = {
        "kind": "cvar_constrained",
        "limit": 1.0,
        "constraints": [{"kind": "turnover", "limit": 40.0}, {"kind": "time_at_limit", "limit": 0.05}],
    }
    dual = Dual(CVaRConstrained.model_validate(spec))
    loss = np.random.default_rng(0).normal(0.0, 0.1, 2000)
    dual.update(totals(-loss, loss, time_at_limit=0.01, turnover=60.0))
    assert dual.prices["cvar"] == dual.prices["time_at_limit"] == 0.0 and not dual.within(dual.found)
    assert dual.prices["turnover"] == pytest.approx((0.5 + 0.1) * 0.5 * loss.std(ddof=1) / 40.0)
    reward, discount = dual.credit(np.array([1.0]), {"turnover": np.array([2.0]), "time_at_limit": np.array([1.0])})
    assert reward[0] == pytest.approx(1.0 - 2.0 * dual.prices["turnover"]) and discount == 1.0
    dual.update(totals(-loss, loss, time_at_limit=math.nan, turnover=1.0))
    assert not dual.within(dual.found)  # a NaN keeps no limit


def test_mean_cvar_has_a_fixed_price():
    dual = Dual(MeanCVaR(kind="mean_cvar", weight=0.5, level=0.9))
    loss = np.random.default_rng(0).normal(size=2000)
    dual.update(totals(-loss, loss))
    assert dual.kappa == pytest.approx(5.0) and dual.nu == tail_of(loss, 0.9)[0] and not dual.limits


# --- exponential utility -------------------------------------------------------------------------------


def test_the_utility_of_an_episode_is_that_of_its_sum():
    rewards = np.random.default_rng(0).normal(0.0, 1.0, (12, 50, 1))
    dual = Dual(Entropic(kind="entropic", risk_aversion=0.7))
    credit, discount = dual.credit(rewards, {})
    zero, ended = np.zeros_like(rewards), np.zeros(rewards.shape, bool)
    ended[-1] = True
    utility = gae(credit, zero, zero, ended, discount, 1.0)[0]
    assert utility == pytest.approx((1 - np.exp(-0.7 * rewards.sum(0))) / 0.7, abs=1e-12)


# --- in the market -------------------------------------------------------------------------------------


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


TAIL = {"kind": "cvar_constrained", "limit": 1.0, "level": 0.9, "episodes": 1000}


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


# --- acceptance ------------------------------------------------------------------------------------------

TINY = {
    "name": "tiny",
    "market": {"steps": 6, "inventory_limit": 4, "liquidate": True, "segments": [{"rates": [0.8]}]},
    "dealers": [
        {
            "name": "learner",
            "policy": {"kind": "ppo", "hidden": [8], "minibatches": 2},
            "objective": TAIL | {"limit": 4.0},
        }
    ],
    "train": {"steps": 64 * 6 * 3, "markets": 64},
    "evaluate": {"episodes": 40, "sample": 2},
}


class Shock:
    """An overlay that costs: the mid falls while the dealer is long, and it is made long."""

    def __init__(self, desk):
        self.steps = 0

    def before(self, batch, t):
        self.steps += 1

    def quotes(self, batch, t, actions, quotes):
        actions[:, 0, 0], actions[:, 0, 1:] = -1.0, 1.0  # buys at the mid, from everyone, and does not hedge
        actions[:, 0, 2] = -1.0
        return quotes


def test_a_run_accepts_or_refuses_with_figures(tmp_path):
    run = experiments.run(TINY, out=tmp_path)
    report = json.loads((run.path / "base" / "1" / "acceptance.json").read_text())
    assert run.summary["designs"]["base"]["acceptance"] == {"1": report}
    assert report["episodes"] == 100_000 and report["deployed"] == "deterministic"
    found = report["dealers"]["learner"]
    assert found["accepted"] is True and found["reasons"] == [] and found["kept_steps"] > 0
    for mode in ("deterministic", "stochastic"):
        tail = found[mode]["constraints"]["cvar"]
        assert (
            tail["limit"] == 4.0
            and tail["bound"] == pytest.approx(tail["value"] + 1.645 * tail["se"])
            and tail["within"]
        )
    assert found["deterministic"]["constraints"]["cvar"]["value"] != found["stochastic"]["constraints"]["cvar"]["value"]
    table = pd.read_parquet(run.path / "base" / "1" / "training.parquet")
    assert (
        table[["nu", "kappa", "lambda", "cvar", "cvar_se"]].notna().all().all()
        and table["lambda_turnover"].isna().all()
    )

    desk = config.load(TINY).base
    folder = store.design_folder(run.path, "base", 1)
    few = desk.model_copy(update={"evaluate": desk.evaluate.model_copy(update={"acceptance": 1000})})
    again = acceptance.accept(few, folder, "tiny", {"long": Shock})["dealers"]["learner"]
    assert again["accepted"] is False and again["reasons"] == ["1000 episodes are fewer than 100000"]
    worse = again["overlays"]["long"]["deterministic"]["constraints"]["cvar"]["value"]
    assert worse > again["deterministic"]["constraints"]["cvar"]["value"]
    learner = desk.dealers[0]
    strict = learner.model_copy(update={"objective": learner.objective.model_copy(update={"limit": -50.0})})
    refused = acceptance.accept(few.model_copy(update={"dealers": (strict,)}), folder, "tiny")["dealers"]["learner"]
    assert not refused["accepted"] and refused["reasons"][0].startswith("cvar ")


def test_acceptance_meets_clients_that_nobody_has_met():
    experiment = config.load(TINY)
    seeds = {experiment.base.seed, *experiment.training_seeds}
    assert experiment.base.seed + acceptance.SEED not in seeds
    spec, cast = experiment.base, Cast(experiment.base, {})
    first = play(marketsim.MarketBatch(spec, 50, 1), cast).loss
    for other in (marketsim.MarketBatch(spec, 50, 1, 1 << 40), marketsim.MarketBatch(spec, 50, acceptance.SEED)):
        assert np.corrcoef(first[:, 0], play(other, cast).loss[:, 0])[0, 1] < 0.5


@pytest.mark.long
def test_four_of_five_trainings_are_accepted_and_use_their_limit(tmp_path):
    """Gallery ``optimum`` with a mid of volatility 0.5, where the tail is a loss: limit 3.5, 70% of the CVaR without one.

    Measured: all five accepted, at 90 to 96% of the limit, four of them above 90% (docs/objectives.md); at half the steps,
    83 to 95%, two of them.
    """
    changes = {
        "market.price.volatility": 0.5,
        "dealers.learner.observation": ["time_left", "inventory", "tail"],
        "dealers.learner.objective": {"kind": "cvar_constrained", "limit": 3.5},
        "train.seeds": 5,
        "train.steps": 6_000_000,
    }
    found = experiments.run("optimum", set=changes, out=tmp_path).summary["designs"]["base"]["acceptance"].values()
    learners = [report["dealers"]["learner"] for report in found]
    accepted = [learner for learner in learners if learner["accepted"]]
    used = [learner["deterministic"]["constraints"]["cvar"]["value"] / 3.5 for learner in accepted]
    assert len(learners) == 5 and sum(share >= 0.9 for share in used) >= 4
