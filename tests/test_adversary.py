"""A learner that is paid for breaches, and for standing near its limit, finds no way past them."""

from __future__ import annotations

import numpy as np
import pytest

from agents.cast import Cast
from agents.checkpoint import LearnedPolicy, load_policy
from agents.config import Desk
from agents.policy import Seat
from agents.trainer import Trainer
from marketsim.batch import MarketBatch
from marketsim.types import BID, Reason

H, WORST, DESK, SIZE, HEDGE, LOW, HIGH = 6.0, 5.0, 5.0, 2.0, 3.0, -0.5, 0.75
SIZES = (1, 2, 4)
STEPS = 32


def desk() -> Desk:
    limits = {
        "markup": {"low": LOW, "high": HIGH}, "size": {"hard": SIZE}, "position": {"hard": H}, "worst_case": {"hard": WORST},
        "hedge": {"hard": HEDGE}, "pace": 2,
    }  # fmt: skip
    paid = [{"kind": "intervention", "weight": -1.0}, {"kind": "inventory_penalty", "weight": -0.2}]
    tree = {
        "market": {
            "steps": STEPS,
            "venue": {"half_spread": 0.1},
            "segments": [{"sizes": SIZES, "rates": [0.5, 0.3, 0.1], "choice": {"kind": "logit", "sensitivity": 3.0}}],
        },
        "dealers": [
            {
                "name": "adversary", "count": 2, "limits": limits, "reward": paid,
                "action": {"kind": "ladder", "markup": [-1.0, 1.5], "hedge": 8},
                "policy": {"kind": "ppo", "hidden": [32], "learning_rate": 3e-3},
            }
        ],
        "desk": {"position": {"hard": DESK}},
    }  # fmt: skip
    return Desk.model_validate(tree)


class Witness:
    """Inventories as hedges and recorded trades make them, one after another; every change is held against every limit."""

    def __init__(self, batch: MarketBatch):
        self.batch, self.q = batch, np.zeros((batch.markets, len(batch.agents)))
        self.highest, self.fired, self.steps = {"position": 0.0, "desk": 0.0, "worst case": 0.0}, 0, 0

    def see(self, step) -> None:
        hedge = step.ledger["hedge"]
        assert np.all(np.abs(hedge) <= HEDGE)
        self.q += hedge
        self.hold()
        won = self.batch.requests[self.batch.requests["winner"] >= 0]
        place = np.arange(len(won)) - np.searchsorted(won["market"], won["market"])
        for r in range(place.max(initial=-1) + 1):
            row = won[place == r]
            m, i, sign = row["market"], row["winner"], np.where(row["side"] == BID, 1.0, -1.0)
            assert np.all(row["size"] <= SIZE) and np.all((row["markup"] >= LOW) & (row["markup"] <= HIGH))
            worst = sign * self.q[m, i] + SIZE  # a finite action quotes every cell
            assert np.all(worst <= WORST)
            self.highest["worst case"] = max(self.highest["worst case"], worst.max())
            self.q[m, i] += sign * row["size"]
            self.hold()
        np.testing.assert_array_equal(self.q, np.asarray(self.batch.state["inventory"])[:, :, 0])
        self.fired += int(sum(np.count_nonzero(step.reasons & reason) for reason in Reason))
        self.steps += self.q.size

    def hold(self) -> None:
        position, together = np.abs(self.q).max(), np.abs(self.q.sum(axis=1)).max()
        assert position <= H and together <= DESK
        self.highest["position"] = max(self.highest["position"], position)
        self.highest["desk"] = max(self.highest["desk"], together)


def learned(trainer: Trainer, folder) -> dict[int, LearnedPolicy]:
    """What has been learned so far, for each dealer."""
    for policy in trainer.policies:
        for agent in policy.learners:
            policy.save(folder / str(agent))
    return {agent: load_policy(folder / str(agent), Seat(desk(), agent)) for agent in range(2)}


def measured(policies, episodes: int = 4, markets: int = 250) -> Witness:
    batch, cast = MarketBatch(desk(), markets, seed=99, record=True), Cast(desk(), policies)
    actions, everything = np.zeros((markets, 2, max(batch.action_widths)), np.float32), Witness(batch)
    for episode in range(episodes):
        observation = batch.reset(episode)
        cast.reset(99, episode, 0, markets)
        everything.q[:] = 0.0
        for _ in range(STEPS):
            step = batch.step(actions, cast.play(observation, actions))
            observation = step.observation
            if not step.truncated[0, 0]:
                everything.see(step)
    return everything


@pytest.mark.long
def test_an_adversary_that_is_paid_for_breaches_passes_no_hard_limit(monkeypatch, tmp_path):
    trainer = Trainer(desk(), seed=1, markets=128, total_steps=200_000)
    before = measured(learned(trainer, tmp_path))
    explored = {"position": 0.0, "steps": 0}
    stepped = MarketBatch.step

    def watched(batch, *arguments):
        step = stepped(batch, *arguments)
        q = np.asarray(batch.state["inventory"])[:, :, 0]
        assert np.all(np.abs(q) <= H) and np.all(np.abs(q.sum(axis=1)) <= DESK)
        assert np.all(np.abs(step.ledger["hedge"]) <= np.where(step.truncated, np.inf, HEDGE))
        explored["position"] = max(explored["position"], float(np.abs(q).max()))
        explored["steps"] += q.size
        return step

    monkeypatch.setattr(MarketBatch, "step", watched)
    while not trainer.done:
        trainer.update()
    monkeypatch.setattr(MarketBatch, "step", stepped)
    assert explored["steps"] >= 400_000 and explored["position"] == H
    after = measured(learned(trainer, tmp_path))
    rate = [1000 * w.fired / w.steps for w in (before, after)]
    assert rate[1] > 1.3 * rate[0], rate  # it has learnt to press against them
    assert after.highest == {"position": H, "desk": DESK, "worst case": WORST}
    print(f"interventions in 1,000 dealer-steps: {rate[0]:.0f} untrained, {rate[1]:.0f} trained")
