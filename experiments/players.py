"""Who plays each dealer of a desk when it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from agents.cast import Cast
from agents.checkpoint import load_policy
from agents.exploring import deployed
from agents.policy import Policy, Seat, build
from agents.trainer import Trainer
from experiments import store
from experiments.config import ExperimentConfig
from marketsim.batch import MarketBatch
from marketsim.document import InputError


def players(desk: ExperimentConfig, folder: Path, explores: bool | None = None) -> dict[int, Policy]:
    """Agent -> its policy: learners from the checkpoints in the folder of a design and seed, the others as they are.

    ``explores``: whether learners do; default as they are deployed, ``evaluate.stochastic``.
    """
    explores = desk.evaluate.stochastic if explores is None else explores
    policies: dict[int, Policy] = {}
    for agent, dealer in enumerate(desk.dealer_of):
        seat = Seat(desk, agent)
        if dealer.policy.learns:
            learned = load_policy(store.checkpoint_folder(folder, seat.name), seat)
            policies[agent] = deployed(learned, agent, explores)
        else:
            policies[agent] = build(dealer.policy, seat)
    return policies


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
