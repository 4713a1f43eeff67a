"""An event of a trader: it cancels one of the orders it has in mind, or acts as its family does."""

from marketsim.compiled import formula, stage
from marketsim.rng import step_key
from marketsim.traders.draws import WHAT, gap, order_latency, trader_uniform
from marketsim.traders.flow import hawkes, relax, zero_intelligence
from marketsim.traders.maker import maker
from marketsim.traders.orders import withdraw
from marketsim.traders.state import MID, Family
from marketsim.traders.views import informed, momentum, value

_ZERO_INTELLIGENCE, _HAWKES, _MOMENTUM, _VALUE, _INFORMED, _MAKER = (int(family) for family in Family)


@stage
def begin(block, agent, clock, key, trader, time):
    """Before its first event. ``key``: the market's."""
    agent.since = time
    agent.x = agent.y = 0.5 * clock[MID] if block.family == _MOMENTUM else 0.0
    agent.cash = 0.0
    agent.inventory = agent.event = 0
    agent.first = agent.last = 0
    agent.open = 0
    agent.bound = block.rate
    agent.wake = time + gap(step_key(key, 0), trader) / agent.bound
    foresee(block, agent, key, trader)


@stage
def foresee(block, agent, key, trader):
    """Draw for the next event what it will begin with: nothing waits for these draws then."""
    event_key = step_key(key, agent.event + 1)
    agent.what = trader_uniform(event_key, trader, WHAT)
    agent.gap = gap(event_key, trader)
    agent.latency = order_latency(block, event_key, trader)


@formula
def act(block, spot, own, agent, orders, index, clock, outbox, key, trader, time, f, f_next):
    """The event at ``time``: its messages go to ``outbox``, how many is returned; and when its next one is.

    Events come at the rate ``bound`` = its acts' + ``cancel_rate`` for each order in mind, which nothing changes but
    its own events. ``key``: of this event. ``f``, ``f_next``: the value at the step's two ends, in ticks.
    """
    if block.family == _HAWKES:
        relax(block, agent, time)
    v = agent.what * agent.bound
    cancels = block.cancel_rate * agent.open
    if v < cancels:
        n = withdraw(spot, min(int(v / block.cancel_rate), agent.open - 1), orders, index, own, agent, outbox)
    elif block.family == _ZERO_INTELLIGENCE:
        n = zero_intelligence(block, spot, own, agent, clock, outbox, key, trader, v - cancels)
    elif block.family == _HAWKES:
        n = hawkes(block, spot, own, agent, clock, outbox, key, trader, v - cancels)
    elif block.family == _VALUE:
        n = value(block, spot, own, agent, clock, outbox, key, trader, f)
    elif block.family == _MOMENTUM:
        n = momentum(block, agent, clock, outbox, key, trader, time)
    elif block.family == _INFORMED:
        n = informed(block, agent, clock, outbox, key, trader, f_next)
    else:
        n = maker(block, spot, own, agent, orders, index, clock, outbox, key, trader)
    rate = block.rate + block.cancel_rate * agent.open
    if block.family == _HAWKES:
        rate += agent.x + agent.y
    agent.bound = rate
    agent.wake = time + agent.gap / rate
    return n
