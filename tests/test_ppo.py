"""PPO: its formulas against their definitions, and one update."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ppo_fixture import Task, Walk, desk, mean_action, one_thread_and_no_global_draws, train  # noqa: F401 (one is autouse)

from agents import ppo
from agents.network import Critic, Normaliser, Perceptron, tanh_
from agents.ppo import PPO, gae
from agents.trainer import Trainer

# --- formulas ------------------------------------------------------------------------------------------


def test_tanh_is_tanh():
    x = torch.linspace(-12, 12, 100_001)
    error = (tanh_(x.clone()).double() - torch.tanh(x.double())).abs().max()
    assert error < 2.5e-7


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_gradient_of_a_perceptron_is_that_of_finite_differences(activation):
    generator = torch.Generator().manual_seed(0)
    net = Perceptron((3, 5, 4, 2), activation, 1.0, generator).double()
    for bias in net.layers[1::2]:  # at zero biases relu has kinks where finite differences are wrong
        torch.nn.init.normal_(bias, generator=generator)
    x = torch.randn(3, 7, dtype=torch.float64, generator=generator)

    def outputs(*parameters):
        return torch.func.functional_call(net, dict(zip(dict(net.named_parameters()), parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(outputs, tuple(net.parameters()))


def random_loss_arguments(learner: PPO, rows: int, generator: np.random.Generator):
    def draw(*shape):
        return torch.tensor(generator.normal(size=shape))

    action, old_mean = draw(learner.outputs, rows), draw(learner.outputs, rows)
    old_log_sd = 0.3 * draw(learner.outputs)
    old = ppo.log_probability(action, old_mean, old_log_sd)
    return (draw(learner.inputs, rows), action, old_mean, old, draw(rows), draw(rows)), old_log_sd


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    learner = PPO(desk(entropy=0.1, clip=0.4), [0], seed=0)
    learner.network.double()
    arguments, old_log_sd = random_loss_arguments(learner, 9, np.random.default_rng(0))
    loss, _ = learner.loss(*arguments, old_log_sd=old_log_sd)
    loss.backward()
    generator = np.random.default_rng(1)
    for name, parameter in learner.network.named_parameters():
        direction = torch.tensor(generator.normal(size=parameter.shape))
        values = []
        for shift in (1e-6, -1e-6):
            with torch.no_grad():
                parameter += shift * direction
                values.append(float(learner.loss(*arguments, old_log_sd=old_log_sd)[0]))
                parameter -= shift * direction
        numeric = (values[0] - values[1]) / 2e-6
        assert float((parameter.grad * direction).sum()) == pytest.approx(numeric, rel=1e-5, abs=1e-8), name


def test_the_gaussian_formulas_are_those_of_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mean, other, action = (torch.randn(3, 50, generator=generator) for _ in range(3))
    log_sd, other_log_sd = torch.tensor([0.1, -1.0, 0.5]), torch.tensor([-0.3, 0.2, 0.4])
    p = torch.distributions.Normal(mean.t(), log_sd.exp())
    q = torch.distributions.Normal(other.t(), other_log_sd.exp())
    torch.testing.assert_close(ppo.log_probability(action, mean, log_sd), p.log_prob(action.t()).sum(-1))
    torch.testing.assert_close(ppo.entropy(log_sd), p.entropy()[0].sum())
    kl = ppo.kl_divergence(mean, log_sd, other, other_log_sd)
    torch.testing.assert_close(kl, torch.distributions.kl_divergence(p, q).sum(-1))


def test_gae_is_its_definition_with_both_kinds_of_ending_inside():
    generator = np.random.default_rng(0)
    steps, gamma, lam = 30, 0.97, 0.9
    reward, value, next_value = generator.normal(size=(3, steps, 5))
    ended = np.zeros((steps, 5), bool)
    ended[9] = ended[19] = True  # the horizon, for all
    ended[4, 0] = ended[13, 2] = True  # ruin, for some
    next_value[ended & (generator.random(ended.shape) < 0.5)] = 0.0  # some endings are worth nothing, some are cut
    expected = np.zeros((steps, 5))
    for m in range(5):
        for t in range(steps):
            for k in range(t, steps):
                delta = reward[k, m] + gamma * next_value[k, m] - value[k, m]
                expected[t, m] += (gamma * lam) ** (k - t) * delta
                if ended[k, m]:
                    break
    np.testing.assert_allclose(gae(reward, value, next_value, ended, gamma, lam), expected, rtol=1e-12, atol=1e-12)


def test_the_normaliser_is_the_moments_of_all_it_saw():
    rows = torch.tensor(np.random.default_rng(0).normal(3, 20, (1000, 2)), dtype=torch.float32)
    rows[:, 1] = 0.7  # never varies
    normaliser = Normaliser(2)
    torch.testing.assert_close(normaliser(rows[:3]), rows[:3].t().clamp(-10, 10))
    for part in rows.split([1, 299, 700]):
        normaliser.learn(part)
    scaled = normaliser(rows)
    expected = (rows[:, 0] - rows[:, 0].mean()) / rows[:, 0].std(correction=0)
    torch.testing.assert_close(scaled[0], expected, rtol=1e-5, atol=1e-5)
    assert (scaled[1] == 0).all()


def test_rescaling_the_critic_keeps_every_value():
    critic = Critic(2, (16, 16), "tanh", torch.Generator().manual_seed(0))
    x = torch.randn(2, 50, generator=torch.Generator().manual_seed(1))
    before = critic.value(x)
    critic.rescale(torch.tensor(-40.0), torch.tensor(123.0))
    torch.testing.assert_close(critic.value(x), before, rtol=1e-5, atol=1e-4)
    assert critic(x).std() < before.std() / 100


# --- one update ------------------------------------------------------------------------------------------


def test_on_the_first_minibatch_the_ratio_is_one_and_the_kl_zero(monkeypatch):
    monkeypatch.setattr("agents.trainer.MarketBatch", Walk)
    trainer = Trainer(desk(), 0, 32, 10_000)
    for _ in range(2):  # with and without a normaliser
        learner = trainer.policies[0]
        original, seen = learner.loss, []

        def spy(*arguments, original=original, seen=seen, learner=learner, **more):
            mean = learner.actor(arguments[0]).detach()
            seen.append(ppo.log_probability(arguments[1], mean, learner.actor.log_sd.detach()) - arguments[3])
            loss, figures = original(*arguments, **more)
            seen.append(figures)
            return loss, figures

        monkeypatch.setattr(learner, "loss", spy)
        trainer.update()
        monkeypatch.setattr(learner, "loss", original)
        log_ratio, figures = seen[0], seen[1]
        assert log_ratio.abs().max() < 2e-6
        assert abs(float(figures[2])) < 1e-7 and float(figures[3]) == 0.0
        assert seen[-1][2] > 1e-6  # and later it moves


@pytest.mark.parametrize("horizon", ["final", "continuing"])
def test_values_after_an_ending(monkeypatch, horizon):
    """Nothing after ruin, nothing after a final horizon, the last state's value after a continuing one."""
    monkeypatch.setattr("agents.trainer.MarketBatch", Walk)
    trainer = Trainer(desk(market={"horizon": horizon}, rollout=10, gamma=0.9, gae_lambda=0.0), 0, 64, 10_000)
    trainer._collect()
    learner, rollout = trainer.policies[0], trainer.rollouts[0]
    advantage, returns = learner.advantages(rollout)
    value = learner.value(rollout.observation)
    ruined = rollout.ended.copy()
    ruined[3::4] = False
    assert ruined.any() and not rollout.alive.all()
    np.testing.assert_allclose(returns[ruined & rollout.alive], rollout.reward[ruined & rollout.alive])
    after = learner.value(rollout.after[3])
    living = rollout.alive[3] & rollout.worth[3] if horizon == "continuing" else rollout.alive[3]
    expected = rollout.reward[3] + (0.9 * after if horizon == "continuing" else 0.0)
    np.testing.assert_allclose(returns[3][living], expected[living])
    inside = ~rollout.ended[0]
    np.testing.assert_allclose(returns[0][inside], (rollout.reward[0] + 0.9 * value[1])[inside])
    cut = ~rollout.ended[9]  # the rollout ends inside an episode
    np.testing.assert_allclose(returns[9][cut], (rollout.reward[9] + 0.9 * learner.value(rollout.after[9]))[cut])


def test_steps_after_ruin_are_not_learned_from(monkeypatch):
    monkeypatch.setattr("agents.trainer.MarketBatch", Walk)
    weights = []
    for poison in (0.0, 1e6):
        trainer = Trainer(desk(), 0, 64, 10_000)
        trainer._collect()
        rollout = trainer.rollouts[0]
        assert not rollout.alive.all()
        rollout.observation[~rollout.alive] += poison
        rollout.action[~rollout.alive] += poison
        rollout.reward[~rollout.alive] += poison
        trainer.policies[0].learn(rollout, 0, 1.0)
        weights.append(torch.cat([p.flatten() for p in trainer.policies[0].network.parameters()]))
    assert torch.equal(*weights)


def test_a_kl_above_its_target_stops_the_epochs(monkeypatch):
    monkeypatch.setattr("agents.trainer.MarketBatch", Walk)
    for target, epochs in ((None, 10), (1e9, 10), (1e-9, 1)):
        trainer = Trainer(desk(epochs=10, target_kl=target), 0, 64, 10_000)
        learner, calls = trainer.policies[0], []
        loss = learner.loss
        monkeypatch.setattr(
            learner, "loss", lambda *a, loss=loss, calls=calls, **k: (calls.append(1), loss(*a, **k))[1]
        )
        trainer.update()
        assert len(calls) == epochs * learner.spec.minibatches
