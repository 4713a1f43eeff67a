"""The training of a desk: all its learners, and the dealers that do not learn, in one batch of markets.

Independent dealers are one ``PPO`` each; dealers that share a policy are one ``PPO`` together. Where an objective has a
tail or constraints, the learners are measured every so often on fresh episodes, and their ``Dual`` follows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from agents import episodes
from agents.best import Best, deployable, move_tail
from agents.cast import Cast
from agents.checkpoint import LearnedPolicy
from agents.config import Desk, PPOSpec
from agents.exploring import deployed
from agents.objectives import Dual, uncharged
from agents.policy import Policy, Seat, build
from agents.ppo import PPO, Rollout
from agents.valuation import Valuation
from marketsim.batch import MarketBatch, Step

MEASURED = 4.0  # market steps measured for each one trained, where an objective is measured at all
CONFIRMED = 20_000  # fresh episodes on which a policy must satisfy its constraints before it is kept
MEASURING = 1 << 40  # the first market of those episodes; training begins at market 0
AT_ONCE = 2_000  # episodes measured side by side


class Trainer:
    """Trains all learning dealers of a desk in one batch of markets.

    ``total_steps``: market steps summed over markets; the last update may pass it. ``threads``: of the market and
    of torch. ``explores``: learners will be deployed exploring, so they are measured so. Bit-identical results are
    promised for the same machine, versions and thread count.
    """

    def __init__(
        self,
        desk: Desk,
        seed: int,
        markets: int,
        total_steps: int,
        device: str = "cpu",
        threads: int = 1,
        explores: bool = False,
    ):
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
        self.duals = [Dual(desk.dealer_of[p.learners[0]].objective) for p in self.policies]
        self.best = [Best(p) for p in self.policies]
        self.explores = explores
        measured = max(dual.measures for dual in self.duals)
        every = measured * desk.market.steps / (MEASURED * markets * self.rollout_steps)
        self.measure_every = max(1, round(every)) if measured else None  # updates
        self.cast = Cast(desk, _others(desk))
        dealers = len(desk.agents)
        self._actions = np.zeros((markets, dealers, max(self.batch.action_widths)), np.float32)
        self._alive = np.ones((markets, dealers), bool)
        self._reward = np.zeros((markets, dealers))  # since the episode's start
        self._pnl = np.zeros((markets, dealers))
        self._over = True  # the next step begins an episode
        self._observation = np.zeros(0)
        self._fresh: MarketBatch | None = None  # for measuring, made when first needed
        self._others = _others(desk)  # who plays there: not those of the training, which may remember
        self._played = 0  # its episodes

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
            if self.update_number == 0 and self.measure_every:
                self._measure()
            finished = self._collect()
            remaining = 1.0 - self.update_number / self.updates
            figures = [
                policy.learn(rollout, self.update_number, remaining)
                for policy, rollout in zip(self.policies, self.rollouts, strict=True)
            ]
            self.update_number += 1
            if self.measure_every and (self.done or self.update_number % self.measure_every == 0):
                self._measure()
        return [
            {"dealer": self.desk.agents[agent], "steps": self.steps, **_means(finished, agent), **figure}
            | {**dual.figures(), "kept": best.steps}
            for policy, figure, dual, best in zip(self.policies, figures, self.duals, self.best, strict=True)
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
            if self._over:
                self._reset()
            for policy, rollout in pairs:
                rollout.observation[t] = self._observation[:, policy.learners, : policy.inputs]
                self._actions[:, policy.learners, : policy.outputs] = policy.act(rollout, t)
            step = self.batch.step(self._actions, self.cast.play(self._observation, self._actions))
            self._add_up(step)
            self._over = over = bool(step.truncated[0, 0])
            counted = episodes.costs(self.batch, step) if any(dual.prices for dual in self.duals) else {}
            for (policy, rollout), dual in zip(pairs, self.duals, strict=True):
                self._keep(rollout, t, policy.learners, dual, step, counted)
                if over or t == self.rollout_steps - 1:
                    rollout.after[t] = step.observation[:, policy.learners, : policy.inputs]
            self._alive &= ~step.terminated
            self._observation = step.observation
            if over:
                finished.append((self._reward.copy(), self._pnl.copy()))
        return finished

    def _add_up(self, step: Step) -> None:
        """The episode's reward and P&L so far; the reward is what the objective is about, without charges."""
        before = self._pnl.copy()
        self._pnl += episodes.pnl(step)
        if self.measure_every:
            reward = uncharged(step.reward, -before, -self._pnl, *self.batch.risk.T)
            self._reward += np.where(self._alive, reward, 0.0)
        else:
            self._reward += step.reward

    def _keep(
        self,
        rollout: Rollout,
        t: int,
        learners: list[int],
        dual: Dual,
        step: Step,
        counted: Mapping[str, np.ndarray],
    ) -> None:
        terminated, truncated = step.terminated[:, learners], step.truncated[:, learners]
        own = {name: cost[:, learners] for name, cost in counted.items()}
        rollout.reward[t], rollout.discount[t] = dual.credit(step.reward[:, learners], own)
        rollout.alive[t] = self._alive[:, learners]
        rollout.ended[t] = terminated | truncated
        rollout.worth[t] = ~terminated & (~truncated | (self.desk.market.horizon == "continuing"))

    def _reset(self) -> None:
        """Begin an episode, under the risk state of the last measurement."""
        self._alive[:] = True
        self._reward[:] = 0.0
        self._pnl[:] = 0.0
        for policy, dual in zip(self.policies, self.duals, strict=True):
            if dual.level is not None:
                move_tail(policy.normaliser, policy.seat, dual.nu - self._nu(policy))
                for agent in policy.learners:
                    self.batch.set_risk(agent, dual.nu, dual.kappa)
        self._observation = self.batch.reset()
        self.cast.reset(self.seed, self.batch.episode, 0, self.markets)

    # --- measuring ---

    def _measure(self) -> None:
        """Play fresh episodes with the policies as they would be deployed; move the duals, keep what is best.

        A learner whose values are within its limits, and whose mean is not behind the kept one's, is played on many more:
        it is kept if its bounds there are within the limits too.
        """
        totals = self._play(max(dual.measures for dual in self.duals))
        found = []
        for policy, dual, best in zip(self.policies, self.duals, self.best, strict=True):
            if dual.measures:
                dual.update(totals.of(policy.learners))
                mean = dual.found["mean"]
                hopeful = self.update_number > 0 and dual.limits and dual.within(dual.found, errors=0.0)
                if hopeful and mean.bound() > best.mean:
                    found.append((policy, dual, best))
        if not found:
            return
        totals = self._play(CONFIRMED)
        for policy, dual, best in found:
            confirmed = dual.measure(totals.of(policy.learners))
            if dual.within(confirmed) and confirmed["mean"].value > best.mean:
                best.keep(confirmed["mean"].value, self.steps, self._nu(policy), self._valuation(policy, dual))

    def _play(self, number: int) -> episodes.Totals:
        """At least ``number`` episodes that nothing was learned from or measured on, (episodes, dealers)."""
        if self._fresh is None:
            self._fresh = MarketBatch(self.desk, AT_ONCE, self.seed, MEASURING, self.threads)
        playing = dict(self._others)
        for policy, dual in zip(self.policies, self.duals, strict=True):
            if dual.level is not None:
                for agent in policy.learners:
                    self._fresh.set_risk(agent, self._nu(policy), 0.0)
            learned = LearnedPolicy(policy.normaliser, policy.actor, policy.seat)
            playing |= {agent: deployed(learned, agent, self.explores) for agent in policy.learners}
        cast = Cast(self.desk, playing)
        played = []
        for _ in range(math.ceil(number / AT_ONCE)):
            played.append(episodes.play(self._fresh, cast, self._played))
            self._played += 1
        return episodes.joined(played)

    def _nu(self, policy: PPO) -> float:
        """The nu from which a policy sees its tail now: that of the episode under way."""
        return float(self.batch.risk[policy.learners[0], 0])

    def save(self, agent: int, folder: str | Path) -> None:
        """Write a learner's policy, as ``agents.load_policy`` reads it: the kept one, the present one if none is."""
        k = next(k for k, policy in enumerate(self.policies) if agent in policy.learners)
        policy = self.policies[k]
        networks = self.best[k].networks or deployable(policy, self._nu(policy))
        policy.save(folder, networks, self.best[k].valuation or self._valuation(policy, self.duals[k]))

    def _valuation(self, policy: PPO, dual: Dual) -> Valuation:
        """A copy of the value function with the charges that it has learned under: the risk state of the episode under
        way, not of a measurement since."""
        then = deepcopy(dual)
        then.nu, then.kappa = self.batch.risk[policy.learners[0]].tolist()
        return Valuation(deepcopy(policy.critic), then, policy.spec, policy.seat)

    # --- keeping and restoring ---

    def state_dict(self) -> dict[str, np.ndarray]:
        """Everything that the rest of the training depends on, as arrays by name."""
        state = {f"policy.{policy.learners[0]}.{k}": t for policy in self.policies for k, t in policy.state().items()}
        arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in state.items()}
        arrays |= {f"batch.{name}": array for name, array in self.batch.snapshot().items()}
        arrays |= {"alive": self._alive.copy(), "reward": self._reward.copy(), "pnl": self._pnl.copy()}
        for policy, dual, best in zip(self.policies, self.duals, self.best, strict=True):
            for part, state_of in (("dual", dual.state()), ("best", best.state())):
                arrays |= {f"{part}.{policy.learners[0]}.{name}": array for name, array in state_of.items()}
        return arrays | {"update": np.array([self.update_number, self._played])}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from such a state, of a trainer of the same desk, seed, markets and steps."""
        for policy, dual, best in zip(self.policies, self.duals, self.best, strict=True):
            first = policy.learners[0]
            policy.restore({name: torch.tensor(v) for name, v in _part(state, f"policy.{first}.").items()})
            dual.restore(_part(state, f"dual.{first}."))
            best.restore(_part(state, f"best.{first}."))
        self._observation = self.batch.restore(_part(state, "batch."))
        self._alive[:], self._reward[:], self._pnl[:] = state["alive"], state["reward"], state["pnl"]
        self.update_number, self._played = (int(x) for x in state["update"])
        step = self.update_number * self.rollout_steps % self.batch.steps
        self._over = step == 0
        self.cast.reset(self.seed, self.batch.episode, 0, self.markets, step)


def _part(state: Mapping[str, np.ndarray], mark: str) -> dict[str, np.ndarray]:
    """What is under a name in a state."""
    return {name.removeprefix(mark): array for name, array in state.items() if name.startswith(mark)}


def _others(desk: Desk) -> dict[int, Policy]:
    """The dealers that do not learn."""
    return {i: build(d.policy, Seat(desk, i)) for i, d in enumerate(desk.dealer_of) if not d.policy.learns}


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
