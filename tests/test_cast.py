"""The cast: who is asked what, whose answer goes where, and the environment of the learners alone."""

from __future__ import annotations

import numpy as np
import pytest

import agents
import marketsim
from agents.cast import Cast
from agents.config import Desk
from marketsim import MarketBatch


def desk(**learner) -> Desk:
    return Desk.model_validate(
        {
            "market": {"steps": 8, "segments": [{"rates": (0.5,)}]},
            "dealers": [
                {"name": "rival", "observation": ["inventory"], "policy": "random"},
                {"name": "learner", "observation": ["time_left", "inventory", "pnl"], "policy": "ppo", **learner},
                {"name": "maker", "observation": ["time_left"], "policy": "fixed"},
            ],
        }
    )


class Acts:
    native = False

    def __init__(self):
        self.seen: list[np.ndarray] = []
        self.started: list[tuple] = []

    def reset(self, *counters):
        self.started.append(counters)

    def act(self, observation):
        self.seen.append(observation.copy())
        return np.full((len(observation), 3), 0.25, np.float32)


class Quotes:
    native = True

    def quote(self, observation):
        return np.full((len(observation), 2, 1, 1), 0.5), np.zeros((len(observation), 1))


def test_each_policy_sees_its_own_row_and_answers_in_its_own_way():
    acts, quotes = Acts(), Quotes()
    cast = Cast(desk(), {0: acts, 2: quotes})
    cast.reset(7, 3, 100, 4, step=2)
    assert acts.started == [(7, 3, 100, 4, 2)]
    observation = np.arange(4 * 3 * 3, dtype=np.float32).reshape(4, 3, 3)
    actions = np.full((4, 3, 3), np.nan, np.float32)
    driven = cast.play(observation, actions)
    np.testing.assert_array_equal(acts.seen[0], observation[:, 0, :1])
    assert list(driven) == [2] and (driven[2][0] == 0.5).all()
    assert (actions[:, 0] == 0.25).all() and np.isnan(actions[:, 1:]).all()


def test_the_learners_alone_see_the_market_that_the_batch_steps(monkeypatch):
    config = desk()
    monkeypatch.setattr("agents.env.build", lambda spec, seat: Acts() if seat.name == "rival" else Quotes())
    env = agents.learner_env(config, seed=5)
    assert env.possible_agents == ["learner"]
    observation, _ = env.reset(seed=5)
    batch = MarketBatch(config, markets=1, seed=5)
    expected = batch.reset()
    actions = np.zeros((1, 3, 3), np.float32)
    actions[0, 0] = 0.25
    generator = np.random.default_rng(0)
    for t in range(8):
        np.testing.assert_array_equal(observation["learner"], expected[0, 1])
        actions[0, 1] = generator.uniform(-1, 1, 3)
        observation, reward, terminated, truncated, _ = env.step({"learner": actions[0, 1]})
        step = batch.step(actions, {2: (np.full((1, 2, 1, 1), 0.5), np.zeros((1, 1)))})
        expected = step.observation
        assert reward == {"learner": step.reward[0, 1]} and terminated == {"learner": False}
        assert truncated == {"learner": t == 7}
    assert env.agents == []


def test_the_environment_of_the_learners_conforms(monkeypatch):
    from pettingzoo.test import parallel_api_test

    monkeypatch.setattr("agents.env.build", lambda spec, seat: Acts() if seat.name == "rival" else Quotes())
    parallel_api_test(agents.learner_env(desk(count=2)), num_cycles=40)


def test_a_desk_without_a_learner_has_no_environment():
    config = desk(policy="random")
    with pytest.raises(ValueError, match="none of them learns"):
        agents.learner_env(config)


def test_the_learners_environment_of_a_loaded_file(tmp_path):
    """As in the design: ``agents.learner_env(marketsim.load_config(file))``; the policies come from that file."""
    file = tmp_path / "desk.yaml"
    file.write_text(
        "market: {steps: 5, segments: [{rates: [0.5]}]}\ndealers: [{name: me, policy: ppo}, {name: rival, policy: fixed}]\n"
    )
    env = agents.learner_env(marketsim.load_config(file), seed=3)
    observation, _ = env.reset()
    assert env.possible_agents == ["me"] and set(observation) == {"me"}
    steps = 0
    while env.agents:
        env.step({"me": env.action_space("me").low})
        steps += 1
    assert steps == 5
