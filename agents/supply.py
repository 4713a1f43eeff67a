"""What a dealer supplies about itself while it plays: the critic's error, its entropy, how far it is from the reference
policy, what the tail of its losses has used up. docs/escalation.md has what each figure is and why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from agents import episodes
from agents.checkpoint import LearnedPolicy
from agents.exploring import Exploring
from agents.policy import Policy
from marketsim.batch import MarketBatch, Step
from marketsim.document import InputError
from marketsim.guardrails import streams
from marketsim.guardrails.envelope import Limits
from marketsim.guardrails.supplied import Supplied, soft_levels
from marketsim.measures.tail import cvars
from marketsim.quotes import markups_of

_RECENT = 1.0 / 20.0  # weight of the newest step in the critic's mean error


class Supply:
    """Of one dealer of a batch: ``begin()`` after every reset, ``before(...)`` and ``after(step)`` around every step.

    ``watch``: streams that are watched; of them it supplies ``streams.GIVEN``, and beside them every figure that the
    ``limits`` name. Raises InputError, a sentence, where its policy cannot.
    """

    def __init__(self, batch: MarketBatch, agent: int, policy: Policy, watch: Collection[str], limits: Limits):
        self._batch, self._agent, self._limits = batch, agent, limits
        self._streams = [name for name in watch if name in streams.GIVEN]
        self._entropy = _learned(policy, batch.agents[agent]) if "entropy" in self._streams else None
        errs = "critic_error" in self._streams or limits.critic_error is not None
        self._critic = _Critic(batch, agent, _learned(policy, batch.agents[agent])) if errs else None
        self._distance = None if limits.reference_distance is None else _Distance(batch, agent)
        self._budget = limits.cvar_budget
        kept = 0 if self._budget is None else self._budget.episodes
        self._losses = np.zeros((kept, batch.markets))  # of the last episodes, a ring
        self._episode = -1

    @property
    def silent(self) -> bool:
        """Nobody asked for anything."""
        return not (self._streams or soft_levels(self._limits))

    def begin(self) -> None:
        """The batch has been reset."""
        self._episode += 1
        if self._critic is not None:
            self._critic.begin()

    def before(self, observation: np.ndarray, actions: np.ndarray, quotes: Mapping[int, tuple]) -> None:
        """The dealers have asked: what they saw and want, as ``MarketBatch.step`` takes it."""
        seen = observation[:, self._agent, : self._batch.widths[self._agent]]
        self._now = Supplied({}, {})
        if self._entropy is not None:
            self._now.streams["entropy"] = self._entropy.entropy(seen)
        if self._critic is not None:
            self._critic.before(seen)
        if self._distance is not None:
            self._now.figures["reference_distance"] = self._distance.of(actions, quotes)

    def after(self, step: Step) -> Supplied:
        """The batch has made the step."""
        if self._critic is not None:
            self._now.streams["critic_error"] = self._critic.after(step)
            self._now.figures["critic_error"] = self._critic.recent
        if self._budget is not None:
            self._losses[self._episode % self._budget.episodes] = _loss(self._batch, self._agent)
            self._now.figures["cvar_budget"] = cvars(self._losses[: self._episode + 1], self._budget.level)
        return self._now


def supplies(
    batch: MarketBatch, policies: Mapping[int, Policy], governed: Collection[int] = (), watch: Collection[str] = ()
) -> dict[int, Supply]:
    """Of the dealers that are asked to supply anything: by the ``watch`` over the ``governed``, or by their limits."""
    limits = [dealer.limits for dealer in batch.config.dealer_of]
    every = {i: Supply(batch, i, policy, watch if i in governed else (), limits[i]) for i, policy in policies.items()}
    return {i: supply for i, supply in every.items() if not supply.silent}


def _learned(policy: Policy, name: str) -> LearnedPolicy:
    learned = policy.policy if isinstance(policy, Exploring) else policy
    if not isinstance(learned, LearnedPolicy):
        raise InputError(f"{name} has not learned: it has no critic, and its actions have no distribution")
    return learned


def _loss(batch: MarketBatch, agent: int) -> np.ndarray:
    """Since reset, (M,)."""
    state = batch.state
    return -(state["cash"][:, agent] + state["inventory"][:, agent, 0] * state["mid"][:, 0])  # type: ignore[index]


class _Critic:
    """The temporal-difference error of each step, and ``recent``, the mean of its size of late, both (M,)."""

    def __init__(self, batch: MarketBatch, agent: int, policy: LearnedPolicy):
        if policy.valuation is None:
            raise InputError(
                f"the checkpoint of {batch.agents[agent]} holds no critic, it was written before they were kept: "
                f"train it again, or leave critic_error out"
            )
        self._batch, self._agent, self._policy, self._valuation = batch, agent, policy, policy.valuation
        self.recent = np.zeros(batch.markets)
        self.begin()

    def begin(self) -> None:
        self._expected: np.ndarray | None = None  # of the state that the step begins in
        self._ruined = np.zeros(self._batch.markets, bool)

    def before(self, seen: np.ndarray) -> None:
        self._loss = _loss(self._batch, self._agent)
        if self._expected is None:
            self._expected = self._policy.value(seen)

    def after(self, step: Step) -> np.ndarray:
        """The error of the step; NaN after ruin, when nothing is expected any more."""
        i, valuation = self._agent, self._valuation
        assert self._expected is not None
        then = self._policy.value(step.observation[:, i, : self._batch.widths[i]])
        over = step.terminated[:, i] | (step.truncated[:, i] & valuation.ends)
        costs = {}
        if valuation.dual.prices:
            costs = {name: cost[:, i] for name, cost in episodes.costs(self._batch, step).items()}
        loss = (self._loss, _loss(self._batch, i))
        error = valuation.error(self._expected, then, step.reward[:, i], loss, costs, over)
        error[self._ruined] = np.nan
        said = ~self._ruined
        self.recent[said] += (np.abs(error[said]) - self.recent[said]) * _RECENT
        self._expected, self._ruined = then, step.terminated[:, i].copy()
        return error


class _Distance:
    """Of a dealer's quotes from the reference policy, which quotes the reference markup in every cell."""

    def __init__(self, batch: MarketBatch, agent: int):
        self._batch, self._agent = batch, agent
        cells = batch.tables.cells
        self._quote, self._reference = cells["quote"].copy(), cells["reference"].copy()
        self._per = 1.0 / np.where(self._reference == 0.0, 1.0, np.abs(self._reference))

    def of(self, actions: np.ndarray, quotes: Mapping[int, tuple]) -> np.ndarray:
        """Mean over the cells of |markup - reference| / reference, (M,), 1 for a reference of 0.

        A dealer that thinks in prices may withdraw cells: they do not count. An action that is no number is NaN away.
        """
        batch, i = self._batch, self._agent
        if i in quotes:
            away = self._away(np.asarray(quotes[i][0]))
            quoted = np.isfinite(away)
            return np.where(quoted, away, 0.0).sum(axis=1) / np.maximum(quoted.sum(axis=1), 1)
        action = actions[:, i, : batch.action_widths[i]]
        markups, _ = markups_of(batch.config, i, action, batch.state["inventory"][:, i, 0])  # type: ignore[index]
        return np.where(np.isfinite(action).all(axis=1), self._away(markups).mean(axis=1), np.nan)

    def _away(self, markups: np.ndarray) -> np.ndarray:
        """Of each cell (M, cells)."""
        return np.abs(markups.reshape(len(markups), -1)[:, self._quote] - self._reference) * self._per
