"""All that the books of M markets consist of, in one tuple for the compiled step, and the row of one market."""

from typing import NamedTuple

import numpy as np

from marketsim.book import play
from marketsim.compiled import formula, stage
from marketsim.traders.state import FLOW
from marketsim.types import AHEAD, IMPACT, MID, RECENT


class Books(NamedTuple):
    """``BookMarkets.arrays``, and ``flow`` (M,): the recent trades that dealers see."""

    book: np.ndarray
    blocks: np.ndarray
    roster: np.ndarray
    desks: np.ndarray
    head: np.ndarray
    levels: np.ndarray
    orders: np.ndarray
    ids: np.ndarray
    trades: np.ndarray
    clock: np.ndarray
    agents: np.ndarray
    tree: np.ndarray
    own: np.ndarray
    flight: np.ndarray
    outbox: np.ndarray
    prints: np.ndarray
    quotes: np.ndarray
    flow: np.ndarray


@formula
def send(p, d, market, dealer, ledger, b, t, m, kind, side, price, size, order, owner, tif):
    """A dealer's message at step t, to the book of market m; see ``play.send``."""
    return play.send(
        b.book[0], b.desks, b.head[m], b.levels[m], b.orders[m], b.ids[m], b.trades[m], b.clock[m], b.agents[m], b.tree[m],
        b.flight[m], b.prints[m], b.quotes[m], dealer, ledger, market[MID, m], m, t * p.dt, d.latency, kind, side, price,
        size, order, owner, tif,
    )  # fmt: skip


@stage
def play_step(p, market, dealer, ledger, key, b, t, m):
    """Everything of (t, t+1) in market m; returns S_{t+1}."""
    ring = p.ahead + 1
    impact = market[IMPACT, m]
    value, next_value = market[AHEAD + t % ring, m] + impact, market[AHEAD + (t + 1) % ring, m] + impact
    play.play(
        b.book[0], b.blocks, b.roster, b.desks, b.head, b.levels, b.orders, b.ids, b.trades, b.clock, b.agents, b.tree,
        b.own, b.flight, b.outbox, b.prints, b.quotes, dealer, ledger, key, value, next_value, market[MID, m],
        (t + 1) * p.dt, m,
    )  # fmt: skip
    b.flow[m] += (b.clock[m, FLOW] - b.flow[m]) * RECENT
    b.clock[m, FLOW] = 0
    return play.mid(b.book[0], b.clock[m])
