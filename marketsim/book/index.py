"""Order id -> slot: a hash table with open addressing. Who leaves is not marked: those behind him move up."""

import numpy as np

from marketsim.book.bits import highest_one
from marketsim.compiled import formula, stage

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth's multiplicative hashing


@formula
def _home(index, order):
    """The cell at which the search for an id begins: the uppermost bits of a product, as many as the table needs."""
    return np.int64((np.uint64(order) * _GOLDEN) >> np.uint64(64 - highest_one(index.shape[0])))


@formula
def slot_of(orders, index, order):
    """The slot of a resting order, or 0."""
    cell = _home(index, order)
    slot = index[cell]
    while slot != 0 and orders[slot].order != order:
        cell = (cell + 1) & (index.shape[0] - 1)
        slot = index[cell]
    return slot


@stage
def find(orders, index, order):
    """The slot of a resting order, or -1."""
    slot = np.int64(slot_of(orders, index, order))
    return slot if slot != 0 else -1


@formula
def add(index, order, slot):
    """Enter an id that is not in the table."""
    cell = _home(index, order)
    while index[cell] != 0:
        cell = (cell + 1) & (index.shape[0] - 1)
    index[cell] = slot


@formula
def remove(orders, index, order, slot):
    """Take an id out; whoever behind it could stand in the hole, but for it, moves there (Knuth, 6.4, algorithm R)."""
    mask = index.shape[0] - 1
    hole = _home(index, order)
    while index[hole] != slot:
        hole = (hole + 1) & mask
    cell = (hole + 1) & mask
    other = index[cell]
    while other != 0:
        home = _home(index, orders[other].order)
        if ((cell - home) & mask) >= ((cell - hole) & mask):
            index[hole] = other
            hole = cell
        cell = (cell + 1) & mask
        other = index[cell]
    index[hole] = 0
