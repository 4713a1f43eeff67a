"""Small learners: a desk of three action components, games in the place of a market, and one thread."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.config import Desk
from agents.trainer import Trainer


@pytest.fixture(autouse=True)
def one_thread_and_no_global_draws():
    """Small batches are quickest on one thread; and nothing here may touch torch's global generator."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = torch.random.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()
    yield
    torch.set_num_threads(threads)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()


def desk(steps=4, count=1, observation=("time_left", "inventory"), market=(), **policy) -> Desk:
    """A desk of learners with three action components: bid, ask, hedge."""
    return Desk.model_validate(
        {
            "market": {"steps": steps, "segments": [{"rates": (0.5,)}], **dict(market)},
            "dealers": [
                {
                    "name": "learner",
                    "count": count,
                    "observation": list(observation),
                    "policy": {"kind": "ppo", "hidden": [16, 16], "minibatches": 4, **policy},
                }
            ],
        }
    )


class Task:
    """The interface of ``MarketBatch`` around any game: subclasses say what is seen and what is paid."""

    def __init__(self, config: Desk, markets: int, seed: int = 0, threads: int = 1):
        self.config, self.markets, self.seed, self.episode, self.t = config, markets, seed, -1, 0
        self.steps, self.dealers = config.market.steps, len(config.agents)
        self.action_widths, self.widths = (3,) * self.dealers, (2,) * self.dealers
        self.dead = np.zeros((markets, self.dealers), bool)

    def look(self) -> np.ndarray:
        """(M, N, 2): time left, and a sign that changes from step to step and market to market."""
        signs = np.random.Generator(np.random.Philox([self.seed, 1000 * self.episode + self.t])).integers(
            0, 2, (self.markets, self.dealers)
        )
        return np.stack([np.full(signs.shape, 1 - self.t / self.steps), 2.0 * signs - 1], -1).astype(np.float32)

    def pay(self, seen: np.ndarray, action: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def reset(self):
        self.episode, self.t = self.episode + 1, 0
        self.dead[:] = False
        self.paid = 0.0
        self.seen = self.look()
        return self.seen

    def step(self, actions, quotes=None):
        reward = np.where(self.dead, 0.0, self.pay(self.seen, np.clip(actions, -1, 1)))
        self.dead |= self.dies(actions)
        self.t += 1
        self.seen = self.look()
        zero = np.zeros_like(reward)
        ledger = {"spread": reward, "inventory": zero, "hedge_cost": zero, "fees": zero}
        over = np.full(reward.shape, self.t == self.steps)
        return SimpleNamespace(
            observation=self.seen, reward=reward, terminated=self.dead.copy(), truncated=over, ledger=ledger
        )

    def dies(self, actions):
        return np.zeros(self.dead.shape, bool)

    def snapshot(self):
        return {"counters": np.array([self.episode, self.t])}

    def restore(self, snapshot):
        self.episode, self.t = (int(x) for x in snapshot["counters"])
        self.seen = self.look()
        return self.seen


class Walk(Task):
    """Pays the product of the sign that is seen and the bid; one dealer in four is ruined now and then."""

    def pay(self, seen, action):
        return 30.0 * seen[..., 1] * action[..., 0]

    def dies(self, actions):
        return (actions[..., 1] > 0.5) & (actions[..., 2] > 0.3)


def train(monkeypatch, task, config: Desk, updates: int, markets: int = 64, seed: int = 0):
    monkeypatch.setattr("agents.trainer.MarketBatch", task)
    trainer = Trainer(config, seed, markets, updates * markets * config.market.steps)
    records = []
    while not trainer.done:
        records += trainer.update()
    return trainer, records


def mean_action(trainer: Trainer, observation, policy: int = 0) -> np.ndarray:
    learner = trainer.policies[policy]
    with torch.no_grad():
        rows = torch.tensor(np.atleast_2d(np.asarray(observation, np.float32)))
        return np.clip(learner.actor(learner.normaliser(rows)).t().numpy(), -1, 1)
