"""What a policy is, and how the experiment file's ``policy:`` block becomes one.

A policy is anything with ``act(observation) -> action``. One that thinks in prices sets ``native = True``
and its ``quote(observation)`` returns ``(markups, hedge)``; it bypasses the action map, never the guardrails.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

import numpy as np

from agents.config import Desk, PolicySpec, TradingDealer


@runtime_checkable
class Policy(Protocol):
    """Plays one dealer in every market of a batch at once.

    ``observation``: float32 (M, width), the dealer's own row. ``act`` returns float32 (M, components) in
    [-1, 1]; ``quote`` returns markups float64 (M, 2, segments, sizes) in price units, NaN = no quote, and
    hedge float64 (M, 1) in lots. A policy that draws or remembers also has
    ``reset(seed, episode, first_market, markets, step=0)``, called where an episode starts, or is taken up at a step.
    """

    native: bool

    def act(self, observation: np.ndarray) -> np.ndarray: ...

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class Seat:
    """Where a policy plays: the market, and which of its dealers it is."""

    config: Desk
    agent: int

    @property
    def dealer(self) -> TradingDealer:
        return self.config.dealer_of[self.agent]

    @property
    def name(self) -> str:
        return self.config.agents[self.agent]


# kind -> where its policy is built, imported when first asked for: ``build(spec, seat)``
_BUILDERS = {
    "fixed": ("agents.baselines", "Fixed"),
    "random": ("agents.baselines", "Random"),
    "avellaneda_stoikov": ("agents.closed_form", "AvellanedaStoikov"),
    "optimal": ("agents.optimal", "Optimal"),
    "plugin": ("agents.plugin", "Plugin"),
}


def build(spec: PolicySpec, seat: Seat) -> Policy:
    """The policy of a dealer that does not learn."""
    module, name = _BUILDERS[spec.kind]
    return getattr(import_module(module), name)(spec, seat)
