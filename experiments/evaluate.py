"""Measuring: the policies of a desk play episodes that nobody trained on, and what happened is written down.

Of K markets, episode e K + k is market k of the engine's episode e under the evaluation seed, whatever the batch size:
every design, run and policy meets the same clients and the same exogenous price in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from agents.cast import Cast
from agents.config import Desk
from agents.policy import Policy
from agents.supply import Supply, supplies
from experiments import benchmarks, store
from experiments.config import ExperimentConfig
from experiments.fan import Fan
from experiments.governance import Governance
from experiments.sampled import Sampled
from marketsim.batch import MarketBatch, Step
from marketsim.guardrails.governor import Governor
from marketsim.guardrails.supplied import SoftReason, Supplied, passed, soft_levels
from marketsim.measures import attribution
from marketsim.measures.markouts import HORIZONS, Markouts
from marketsim.measures.paths import Paths
from marketsim.scenarios import Overlay, overlay
from marketsim.types import LEDGER, Reason

_REASONS = tuple(prefix + reason.name.lower() for prefix in ("", "soft_") for reason in Reason)  # type: ignore[union-attr]
_REASONS += tuple(f"soft_{str(reason.name).lower()}" for reason in SoftReason)


@dataclass(frozen=True)
class Course:
    """What happens to the episodes besides the policies: each market plays ``in_a_row`` one after another; from number
    ``after`` on under a ``scenario``; and ``governance`` may watch over them, which takes all markets at once."""

    in_a_row: int = 1
    scenario: Overlay | None = None
    after: int = 0
    governance: Governance | None = None

    @classmethod
    def of(cls, desk: ExperimentConfig, policies: Mapping[int, Policy], folder: Path, resume: bool = False) -> Course:
        """As the file has it. ``folder``: of the design and seed; ``resume``: see ``Governance``."""
        wanted = desk.evaluate.scenario
        governance = Governance(desk, policies, folder, resume) if desk.escalation is not None else None
        if wanted is None:
            return cls(desk.evaluate.in_a_row, governance=governance)
        scenario = overlay(wanted.overlay, desk, begin=wanted.begin)
        return cls(desk.evaluate.in_a_row, scenario, wanted.after, governance)

    def close(self) -> None:
        """Let go of the audit file, however the evaluation ended."""
        if self.governance is not None:
            self.governance.close()

    def overlay(self, episode: int) -> Overlay | None:
        """What goes wrong in a market's episode of this number."""
        return self.scenario if episode >= self.after else None


def evaluate(
    desk: Desk,
    policies: Mapping[int, Policy],
    folder: Path,
    seed: int,
    episodes: int,
    sample: int,
    progress: Callable[[float, str], None] | None = None,
    markets: int = 1000,
    threads: int = 1,
    course: Course = Course(),
) -> None:
    """Play ``policies``, agent -> policy, one for every agent, and write the tables of docs/run-folder.md to ``folder``.

    ``seed``: of the evaluation. ``sample``: of how many markets, the first ones, every step and request of the first
    episode is kept. ``progress(done episodes, the figure that matters)``. ``markets``: played at once; memory grows by
    some 250 bytes an episode and dealer beyond that. The tables are all but training's: episodes, steps, requests,
    best quotes and prints of a book, quantiles, quotes, benchmarks and interventions, and those of the governance.
    """
    cast = _everyone(desk, policies)
    fan = Fan(desk, episodes)
    tables: list[pd.DataFrame] = []
    interventions = np.zeros((len(_REASONS), len(desk.agents)), dtype=np.int64)
    rows = episodes // course.in_a_row  # of episodes, one a market
    done = 0
    for first in range(0, rows, rows if course.governance else markets):
        count = rows if course.governance else min(markets, rows - first)
        record = first == 0 or bool(course.governance and course.governance.records)
        batch = MarketBatch(desk, count, seed, first, threads=1 if record else threads, record=record)
        governor = course.governance.over(batch) if course.governance else None
        supply = course.governance.supplies(batch, policies) if course.governance else supplies(batch, policies)
        for episode in range(course.in_a_row):
            sampled = Sampled(batch, min(sample, count)) if first == 0 and episode == 0 else None
            watch = Watch(episode, episode * rows + first, course.overlay(episode), governor, fan, sampled, supply)
            played = _play(batch, cast, watch)
            if sampled is not None:
                store.write_table(folder, "steps", sampled.steps())
                store.write_table(folder, "requests", sampled.requests())
                for name, table in sampled.book().items():
                    store.write_table(folder, name, table)
            tables.append(played.episodes(episode * rows))
            interventions += played.interventions
            done += count
            if progress is not None:
                progress(done, _figure(desk, tables))
    table = pd.concat(tables, ignore_index=True).sort_values("episode", kind="stable", ignore_index=True)
    store.write_table(folder, "episodes", table)
    store.write_table(folder, "quantiles", fan.quantiles())
    store.write_table(folder, "interventions", _interventions(desk, interventions, episodes))
    if course.governance is not None:
        course.governance.write(folder)
    reached = table["max_inventory"].to_numpy().reshape(episodes, -1).max(axis=0)
    benchmarks.write(desk, policies, folder, reached)


def outcomes(
    desk: Desk,
    policies: Mapping[int, Policy],
    seed: int,
    episodes: int,
    scenario: Overlay | None = None,
    progress: Callable[[float, str], None] | None = None,
    markets: int = 1000,
) -> pd.DataFrame:
    """The same episodes, of which nothing is written: their table alone, a row an episode and dealer."""
    cast = _everyone(desk, policies)
    tables: list[pd.DataFrame] = []
    for first in range(0, episodes, markets):
        batch = MarketBatch(desk, min(markets, episodes - first), seed, first)
        tables.append(_play(batch, cast, Watch(scenario=scenario)).episodes())
        if progress is not None:
            progress(first + batch.markets, _figure(desk, tables))
    return pd.concat(tables, ignore_index=True)


def _everyone(desk: Desk, policies: Mapping[int, Policy]) -> Cast:
    if sorted(policies) != list(range(len(desk.agents))):
        raise ValueError(f"agents {sorted(policies)} have a policy, each of the {len(desk.agents)} agents needs one")
    return Cast(desk, policies)


@dataclass(frozen=True)
class Watch:
    """Who looks on while the batch plays the engine's ``episode``, whose first is number ``first`` of all."""

    episode: int = 0
    first: int = 0
    scenario: Overlay | None = None
    governor: Governor | None = None
    fan: Fan | None = None
    sampled: Sampled | None = None
    supplies: Mapping[int, Supply] = field(default_factory=dict)  # what dealers say about themselves


def _play(batch: MarketBatch, cast: Cast, watch: Watch) -> _Played:
    """One episode of every market of the batch."""
    scenario, governor, fan, sampled = watch.scenario, watch.governor, watch.fan, watch.sampled
    observation = batch.reset(watch.episode)
    cast.reset(batch.seed, watch.episode, batch.first_market, batch.markets)
    actions = np.zeros((batch.markets, len(batch.agents), max(batch.action_widths)), np.float32)
    played = _Played(batch)
    if governor is not None:
        governor.begin()
    for supply in watch.supplies.values():
        supply.begin()
    if fan is not None:
        fan.add(watch.first, 0, played.pnl, played.inventory)
    for t in range(batch.steps):
        if scenario is not None:
            scenario.before(batch, t)
        if governor is not None:
            governor.before()
        quotes = cast.play(observation, actions)
        if scenario is not None:
            quotes = scenario.quotes(batch, t, actions, quotes)
        for supply in watch.supplies.values():
            supply.before(observation, actions, quotes)
        if sampled is not None:
            sampled.ask(played.mid, played.inventory, played.pnl, actions, quotes)
        step = batch.step(actions, quotes)
        if sampled is not None:
            sampled.answer(step, played.mid)
        supplied = {agent: supply.after(step) for agent, supply in watch.supplies.items()}
        if governor is not None:
            governor.after(step, supplied)
        played.add(step, supplied)
        if fan is not None:
            fan.add(watch.first, t + 1, played.pnl, played.inventory)
        observation = step.observation
    if sampled is not None:
        sampled.end(played.mid, played.inventory, played.pnl)
    return played


class _Played:
    """What is measured of the episodes of a batch while they are played.

    ``mid`` (markets,), ``inventory`` and ``pnl`` (dealers, markets): where they stand. ``interventions`` (reasons,
    dealers): steps in which each reason fired.
    """

    def __init__(self, batch: MarketBatch):
        N, M = len(batch.agents), batch.markets
        self._batch = batch
        self._ledger = {term: np.zeros((N, M)) for term in LEDGER}
        self._reward = np.zeros((N, M))
        self._paths = Paths(N, M)
        self._markouts = Markouts(N, M)
        self.interventions = np.zeros((len(_REASONS), N), dtype=np.int64)
        self._look()

    def _look(self) -> None:
        state = self._batch.state
        self.mid = state["mid"][:, 0].copy()  # type: ignore[index]
        self.inventory = state["inventory"][:, :, 0].T.copy()  # type: ignore[index]
        self.pnl = state["cash"].T + self.inventory * self.mid  # type: ignore[union-attr]

    def add(self, step: Step, supplied: Mapping[int, Supplied]) -> None:
        """The batch has made a step."""
        self._count(step, supplied)
        mid = self.mid
        self._look()
        ledger = {term: step.ledger[term].T for term in LEDGER}
        for term, total in self._ledger.items():
            total += ledger[term]
        self._reward += step.reward.T
        self._terminated = step.terminated.T
        self._markouts.add(mid, ledger["bought"], ledger["sold"], self.mid)
        self._paths.add(self.pnl, self.inventory, last=bool(step.truncated[0, 0]))

    def _count(self, step: Step, supplied: Mapping[int, Supplied]) -> None:
        """Count what the guardrails did, and the steps past a soft level."""
        for first, bits in ((0, step.reasons), (len(Reason), step.warnings)):
            if bits.any():
                for k, reason in enumerate(Reason, start=first):
                    self.interventions[k] += np.count_nonzero(bits & reason, axis=0)
        for agent, own in supplied.items():
            bits = passed(soft_levels(self._batch.config.dealer_of[agent].limits), own, self._batch.markets)
            for k, soft in enumerate(SoftReason, start=2 * len(Reason)):
                self.interventions[k, agent] += np.count_nonzero(bits & soft)

    def episodes(self, before: int = 0) -> pd.DataFrame:
        """A row an episode and dealer, see docs/run-folder.md; ``before``: episodes that stand before market 0's."""
        N, M = self._reward.shape
        number = self._batch.first_market + np.arange(M)
        columns = {
            "reward": self._reward, "pnl": attribution.pnl(self._ledger), **self._ledger,
            "drawdown": self._paths.drawdown, "max_inventory": self._paths.max_inventory,
            "final_inventory": self.inventory, "worst_loss": self._paths.worst_loss, "terminated": self._terminated,
            **{f"markout_{h}": self._markouts.gain[h] for h in HORIZONS},
            **{f"marked_{h}": self._markouts.lots[h] for h in HORIZONS},
            "inventory_square": self._paths.square, "inventory_product": self._paths.product,
        }  # fmt: skip
        keys = {
            "episode": np.repeat(before + number, N),
            "market": np.repeat(number, N),
            "dealer": list(self._batch.agents) * M,
        }
        return pd.DataFrame(keys | {name: values.T.ravel() for name, values in columns.items()})


def _interventions(desk: Desk, counts: np.ndarray, episodes: int) -> pd.DataFrame:
    """Counts (reasons, dealers) as a table; a soft level that a dealer does not have makes no row."""
    per = 1000 / (episodes * desk.market.steps)
    rows = []
    for i, (agent, dealer) in enumerate(zip(desk.agents, desk.dealer_of, strict=True)):
        for reason, count in zip(_REASONS, counts[:, i], strict=True):
            if reason.startswith("soft_") and getattr(getattr(dealer.limits, reason[5:], None), "soft", None) is None:
                continue
            rows.append((agent, reason, int(count), count * per))
    return pd.DataFrame(rows, columns=["dealer", "reason", "count", "per_1000_steps"])


def _figure(desk: Desk, tables: Sequence[pd.DataFrame]) -> str:
    """The figure that matters, so far: the objective of the first learner, or of the first dealer."""
    name = desk.agents[desk.learners[0] if desk.learners else 0]
    rewards = [table["reward"].to_numpy()[table["dealer"].to_numpy() == name] for table in tables]
    return f"{name}: objective {np.concatenate(rewards).mean():.4g}"
