"""How fast the market around a book runs: its traders alone, without dealers; all that they send is counted and recorded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import TypeAdapter

from experiments import progress
from experiments.bench.rows import Row, alternate, rates
from marketsim.book.config import Book, Traders
from marketsim.book.market import BookMarkets

REPEATS = 20
AGENTS_STEPS = 200  # units of time
HOUR = 3600  # steps of a second
LOG = 2**17

_LATENCY = {"median": 0.002, "sigma": 0.5}

# 64 agents with latency, of every family
AGENTS = [
    {"kind": "zero_intelligence", "count": 40, "limit_rate": 0.05, "market_rate": 0.4, "cancel_rate": 0.1},
    {"kind": "hawkes", "count": 6, "rate": 1.0, "cancel_rate": 0.1, "size": {"mean": 2}},
    {"kind": "momentum", "count": 4, "rate": 1.0, "threshold": 0.5, "position": 50},
    {"kind": "value", "count": 8, "rate": 1.0, "noise": 5.0, "threshold": 2.0, "cancel_rate": 0.1, "position": 50},
    {"kind": "informed", "count": 2, "rate": 0.5, "threshold": 1.0, "position": 50},
    {"kind": "maker", "count": 4, "rate": 2.0, "half_spread": 2.0, "skew": 0.1, "size": 5, "position": 100},
]

# an hour of seconds, as ABIDES' configuration rmsc04 populates it (Byrd, Hybinette, Balch 2020)
HOUR_OF = [
    {"kind": "zero_intelligence", "count": 1000, "limit_rate": 1 / 3600 / 40, "cancel_rate": 1 / 600, "band": 20},
    {"kind": "value", "count": 100, "rate": 1 / 175, "noise": 10.0, "threshold": 1.0, "cancel_rate": 1 / 600},
    {"kind": "momentum", "count": 25, "rate": 1 / 37, "fast": 740.0, "slow": 1850.0, "threshold": 0.5},
    {"kind": "maker", "count": 2, "rate": 1 / 5, "half_spread": 3.0, "skew": 0.05, "size": 20, "position": 500},
]


def market(traders: list[dict], latency: dict, log: int) -> BookMarkets:
    blocks = TypeAdapter(Traders).validate_python([block | {"latency": latency} for block in traders])
    return BookMarkets(Book(levels=4096, orders=4096), blocks, log=log)


def rows() -> list[Row]:
    """64 agents in requests a second; an hour of 1,127 agents in milliseconds, its reset within the clock."""
    rng = np.random.default_rng(0)
    agents, hour = market(AGENTS, _LATENCY, LOG), market(HOUR_OF, _LATENCY, LOG)
    play_agents, play_hour = _player(agents, rng, AGENTS_STEPS), _player(hour, rng, HOUR)
    with progress.if_slow("compiling the market around the book, once; up to a minute ..."):
        play_agents()
    of_agents, of_hour = alternate(REPEATS, play_agents, play_hour)
    requests = agents.counts()["requests"]
    return [
        *rates("64 agents with latency", of_agents, requests, "requests/s", 2e6, 8e6),
        Row("an hour of 1,127 mixed agents", 1e3 * of_hour.best, "ms", 100.0, 20.0),
        Row(f"  median of {REPEATS}", 1e3 * of_hour.median, "ms"),
        Row("  its requests", float(hour.counts()["requests"]), "requests"),
        Row("  its events", float(hour.counts()["events"]), "events"),
    ]


def _player(markets: BookMarkets, rng: np.random.Generator, steps: int) -> Callable[[], None]:
    """Plays so many steps of 1, from a reset on."""
    values = (100 + 0.01 * np.cumsum(rng.normal(size=steps + 1))).reshape(-1, 1)

    def play() -> None:
        markets.reset(values[0])
        markets.play(values, 1.0)
        markets.tape()  # refuses a log that was too short

    return play
