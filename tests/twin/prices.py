"""The exogenous price F, for a whole episode at once: it reads nothing that the market does."""

import math
import statistics

from marketsim.rng import PRICE, START


def exogenous(price, dt, moves, u):
    """F_0 .. F_moves, and the regime of the move that led to each (0 where there are none)."""
    if price["kind"] == "replay":
        path = price["path"]
        start = math.floor(u(START, 0, 0) * (len(path) - moves))
        return path[start : start + moves + 1], [0] * (moves + 1)
    prices, regimes = [price["mid"]], [0]
    for step in range(moves):
        regime = next_regime(price, regimes[-1], u(PRICE, step, 2)) if price["kind"] == "regime" else 0
        prices.append(moved(price, prices[-1], regime, dt, normal(u, step)))
        regimes.append(regime)
    return prices, regimes


def moved(price, F, regime, dt, z):
    """F after one step with the normal z."""
    if price["kind"] == "ou":
        mean, sd = price.get("mean", price["mid"]), move_sd(price, dt)
        return mean + (F - mean) * math.exp(-price["reversion"] * dt) + sd * z
    drift, volatility = price["drift"], price["volatility"]
    if price["kind"] == "gbm":
        return F * math.exp((drift - volatility**2 / 2) * dt + volatility * math.sqrt(dt) * z)
    if price["kind"] == "regime":
        drift, volatility = drift[regime], volatility[regime]
    return F + drift * dt + volatility * math.sqrt(dt) * z


def normal(u, step):
    return math.sqrt(-2.0 * math.log(u(PRICE, step, 0))) * math.cos(2.0 * math.pi * u(PRICE, step, 1))


def next_regime(price, regime, uniform):
    """The first regime whose cumulated transition probability exceeds the uniform."""
    cumulated = 0.0
    row = price["transition"][regime]
    for k, probability in enumerate(row):
        cumulated += probability
        if uniform < cumulated:
            return k
    return len(row) - 1  # the row sums to just below 1


def move_sd(price, dt):
    """The standard deviation of a one-step move, by which observations are scaled."""
    if price["kind"] == "replay" and price.get("volatility") is None:
        path = price["path"]
        return statistics.pstdev([after - before for before, after in zip(path, path[1:], strict=False)])
    if price["kind"] == "regime":
        weights = zip(stationary(price["transition"]), price["volatility"], strict=True)
        return math.sqrt(sum(weight * volatility**2 for weight, volatility in weights) * dt)
    if price["kind"] == "ou" and price["reversion"] > 0:
        variance = (1.0 - math.exp(-2.0 * price["reversion"] * dt)) / (2.0 * price["reversion"])
        return price["volatility"] * math.sqrt(variance)
    sd = price["volatility"] * math.sqrt(dt)
    return sd * price["mid"] if price["kind"] == "gbm" else sd


def stationary(transition):
    """The stationary distribution of a chain whose every entry is positive, by applying it until nothing changes."""
    states = range(len(transition))
    weights = [1.0 / len(transition)] * len(transition)
    for _ in range(2000):
        weights = [sum(weights[i] * transition[i][j] for i in states) for j in states]
    return weights
