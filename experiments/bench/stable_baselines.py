"""stable-baselines3's PPO on the same market: what ``marketsim bench train`` compares with. Imports it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from agents.config import Desk, PPOSpec
from marketsim.batch import MarketBatch


class MarketVecEnv(VecEnv):
    """The market of a single dealer as stable-baselines3's vector of environments, which reset themselves.

    A batch of markets behind it as behind our own trainer: no market is stepped alone, no dictionary is passed.
    """

    def __init__(self, desk: Desk, markets: int, seed: int):
        if len(desk.agents) != 1:
            raise ValueError(f"a single dealer is compared, the market has {len(desk.agents)}")
        self.batch = MarketBatch(desk, markets, seed)
        self._continuing = desk.market.horizon == "continuing"
        self._actions = np.zeros((markets, 1, self.batch.action_widths[0]), np.float32)
        self._no_infos: list[dict[str, Any]] = [{} for _ in range(markets)]
        observation = gymnasium.spaces.Box(-np.inf, np.inf, (self.batch.widths[0],), np.float32)
        action = gymnasium.spaces.Box(-1.0, 1.0, self._actions.shape[2:], np.float32)
        super().__init__(markets, observation, action)

    def reset(self) -> np.ndarray:
        return self.batch.reset()[:, 0].copy()

    def step_async(self, actions: np.ndarray) -> None:
        self._actions[:, 0] = actions

    def step_wait(self):
        step = self.batch.step(self._actions)
        reward, terminated, over = step.reward[:, 0].copy(), step.terminated[:, 0].copy(), bool(step.truncated[0, 0])
        observation = step.observation[:, 0].copy()
        if not over:
            return observation, reward, terminated, self._no_infos
        infos = [
            {"terminal_observation": last, "TimeLimit.truncated": self._continuing and not dead}
            for last, dead in zip(observation, terminated, strict=True)
        ]
        return self.reset(), reward, np.ones(self.num_envs, bool), infos

    def close(self) -> None:
        """There is nothing to release."""

    def get_attr(self, attr_name: str, indices=None) -> list[Any]:
        return [getattr(self.batch, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices=None) -> None:
        raise NotImplementedError("a market is set by its configuration")

    def env_method(self, method_name: str, *arguments, indices=None, **options) -> list[Any]:
        raise NotImplementedError("the markets of a batch are not stepped alone")

    def env_is_wrapped(self, wrapper_class, indices=None) -> list[bool]:
        return [False] * self.num_envs


class Baseline:
    """Their PPO with our network, number of markets, rollout, epochs and minibatches; all else is its default.

    ``settings``: other arguments of theirs instead, and ``minibatches`` and ``log_std_init`` (log of the standard
    deviation at the start). A policy too: ``act`` is its deterministic action.
    """

    native = False

    def __init__(self, desk: Desk, markets: int, seed: int, **settings: Any):
        spec = desk.dealer_of[0].policy
        assert isinstance(spec, PPOSpec)
        self.rollout = spec.rollout or desk.market.steps
        hidden = list(spec.hidden)
        self.steps = 0  # market steps so far, summed over markets
        self._per_update = markets * self.rollout
        self.epochs = settings.pop("n_epochs", spec.epochs)
        self._ppo = PPO(
            "MlpPolicy",
            MarketVecEnv(desk, markets, seed),
            n_steps=self.rollout,
            batch_size=self._per_update // settings.pop("minibatches", spec.minibatches),
            n_epochs=self.epochs,
            policy_kwargs={
                "net_arch": {"pi": hidden, "vf": hidden},
                "activation_fn": torch.nn.Tanh if spec.activation == "tanh" else torch.nn.ReLU,
                "log_std_init": settings.pop("log_std_init", 0.0),
            },
            device="cpu",
            seed=seed,
            **settings,
        )

    def update(self) -> None:
        """One rollout and one improvement."""
        self._ppo.learn(self._per_update, reset_num_timesteps=self.steps == 0)
        self.steps += self._per_update

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.clip(self._ppo.predict(observation, deterministic=True)[0], -1.0, 1.0)

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError("it thinks in actions")
