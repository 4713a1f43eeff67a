"""The PettingZoo environment: its own conformance tests, and the array API's trajectory."""

import copy

import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.utils.conversions import parallel_to_aec

import agents
import marketsim

DESK = {
    "market": {
        "steps": 30,
        "ruin": 8.0,
        "segments": [{"sizes": [1, 4], "rates": [0.6, 0.2], "choice": {"kind": "logit", "sensitivity": 1.5}}],
    },
    "dealers": [{"name": "learner"}, {"name": "rival", "count": 2, "action": {"kind": "skew", "hedge": 1.0}}],
}


@pytest.fixture(scope="module")
def config():
    return marketsim.load_config(DESK)


def test_conformance(config):
    parallel_api_test(marketsim.parallel_env(config), num_cycles=200)
    parallel_seed_test(lambda: marketsim.parallel_env(config))
    api_test(parallel_to_aec(marketsim.parallel_env(config)), num_cycles=200)


def test_agents_are_named_as_in_the_file_and_ruin_ends_one_of_them(config):
    env = marketsim.parallel_env(config, seed=3)
    assert env.possible_agents == ["learner", "rival_0", "rival_1"]
    rng = np.random.default_rng(0)
    left = set()
    for _ in range(40):
        env.reset()
        while env.agents:
            agents = list(env.agents)
            _, reward, terminated, truncated, _ = env.step(
                {a: rng.uniform(-1, 1, env.action_space(a).shape).astype(np.float32) for a in agents}
            )
            assert set(reward) == set(terminated) == set(truncated) == set(agents)
            if not any(truncated.values()):
                assert set(env.agents) == {a for a in agents if not terminated[a]}
            left |= {a for a in agents if terminated[a]}
    assert left == {"learner", "rival_0", "rival_1"}


def test_dictionaries_and_arrays_give_one_trajectory(config):
    """An off-by-one in the observation, a stale view or a reseeded reset would part them."""
    env = marketsim.parallel_env(config, seed=0)
    batch = marketsim.MarketBatch(config, markets=1, seed=5)
    rng = np.random.default_rng(1)
    for episode in range(3):
        seen, _ = env.reset(seed=5) if episode == 0 else env.reset()
        rows = batch.reset()
        kept = []
        while env.agents:
            for i, agent in enumerate(env.possible_agents):
                if agent in seen:
                    assert np.array_equal(seen[agent], rows[0, i, : batch.widths[i]])
            actions = np.zeros((1, 3, max(batch.action_widths)), np.float32)
            for i, width in enumerate(batch.action_widths):
                actions[0, i, :width] = rng.uniform(-1, 1, width)
            given = {
                a: actions[0, i, : batch.action_widths[i]] for i, a in enumerate(env.possible_agents) if a in env.agents
            }
            before = {a: s.copy() for a, s in seen.items()}
            kept.append((seen, before))
            seen, reward, *_ = env.step(given)
            step = batch.step(actions)
            rows = step.observation
            for i, agent in enumerate(env.possible_agents):
                if agent in reward:
                    assert reward[agent] == step.reward[0, i]
        assert all(np.array_equal(seen[a], before[a]) for seen, before in kept for a in seen)


def test_a_copy_goes_on_by_itself():
    """What SuperSuit does to make many of one: a copy whose views were the original's would see nothing."""
    desk = DESK | {
        "dealers": [
            {"name": "learner", "policy": "ppo"},
            {"name": "steady", "policy": "avellaneda_stoikov"},
            {"name": "noisy", "policy": "random"},  # draws by the step that it is told
        ]
    }
    env = agents.learner_env(marketsim.load_config(desk), seed=3)
    action = {"learner": np.full(env.action_space("learner").shape, -0.8, np.float32)}
    env.reset()
    env.reset()
    for _ in range(4):
        env.step(action)
    twin = copy.deepcopy(env)
    states = []
    for each in (env, twin):
        states.append([each.step(action) for _ in range(3)])
        states[-1].append(each.reset())
    for ours, theirs in zip(*states, strict=True):
        assert np.array_equal(ours[0]["learner"], theirs[0]["learner"]) and ours[1:] == theirs[1:]
    assert not np.array_equal(states[1][0][0]["learner"], states[1][1][0]["learner"])

    batch = marketsim.MarketBatch(marketsim.load_config(DESK), markets=3, seed=2)
    batch.reset()
    actions = np.full((3, 3, 5), -0.5, np.float32)
    batch.step(actions)
    other = copy.deepcopy(batch)
    assert np.array_equal(batch.step(actions).reward, other.step(actions).reward)
    assert np.array_equal(batch.state["inventory"], other.state["inventory"])
