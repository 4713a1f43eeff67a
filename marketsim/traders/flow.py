"""Order flow that looks at no value: zero intelligence, and orders that call forth orders.

One uniform decides what an event is: laid along the rates of all that it might be, ``v`` is where it falls.
"""

from marketsim.compiled import formula
from marketsim.polynomials import exp
from marketsim.traders.draws import WHERE, order_size, trader_uniform
from marketsim.traders.orders import GTC, MARKET, order_id, place, write
from marketsim.traders.state import LAST_ASK, LAST_BID


@formula
def _limit_price(clock, block, side, distance):
    """So many ticks behind the opposite best, 0 being the first; that best, or the last there was."""
    ticks = 1 + int(min(distance, block.band - 1.0))
    return clock[LAST_ASK] - ticks if side > 0 else clock[LAST_BID] + ticks


@formula
def zero_intelligence(block, spot, own, agent, clock, outbox, key, trader, v):
    """Market orders at ``market_rate``, half of them buys; limit orders at ``limit_rate`` a price and side, at the
    ``band`` prices behind the opposite best (Smith, Farmer, Gillemot, Krishnamurthy 2003, Quantitative Finance 3:481).

    v: uniform on [0, market_rate + 2 band limit_rate).
    """
    size = order_size(block, key, trader)
    order = order_id(trader, agent.event, 0)
    if v < block.market_rate:
        side = 1 if 2.0 * v < block.market_rate else -1
        write(outbox, 0, MARKET, side, GTC, 0, size, order)
        return 1
    level = (v - block.market_rate) / block.limit_rate
    side = 1 if level < block.band else -1
    price = _limit_price(clock, block, side, level if side > 0 else level - block.band)
    return place(block, spot, own, agent, clock, outbox, side, price, size, order)


@formula
def relax(block, agent, time):
    """What is left of a hawkes trader's excitation."""
    left = exp(-block.decay * (time - agent.since))
    agent.x *= left
    agent.y *= left
    agent.since = time


@formula
def hawkes(block, spot, own, agent, clock, outbox, key, trader, v):
    """Buys and sells of intensities rate/2 + x and rate/2 + y; an order adds to both, and that decays (Hawkes 1971,
    Biometrika 58:83). A ``market_share`` of them are market orders, the others limit orders within the ``band``.

    v: uniform up to the intensity when the event was drawn, which has decayed since: beyond it, nothing happens
    (Ogata 1981, IEEE Transactions on Information Theory 27:23).
    """
    buys = 0.5 * block.rate + agent.x
    if v >= buys + 0.5 * block.rate + agent.y:
        return 0
    side = 1 if v < buys else -1
    agent.x += block.own_excitation if side > 0 else block.cross_excitation
    agent.y += block.cross_excitation if side > 0 else block.own_excitation
    size = order_size(block, key, trader)
    order = order_id(trader, agent.event, 0)
    u = trader_uniform(key, trader, WHERE)
    if u < block.market_share:
        write(outbox, 0, MARKET, side, GTC, 0, size, order)
        return 1
    distance = (u - block.market_share) / (1.0 - block.market_share) * block.band
    return place(block, spot, own, agent, clock, outbox, side, _limit_price(clock, block, side, distance), size, order)
