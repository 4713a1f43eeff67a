"""A learned policy as it is deployed: by its mean action, or going on exploring."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtri

from agents.checkpoint import LearnedPolicy
from agents.policy import Policy
from marketsim.rng import POLICY, draws


class Exploring:
    """A learned policy whose actions are drawn from its Gaussian, by the market's counters."""

    native = False

    def __init__(self, policy: LearnedPolicy, agent: int):
        self.policy, self.agent = policy, agent

    def reset(self, seed: int, episode: int, first_market: int, markets: int, step: int = 0) -> None:
        self.start, self.step = (seed, episode, first_market), step

    def act(self, observation: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(observation, np.float32)).to(self.policy.log_sd.device)
        mean = self.policy.mean(rows).t().cpu().numpy()
        uniforms = np.empty(mean.shape)
        draws(*self.start, POLICY, self.step, self.agent * 65536, uniforms)
        self.step += 1
        return (mean + self.policy.log_sd.exp().cpu().numpy() * ndtri(uniforms)).astype(np.float32)


def deployed(policy: LearnedPolicy, agent: int, explores: bool) -> Policy:
    """Who plays ``agent``; ``explores`` as in ``evaluate.stochastic``."""
    return Exploring(policy, agent) if explores else policy  # type: ignore[return-value]
