"""The market as a PettingZoo parallel environment: every dealer an agent, one market."""

from __future__ import annotations

import gymnasium
import numpy as np
import pettingzoo

from marketsim.batch import MarketBatch
from marketsim.config import MarketConfig


class DealerMarketEnv(pettingzoo.ParallelEnv):
    """One market of ``MarketBatch`` behind PettingZoo's dictionaries.

    Observations float32 (width,), actions float32 (components,) in [-1, 1], rewards in price units x lots.
    ``reset(seed=s)`` starts episode 0 of seed s; a later ``reset()`` the next episode of the same seed. A dealer
    terminated by ruin leaves ``agents``; the horizon truncates the others.
    """

    metadata = {"name": "marketsim_dealer_v0", "render_modes": [], "is_parallelizable": True}

    def __init__(self, config: MarketConfig, seed: int = 0):
        self.config = config
        self.render_mode = None
        self.possible_agents = list(config.agents)
        self.agents: list[str] = []
        self._batch = MarketBatch(config, markets=1, seed=seed)
        self._actions = np.zeros((1, len(self.possible_agents), max(self._batch.action_widths)), dtype=np.float32)
        self._rows = {
            agent: (i, self._actions[0, i, : self._batch.action_widths[i]], self._batch.widths[i])
            for i, agent in enumerate(self.possible_agents)
        }
        self.observation_spaces = {
            agent: gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
            for agent, (_, _, width) in self._rows.items()
        }
        self.action_spaces = {
            agent: gymnasium.spaces.Box(-1.0, 1.0, row.shape, np.float32) for agent, (_, row, _) in self._rows.items()
        }

    def observation_space(self, agent: str) -> gymnasium.spaces.Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Box:
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict | None = None):
        """``options={"episode": e}`` names the episode."""
        episode = (options or {}).get("episode")
        if seed is not None:
            self._batch.seed = int(seed)
            episode = 0 if episode is None else episode
        observation = self._batch.reset(episode)[0]
        self.agents = list(self.possible_agents)
        return self._observe(observation), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, np.ndarray]):
        agents = self.agents
        rows = self._rows
        for agent in agents:
            rows[agent][1][:] = actions[agent]
        step = self._batch.step(self._actions)
        observation = self._observe(step.observation[0])
        reward = dict(zip(self.possible_agents, step.reward[0].tolist(), strict=True))
        terminated = dict(zip(self.possible_agents, step.terminated[0].tolist(), strict=True))
        over = bool(step.truncated[0, 0])
        if len(agents) < len(self.possible_agents):
            reward = {agent: reward[agent] for agent in agents}
            terminated = {agent: terminated[agent] for agent in agents}
        truncated = dict.fromkeys(agents, over)
        infos: dict[str, dict] = {agent: {} for agent in agents}
        if over:
            self.agents = []
        elif any(terminated.values()):
            self.agents = [agent for agent in agents if not terminated[agent]]
        return observation, reward, terminated, truncated, infos

    def _observe(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        copied = observation.copy()
        return {agent: copied[i, :width] for agent in self.agents for i, _, width in (self._rows[agent],)}

    def render(self) -> None:
        """There is nothing to draw; reports are made from run folders."""

    def close(self) -> None:
        """There is nothing to release."""


def parallel_env(config: MarketConfig, seed: int = 0) -> DealerMarketEnv:
    """A ``pettingzoo.ParallelEnv`` of all dealers, agents named as in the file (learner, rival_0, ...)."""
    return DealerMarketEnv(config, seed)
