"""Own orders against a replay: how they arrive, where they stand in the queue, when they fill (docs/feeds.md).

``account`` int64 (FIELDS,), ``orders`` ``OPEN_ORDER`` in order of arrival, ``requests`` ``REQUEST`` a ring, ``fills``
``FILL``; ``book`` and ``sizes`` as in ``ladder``.
"""

import numpy as np

from marketsim.compiled import kernel, stage
from marketsim.feeds.ladder import ASK, BID, LOW, NO_ASK, NO_BID, clear, lay, lots_at
from marketsim.feeds.types import Ask, Kind, Queue
from marketsim.types import MAX_LOTS, MAX_TICKS, Outcome

(
    CLOCK,  # ns
    POSITION,  # lots
    CASH,  # ticks x lots, before fees
    MADE,  # value traded as a maker, ticks x lots
    TAKEN,  # ... and as a taker
    OPEN,  # own orders that rest
    FIRST,  # of the requests on their way: its place in the ring
    SENT,  # requests on their way
    FILLED,  # fills written since they were last collected
    NEXT,  # event of the chunk
    NEXT_ORDER,  # id
    LATENCY,  # ns from the sending of a request to its arrival
    QUEUE,  # Queue
    NEXT_ACT,  # ns: when a compiled strategy is asked again
    ACTS,  # how often it was
    OUTCOMES,  # from here on requests by Outcome
) = range(16)
ACCOUNT_FIELDS = OUTCOMES + len(Outcome)
DONE, CHUNK_OVER, FILLS_FULL = 0, 1, 2  # why ``advance`` returned
NEVER = 2**62

_DEPTH, _TRADE, _CLEAR = int(Kind.DEPTH), int(Kind.TRADE), int(Kind.CLEAR)
_LIMIT, _POST_ONLY, _MARKET, _CANCEL = int(Ask.LIMIT), int(Ask.POST_ONLY), int(Ask.MARKET), int(Ask.CANCEL)
_POWER = int(Queue.POWER)
_ACCEPTED, _BAD_KIND, _BAD_SIDE, _BAD_SIZE, _BAD_PRICE, _UNKNOWN, _WOULD_CROSS, _OFF_LADDER, _FULL = (
    int(outcome)
    for outcome in (
        Outcome.ACCEPTED, Outcome.BAD_KIND, Outcome.BAD_SIDE, Outcome.BAD_SIZE, Outcome.BAD_PRICE, Outcome.UNKNOWN_ORDER,
        Outcome.WOULD_CROSS, Outcome.OFF_LADDER, Outcome.BOOK_FULL,
    )
)  # fmt: skip


# --- requests --------------------------------------------------------------------------------------


@stage
def submit(account, requests, kind, side, price, size):
    """Send an order (kind ``Ask``); returns its id, or -1 where too many requests are on their way (``BOOK_FULL``)."""
    order = account[NEXT_ORDER]
    if not _send(account, requests, order, kind, side, price, size):
        return -1
    account[NEXT_ORDER] += 1
    return order


@stage
def cancel(account, requests, order):
    """Ask for an order to be cancelled. False where too many requests are on their way (``BOOK_FULL``)."""
    return _send(account, requests, order, _CANCEL, 0, 0, 0)


@stage
def _send(account, requests, order, kind, side, price, size):
    if account[SENT] == len(requests):
        account[OUTCOMES + _FULL] += 1
        return False
    request = requests[(account[FIRST] + account[SENT]) % len(requests)]
    request.arrives = account[CLOCK] + account[LATENCY]
    request.order, request.kind, request.side, request.price, request.size = order, kind, side, price, size
    account[SENT] += 1
    return True


@stage
def _fill(account, fills, order, side, price, size, maker):
    fill = fills[account[FILLED]]
    fill.time, fill.order, fill.side, fill.price, fill.size = account[CLOCK], order, side, price, size
    fill.maker = 1 if maker else 0
    account[FILLED] += 1
    account[POSITION] += side * size
    account[CASH] -= side * price * size
    account[MADE if maker else TAKEN] += abs(price) * size


@stage
def _remove(account, orders, k):
    for j in range(k, account[OPEN] - 1):
        orders[j] = orders[j + 1]
    account[OPEN] -= 1


@stage
def _take(account, book, sizes, fills, order, side, limit, left):
    """Trade with the other side up to ``limit``; what is taken is gone until the feed tells that level again."""
    while left > 0:
        best = book[ASK] if side > 0 else book[BID]
        if best == NO_ASK or best == NO_BID or side * (limit - best) < 0:
            break
        there = lots_at(book, sizes, -side, best)
        traded = min(left, there)
        _fill(account, fills, order, side, best, traded, False)
        lay(book, sizes, -side, best, there - traded)
        left -= traded
    return left


@stage
def _verdict(account, book, sizes, orders, request):
    """Accepted, or why not; checked in the order of ``Outcome``."""
    if request.kind < _LIMIT or request.kind > _CANCEL:
        return _BAD_KIND
    if request.kind == _CANCEL:
        return _ACCEPTED
    if request.side != 1 and request.side != -1:
        return _BAD_SIDE
    if request.size < 1 or request.size > MAX_LOTS:
        return _BAD_SIZE
    if request.kind != _MARKET and abs(request.price) > MAX_TICKS:
        return _BAD_PRICE
    crosses = request.price >= book[ASK] if request.side > 0 else request.price <= book[BID]
    if request.kind == _POST_ONLY and crosses:
        return _WOULD_CROSS
    if request.kind <= _POST_ONLY:
        if request.price < book[LOW] or request.price >= book[LOW] + sizes.shape[1]:
            return _OFF_LADDER
        if account[OPEN] == len(orders):
            return _FULL
    return _ACCEPTED


@stage
def _arrive(account, book, sizes, orders, fills, request):
    """What the market does with a request."""
    outcome = _verdict(account, book, sizes, orders, request)
    if outcome == _ACCEPTED and request.kind == _CANCEL:
        outcome = _UNKNOWN
        for k in range(account[OPEN]):
            if orders[k].order == request.order:
                _remove(account, orders, k)
                outcome = _ACCEPTED
                break
    elif outcome == _ACCEPTED:
        limit = request.side * MAX_TICKS if request.kind == _MARKET else request.price
        left = _take(account, book, sizes, fills, request.order, request.side, limit, request.size)
        if left > 0 and request.kind <= _POST_ONLY:
            own = orders[account[OPEN]]
            own.order, own.side, own.price, own.left = request.order, request.side, request.price, left
            own.ahead = lots_at(book, sizes, request.side, request.price)
            own.traded = 0
            account[OPEN] += 1
    account[OUTCOMES + outcome] += 1


# --- the queue -------------------------------------------------------------------------------------


@stage
def ahead_after(queue, exponent, ahead, traded, before, now):
    """Lots ahead once the feed tells ``now`` lots at a level that had ``before``, ``traded`` of which it has printed."""
    cancelled = before - now - traded
    if queue == _POWER and cancelled > 0:
        behind = max(before - ahead, 0.0)
        weight = behind**exponent
        from_behind = weight / (weight + ahead**exponent) if ahead > 0.0 else 1.0
        ahead -= (1.0 - from_behind) * cancelled
    return max(min(ahead, now), 0.0)  # where less stood behind than its share, all that is left stands ahead


@stage
def _on_depth(account, orders, fills, exponent, side, price, before, now):
    k = 0
    while k < account[OPEN]:
        own = orders[k]
        if own.side == side:
            if own.price == price and before >= 0:
                own.ahead = ahead_after(account[QUEUE], exponent, own.ahead, own.traded, before, now)
                own.traded = 0
        elif now > 0 and side * (price - own.price) >= 0:  # the other side has come to its price
            _fill(account, fills, own.order, own.side, own.price, own.left, True)
            _remove(account, orders, k)
            continue
        k += 1


@stage
def _on_trade(account, book, orders, fills, side, price, size):
    if side == 0:
        side = 1 if price >= book[ASK] else -1 if price <= book[BID] else 0
    left = size
    k = 0
    while k < account[OPEN]:
        own = orders[k]
        filled = 0
        if side != 0 and own.side == -side:
            if side * (price - own.price) > 0:  # traded through
                filled = own.left
            elif price == own.price:
                filled = min(own.left, int(max(left - own.ahead, 0.0) + 1e-9))
                own.ahead = max(own.ahead - left, 0.0)
                own.traded += size
                left -= filled  # own orders at one price stand one behind the other
        if filled > 0:
            _fill(account, fills, own.order, own.side, own.price, filled, True)
            own.left -= filled
            if own.left == 0:
                _remove(account, orders, k)
                continue
        k += 1


# --- time ------------------------------------------------------------------------------------------


@kernel
def advance(account, book, sizes, orders, requests, fills, exponent, events, last_chunk, until):
    """Let time go on to ``until`` ns: events and the arrivals of requests in order, at one time the event first.

    Returns ``DONE``; ``CHUNK_OVER`` where the next ``events`` are needed; ``FILLS_FULL`` where fills must be collected.
    """
    room = len(fills) - len(orders) - sizes.shape[1]  # the most that one event or request can fill
    i = account[NEXT]
    n = len(events)
    while True:
        if account[FILLED] > room:
            account[NEXT] = i
            return FILLS_FULL
        if i == n and not last_chunk:
            account[NEXT] = i
            return CHUNK_OVER
        told = events[i].time if i < n else NEVER
        arrives = requests[account[FIRST]].arrives if account[SENT] > 0 else NEVER
        if told <= arrives:
            if told > until or i == n:
                break
            event = events[i]
            i += 1
            account[CLOCK] = told
            if event.kind == _DEPTH:
                before = lay(book, sizes, event.side, event.price, event.size)
                if account[OPEN] > 0:
                    _on_depth(account, orders, fills, exponent, event.side, event.price, before, event.size)
            elif event.kind == _TRADE:
                if account[OPEN] > 0:
                    _on_trade(account, book, orders, fills, event.side, event.price, event.size)
            elif event.kind == _CLEAR:
                clear(book, sizes, event.side, event.price)
        else:
            if arrives > until:
                break
            request = requests[account[FIRST]]
            account[CLOCK] = arrives
            account[FIRST] = (account[FIRST] + 1) % len(requests)
            account[SENT] -= 1
            _arrive(account, book, sizes, orders, fills, request)
    account[NEXT] = i
    account[CLOCK] = until
    return DONE


@stage
def drive(strategy, memory, every, account, book, sizes, orders, requests, fills, exponent, events, last_chunk, until):
    """Ask a compiled ``strategy`` every ``every`` ns, up to ``until``; returns as ``advance`` does.

    Not cached on disk: it is compiled once a process for each strategy.
    """
    while account[NEXT_ACT] <= until:
        status = advance(account, book, sizes, orders, requests, fills, exponent, events, last_chunk, account[NEXT_ACT])
        if status != DONE:
            return status
        strategy(account, book, sizes, orders, requests, memory)
        account[NEXT_ACT] += every
        account[ACTS] += 1
    return advance(account, book, sizes, orders, requests, fills, exponent, events, last_chunk, until)


def account() -> np.ndarray:
    return np.zeros(ACCOUNT_FIELDS, np.int64)
