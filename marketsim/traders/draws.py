"""The draws of a trader's event: pure functions of its key (market and own event number) and its number k.

Index 8 k + component of stream TRADER; the table in rng.py says which component is what.
"""

import math

from marketsim.compiled import formula, stage
from marketsim.polynomials import cos_two_pi, exp, log
from marketsim.rng import TRADER, uniform
from marketsim.traders.state import Latency, Size

GAP, WHAT, WHERE, SIZE, LATENCY, NOISE = 0, 1, 2, 3, 4, 6  # a normal takes two components
_GEOMETRIC, _LOG_NORMAL = int(Size.GEOMETRIC), int(Latency.LOG_NORMAL)


@formula
def trader_uniform(key, trader, component):
    return uniform(key, TRADER, 8 * trader + component)


@stage
def trader_normal(key, trader, component):
    """A standard normal (Box and Muller 1958)."""
    radius = math.sqrt(-2.0 * log(trader_uniform(key, trader, component)))
    return radius * cos_two_pi(trader_uniform(key, trader, component + 1))


@formula
def gap(key, trader):
    """Time to the next event of a process of rate 1."""
    return -log(trader_uniform(key, trader, GAP))


@stage
def order_size(block, key, trader):
    """Lots of an order, at least 1."""
    if block.sizes == _GEOMETRIC:
        return 1 + int(log(trader_uniform(key, trader, SIZE)) * block.size)
    return int(block.size)


@formula
def order_latency(block, key, trader):
    """Time that the messages of an event need to reach the book."""
    if block.latencies == _LOG_NORMAL:
        return block.latency * exp(block.latency_sigma * trader_normal(key, trader, LATENCY))
    return block.latency
