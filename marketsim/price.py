"""Price models: where the exogenous price F moves from one step to the next. None of them reads impact.

brownian  F += drift dt + volatility sqrt(dt) z
gbm       F *= exp((drift - volatility^2 / 2) dt + volatility sqrt(dt) z)
ou        F = F e + mean (1 - e) + volatility sqrt((1 - e^2) / (2 reversion)) z, e = exp(-reversion dt): the exact
          transition (Uhlenbeck and Ornstein 1930, Physical Review 36:823; Vasicek 1977); reversion 0 is brownian
regime    switch by the row of the present regime, then brownian with the new regime's figures
replay    F = path[start + k]
"""

import math

from marketsim.compiled import formula, kernel, stage
from marketsim.polynomials import cos_two_pi, exp, log
from marketsim.rng import PRICE, START, market_key, step_key, uniform
from marketsim.types import AHEAD, Price
from marketsim.types import START as START_ROW

_GBM, _REGIME, _REPLAY, _OU = int(Price.GBM), int(Price.REGIME), int(Price.REPLAY), int(Price.OU)


@formula
def normal(key):
    """A standard normal (Box and Muller 1958) from two uniforms of 52 bits: no cut below 8.5 sd."""
    return math.sqrt(-2.0 * log(uniform(key, PRICE, 0))) * cos_two_pi(uniform(key, PRICE, 1))


@stage
def start_price(p, path, key, market, lo, n):
    """F_0 and, for a replay, where in the file the episode starts. ``key``: step keys of step 0."""
    price = market[AHEAD, lo : lo + n]
    regime = market[AHEAD + p.ahead + 1, lo : lo + n]
    start = market[START_ROW, lo : lo + n]
    starts = path.shape[0] - p.steps - p.ahead + 1
    for j in range(n):
        regime[j] = 0.0
        start[j] = 0.0
        price[j] = p.mid
        if p.price == _REPLAY:
            start[j] = math.floor(uniform(key[j], START, 0) * starts)
            price[j] = path[int(start[j])]


@stage
def move_price(p, regimes, path, key, market, k, lo, n):
    """F_k -> F_{k+1}. ``key``: step keys of step k. ``regimes``: a row each: drift dt, volatility sqrt(dt), cumulated row."""
    ring = p.ahead + 1
    here = AHEAD + k % ring
    there = AHEAD + (k + 1) % ring
    price = market[here, lo : lo + n]
    moved = market[there, lo : lo + n]
    if p.price == _REPLAY:
        start = market[START_ROW, lo : lo + n]
        for j in range(n):
            moved[j] = path[int(start[j]) + k + 1]
    elif p.price == _REGIME:
        regime = market[here + ring, lo : lo + n]
        next_regime = market[there + ring, lo : lo + n]
        last = regimes.shape[0] - 1
        for j in range(n):
            u = uniform(key[j], PRICE, 2)
            row = int(regime[j])
            g = 0
            while g < last and u >= regimes[row, 2 + g]:
                g += 1
            next_regime[j] = g
        for j in range(n):
            g = int(next_regime[j])
            moved[j] = price[j] + (regimes[g, 0] + regimes[g, 1] * normal(key[j]))
    elif p.price == _GBM:
        for j in range(n):
            moved[j] = price[j] * exp(p.drift + p.volatility * normal(key[j]))
    elif p.price == _OU:
        for j in range(n):
            moved[j] = price[j] * p.decay + (p.drift + p.volatility * normal(key[j]))
    else:
        for j in range(n):
            moved[j] = price[j] + (p.drift + p.volatility * normal(key[j]))


@kernel
def exogenous(params, regimes, path, seed, episode, number, market, key, out):
    """F_0, F_1, ... of one market alone, as the step draws them, into ``out``. ``market``, ``key``: scratch of one market."""
    p = params[0]
    own = market_key(seed, episode, number)
    key[0] = step_key(own, 0)
    start_price(p, path, key, market, 0, 1)
    out[0] = market[AHEAD, 0]
    for k in range(out.shape[0] - 1):
        key[0] = step_key(own, k)
        move_price(p, regimes, path, key, market, k, 0, 1)
        out[k + 1] = market[AHEAD + (k + 1) % (p.ahead + 1), 0]
