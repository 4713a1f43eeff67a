"""What dealers do that their rewards do not say: the figures behind the flags of ``audit-reward``.

All are taken while deterministic policies play the evaluation's episodes, twice over the same clients: scored by the
reward that was learned from, and by the true objective.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from agents.cast import Cast
from agents.exact import win_probability
from agents.policy import Policy
from experiments.config import ExperimentConfig, TrueObjective
from marketsim.batch import MarketBatch, Step
from marketsim.measures.tail import cvar
from marketsim.quotes import markups_of
from marketsim.tables import Tables
from marketsim.types import ASK, BID

NEGLIGIBLE = 0.02  # chance that a dealer alone wins a request, below which a quote is not meant to trade
CLOSE = 0.05  # the last share of an episode's steps


def behaviour(
    desk: ExperimentConfig, policies: Mapping[int, Policy], agents: Sequence[int], episodes: int
) -> pd.DataFrame:
    """A row for each of ``agents`` with the figures below, over so many episodes of the evaluation's seed.

    Money in price units x lots an episode: ``proxy`` mean reward and ``proxy_se``; ``true`` the true objective; ``pnl``,
    ``cvar`` of the loss at the true objective's level, ``spread``; ``own_quote`` what the inventory at the close is worth at the
    dealer's own quote above the mid. Lots: ``hedge_close``, ``hedge_rest`` asked for in a step of the close and before it,
    ``won`` a step. ``unfillable``: share of steps that show both sides a markup at which a dealer alone wins less than 2%.
    ``markup`` mean asked for, in reference markups. ``interventions``: steps of 1,000 with any. ``sampling``, ``period``: how
    far inventory falls in every ``period``-th step, as a share of it, beyond what it does in the others.
    """
    true = desk.true_objective or TrueObjective()
    played = _Played(desk, agents, episodes)
    scored = [desk, desk.model_copy(update={"dealers": tuple(_paid(dealer, true) for dealer in desk.dealers)})]
    batches = [MarketBatch(config, episodes, desk.seed) for config in scored]
    cast = Cast(desk, policies)
    observation = [batch.reset(0) for batch in batches][0]
    cast.reset(desk.seed, 0, 0, episodes)
    actions = np.zeros((episodes, len(desk.agents), max(batches[0].action_widths)), np.float32)
    for t in range(batches[0].steps):
        quotes = cast.play(observation, actions)
        inventory = np.array(batches[0].state["inventory"])[:, :, 0]
        for k, agent in enumerate(agents):
            width = batches[0].action_widths[agent]
            asked = quotes.get(agent) or markups_of(desk, agent, actions[:, agent, :width], inventory[:, agent])
            played.ask(k, t, inventory[:, agent], *asked)
        steps = [batch.step(actions, quotes) for batch in batches]
        played.answer(t, steps[0], steps[1], np.array(batches[0].state["inventory"])[:, :, 0])
        observation = steps[0].observation
    return played.figures(true)


def _paid(dealer, true: TrueObjective):
    return dealer.model_copy(update={"reward": true.reward})


class _Played:
    """What is summed up while the episodes are played; arrays (agents, ...)."""

    def __init__(self, desk: ExperimentConfig, agents: Sequence[int], episodes: int):
        self._desk, self._agents, self._steps = desk, list(agents), desk.market.steps
        self._cells = Tables.of(desk).cells
        self._close = self._steps - max(1, round(CLOSE * self._steps))  # its first step
        A, T = len(self._agents), self._steps
        self._money = {name: np.zeros((A, episodes)) for name in ("proxy", "true", "pnl", "spread")}
        self._hedge, self._held, self._markup, self._unfillable = np.zeros((4, A, T))
        self._own_quote, self._won, self._acted = np.zeros((3, A, T))

    def ask(self, k: int, t: int, inventory: np.ndarray, markups: np.ndarray, hedge: np.ndarray) -> None:
        """What the k-th agent asks for in step t: markups (M, 2, segments, sizes), hedge (M, 1)."""
        cells = self._cells
        shown = markups.reshape(len(markups), -1)[:, cells["quote"]]
        rate = cells["rate"] / cells["rate"].sum()
        chance = win_probability(cells, shown)
        sides = [(cells["side"] == side) & (cells["rate"] > 0) for side in (BID, ASK)]
        best = np.stack([chance[:, side].max(axis=1, initial=0.0) for side in sides])
        mean = [_weighted(shown[:, side], rate[side]) for side in sides]
        self._unfillable[k, t] = np.mean(best.max(axis=0) < NEGLIGIBLE)
        self._markup[k, t] = np.mean(_weighted(shown * cells["per_reference"], rate))
        self._hedge[k, t] = np.abs(hedge).mean()
        self._own_quote[k, t] = np.mean(np.abs(inventory) * np.where(inventory > 0, mean[ASK], mean[BID]))

    def answer(self, t: int, step: Step, scored: Step, inventory: np.ndarray) -> None:
        """What the step made of it."""
        a = self._agents
        ledger = {name: step.ledger[name][:, a].T for name in ("spread", "inventory", "hedge_cost", "fees")}
        self._money["proxy"] += step.reward[:, a].T
        self._money["true"] += scored.reward[:, a].T
        self._money["spread"] += ledger["spread"]
        self._money["pnl"] += ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]
        self._won[:, t] = (step.ledger["bought"] + step.ledger["sold"])[:, a].mean(axis=0)
        self._acted[:, t] = (step.reasons[:, a] > 0).mean(axis=0)
        self._held[:, t] = np.abs(inventory[:, a]).mean(axis=0)

    def figures(self, true: TrueObjective) -> pd.DataFrame:
        rows = []
        for k, agent in enumerate(self._agents):
            money = {name: values[k] for name, values in self._money.items()}
            tail = cvar(-money["pnl"], true.cvar.level)
            strength, period = sampling(self._held[k, : self._close])
            close, rest = slice(self._close, None), slice(0, self._close)
            rows.append(
                {
                    "dealer": self._desk.agents[agent],
                    "proxy": money["proxy"].mean(),
                    "proxy_se": money["proxy"].std() / np.sqrt(money["proxy"].size),
                    "true": money["true"].mean() - true.cvar.weight * tail,
                    "pnl": money["pnl"].mean(),
                    "cvar": tail,
                    "spread": money["spread"].mean(),
                    "own_quote": self._own_quote[k, close].mean(),
                    "hedge_close": self._hedge[k, close].mean(),
                    "hedge_rest": self._hedge[k, rest].mean() if self._close else 0.0,
                    "won": self._won[k].mean(),
                    "unfillable": self._unfillable[k].mean(),
                    "markup": self._markup[k].mean(),
                    "interventions": 1000 * self._acted[k].mean(),
                    "sampling": strength,
                    "period": period,
                }
            )
        return pd.DataFrame(rows)


def _weighted(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weighted mean over the last axis of what is finite; 0 where nothing is."""
    known = np.isfinite(values) * weight
    total = known.sum(axis=-1)
    return np.where(
        total > 0,
        (np.where(np.isfinite(values), values, 0.0) * known).sum(axis=-1) / np.where(total > 0, total, 1.0),
        0.0,
    )


def sampling(held: np.ndarray) -> tuple[float, int]:
    """How far abs(inventory) ``held`` (steps,) dips at every so many steps, and that period; (0, 0) if never.

    The dip of a step is 1 - held / its mean half a period before and after, which is 0 under any steady trend. Of a period
    and phase with at least two steps inside: the smallest dip at its steps.
    """
    best = (0.0, 0)
    for period in range(2, len(held) // 2 + 1):
        half = period // 2
        inside = np.arange(half, len(held) - half)
        around = 0.5 * (held[inside - half] + held[inside + half])
        dip = np.where(around > 0.05 * held.max(), 1.0 - held[inside] / np.maximum(around, 1e-9), 0.0)
        for phase in range(period):
            sampled = dip[inside % period == phase]
            if len(sampled) >= 2:
                best = max(best, (float(sampled.min()), period))
    return best
