"""What comes next in a market: events of traders and messages in flight, in the order of (time, sequence).

Each owner has one next event: its first message in flight, or its wake if that is earlier. A tournament among the
owners (Knuth, 5.4.1) finds the earliest: a change goes up one path, each node on it the earlier of two. At one time
messages come before wakes, messages as they were sent, wakes by owner.

Messages of one owner arrive in the order in which they were sent: one that would overtake another waits for it.
"""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from marketsim.compiled import formula, stage
from marketsim.rng import bits_of_float, float_of_bits
from marketsim.traders.state import FREE, LOST, SENT

_OWNER_BITS = 20
_OWNER = (1 << _OWNER_BITS) - 1
_WAKE = 1 << 62  # in the order of a node: after all messages of that time


@formula
def _whole(time):
    """A time as an integer of the same order: comparing those is quicker."""
    bits = bits_of_float(time)
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@intrinsic
def _earlier(typing, time, order, other_time, other_order):
    """(time, order) < (other_time, other_order), all four int64: one comparison of 128 bits, without a branch."""

    def code(context, builder, signature, args):
        wide = ir.IntType(128)
        high, low, other_high, other_low = (builder.zext(arg, wide) for arg in args)
        this = builder.or_(builder.shl(high, ir.Constant(wide, 64)), low)
        other = builder.or_(builder.shl(other_high, ir.Constant(wide, 64)), other_low)
        return builder.icmp_signed("<", this, other)

    return types.boolean(types.int64, types.int64, types.int64, types.int64), code


@stage
def clear_schedule(clock, tree, flight):
    """Nothing is to come, and all slots are free."""
    for i in range(tree.shape[0]):
        tree[i].time = _whole(math.inf)
        tree[i].order = _WAKE
    for slot in range(flight.shape[0]):
        flight[slot].next = slot + 1 if slot + 1 < flight.shape[0] else 0
    clock[FREE] = 1
    clock[SENT] = 0


@formula
def next_time(tree):
    whole = tree[1].time
    return float_of_bits(whole ^ ((whole >> 63) & 0x7FFFFFFFFFFFFFFF))


@formula
def next_owner(tree):
    return tree[1].order & _OWNER


@formula
def is_message(tree):
    """Whether what comes next is a message that arrives, and not an event."""
    return tree[1].order < _WAKE


@stage
def reschedule(tree, agent, flight, owner):
    """An owner's next event has changed."""
    time = _whole(agent.wake)
    order = _WAKE | owner
    first = agent.first
    if first != 0 and flight[first].time <= agent.wake:
        time = _whole(flight[first].time)
        order = (flight[first].number << _OWNER_BITS) | owner
    node = (tree.shape[0] >> 1) + owner
    tree[node].time = time
    tree[node].order = order
    while node > 1:
        rival_time, rival_order = tree[node ^ 1].time, tree[node ^ 1].order
        loses = _earlier(rival_time, rival_order, time, order)
        time = rival_time if loses else time
        order = rival_order if loses else order
        node >>= 1
        tree[node].time = time
        tree[node].order = order


@formula
def put_in_flight(clock, agent, flight, arrival, kind, side, price, size, order, tif):
    """A message is on its way; False, and counted, if too many are. The caller reschedules its owner."""
    slot = clock[FREE]
    if slot == 0:
        clock[LOST] += 1
        return False
    message = flight[slot]
    clock[FREE] = message.next
    if agent.first == 0:
        agent.first = slot
    else:
        arrival = max(arrival, flight[agent.last].time)
        flight[agent.last].next = slot
    agent.last = slot
    message.time = arrival
    message.number = clock[SENT]
    clock[SENT] += 1
    message.next = 0
    message.kind = kind
    message.side = side
    message.price = price
    message.size = size
    message.order = order
    message.tif = tif
    return True


@formula
def land(clock, agent, flight):
    """The slot of an owner's first message, which is no longer in flight; to be read before anything is sent."""
    slot = agent.first
    agent.first = flight[slot].next
    flight[slot].next = clock[FREE]
    clock[FREE] = slot
    return slot
