"""Traders with a view of where the price goes: momentum, value, informed. They act at ``rate``."""

import math

from marketsim.compiled import formula
from marketsim.polynomials import exp
from marketsim.traders.draws import NOISE, order_size, trader_normal
from marketsim.traders.orders import GTC, IOC, LIMIT, MARKET, order_id, place, write
from marketsim.traders.state import LAST_ASK, LAST_BID, MID


@formula
def allowed(block, agent, side, size):
    """Whether its inventory may become what this order would make of it."""
    return abs(agent.inventory + side * size) <= block.position


@formula
def momentum(block, agent, clock, outbox, key, trader, time):
    """Follows the trend: a market order to the side on which the fast average of the mid lies, if it lies beyond the
    slow one by more than ``threshold``. Averages are exponential in time, brought up to date at its own acts.
    """
    mid = 0.5 * clock[MID]
    passed = time - agent.since
    agent.since = time
    agent.x = mid + (agent.x - mid) * exp(-passed / block.fast)
    agent.y = mid + (agent.y - mid) * exp(-passed / block.slow)
    trend = agent.x - agent.y
    if abs(trend) <= block.threshold:
        return 0
    side = 1 if trend > 0.0 else -1
    size = order_size(block, key, trader)
    if not allowed(block, agent, side, size):
        return 0
    write(outbox, 0, MARKET, side, GTC, 0, size, order_id(trader, agent.event, 0))
    return 1


@formula
def value(block, spot, own, agent, clock, outbox, key, trader, f):
    """Sees the exogenous value ``f`` (ticks) with noise, anew at each act: buys below it and sells above it, by a limit
    order ``threshold`` ticks on the safe side of what it saw, which trades where it reaches and rests where it does not.
    """
    seen = f + block.noise * trader_normal(key, trader, NOISE)
    mid = 0.5 * clock[MID]
    if seen == mid:
        return 0
    side = 1 if seen > mid else -1
    size = order_size(block, key, trader)
    if not allowed(block, agent, side, size):
        return 0
    price = int(math.floor(seen - block.threshold) if side > 0 else math.ceil(seen + block.threshold))
    return place(block, spot, own, agent, clock, outbox, side, price, size, order_id(trader, agent.event, 0))


@formula
def informed(block, agent, clock, outbox, key, trader, f):
    """Knows the value at the end of the step, ``f`` (ticks): takes what is offered at least ``threshold`` ticks better."""
    buy, sell = math.floor(f - block.threshold), math.ceil(f + block.threshold)
    if buy >= clock[LAST_ASK]:
        side, price = 1, int(buy)
    elif sell <= clock[LAST_BID]:
        side, price = -1, int(sell)
    else:
        return 0
    size = order_size(block, key, trader)
    if not allowed(block, agent, side, size):
        return 0
    write(outbox, 0, LIMIT, side, IOC, price, size, order_id(trader, agent.event, 0))
    return 1
