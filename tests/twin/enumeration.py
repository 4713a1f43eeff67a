"""What a policy map is worth, by every outcome of a step, one after another."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from scipy.integrate import quad

from agents.config import Desk


def enumerated(config: Desk, markups: np.ndarray, hedge: np.ndarray) -> np.ndarray:
    """(T+1, Q): the expected reward of a policy map, from docs/market.md and in plain Python."""
    market, dealer = config.market, config.dealers[0]
    weight = {term.kind: term.weight for term in dealer.reward}
    pnl = weight.get("pnl", 0.0)
    limits = dealer.limits
    position = limits.position
    hard = min(position.hard if position else math.inf, market.inventory_limit or math.inf)
    on_breach = position.on_breach if position else "clip"
    cells = [
        (sign * size, rates[k], segment.choice)
        for segment in market.segments
        for sign, rates in ((1, segment.bid_rates), (-1, segment.ask_rates))
        for k, size in enumerate(segment.sizes)
    ]
    steps, states = hedge.shape
    edge = states // 2
    drift = getattr(market.price, "drift", 0.0) * market.dt if market.price.kind == "brownian" else 0.0

    def venue(h: float) -> float:
        return market.venue.half_spread * abs(h) + market.venue.slope * h * h + market.venue.fee * abs(h)

    def banded(m: float) -> float:
        if limits.markup is None or math.isnan(m):
            return m
        clipped = min(max(m, limits.markup.low), limits.markup.high)
        return clipped if limits.markup.on_breach == "clip" or clipped == m else math.nan

    def trades(choice, m: float) -> float:
        if choice.kind == "logit":
            return 1 / (1 + math.exp(choice.intercept + choice.sensitivity * m))
        if choice.reservation.kind == "fixed":
            return float(m <= choice.reservation.value)
        return min(1.0, math.exp(-choice.reservation.rate * m))

    def marked(x: float, h: float, t: int) -> float:
        mean = drift + market.venue.impact * h
        total = pnl * x * mean - weight.get("inventory_penalty", 0.0) * x * x * market.dt
        if "downside" in weight:
            sd = market.price.volatility * math.sqrt(market.dt)

            def density(z: float) -> float:
                return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

            zero = [-mean / sd] if sd else []
            lost = quad(lambda z: min(x * (mean + sd * z), 0) * density(z), -9, 9, points=zero, epsabs=1e-13)[0]
            won = quad(lambda z: max(x * (mean + sd * z), 0) * density(z), -9, 9, points=zero, epsabs=1e-13)[0]
            total += weight["downside"] * lost - weight["asymmetric_dampening"] * won
        if t == steps - 1:
            total -= weight.get("terminal_inventory_penalty", 0.0) * x * x
            total -= pnl * venue(x) if market.liquidate else 0.0
        return total + value[t + 1, int(x) + edge]

    value = np.zeros((steps + 1, states))
    for t in reversed(range(steps)):
        for place in range(states):
            q = place - edge
            h = float(np.rint(hedge[t, place]))
            if on_breach == "reject":
                h = h if abs(q + h) <= hard else 0.0
            else:
                h = min(max(h, -hard - q), hard - q)
            full = abs(q) >= hard and on_breach in ("reduce_only", "flatten")
            if full:
                h = -q if on_breach == "flatten" else min(max(h, min(-q, 0)), max(-q, 0))
            quotes = [banded(m) for m in markups[t, place]]

            def serve(x: float, coming: list[int], h=h, quotes=quotes, full=full, t=t) -> float:
                """Expected worth of the requests that come, in this order."""
                if not coming:
                    return marked(x, h, t)
                signed, _, choice = cells[coming[0]]
                nothing = serve(x, coming[1:])
                m = quotes[coming[0]]
                if math.isnan(m) or abs(x + signed) > hard or (full and signed * (x + signed) > 0):
                    return nothing
                p = trades(choice, m)
                earned = (pnl + weight.get("spread", 0.0)) * abs(signed) * m
                return p * (earned + serve(x + signed, coming[1:])) + (1 - p) * nothing

            if market.arrivals.kind == "at_most_one":
                expected = (1 - sum(rate for _, rate, _ in cells)) * serve(q + h, [])
                expected += sum(rate * serve(q + h, [c]) for c, (_, rate, _) in enumerate(cells))
            else:
                expected = 0.0
                for coins in product((0, 1), repeat=len(cells)):
                    chance = math.prod(
                        rate if coin else 1 - rate for coin, (_, rate, _) in zip(coins, cells, strict=True)
                    )
                    if chance > 0:
                        coming = [c for c, coin in enumerate(coins) if coin]
                        expected += 0.5 * chance * (serve(q + h, coming) + serve(q + h, coming[::-1]))
            value[t, place] = expected - pnl * venue(h)
    return value
