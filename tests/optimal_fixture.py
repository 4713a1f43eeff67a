"""Desks of one dealer whose optimum is known or can be enumerated."""

from __future__ import annotations

from agents.config import Desk
from marketsim.document import Document, parse

LOGIT = {"kind": "logit", "intercept": -0.5, "sensitivity": 2.0}
EXPONENTIAL = {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 1.5}}
FIXED = {"kind": "best_price", "reservation": {"kind": "fixed", "value": 0.4}}
PENALISED = [
    "pnl",
    {"kind": "inventory_penalty", "weight": 0.05},
    {"kind": "terminal_inventory_penalty", "weight": 0.1},
]


def desk(market: dict | None = None, **dealer) -> Desk:
    """A desk of one dealer: three sizes, at most one request a step, 12 steps, 8 lots at most."""
    base = {
        "steps": 12,
        "inventory_limit": 8,
        "liquidate": True,
        "venue": {"half_spread": 0.3, "slope": 0.05, "fee": 0.01},
        "arrivals": "at_most_one",
        "segments": [{"sizes": [1, 2, 5], "rates": [0.2, 0.1, 0.05], "choice": LOGIT}],
    }
    block = {"name": "dealer", "policy": "optimal", "reward": PENALISED} | dealer
    return parse(Desk, Document.of({"market": base | (market or {}), "dealers": [block]}))


def two_sided(choice: dict = EXPONENTIAL, rate: float = 0.7, **market) -> dict:
    """A market of one cell a side, both of which may come in one step."""
    return {"arrivals": "bernoulli", "segments": [{"rates": [rate], "choice": choice}], **market}


VARIANTS = {
    "logit": desk(),
    "exponential": desk({"segments": [{"sizes": [1, 3], "rates": [0.2, 0.1], "choice": EXPONENTIAL}]}),
    "fixed": desk({"segments": [{"sizes": [1, 3], "rates": [0.2, 0.1], "choice": FIXED}]}),
    "mixed": desk(
        {
            "segments": [
                {"name": "a", "rates": {"bid": [0.3], "ask": [0.1]}, "choice": EXPONENTIAL},
                {"name": "b", "sizes": [2], "rates": [0.2], "choice": LOGIT},
                {"name": "c", "sizes": [3], "rates": [0.05], "choice": FIXED},
            ]
        }
    ),
    "drift": desk({"price": {"kind": "brownian", "drift": 0.2}}),
    "impact": desk({"venue": {"half_spread": 0.1, "slope": 0.05, "impact": 0.02}}),
    "bernoulli": desk(two_sided()),
    "bernoulli logit": desk(two_sided(LOGIT)),
    "bernoulli sizes": desk(
        {
            "arrivals": "bernoulli",
            "inventory_limit": 4,
            "segments": [
                {"name": "sellers", "sizes": [2], "rates": {"bid": [0.6], "ask": [0]}, "choice": LOGIT},
                {"name": "buyers", "sizes": [3], "rates": {"bid": [0], "ask": [0.5]}, "choice": EXPONENTIAL},
            ],
        }
    ),
    "one side": desk({"arrivals": "bernoulli", "segments": [{"rates": {"bid": [0.6], "ask": [0]}, "choice": LOGIT}]}),
    "reject": desk(limits={"position": {"hard": 6, "on_breach": "reject"}}),
    "reduce only": desk(limits={"position": {"hard": 5, "on_breach": "reduce_only"}}),
    "two sided reduce only": desk(two_sided(), limits={"position": {"hard": 1, "on_breach": "reduce_only"}}),
    "flatten": desk(two_sided(), limits={"position": {"hard": 6, "on_breach": "flatten"}}),
    "clipped band": desk(limits={"markup": {"low": 0.3, "high": 0.6}}),
    "rejecting band": desk(two_sided(LOGIT), limits={"markup": {"low": 0.3, "high": 0.6, "on_breach": "reject"}}),
    "downside": desk(
        {"dt": 0.25, "price": {"kind": "brownian", "drift": 0.1, "volatility": 0.5}},
        reward=["pnl", {"kind": "downside", "weight": 0.3}, {"kind": "asymmetric_dampening", "weight": 0.2}],
    ),
    "regime": desk(
        {
            "price": {
                "kind": "regime",
                "drift": [0.0, 0.0],
                "volatility": [1.0, 2.0],
                "transition": [[0.9, 0.1], [0.5, 0.5]],
            }
        }
    ),
    "short steps": desk({"dt": 0.25, "price": {"kind": "brownian", "drift": 0.3}}),
    "gbm": desk({"price": {"kind": "gbm"}}),
}
