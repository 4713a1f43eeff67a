"""What dealers supply about themselves, against what it should be by its definition."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from scipy.integrate import quad
from scipy.stats import norm

import experiments
from agents.cast import Cast
from agents.checkpoint import clipped_entropy, load_policy
from agents.config import Desk
from agents.episodes import costs, pnl
from agents.exploring import Exploring
from agents.policy import Seat, build
from agents.supply import Supply, supplies
from agents.trainer import Trainer
from marketsim import InputError
from marketsim.batch import MarketBatch
from marketsim.guardrails.audit import rows
from marketsim.guardrails.story import story
from marketsim.measures.tail import cvar, cvars

STEPS, MARKETS = 12, 40


def desk(**learner) -> Desk:
    """A market with a learner, a dealer that quotes twice the reference, and one that acts at random."""
    market = {"steps": STEPS, "inventory_limit": 6.0, "liquidate": True, "venue": {"half_spread": 0.1},
              "segments": [{"sizes": [1, 2], "rates": [0.5, 0.3], "choice": {"kind": "logit", "intercept": -1.0, "sensitivity": 4.0}}]}  # fmt: skip
    learner = {"policy": {"kind": "ppo", "hidden": [8]}} | learner
    limits = {"reference_distance": {"soft": 1.0}, "cvar_budget": {"soft": 1.0, "level": 0.75, "episodes": 5}}
    own = {"limits": limits | {"critic_error": {"soft": 1.0}}}
    return Desk.model_validate({"market": market, "dealers": [
        {"name": "learner", **own, **learner},
        {"name": "double", "policy": {"kind": "fixed", "markup": 0.5}, "limits": limits},
        {"name": "any", "policy": "random", "limits": limits},
    ]})  # fmt: skip


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return trained(desk(), tmp_path_factory.mktemp("learned"))


def trained(config: Desk, folder, updates=3):
    trainer = Trainer(config, 0, 128, 128 * STEPS * updates)
    while not trainer.done:
        trainer.update()
    trainer.save(0, folder)
    return config, folder, trainer


class Playing:
    """A batch whose dealers supply what they are asked for; ``seen``: of each step what was observed, done, supplied."""

    def __init__(self, config, folder, watch=("critic_error", "entropy"), explores=False, markets=MARKETS, seed=5):
        self.batch = MarketBatch(config, markets, seed)
        seats = [Seat(config, agent) for agent in range(3)]
        self.policy = load_policy(folder, seats[0])
        first = Exploring(self.policy, 0) if explores else self.policy
        self.policies = {0: first} | {i: build(config.dealer_of[i].policy, seats[i]) for i in (1, 2)}
        self.supplies = supplies(self.batch, self.policies, [0], watch)
        self.cast = Cast(config, self.policies)

    def episode(self, number=0, risk=None, ruin=None):
        """Yields (observation, loss before, step, supplied) of every step."""
        if risk is not None:
            self.batch.set_risk(0, *risk)
        observation = self.batch.reset(number)
        self.cast.reset(self.batch.seed, number, 0, self.batch.markets)
        actions = np.zeros((self.batch.markets, 3, max(self.batch.action_widths)), np.float32)
        for supply in self.supplies.values():
            supply.begin()
        for _ in range(STEPS):
            quotes = self.cast.play(observation, actions)
            for supply in self.supplies.values():
                supply.before(observation, actions, quotes)
            before, self.quotes, self.actions = observation[:, 0].copy(), quotes, actions
            step = self.batch.step(actions, quotes)
            yield before, step, {agent: supply.after(step) for agent, supply in self.supplies.items()}
            observation = step.observation


# --- the tail of the losses --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9, 20])
@pytest.mark.parametrize("level", [0.5, 0.75, 0.8, 0.9, 0.95])
def test_the_tail_of_each_column_is_that_of_its_losses(n, level):
    losses = np.random.default_rng(n).standard_t(3, size=(n, 7))
    np.testing.assert_allclose(cvars(losses, level), [cvar(column, level) for column in losses.T], rtol=1e-12)


def test_a_loss_that_is_no_number_leaves_none():
    losses = np.array([[1.0, 1.0], [np.nan, 2.0], [3.0, 3.0]])
    found = cvars(losses, 0.75)
    assert np.isnan(found[0]) and found[1] == 3.0


def test_the_budget_is_used_up_by_the_worst_of_the_last_episodes(learned):
    """By hand: a list of each market's episodes, the present one as it stands; of three dealers."""
    playing = Playing(*learned[:2], watch=())
    ended = [[[] for _ in range(MARKETS)] for _ in range(3)]
    for episode in range(8):
        loss = np.zeros((MARKETS, 3))
        for _, step, supplied in playing.episode(episode):
            loss -= pnl(step)
            for agent in range(3):
                for m in range(MARKETS):
                    last = [*ended[agent][m], loss[m, agent]][-5:]
                    assert supplied[agent].figures["cvar_budget"][m] == pytest.approx(
                        cvar(np.array(last), 0.75), abs=1e-9
                    )
        for agent in range(3):
            for m in range(MARKETS):
                ended[agent][m].append(loss[m, agent])


# --- the distance from the reference -----------------------------------------------------------------


def test_distance_is_in_reference_markups(learned):
    """The reference of this choice is 1/4: half of it more is a distance of 1, and that of an action is its markups'."""
    config, folder, _ = learned
    playing = Playing(config, folder, watch=())
    low, high = config.dealers[2].action.markup
    reference = float(playing.batch.tables.cells["reference"][0])
    assert (playing.batch.tables.cells["reference"] == reference).all() and reference > 0
    for _, _, supplied in playing.episode():
        np.testing.assert_allclose(supplied[1].figures["reference_distance"], abs(0.5 - reference) / reference)
        markups = low + (playing.actions[:, 2, :4].astype(float) + 1.0) / 2.0 * (high - low)
        expected = np.mean(np.abs(markups - reference) / reference, axis=1)
        np.testing.assert_allclose(supplied[2].figures["reference_distance"], expected, rtol=1e-6)


def test_the_reference_itself_is_at_no_distance_and_withdrawn_cells_do_not_count():
    config = desk()
    batch = MarketBatch(config, 3, 0)
    supply = Supply(batch, 1, build(config.dealer_of[1].policy, Seat(config, 1)), (), config.dealer_of[1].limits)
    batch.reset(), supply.begin()
    seen, actions = np.zeros((3, 3, 16), np.float32), np.zeros((3, 3, 5), np.float32)
    reference = np.full((3, 2, 1, 2), batch.tables.cells["reference"][0])
    reference[1, 0] = np.nan
    reference[2] = np.nan
    supply.before(seen, actions, {1: (reference, np.zeros((3, 1)))})
    figures = supply.after(batch.step(actions)).figures
    assert (figures["reference_distance"] == 0.0).all()
    reference[1, 1] *= 3.0
    supply.before(seen, actions, {1: (reference, np.zeros((3, 1)))})
    np.testing.assert_allclose(supply._now.figures["reference_distance"], [0.0, 2.0, 0.0])


def test_an_action_that_is_no_number_is_no_distance():
    config = desk()
    batch = MarketBatch(config, 2, 0)
    supply = Supply(batch, 2, build(config.dealer_of[2].policy, Seat(config, 2)), (), config.dealer_of[2].limits)
    batch.reset(), supply.begin()
    actions = np.zeros((2, 3, 5), np.float32)
    actions[0, 2, 1] = np.nan
    supply.before(np.zeros((2, 3, 16), np.float32), actions, {})
    assert np.isnan(supply._now.figures["reference_distance"]).tolist() == [True, False]


# --- the entropy -------------------------------------------------------------------------------------


def by_quadrature(mean: float, sd: float) -> float:
    density = lambda x: norm.pdf(x, mean, sd)  # noqa: E731
    points = [p for p in (mean - 5 * sd, mean, mean + 5 * sd) if -1 < p < 1]
    inside = quad(
        lambda x: -density(x) * math.log(density(x)) if density(x) > 0 else 0.0, -1, 1, points=points or None, limit=200
    )[0]
    atoms = norm.cdf(-1, mean, sd), norm.sf(1, mean, sd)
    return inside - sum(p * math.log(p) for p in atoms if p > 0)


@pytest.mark.parametrize("sd", [0.05, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("mean", [-3.0, -1.0, -0.2, 0.0, 0.95, 2.0])
def test_entropy_is_that_of_the_clipped_gaussian(mean, sd):
    found = clipped_entropy(np.array([[mean]]), np.log([[sd]]))[0]
    assert found == pytest.approx(by_quadrature(mean, sd), abs=1e-8)


def test_entropy_far_from_the_ends_is_the_gaussians_and_beyond_them_none():
    means = np.array([[0.0, 0.1, 9.0], [0.2, 0.0, -9.0]])
    found = clipped_entropy(means, np.log([[0.01], [0.02]]))
    gaussian = norm(scale=0.01).entropy() + norm(scale=0.02).entropy()
    np.testing.assert_allclose(found, [gaussian, gaussian, 0.0], atol=1e-9)


def test_the_stream_is_the_entropy_of_the_policy_where_it_stands(learned):
    playing = Playing(*learned[:2])
    for seen, _, supplied in playing.episode():
        mean = playing.policy.mean(playing.policy._rows(seen)).double().numpy()
        sd = playing.policy.log_sd.double().exp().numpy()
        expected = [sum(by_quadrature(m, s) for m, s in zip(column, sd, strict=True)) for column in mean.T[:2]]
        np.testing.assert_allclose(supplied[0].streams["entropy"][:2], expected, atol=1e-6)


# --- the critic's error ------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [
    {"kind": "mean"}, {"kind": "mean_cvar", "weight": 0.3, "level": 0.8, "episodes": 1000},
    {"kind": "mean", "constraints": [{"kind": "turnover", "limit": 3.0}], "episodes": 1000},
], ids=["mean", "tail", "turnover"])  # fmt: skip
def test_errors_of_an_episode_add_up_to_what_was_earned_less_what_was_expected(objective, tmp_path):
    """Gamma 1: sum of delta = sum of charged rewards - V(s_0), the charges by the market itself under that risk state."""
    config, folder, trainer = trained(desk(objective=objective), tmp_path)
    playing = Playing(config, folder)
    dual = playing.policy.valuation.dual
    nu, kappa = trainer.batch.risk[0]
    assert (dual.nu, dual.kappa) == (nu, kappa) and (kappa > 0) == (objective["kind"] == "mean_cvar")
    assert set(dual.prices) == {c["kind"] for c in objective.get("constraints", ())}
    total, first = np.zeros(MARKETS), None
    for seen, _, supplied in playing.episode():
        first = playing.policy.value(seen) if first is None else first
        total += supplied[0].streams["critic_error"]
    market = MarketBatch(config, MARKETS, 5)
    earned, other = np.zeros(MARKETS), Playing(config, folder)
    other.batch = market
    market.set_risk(0, nu, kappa)
    observation = market.reset(0)
    other.cast.reset(5, 0, 0, MARKETS)
    actions = np.zeros((MARKETS, 3, max(market.action_widths)), np.float32)
    column = config.dealers[0].observation.index("tail") if "tail" in config.dealers[0].observation else None
    for _ in range(STEPS):
        if column is not None:  # measured from nu there, from 0 where the policy is deployed
            observation[:, 0, column] += nu / float(market.tables.dealers["pnl_scale"][0])
        step = market.step(actions, other.cast.play(observation, actions))
        turnover = costs(market, step)["turnover"][:, 0]
        earned += step.reward[:, 0] - dual.prices.get("turnover", 0.0) * turnover
        observation = step.observation
    np.testing.assert_allclose(total, earned - first, atol=2e-5)
    assert earned.std() > 0.1


def test_each_error_is_reward_and_next_value_less_value(learned):
    config, folder, trainer = learned
    playing = Playing(config, folder, explores=True)
    size = np.zeros(MARKETS)
    for episode in range(2):
        for t, (seen, step, supplied) in enumerate(playing.episode(episode)):
            value = trainer.policies[0].value(np.stack([seen, step.observation[:, 0]]))
            expected = step.reward[:, 0] + (value[1] if t < STEPS - 1 else 0.0) - value[0]
            np.testing.assert_allclose(supplied[0].streams["critic_error"], expected, atol=1e-6)
            size += (np.abs(expected) - size) / 20.0
            np.testing.assert_allclose(supplied[0].figures["critic_error"], size, atol=1e-6)


def test_under_exponential_utility_the_future_is_discounted_by_what_happened(tmp_path):
    config, folder, _ = trained(desk(objective={"kind": "entropic", "risk_aversion": 0.4}), tmp_path)
    playing = Playing(config, folder)
    for t, (seen, step, supplied) in enumerate(playing.episode()):
        reward = step.reward[:, 0]
        then = playing.policy.value(step.observation[:, 0]) if t < STEPS - 1 else 0.0
        expected = (1 - np.exp(-0.4 * reward)) / 0.4 + np.exp(-0.4 * reward) * then - playing.policy.value(seen)
        np.testing.assert_allclose(supplied[0].streams["critic_error"], expected, atol=1e-9)


def test_after_ruin_nothing_is_expected(learned):
    tree = learned[0].model_dump()
    tree["market"]["ruin"] = 1.0
    config = Desk.model_validate(tree)
    playing, ruined = Playing(config, learned[1]), np.zeros(MARKETS, bool)
    for seen, step, supplied in playing.episode():
        error = supplied[0].streams["critic_error"]
        np.testing.assert_array_equal(np.isnan(error), ruined)
        falls = step.terminated[:, 0] & ~ruined
        expected = step.reward[:, 0] - playing.policy.value(seen)
        np.testing.assert_allclose(error[falls], expected[falls], atol=1e-9)
        ruined |= step.terminated[:, 0]
    assert 0 < ruined.sum() < MARKETS and np.isfinite(supplied[0].figures["critic_error"]).all()


# --- the checkpoint ----------------------------------------------------------------------------------


def test_a_checkpoint_without_a_critic_plays_alike_and_says_what_it_lacks(learned, tmp_path):
    config, folder, _ = learned
    arrays = load_file(folder / "policy.safetensors")
    save_file({name: a for name, a in arrays.items() if not name.startswith("critic")}, tmp_path / "policy.safetensors")
    (tmp_path / "policy.json").write_bytes((folder / "policy.json").read_bytes())
    new, old = (load_policy(place, Seat(config, 0)) for place in (folder, tmp_path))
    seen = np.random.default_rng(0).normal(size=(9, 12)).astype(np.float32)
    np.testing.assert_array_equal(new.act(seen), old.act(seen))
    assert new.valuation is not None and old.valuation is None
    with pytest.raises(InputError, match="the checkpoint of learner holds no critic, it was written before"):
        Playing(config, tmp_path)
    bare = Desk.model_validate(
        config.model_dump() | {"dealers": [d.model_dump() | {"limits": {}} for d in config.dealers]}
    )
    assert list(Playing(bare, tmp_path, watch=["entropy"]).supplies) == [0]
    assert not Playing(bare, tmp_path, watch=["requests"]).supplies


def test_what_is_kept_is_kept_with_the_critic_of_its_time(monkeypatch, tmp_path):
    """And a training that is taken up again still has it."""
    config = desk(objective={"kind": "cvar_constrained", "limit": 1e6, "level": 0.8, "episodes": 1000})
    trainer = Trainer(config, 0, 128, 128 * STEPS * 4)
    trainer.update()
    best = trainer.best[0]
    best.keep(0.0, trainer.steps, 0.0, trainer._valuation(trainer.policies[0], trainer.duals[0]))
    kept = {name: array.copy() for name, array in best.valuation.state().items()}
    monkeypatch.setattr(best, "mean", 1e9)  # nothing after it is better
    while not trainer.done:
        trainer.update()
    assert any((a != kept[f"critic.{n}"]).any() for n, a in _arrays(trainer.policies[0].critic).items())
    again = Trainer(config, 0, 128, 128 * STEPS * 4)
    again.load_state_dict(trainer.state_dict())
    for number, each in enumerate((trainer, again)):
        each.save(0, tmp_path / str(number))
        found = load_file(tmp_path / str(number) / "policy.safetensors")
        assert sum(name.startswith("critic") for name in found) == len(kept)
        for name, array in kept.items():
            np.testing.assert_array_equal(found[name], array)


def _arrays(module):
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


# --- a run -------------------------------------------------------------------------------------------


RUN = """\
name: own
market:
  steps: 24
  inventory_limit: 20
  liquidate: true
  price: {volatility: 0.5}
  venue: {half_spread: 0.2}
  segments: [{sizes: [1, 2], rates: [0.4, 0.2], choice: {kind: logit, intercept: -1.0, sensitivity: 4.0}}]
dealers:
  - name: maker
    policy: {kind: ppo, hidden: [16]}
    limits: {critic_error: {soft: 0.3}, cvar_budget: {soft: 1, episodes: 5}, reference_distance: {soft: 0.001}}
train: {steps: 60_000, markets: 64}
evaluate: {episodes: 160, in_a_row: 10, sample: 2, scenario: {overlay: volatility_x3, after: 5, begin: 0}}
escalation:
  watch: [critic_error, entropy]
  approvers: [{name: ann, role: risk}, {name: bob, role: desk}]
  operator: {delay: {median: 6, p90: 12}}
"""


def test_a_run_watches_its_critic_and_warns_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(RUN)
    folder = experiments.run("own.yaml").path / "base" / "1"
    assert json.loads((folder / "checkpoints/maker/drift.json").read_text())["names"] == ["critic_error", "entropy"]
    alarms = pd.read_parquet(folder / "drift.parquet")
    assert len(alarms) >= 8 and set(alarms["stream"]) <= {"critic_error", "entropy"}
    assert alarms["step"].min() >= 120  # when the mid begins to move three times as much
    acted = pd.read_parquet(folder / "interventions.parquet").set_index("reason")["count"]
    assert acted["soft_reference_distance"] == 160 * 24  # nobody quotes the reference to a thousandth
    assert acted["soft_critic_error"] > 0 and acted["soft_cvar_budget"] > 0 and "reference_distance" not in acted
    moves = [row.body for row in rows(folder / "audit.jsonl") if row.kind == "state"]
    assert moves[0]["what"] == "maker passed its soft limit: reference distance" and moves[0]["step"] == 1
    assert any("passed its soft limit: reference distance" in line for line in story(folder / "audit.jsonl"))
    assert "soft critic error" in (folder.parents[1] / "report.html").read_text()
