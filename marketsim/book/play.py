"""The market around a book as it runs: traders act, messages travel, arrive, trade, are settled and recorded.

All that belongs to one market is a row of the arrays ``(M, ...)`` that ``market.BookMarkets`` holds; owners are the
dealers, from 0, and then the traders.
"""

import math

import numpy as np

from marketsim.book.index import find
from marketsim.book.matching import clear, enter
from marketsim.book.record import record
from marketsim.book.schedule import (
    clear_schedule,
    is_message,
    land,
    next_owner,
    next_time,
    put_in_flight,
    reschedule,
)
from marketsim.book.settle import settle
from marketsim.book.state import BEST_ASK, BEST_BID, FILLED, NO_ASK, NO_BID, PREVENTED, TRADES
from marketsim.compiled import formula, kernel, stage
from marketsim.rng import step_key
from marketsim.traders.act import act, begin, foresee
from marketsim.traders.state import EVENTS, FLOW, LAST_ASK, LAST_BID, MID, OPENING_IDS, PRINTS, QUOTES, REQUESTS
from marketsim.types import ANONYMOUS, SELF_TRADES, Message, TimeInForce

# numbers with a type and no literals, for which the matching engine would be compiled once more
LIMIT, AMEND, GTC = np.int64(Message.LIMIT), np.int64(Message.AMEND), np.int64(TimeInForce.GTC)
NOBODY = np.int64(ANONYMOUS)
IN_FLIGHT, LOST_MESSAGE = -1, -2  # what ``send`` answers where the message has not reached the book


@formula
def deliver(
    book, desks, head, levels, orders, index, trades, clock, agents, prints, quotes, dealer, ledger, mark, m,
    time, kind, side, price, size, order, owner, tif,
):  # fmt: skip
    """A message enters the book, at ``time``; what it trades is settled and recorded. Its outcome."""
    kind, side, tif = np.int64(kind), np.int64(side), np.int64(tif)  # of one type: ``enter`` is compiled once
    if kind == AMEND:
        slot = find(orders, index, order)
        side = np.int64(orders[slot].side) if slot >= 0 else 0
        if slot >= 0 and price == orders[slot].price:
            size = min(size, orders[slot].size)  # it may have traded on the way: an amend there never adds
    head[TRADES] = 0
    prevented, filled = head[PREVENTED], head[FILLED]
    outcome = enter(head, levels, orders, index, desks, trades, kind, side, price, size, order, np.int64(owner), tif)
    clock[REQUESTS] += 1
    bid, ask = head[BEST_BID], head[BEST_ASK]
    clock[LAST_BID] = bid if bid > NO_BID else clock[LAST_BID]
    clock[LAST_ASK] = ask if ask < NO_ASK else clock[LAST_ASK]
    clock[MID] = bid + ask if (bid > NO_BID) & (ask < NO_ASK) else clock[MID]
    clock[FLOW] += side * ((head[FILLED] - filled) >> 1)
    if 0 <= owner < dealer.shape[1]:
        dealer[SELF_TRADES, owner, m] += head[PREVENTED] - prevented
    if head[TRADES] > 0:
        settle(book, head, trades, side, agents, dealer, ledger, mark, m)
    if quotes.shape[0] > 0:
        record(head, levels, trades, clock, prints, quotes, time, side)
    return outcome


@stage
def send(
    book, desks, head, levels, orders, index, trades, clock, agents, tree, flight, prints, quotes, dealer, ledger,
    mark, m, time, latency, kind, side, price, size, order, owner, tif,
):  # fmt: skip
    """A dealer's message, sent at ``time``: its outcome if there is no latency, else IN_FLIGHT, or LOST_MESSAGE."""
    agent = agents[owner]
    if latency == 0.0 and agent.first == 0:
        return deliver(
            book, desks, head, levels, orders, index, trades, clock, agents, prints, quotes, dealer, ledger, mark, m,
            time, kind, side, price, size, order, owner, tif,
        )  # fmt: skip
    if not put_in_flight(clock, agent, flight, time + latency, kind, side, price, size, order, tif):
        return LOST_MESSAGE
    reschedule(tree, agent, flight, owner)
    return IN_FLIGHT


@stage
def _run(
    book, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox, prints,
    quotes, dealer, ledger, key, value, next_value, mark, end, m,
):  # fmt: skip
    """All that happens in market m before ``end``, in order."""
    f, f_next = value / book.tick, next_value / book.tick
    dealers = dealer.shape[1]
    while next_time(tree) < end:
        time = next_time(tree)
        owner = next_owner(tree)
        agent = agents[owner]
        if is_message(tree):
            message = flight[land(clock, agent, flight)]
            reschedule(tree, agent, flight, owner)
            deliver(
                book, desks, head, levels, orders, index, trades, clock, agents, prints, quotes, dealer, ledger, mark,
                m, time, message.kind, message.side, message.price, message.size, message.order, roster[owner].name,
                message.tif,
            )  # fmt: skip
            continue
        agent.event += 1
        clock[EVENTS] += 1
        trader = owner - dealers
        block = blocks[roster[owner].block]
        event_key = step_key(key, agent.event)
        n = act(block, roster[owner].own, own, agent, orders, index, clock, outbox, event_key, trader, time, f, f_next)
        for i in range(n):
            order = outbox[i]
            if agent.latency > 0.0:
                put_in_flight(
                    clock, agent, flight, time + agent.latency, order.kind, order.side, order.price, order.size,
                    order.order, order.tif,
                )  # fmt: skip
            else:
                deliver(
                    book, desks, head, levels, orders, index, trades, clock, agents, prints, quotes, dealer, ledger,
                    mark, m, time, order.kind, order.side, order.price, order.size, order.order, roster[owner].name,
                    order.tif,
                )  # fmt: skip
        reschedule(tree, agent, flight, owner)
        foresee(block, agent, key, trader)


@stage
def _open(
    book, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox, prints,
    quotes, dealer, ledger, key, value, m,
):  # fmt: skip
    """Market m at time 0 of an episode: an empty book, the opening orders around ``value``, and the warm-up."""
    clear(head, levels, orders, index)
    clock[:] = 0
    own[:] = -1
    clear_schedule(clock, tree, flight)
    bid = int(math.ceil(value / book.tick)) - 1
    ask = int(math.floor(value / book.tick)) + 1
    clock[LAST_BID], clock[LAST_ASK], clock[MID] = bid, ask, bid + ask
    head[TRADES] = 0
    for k in range(2 * book.opening_levels):
        side = 1 - 2 * (k & 1)
        price = bid - (k >> 1) if side > 0 else ask + (k >> 1)
        enter(
            head, levels, orders, index, desks, trades, LIMIT, side, price, book.opening_lots, OPENING_IDS + k, NOBODY,
            GTC,
        )  # fmt: skip
    dealers = dealer.shape[1]
    start = -book.warm_up
    for owner in range(agents.shape[0]):
        agent = agents[owner]
        if owner < dealers:
            agent.wake = math.inf
            agent.first = 0
        else:
            begin(blocks[roster[owner].block], agent, clock, key, owner - dealers, start)
        reschedule(tree, agent, flight, owner)
    if book.warm_up > 0.0:
        mark = 0.5 * book.tick * clock[MID]
        _run(
            book, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox,
            prints, quotes, dealer, ledger, key, value, value, mark, 0.0, m,
        )  # fmt: skip
    clock[PRINTS] = clock[QUOTES] = 0
    clock[EVENTS] = clock[REQUESTS] = clock[FLOW] = 0
    if quotes.shape[0] > 0:
        head[TRADES] = 0
        record(head, levels, trades, clock, prints, quotes, 0.0, np.int64(0))


@stage
def mid(book, clock):
    """In price units; an empty side keeps the last."""
    return 0.5 * book.tick * clock[MID]


@stage
def play(
    book, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox, prints,
    quotes, dealer, ledger, key, value, next_value, mark, end, m,
):  # fmt: skip
    """All that happens in market m before ``end``, in order.

    ``key``: its market key; ``value``, ``next_value``: the exogenous value at the step's begin and end, and ``mark``: the
    mid at its begin, in price units.
    """
    _run(
        book, blocks, roster, desks, head[m], levels[m], orders[m], index[m], trades[m], clock[m], agents[m], tree[m],
        own[m], flight[m], outbox[m], prints[m], quotes[m], dealer, ledger, key, value, next_value, mark, end, m,
    )  # fmt: skip


@kernel
def open_books(
    books, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox, prints,
    quotes, dealer, ledger, key, value, lo, hi,
):  # fmt: skip
    """Markets lo to hi - 1 at time 0 of an episode. ``key``, ``value``: market keys and F_0, (M,)."""
    for m in range(lo, hi):
        _open(
            books[0], blocks, roster, desks, head[m], levels[m], orders[m], index[m], trades[m], clock[m], agents[m],
            tree[m], own[m], flight[m], outbox[m], prints[m], quotes[m], dealer, ledger, key[m], value[m], m,
        )  # fmt: skip


@kernel
def play_books(
    books, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox, prints,
    quotes, dealer, ledger, key, values, mids, first, last, dt, lo, hi,
):  # fmt: skip
    """Steps ``first`` to ``last`` - 1 of markets lo to hi - 1. ``values`` (steps + 1, M): F; ``mids`` alike is written."""
    for m in range(lo, hi):
        mids[first, m] = mid(books[0], clock[m])
        for t in range(first, last):
            play(
                books[0], blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight,
                outbox, prints, quotes, dealer, ledger, key[m], values[t, m], values[t + 1, m], mids[t, m],
                (t + 1) * dt, m,
            )  # fmt: skip
            mids[t + 1, m] = mid(books[0], clock[m])


@kernel
def send_to(
    books, blocks, roster, desks, head, levels, orders, index, trades, clock, agents, tree, own, flight, outbox, prints,
    quotes, dealer, ledger, mark, m, time, latency, kind, side, price, size, order, owner, tif,
):  # fmt: skip
    """``send`` to market m of many."""
    return send(
        books[0], desks, head[m], levels[m], orders[m], index[m], trades[m], clock[m], agents[m], tree[m], flight[m],
        prints[m], quotes[m], dealer, ledger, mark, m, time, latency, kind, side, price, size, order, owner, tif,
    )  # fmt: skip
