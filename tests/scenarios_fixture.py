"""A desk of a learner and two rivals, and an episode of random play under an overlay."""

from __future__ import annotations

import numpy as np

import marketsim
from agents.config import Desk
from marketsim import scenarios
from marketsim.types import LEDGER

STEPS, MARKETS, BEGIN = 30, 300, 10
DESK = {
    "market": {
        "steps": STEPS,
        "inventory_limit": 10,
        "liquidate": True,
        "price": {"kind": "ou", "mean": 100.0, "reversion": 0.2, "volatility": 0.5},
        "venue": {"half_spread": 0.1, "slope": 0.01, "impact": 0.02},
        "segments": [
            {"name": "slow", "sizes": [1, 3], "rates": [0.3, 0.2], "choice": {"kind": "logit", "sensitivity": 2.0}},
            {"name": "fast", "rates": [0.4], "informed": {"share": 0.1, "accuracy": 0.9, "lead": 3}},
        ],
    },
    "dealers": [
        {"name": "learner", "policy": "ppo"},
        {"name": "rival", "count": 2, "action": {"kind": "skew", "hedge": 2.0}, "policy": "fixed"},
    ],
}
PRICES = {
    "brownian": {"kind": "brownian", "volatility": 0.5},
    "gbm": {"kind": "gbm", "volatility": 0.01},
    "ou": DESK["market"]["price"],
    "regime": {
        "kind": "regime", "transition": [[0.9, 0.1], [0.2, 0.8]], "drift": [0.0, 0.0], "volatility": [0.5, 2.0]
    },
}  # fmt: skip


def desk(**market) -> Desk:
    return Desk.model_validate(DESK | {"market": DESK["market"] | market})


class Played:
    """An episode of random play under an overlay: (steps, markets, ...) arrays, requests a table, mids from S_0 on."""

    def __init__(self, config: Desk, name: str | None = None, markets: int = MARKETS, **parameters):
        overlay = None if name is None else scenarios.overlay(name, config, **parameters)
        batch = marketsim.MarketBatch(config, markets, seed=7, record=True)
        seen = batch.reset(episode=0)
        rng = np.random.default_rng(5)
        self.exogenous, self.mid = ([batch.state[key][:, 0].copy()] for key in ("exogenous", "mid"))  # type: ignore[index]
        self.observation, ledger, requests = [], [], []
        for t in range(batch.steps):
            actions = rng.uniform(-1, 1, (markets, 3, max(batch.action_widths))).astype(np.float32)
            quotes: scenarios.Quotes = {}
            if overlay is not None:
                overlay.before(batch, t)
                quotes = overlay.quotes(batch, t, actions, quotes)
            self.observation.append(seen.copy())
            step = batch.step(actions, quotes)
            ledger.append([step.ledger[term].copy() for term in LEDGER])
            requests.append(batch.requests.copy())
            self.exogenous.append(batch.state["exogenous"][:, 0].copy())  # type: ignore[index]
            self.mid.append(batch.state["mid"][:, 0].copy())  # type: ignore[index]
        self.ledger = dict(zip(LEDGER, np.array(ledger).transpose(1, 0, 2, 3), strict=True))
        self.requests = np.concatenate(requests)
        self.mid, self.exogenous = np.array(self.mid), np.array(self.exogenous)

    def requested(self, **at) -> np.ndarray:
        """Its requests of these fields, in the steps ``first`` <= step < ``last``."""
        first, last = at.pop("first", 0), at.pop("last", STEPS)
        table = self.requests[(self.requests["step"] >= first) & (self.requests["step"] < last)]
        for key, value in at.items():
            table = table[table[key] == value]
        return table
