"""Trainings and policies that are kept: resumed to the bit, torn files, seats that are not theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ppo_fixture import Walk, desk, mean_action, one_thread_and_no_global_draws, train  # noqa: F401 (one is autouse)

import agents
from agents.checkpoint import load_policy, load_state, save_state
from agents.config import Desk
from agents.network import Actor
from agents.policy import Seat
from agents.ppo import PPO
from agents.trainer import Trainer
from marketsim import InputError


@pytest.mark.parametrize("rollout", [4, 6])  # whole episodes, and updates that fall inside one
def test_a_resumed_training_is_the_same_training(tmp_path, rollout):
    blocks = [
        *desk(count=2, rollout=rollout, minibatches=3).model_dump()["dealers"],
        {"name": "rival", "policy": "random"},
    ]
    config = Desk.model_validate({"market": desk().market.model_dump(), "dealers": blocks})
    whole = Trainer(config, 3, 16, 16 * rollout * 5)
    records = [whole.update() for _ in range(5)]
    assert whole.done and whole.steps == 16 * rollout * 5
    first = Trainer(config, 3, 16, 16 * rollout * 5)
    for _ in range(2):
        first.update()
    save_state(tmp_path, first.update_number, first.state_dict(), {"records": 2})
    arrays, document = load_state(tmp_path)
    assert document["number"] == 2 and document["records"] == 2
    second = Trainer(config, 3, 16, 16 * rollout * 5)
    second.load_state_dict(arrays)
    assert second.steps == first.steps
    np.testing.assert_equal([second.update() for _ in range(3)], records[2:])
    left, right = whole.state_dict(), second.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].tobytes() == right[name].tobytes(), name


def test_another_seed_is_another_training():
    one, other = (Trainer(desk(), seed, 16, 10_000).update()[0]["objective"] for seed in (0, 1))
    assert one != other


def test_a_torn_state_gives_way_to_the_one_before(tmp_path):
    for number in range(1, 5):
        save_state(tmp_path, number, {"x": np.arange(3) * number}, {})
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "state-00000004.safetensors").write_bytes(b"torn")
    arrays, document = load_state(tmp_path)
    assert document["number"] == 3 and (arrays["x"] == np.arange(3) * 3).all()
    assert load_state(tmp_path / "nowhere") is None


def test_a_failed_write_leaves_the_last_state(tmp_path, monkeypatch):
    save_state(tmp_path, 1, {"x": np.ones(3)}, {})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agents.checkpoint.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(tmp_path, 2, {"x": np.zeros(3)}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["state-00000001.safetensors"]


def test_a_saved_policy_plays_as_the_learner_did(monkeypatch, tmp_path):
    config = desk()
    trainer, _ = train(monkeypatch, Walk, config, 5)
    trainer.policies[0].save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["policy.json", "policy.safetensors"]
    policy = agents.load_policy(tmp_path, Seat(config, 0))
    observation = np.array([[1.0, -0.5], [0.5, 0.25]], np.float32)
    action = policy.act(observation)
    assert action.dtype == np.float32 and action.flags.c_contiguous
    np.testing.assert_array_equal(action, mean_action(trainer, observation))
    markups, hedge = policy.quote(observation)
    np.testing.assert_allclose(markups[:, :, 0, 0], action[:, :2].astype(float) + 1.0)  # the range is [0, 2]
    inventory = np.array([-10.0, 5.0])  # in units of 20 lots
    np.testing.assert_array_equal(hedge[:, 0], np.rint(-(action[:, 2].astype(float) + 1) / 2 * inventory))


def test_a_policy_refuses_a_seat_that_it_did_not_learn_in(tmp_path):
    PPO(desk(), [0], seed=0).save(tmp_path)
    with pytest.raises(InputError, match=r"observation \[time_left, inventory\], dealer learner has \[inventory"):
        load_policy(tmp_path, Seat(desk(observation=("inventory", "time_left")), 0))
    other = desk().model_dump()
    other["dealers"][0]["action"] = {"kind": "skew"}
    with pytest.raises(InputError, match="learned with action"):
        load_policy(tmp_path, Seat(Desk.model_validate(other), 0))
    with pytest.raises(InputError, match="no policy checkpoint"):
        load_policy(tmp_path / "nowhere")
    (tmp_path / "policy.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="no policy checkpoint"):
        load_policy(tmp_path)


def test_the_starting_policy_is_nearly_neutral_and_its_layers_orthogonal():
    actor = Actor(3, (64, 64), 2, "tanh", 0.5, torch.Generator().manual_seed(0))
    first, _, second, *_ = actor.body.layers
    torch.testing.assert_close(first.t() @ first, 2 * torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(second.t() @ second, 2 * torch.eye(64), atol=1e-5, rtol=0)
    assert actor(torch.ones(3, 1)).abs().max() < 0.05
    assert float(actor.log_sd.detach().exp()[0]) == pytest.approx(0.5)


def test_rollouts_of_two_lengths_in_one_market_are_refused():
    blocks = desk(rollout=4).model_dump()["dealers"] + desk(rollout=6).model_dump()["dealers"]
    blocks[1]["name"] = "other"
    config = Desk.model_validate({"market": desk().market.model_dump(), "dealers": blocks})
    with pytest.raises(ValueError, match="share one length"):
        Trainer(config, 0, 4, 100)
