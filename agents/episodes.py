"""Whole episodes and what constraints count in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agents.cast import Cast
from marketsim.batch import MarketBatch, Step

COSTS = ("time_at_limit", "turnover")


class Overlay(Protocol):
    """What goes wrong in a market while it is played: told of every step before the dealers act, and of their quotes."""

    def before(self, batch: MarketBatch, t: int) -> None: ...

    def quotes(self, batch: MarketBatch, t: int, actions: np.ndarray, quotes: dict) -> dict: ...


@dataclass(frozen=True)
class Totals:
    """Sums over whole episodes, (episodes, dealers): reward, loss (= -P&L), and each of ``COSTS``."""

    reward: np.ndarray
    loss: np.ndarray
    time_at_limit: np.ndarray
    turnover: np.ndarray

    def of(self, agents: list[int]) -> Totals:
        """Those of some dealers, pooled: (episodes * dealers,)."""
        return Totals(*(array[:, agents].ravel() for array in vars(self).values()))


def joined(played: Sequence[Totals]) -> Totals:
    """Several lots of episodes as one."""
    return Totals(*(np.concatenate([vars(totals)[name] for totals in played]) for name in vars(played[0])))


def pnl(step: Step) -> np.ndarray:
    """The P&L of a step (M, N), price units x lots."""
    ledger = step.ledger
    return ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]


def costs(batch: MarketBatch, step: Step) -> dict[str, np.ndarray]:
    """What a step that the batch has just made adds to each of ``COSTS``, (M, N).

    ``time_at_limit``: a T-th where the dealer stands at its position limit; ``turnover``: lots, clients' and venue's.
    """
    inventory, ledger = np.asarray(batch.state["inventory"])[:, :, 0], step.ledger
    at_limit = np.abs(inventory) >= batch.tables.dealers["position_hard"]
    return {
        "time_at_limit": at_limit / batch.steps,
        "turnover": ledger["bought"] + ledger["sold"] + np.abs(ledger["hedge"]),
    }


def play(batch: MarketBatch, cast: Cast, episode: int = 0, overlay: Overlay | None = None) -> Totals:
    """One episode of every market of the batch; the cast plays every dealer."""
    observation = batch.reset(episode)
    cast.reset(batch.seed, episode, batch.first_market, batch.markets)
    actions = np.zeros((batch.markets, len(batch.agents), max(batch.action_widths)), np.float32)
    totals = Totals(*np.zeros((2 + len(COSTS), batch.markets, len(batch.agents))))
    for t in range(batch.steps):
        if overlay is not None:
            overlay.before(batch, t)
        quotes = cast.play(observation, actions)
        if overlay is not None:
            quotes = overlay.quotes(batch, t, actions, quotes)
        step = batch.step(actions, quotes)
        totals.reward[:] += step.reward
        totals.loss[:] -= pnl(step)
        for name, cost in costs(batch, step).items():
            getattr(totals, name)[:] += cost
        observation = step.observation
    return totals
