"""The training of a desk: all its learners, and the dealers that do not learn, in one batch of markets.

Independent dealers are one ``PPO`` each; dealers that share a policy are one ``PPO`` together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from agents.cast import Cast
from agents.config import Desk, PPOSpec
from agents.policy import Seat, build
from agents.ppo import PPO, Rollout
from marketsim.batch import MarketBatch, Step


class Trainer:
    """Trains all learning dealers of a desk in one batch of markets.

    ``total_steps``: market steps summed over markets; the last update may pass it. ``threads``: of the market and
    of torch. Bit-identical results are promised for the same machine, versions and thread count.
    """

    def __init__(self, desk: Desk, seed: int, markets: int, total_steps: int, device: str = "cpu", threads: int = 1):
        specs = [desk.dealer_of[i].policy for i in desk.learners]
        lengths = {spec.rollout or desk.market.steps for spec in specs if isinstance(spec, PPOSpec)}
        if not lengths:
            raise ValueError("dealers: none of them learns; give one a policy that does, such as ppo")
        if len(lengths) > 1:
            raise ValueError(f"policy.rollout: learners of one market share one length, not {sorted(lengths)}")
        self.desk, self.seed, self.markets, self.threads = desk, seed, markets, threads
        self.rollout_steps = lengths.pop()
        self.updates = max(1, math.ceil(total_steps / (markets * self.rollout_steps)))
        self.update_number = 0
        self.batch = MarketBatch(desk, markets=markets, seed=seed, threads=threads)
        self.policies = [PPO(desk, learners, seed, device) for learners in _groups(desk)]
        self.rollouts = [
            Rollout(self.rollout_steps, markets, len(p.learners), p.inputs, p.outputs) for p in self.policies
        ]
        others = {i: build(d.policy, Seat(desk, i)) for i, d in enumerate(desk.dealer_of) if not d.policy.learns}
        self.cast = Cast(desk, others)
        dealers = len(desk.agents)
        self._actions = np.zeros((markets, dealers, max(self.batch.action_widths)), np.float32)
        self._alive = np.ones((markets, dealers), bool)
        self._reward = np.zeros((markets, dealers))  # since the episode's start
        self._pnl = np.zeros((markets, dealers))
        self._observation = self._reset()

    @property
    def steps(self) -> int:
        """Market steps so far, summed over markets."""
        return self.update_number * self.rollout_steps * self.markets

    @property
    def done(self) -> bool:
        return self.update_number >= self.updates

    def update(self) -> list[dict]:
        """One rollout and one improvement of every policy; a record a dealer, columns as in training.parquet."""
        with torch_threads(self.threads):
            finished = self._collect()
            remaining = 1.0 - self.update_number / self.updates
            figures = [
                policy.learn(rollout, self.update_number, remaining)
                for policy, rollout in zip(self.policies, self.rollouts, strict=True)
            ]
        self.update_number += 1
        return [
            {"dealer": self.desk.agents[agent], "steps": self.steps, **_means(finished, agent), **figure}
            for policy, figure in zip(self.policies, figures, strict=True)
            for agent in policy.learners
        ]

    def _collect(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Fill the rollouts; return (reward, pnl), each (markets, dealers), of every episode that ended."""
        pairs = list(zip(self.policies, self.rollouts, strict=True))
        for policy, rollout in pairs:
            policy.explore(rollout, self.update_number)
            rollout.after.clear()
        finished = []
        for t in range(self.rollout_steps):
            for policy, rollout in pairs:
                rollout.observation[t] = self._observation[:, policy.learners, : policy.inputs]
                self._actions[:, policy.learners, : policy.outputs] = policy.act(rollout, t)
            step = self.batch.step(self._actions, self.cast.play(self._observation, self._actions))
            self._reward += step.reward
            self._pnl += _pnl(step)
            over = bool(step.truncated[0, 0])
            for policy, rollout in pairs:
                self._keep(rollout, t, policy.learners, step)
                if over or t == self.rollout_steps - 1:
                    rollout.after[t] = step.observation[:, policy.learners, : policy.inputs]
            self._alive &= ~step.terminated
            self._observation = step.observation
            if over:
                finished.append((self._reward.copy(), self._pnl.copy()))
                self._observation = self._reset()
        return finished

    def _keep(self, rollout: Rollout, t: int, learners: list[int], step: Step) -> None:
        terminated, truncated = step.terminated[:, learners], step.truncated[:, learners]
        rollout.reward[t] = step.reward[:, learners]
        rollout.alive[t] = self._alive[:, learners]
        rollout.ended[t] = terminated | truncated
        rollout.worth[t] = ~terminated & (~truncated | (self.desk.market.horizon == "continuing"))

    def _reset(self) -> np.ndarray:
        self._alive[:] = True
        self._reward[:] = 0.0
        self._pnl[:] = 0.0
        observation = self.batch.reset()
        self.cast.reset(self.seed, self.batch.episode, 0, self.markets)
        return observation

    # --- keeping and restoring ---

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that the rest of the training depends on, as arrays by name."""
        state = {f"policy.{policy.learners[0]}.{k}": t for policy in self.policies for k, t in policy.state().items()}
        arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}
        arrays |= {f"batch.{name}": array for name, array in self.batch.snapshot().items()}
        arrays |= {"alive": self._alive.copy(), "reward": self._reward.copy(), "pnl": self._pnl.copy()}
        return arrays | {"update": np.array(self.update_number)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from such a state, of a trainer of the same desk, seed, markets and steps."""
        for policy in self.policies:
            mark = f"policy.{policy.learners[0]}."
            policy.restore({k[len(mark) :]: torch.tensor(v) for k, v in state.items() if k.startswith(mark)})
        snapshot = {k.removeprefix("batch."): v for k, v in state.items() if k.startswith("batch.")}
        self._observation = self.batch.restore(snapshot)
        self._alive[:], self._reward[:], self._pnl[:] = state["alive"], state["reward"], state["pnl"]
        self.update_number = int(state["update"])
        step = self.update_number * self.rollout_steps % self.batch.steps
        self.cast.reset(self.seed, self.batch.episode, 0, self.markets, step)


def _groups(desk: Desk) -> list[list[int]]:
    """The agents of each policy: a block with ``shared`` is one, every other learner its own."""
    groups: list[list[int]] = []
    agent = 0
    for dealer in desk.dealers:
        agents = list(range(agent, agent + dealer.count))
        agent += dealer.count
        if isinstance(dealer.policy, PPOSpec):
            groups += [agents] if dealer.policy.shared else [[i] for i in agents]
    return groups


def _pnl(step: Step) -> np.ndarray:
    ledger = step.ledger
    return ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]


def _means(finished: list[tuple[np.ndarray, np.ndarray]], agent: int) -> dict[str, float]:
    """Mean reward and P&L an episode of those that ended, NaN where none did."""
    reward, pnl = (np.array([pair[k][:, agent].mean() for pair in finished]) for k in (0, 1))
    return {"objective": reward.mean() if len(reward) else math.nan, "pnl": pnl.mean() if len(pnl) else math.nan}


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Run torch on this many threads, then on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
