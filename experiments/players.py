"""Who plays each dealer of a desk when it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.special import ndtri

from agents.cast import Cast
from agents.checkpoint import LearnedPolicy, load_policy
from agents.policy import Policy, Seat, build
from agents.trainer import Trainer
from experiments import store
from experiments.config import ExperimentConfig
from marketsim.batch import MarketBatch
from marketsim.document import InputError
from marketsim.rng import POLICY, draws


def players(desk: ExperimentConfig, folder: Path) -> dict[int, Policy]:
    """Agent -> its policy: learners from the checkpoints in the folder of a design and seed, the others as they are."""
    policies: dict[int, Policy] = {}
    for agent, dealer in enumerate(desk.dealer_of):
        seat = Seat(desk, agent)
        if dealer.policy.learns:
            learned = load_policy(store.checkpoint_folder(folder, seat.name), seat)
            policies[agent] = Exploring(learned, agent) if desk.evaluate.stochastic else learned  # type: ignore[assignment]
        else:
            policies[agent] = build(dealer.policy, seat)
    return policies


class Exploring:
    """A learned policy that goes on exploring: its actions are drawn from its Gaussian, by the market's counters."""

    native = False

    def __init__(self, policy: LearnedPolicy, agent: int):
        self.policy, self.agent = policy, agent

    def reset(self, seed: int, episode: int, first_market: int, markets: int, step: int = 0) -> None:
        self.start, self.step = (seed, episode, first_market), step

    def act(self, observation: np.ndarray) -> np.ndarray:
        mean = self.policy.mean(torch.from_numpy(np.ascontiguousarray(observation, np.float32))).t().numpy()
        uniforms = np.empty(mean.shape)
        draws(*self.start, POLICY, self.step, self.agent * 65536, uniforms)
        self.step += 1
        return (mean + self.policy.log_sd.exp().cpu().numpy() * ndtri(uniforms)).astype(np.float32)


def rehearse(desk: ExperimentConfig) -> None:
    """Play one step of one market with everyone in place: what cannot be played says so here, as a ValueError."""
    if desk.learners:
        if desk.train.device == "cuda" and not torch.cuda.is_available():
            raise InputError("train.device: got cuda, this machine has none, allowed is cpu")
        Trainer(desk, seed=0, markets=1, total_steps=1)
    others = {i: build(d.policy, Seat(desk, i)) for i, d in enumerate(desk.dealer_of) if not d.policy.learns}
    batch, cast = MarketBatch(desk, markets=1), Cast(desk, others)
    observation = batch.reset()
    cast.reset(0, 0, 0, 1)
    actions = np.zeros((1, len(batch.agents), max(batch.action_widths)), np.float32)
    batch.step(actions, cast.play(observation, actions))
