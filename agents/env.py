"""A desk as a PettingZoo parallel environment of its learning dealers; policies play the others."""

from __future__ import annotations

import numpy as np

from agents.cast import Cast
from agents.config import Desk
from agents.policy import Seat, build
from marketsim.env import DealerMarketEnv


class LearnerEnv(DealerMarketEnv):
    """``DealerMarketEnv`` with only the learning dealers as agents."""

    def __init__(self, desk: Desk, seed: int = 0):
        if not desk.learners:
            raise ValueError("dealers: none of them learns; give one a policy that does, such as ppo")
        super().__init__(desk, seed)
        others = {i: build(d.policy, Seat(desk, i)) for i, d in enumerate(desk.dealer_of) if not d.policy.learns}
        self._cast = Cast(desk, others)
        self.possible_agents = [desk.agents[i] for i in desk.learners]
        self._rows = {agent: self._rows[agent] for agent in self.possible_agents}
        self.observation_spaces = {agent: self.observation_spaces[agent] for agent in self.possible_agents}
        self.action_spaces = {agent: self.action_spaces[agent] for agent in self.possible_agents}

    def reset(self, seed: int | None = None, options: dict | None = None):
        """As ``DealerMarketEnv.reset``; the policies start an episode too."""
        started = super().reset(seed, options)
        batch = self._batch
        self._cast.reset(batch.seed, batch.episode, batch.first_market, 1)
        return started

    def step(self, actions: dict[str, np.ndarray]):
        agents, rows = self.agents, self._rows
        for agent in agents:
            rows[agent][1][:] = actions[agent]
        step = self._batch.step(self._actions, self._cast.play(self._seen, self._actions))
        over = bool(step.truncated[0, 0])
        observation = self._observe(step.observation[0])
        reward = {agent: float(step.reward[0, rows[agent][0]]) for agent in agents}
        terminated = {agent: bool(step.terminated[0, rows[agent][0]]) for agent in agents}
        self.agents = [] if over else [agent for agent in agents if not terminated[agent]]
        return observation, reward, terminated, dict.fromkeys(agents, over), {agent: {} for agent in agents}

    def _observe(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        self._seen = observation[None]  # what the cast sees: all dealers' rows
        return super()._observe(observation)


def learner_env(config: Desk, seed: int = 0) -> LearnerEnv:
    """A ``pettingzoo.ParallelEnv`` of the learning dealers of a desk; the others are played by their policies."""
    return LearnerEnv(config, seed)
