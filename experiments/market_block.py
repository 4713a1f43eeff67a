"""A calibration -> the YAML of a market, each figure with its standard error beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marketsim.calibrate.estimate import Estimate
from marketsim.calibrate.fills import Fills
from marketsim.calibrate.hawkes import Hawkes
from marketsim.calibrate.market_orders import market_orders, stood
from marketsim.calibrate.volatility import Volatility
from marketsim.calibrate.zero_intelligence import ZeroIntelligence
from marketsim.tape import Tape

_REQUESTS = 100  # a step, at most
_LARGEST_SIZE = 1e6
_BAND = 20  # ticks


@dataclass(frozen=True)
class Orders:
    """What a book market is made of; without ``hawkes`` its market orders are a Poisson process."""

    zero_intelligence: ZeroIntelligence
    hawkes: Hawkes | None


def market_block(file: str, tape: Tape, volatility: Volatility, fills: Fills, orders: Orders | None) -> str:
    """An experiment's ``market`` of clients who ask for quotes; the traders of a book stand below it as comments.

    One lot is the mean market order. A client comes where a market order came, and accepts a markup as often as one
    reached that far.
    """
    A = fills.bid.value + fills.ask.value
    dt = min(1.0, 10.0 ** math.floor(math.log10(_REQUESTS / A)))
    lots = market_orders(tape).size.mean()
    lines = [
        f"# Calibrated to {file}: {len(tape.quotes)} quotes, {len(tape.prints)} prints. Beside each figure its standard error.",
        "name: calibrated",
        f"units: {{time: s, price: as in the file, lot: a market order of {_short(lots * tape.lot)}}}",
        "market:",
        "  steps: 600",
        f"  dt: {dt:g}",
        "  price:",
        "    kind: brownian",
        f"    mid: {tape.mid[-1]:.10g}  # the last",
        f"    volatility: {_with_error(volatility.two_scale)}",
        f"  venue: {{kind: curve, half_spread: {_short(_half_spread(tape))}}}  # the mean over time",
        "  arrivals: {kind: poisson}",
        "  segments:",
        "    - name: flow",
        "      sizes: [1]",
        "      rates:",
        f"        bid: {_with_error(fills.bid, '[{}]')}",
        f"        ask: {_with_error(fills.ask, '[{}]')}",
        "      choice:",
        "        kind: best_price",
        "        reservation:",
        "          kind: exponential",
        f"          rate: {_with_error(fills.decay)}",
    ]
    if orders is not None:
        lines += ["  # A market of orders instead: kind: book, no segments, and", *_commented(_book(tape, orders))]
    lines += [
        "dealers:",
        "  - name: dealer",
        f"    action: {{kind: ladder, markup: [0, {_short(4 / fills.decay.value)}]}}",
    ]
    return "\n".join(lines) + "\n"


def _half_spread(tape: Tape) -> float:
    held = stood(tape)
    return 0.5 * tape.tick * float(held @ (tape.quotes["ask"] - tape.quotes["bid"]) / held.sum())


def _book(tape: Tape, orders: Orders) -> list[str]:
    z, h = orders.zero_intelligence, orders.hawkes
    widest = int((tape.quotes["ask"] - tape.quotes["bid"]).max())
    both_sides = Estimate(2 * z.market_rate.value, 2 * z.market_rate.error, z.market_rate.n)
    lines = [
        f"  book: {{tick: {tape.tick:.12g}}}",
        "  traders:",
        "    - kind: zero_intelligence",
        f"      limit_rate: {_with_error(z.limit_rate)}",
        f"      market_rate: {_with_error(both_sides)}"
        if h is None
        else f"      market_rate: 0  # {_short(both_sides.value)} +- {both_sides.error:.2g} if these stand alone",
        f"      cancel_rate: {_with_error(z.cancel_rate)}",
        f"      band: {max(_BAND, 2 * widest)}  # not estimated: twice the widest spread"
        if z.band is None
        else f"      band: {z.band}  # where the rates were counted",
        f"      size: {_with_error(_mean_size(z.limit_size), '{{mean: {}}}')}",
    ]
    if h is None:
        return lines
    own, other = _mean(h.children[0][0], h.children[1][1]), _mean(h.children[0][1], h.children[1][0])
    rate = Estimate(h.baseline[0].value + h.baseline[1].value, math.hypot(*(e.error for e in h.baseline)), h.decay.n)
    return [
        *lines,
        "    - kind: hawkes",
        f"      rate: {_with_error(rate)}",
        f"      excitation: [{_short(own.value)}, {_short(other.value)}]  # +- {own.error:.2g}, {other.error:.2g}",
        f"      decay: {_with_error(h.decay)}",
        "      market_share: 1",
        f"      size: {_with_error(_mean_size(z.market_size), '{{mean: {}}}')}",
    ]


def _commented(lines: list[str]) -> list[str]:
    return [f"  # {line}" for line in lines]


def _mean_size(size: Estimate) -> Estimate:
    """Sizes in lots of the file, as far as a trader's may go."""
    return Estimate(min(size.value, _LARGEST_SIZE), size.error, size.n)


def _mean(a: Estimate, b: Estimate) -> Estimate:
    return Estimate((a.value + b.value) / 2, math.hypot(a.error, b.error) / 2, a.n)


def _with_error(estimate: Estimate, written: str = "{}") -> str:
    return f"{written.format(_short(estimate.value))}  # +- {estimate.error:.2g}"


def _short(x: float) -> str:
    return f"{x:.6g}"
