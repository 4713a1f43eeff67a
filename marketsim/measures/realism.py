"""How realistic a tape is: every fact of realism.yaml measured, and held against the range that was fixed there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from marketsim.document import read_text
from marketsim.measures import microstructure, stylised
from marketsim.measures.jackknife import Measured, autocorrelations
from marketsim.measures.sampled_tape import SampledTape
from marketsim.tape import Tape

PASS, FAIL, UNDECIDED, REPORTED = "pass", "fail", "too little data", "reported"


@dataclass(frozen=True)
class Fact:
    """``statistic``: what is measured, in words; ``range``: where the fact holds, None: it is not judged; ``least``:
    observations below which nothing is said; ``source``: where the range is from."""

    name: str
    measure: str
    statistic: str
    range: tuple[float, float] | None
    least: int
    source: str

    @property
    def asked(self) -> str:
        """The range as it is read: ``above 0.05``, ``-0.1 to 0.1``; empty where nothing is asked."""
        if self.range is None:
            return ""
        low, high = self.range
        if np.isinf(high):
            return f"above {low:g}"
        return f"below {high:g}" if np.isinf(low) else f"{low:g} to {high:g}"


@dataclass(frozen=True)
class Finding:
    """A fact as it was measured on a tape."""

    fact: Fact
    measured: Measured
    verdict: str


def _of_returns(function: Callable[[np.ndarray], Measured]) -> Callable[[SampledTape], Measured]:
    return lambda sampled: function(sampled.returns)


MEASURES: dict[str, Callable[[SampledTape], Measured]] = {
    "return_autocorrelation": _of_returns(stylised.return_autocorrelation),
    "tail_index": _of_returns(stylised.tail_index),
    "asymmetry": _of_returns(stylised.asymmetry),
    "aggregation": _of_returns(stylised.aggregation),
    "intermittency": _of_returns(stylised.intermittency),
    "clustering": _of_returns(stylised.clustering),
    "conditional_tails": _of_returns(stylised.conditional_tails),
    "slow_decay": _of_returns(stylised.slow_decay),
    "leverage": _of_returns(stylised.leverage),
    "volume_volatility": lambda sampled: stylised.volume_volatility(sampled.returns, sampled.volume),
    "spread_to_volatility": microstructure.spread_to_volatility,
    "best_volume_shape": microstructure.best_volume_shape,
    "duration_shape": microstructure.duration_shape,
    "dispersion": microstructure.dispersion,
    "sign_correlation": microstructure.sign_correlation,
    "sign_memory": microstructure.sign_memory,
    "sign_exponent": microstructure.sign_exponent,
    "flow_return": microstructure.flow_return,
    "imbalance_move": microstructure.imbalance_move,
    "impact_exponent": microstructure.impact_exponent,
}


@cache
def _yardstick() -> tuple[int, tuple[Fact, ...]]:
    name = "realism.yaml"
    tree, _ = read_text(files("marketsim.measures").joinpath(name).read_text(encoding="utf-8"), name)
    facts = []
    for entry in tree["facts"]:
        ends = entry["range"]
        if ends is not None:
            low, high = ends
            ends = (-np.inf if low is None else float(low), np.inf if high is None else float(high))
        facts.append(Fact(**entry | {"range": ends}))
    return int(tree["moves"]), tuple(facts)


def facts() -> tuple[Fact, ...]:
    """The facts of realism.yaml, in its order."""
    return _yardstick()[1]


def sample(tape: Tape) -> SampledTape:
    """The tape in intervals as realism.yaml has them. Raises ValueError where there is not even one."""
    return SampledTape(tape, _yardstick()[0])


def findings(sampled: SampledTape) -> list[Finding]:
    """Every fact, measured and judged."""
    found = []
    for fact in facts():
        measured = MEASURES[fact.measure](sampled)
        found.append(Finding(fact, measured, verdict(fact, measured)))
    return found


def verdict(fact: Fact, measured: Measured) -> str:
    """``pass``: the whole interval is inside the range; ``fail``: all of it is outside; else ``too little data``."""
    if fact.range is None:
        return REPORTED
    low, high = fact.range
    if measured.observations < fact.least or not np.isfinite([measured.low, measured.high]).all():
        return UNDECIDED
    if low <= measured.low and measured.high <= high:
        return PASS
    return FAIL if measured.high < low or high < measured.low else UNDECIDED


LAGS = np.unique(np.round(np.geomspace(1, 400, 40)).astype(int))
HORIZONS = (1, 2, 5, 10, 20, 50)
SIZES = 12  # groups of intervals by the size of their signed volume


def curves(sampled: SampledTape) -> dict[str, tuple[list[float], list[float]]]:
    """What the figures show: name -> x, y. Impact in units of the mean absolute return, volume in that of its mean."""
    signs = sampled.trades["side"].astype(float)
    volume, impact = microstructure.impact_curve(sampled, SIZES)
    shown = {
        "absolute_returns": (LAGS, autocorrelations(np.abs(sampled.returns), LAGS)),
        "signs": (LAGS, autocorrelations(signs, LAGS)),
        "kurtosis": (HORIZONS, stylised.kurtosis_by_horizon(sampled.returns, HORIZONS)),
        "impact": (volume / max(volume.mean(), 1e-300), impact / np.abs(sampled.returns).mean()) if len(volume) else ([], []),
    }  # fmt: skip
    return {name: (np.asarray(x).tolist(), np.asarray(y).tolist()) for name, (x, y) in shown.items()}
