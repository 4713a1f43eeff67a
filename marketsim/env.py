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
        self._everyone = config.agents
        self._nobody = dict.fromkeys(self._everyone, False)
        self._index = {agent: i for i, agent in enumerate(self._everyone)}
        self._actions = np.zeros((1, len(config.agents), max(self._batch.action_widths)), dtype=np.float32)
        self._rows = {
            agent: self._actions[0, i, :width]
            for (agent, i), width in zip(self._index.items(), self._batch.action_widths, strict=True)
        }
        # the batch's buffers do not move: one market's rows of them, looked up once
        going_on, self._last = self._batch.results
        self._seen, self._reward, self._terminated = going_on.observation[0], going_on.reward[0], going_on.terminated[0]
        self._even = len(set(self._batch.widths)) == 1
        self.observation_spaces = {
            agent: gymnasium.spaces.Box(-np.inf, np.inf, (width,), np.float32)
            for agent, width in zip(config.agents, self._batch.widths, strict=True)
        }
        self.action_spaces = {
            agent: gymnasium.spaces.Box(-1.0, 1.0, row.shape, np.float32) for agent, row in self._rows.items()
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
        self._batch.reset(episode)
        self.agents = list(self.possible_agents)
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, np.ndarray]):
        agents, rows, batch = self.agents, self._rows, self._batch
        for agent in agents:
            rows[agent][...] = actions[agent]
        quotes = self._quotes_of_others()
        step = batch.advance(self._actions) if quotes is None else batch.step(self._actions, quotes)
        over = step is self._last
        observation = self._observe()
        reward = dict(zip(self._everyone, self._reward.tolist()))  # noqa: B905 (a strict zip costs 1% of the step)
        out = self._terminated.tolist()
        terminated = dict(zip(self._everyone, out)) if True in out else self._nobody.copy()  # noqa: B905
        truncated = dict.fromkeys(self._everyone, True) if over else self._nobody.copy()
        if len(agents) < len(out):
            reward, terminated, truncated = (
                {agent: of[agent] for agent in agents} for of in (reward, terminated, truncated)
            )
        if over:
            self.agents = []
        elif True in out:
            self.agents = [agent for agent in agents if not terminated[agent]]
        return observation, reward, terminated, truncated, {agent: {} for agent in agents}

    def _quotes_of_others(self) -> dict | None:
        """What dealers that are no agents quote; here everyone is an agent."""
        return None

    def _observe(self) -> dict[str, np.ndarray]:
        """Copies, so that what an agent has seen stays as it was."""
        copied = self._seen.copy()
        if self._even and len(self.agents) == len(copied):
            return dict(zip(self.agents, copied))  # noqa: B905
        return {agent: copied[i, : self._batch.widths[i]] for agent in self.agents for i in (self._index[agent],)}

    def __getstate__(self):
        """A copy, such as SuperSuit makes of an environment, gets buffers of its own and the same place in them."""
        return self.config, self._batch.snapshot(), list(self.agents)

    def __setstate__(self, state) -> None:
        config, snapshot, agents = state
        type(self).__init__(self, config)
        self._batch.restore(snapshot)
        self.agents = agents

    def render(self) -> None:
        """There is nothing to draw; reports are made from run folders."""

    def close(self) -> None:
        """There is nothing to release."""


def parallel_env(config: MarketConfig, seed: int = 0) -> DealerMarketEnv:
    """A ``pettingzoo.ParallelEnv`` of all dealers, agents named as in the file (learner, rival_0, ...)."""
    return DealerMarketEnv(config, seed)
