"""How fast dealers learn in the book: the array API of a market where ten of them quote.

Every step each of the ten asks for two orders anew, actions are uniform over their range, about ten orders of background
traders come in between, and observations, limits on position and worst case, ledger and rewards are the engine's own.
"""

from __future__ import annotations

from experiments import progress
from experiments.bench.play import Play
from experiments.bench.rows import Row, alternate, rates
from marketsim import MarketConfig, load_config

DEALERS, MARKETS, REPEATS = 10, 256, 10
TRADERS = {"kind": "zero_intelligence", "count": 10, "limit_rate": 0.012, "market_rate": 0.05, "cancel_rate": 0.02}


def market() -> MarketConfig:
    """Ten dealers in a book."""
    return load_config(
        {
            "market": {
                "kind": "book",
                "steps": 96,
                "inventory_limit": 50,
                "book": {"tick": 0.01, "levels": 512, "orders": 1024, "opening": {"levels": 10, "lots": 5}},
                "traders": [TRADERS],
            },
            "dealers": [
                {
                    "count": DEALERS,
                    "action": {"kind": "offsets", "offset": [0, 10], "size": [1, 5], "hedge": "fraction"},
                    "limits": {"position": {"hard": 40}, "worst_case": {"hard": 45}, "order_rate": {"hard": 10}},
                }
            ],
        }
    )


def rows() -> list[Row]:
    """Market steps a second, every one with ten dealers' actions."""
    with progress.if_slow("compiling the market step with a book, once; up to a minute ..."):
        Play(market(), markets=1)()
    play = Play(market(), MARKETS)
    (taken,) = alternate(REPEATS, play)
    return rates(
        f"{DEALERS} dealers quoting in the book, {MARKETS} markets", taken, play.steps, "market steps/s", 100e3, 300e3
    )
