"""A market small enough to be worked out by hand."""

import math

from twin.step import TwinMarket

NONE = math.nan


def market_of(*dealers, bid=0.0, ask=0.0, size=1, drift=0.0, informed=None, episode=0, desk=None, **rules):
    """One cell a side, F moving by ``drift`` each step, clients who take any price, a request where a rate is 1."""
    segment = {
        "name": "clients",
        "sizes": [size],
        "rates": {"bid": [bid], "ask": [ask]},
        "choice": {"kind": "best_price", "reservation": {"kind": "none"}},
    }
    if informed:
        segment["informed"] = informed
    market = {
        "steps": 3,
        "price": {"kind": "brownian", "mid": 100.0, "volatility": 0.0, "drift": drift},
        "arrivals": {"kind": "bernoulli"},
        "segments": [segment],
        "reference": 1.0,
    }
    named = [{"name": f"dealer_{i}", **dealer} for i, dealer in enumerate(dealers or [{}])]
    config = {"market": market | rules, "dealers": named} | ({"desk": desk} if desk else {})
    return TwinMarket(config, seed=0, episode=episode, market=0)


def quote(bid, ask, hedge=0.0):
    """What a price-driven dealer gives in a market of one segment and size."""
    return [[[bid]], [[ask]]], hedge


def ledger_of(step, dealer=0):
    return {term: amount for term, amount in step.ledger[dealer].items() if amount}
