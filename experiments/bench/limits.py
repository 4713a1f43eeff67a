"""What the guardrails of the compiled step cost, all of them at once: a step of the market, and of a training."""

from __future__ import annotations

import statistics

from experiments.bench.play import Play
from experiments.bench.rows import Row, alternate
from marketsim import MarketConfig, load_config

MARKETS = 1_000
REPEATS = 40
# every limit of the compiled step, at levels that are seldom met
LIMITS = {
    "markup": {"low": -0.1, "high": 1.1},
    "size": {"hard": 10},
    "position": {"soft": 15, "hard": 20, "on_breach": "reduce_only"},
    "worst_case": {"hard": 25},
    "loss": {"soft": 100, "hard": 200},
    "rolling_loss": {"soft": 50, "hard": 100, "steps": 20},
    "drawdown": {"soft": 100, "hard": 200},
    "feed": {"jump": 10, "frozen": 20},
    "time_at_limit": {"level": 18, "hard": 40},
    "hedge": {"hard": 5},
    "slippage": {"hard": 1.0},
}


def rows(config: MarketConfig) -> list[Row]:
    """The same market with and without them, in turn."""
    added, step = cost(config)
    return [
        Row(f"all limits, a dealer-step, median of {REPEATS} pairs", added / len(config.agents) * 1e9, "ns", 30.0),
        Row("  their share of the market step", 100 * added / step, "%"),
    ]


def share_of_training(config: MarketConfig, seconds: float) -> Row:
    """Of a training on this market that takes so many seconds a market step."""
    added, _ = cost(config)
    return Row("all limits, their share of the training's time", 100 * added / seconds, "% of the time", 3.0)


def cost(config: MarketConfig) -> tuple[float, float]:
    """Seconds that all limits add to a market step, and those of the step with them: medians of pairs."""
    tree = config.model_dump(mode="json", exclude_none=True)
    blocks = [{k: v for k, v in dealer.items() if k not in ("policy", "objective")} for dealer in tree["dealers"]]
    rules = {key: value for key, value in tree["market"].items() if key != "inventory_limit"}  # a limit, too
    market = {"market": rules, "dealers": blocks}
    limited = market | {"dealers": [block | {"limits": LIMITS} for block in blocks], "desk": {"position": {"hard": 60}}}
    free, held = (Play(load_config(each), MARKETS) for each in (market, limited))
    without, with_limits = alternate(REPEATS, free, held)
    paired = [(b - a) / free.steps for a, b in zip(without.seconds, with_limits.seconds, strict=True)]
    return statistics.median(paired), with_limits.median / held.steps
