"""Own orders against a replay: the compiled one and its slow twin, the queue by hand, cash, bounds, memory."""

from __future__ import annotations

import numpy as np
import pytest
from twin import replay as twin

from marketsim.compiled import stage
from marketsim.document import InputError
from marketsim.feeds import FeedReplay, execution, ladder
from marketsim.feeds.types import EVENT, Ask, Kind

DEPTH, TRADE, CLEAR, _ = Kind


def events(*rows) -> np.ndarray:
    return np.array(list(rows), EVENT)


def replay(*rows, **options) -> FeedReplay:
    return FeedReplay([events(*rows)], tick=1.0, lot=1.0, **({"levels": 64} | options))


BOOK = ((0, DEPTH, 1, 100, 5), (0, DEPTH, 1, 99, 7), (0, DEPTH, -1, 102, 4), (0, DEPTH, -1, 103, 6))


# --- the queue by hand -----------------------------------------------------------------------------


def test_an_order_waits_for_what_stood_before_it():
    r = replay(*BOOK, (10, TRADE, -1, 100, 3), (10, DEPTH, 1, 100, 2), (20, TRADE, -1, 100, 4), (20, DEPTH, 1, 100, 0))
    own = r.submit(1, 100, 3)
    assert len(r.elapse(5)) == 0 and r.open_orders["ahead"].tolist() == [5.0]
    assert len(r.elapse(10)) == 0 and r.open_orders["ahead"].tolist() == [2.0]
    assert r.elapse(10).tolist() == [(20, own, 1, 1, 100, 2)]  # 4 traded, 2 of them stood ahead
    assert r.open_orders[["left", "ahead"]].tolist() == [(1, 0.0)]
    assert (r.position, r.cash, r.over) == (2.0, -200.0, True)


def test_a_price_that_trades_through_fills_what_rests():
    r = replay(*BOOK, (10, TRADE, -1, 99, 1), (20, DEPTH, 1, 103, 1), (30, DEPTH, -1, 90, 1))
    bid, far = r.submit(1, 100, 3), r.submit(1, 95, 1)
    ask = r.submit(-1, 103, 2)
    fills = r.elapse(15)
    assert fills[["order", "price", "size"]].tolist() == [(bid, 100, 3)]
    assert r.elapse(10)[["order", "side", "price", "size"]].tolist() == [
        (ask, -1, 103, 2)
    ]  # a bid has come to its price
    assert r.elapse(10)[["order", "price"]].tolist() == [(far, 95)]


def test_own_orders_at_one_price_stand_one_behind_the_other():
    r = replay(*BOOK, (10, TRADE, 1, 102, 9))
    first, second = r.submit(-1, 102, 2), r.submit(-1, 102, 5)
    assert r.elapse(10)[["order", "size"]].tolist() == [(first, 2), (second, 3)]  # 9 - 4 ahead = 5


@pytest.mark.parametrize(
    ("queue", "first", "cancelled", "ahead"),
    [
        ("risk_averse", 6, 4, 6.0),  # the 4 lots that came after it are enough
        ("risk_averse", 6, 6, 4.0),  # only 4 are left at all
        ("power", 6, 4, 6 - 4 * 6**3 / (6**3 + 4**3)),
        ("power", 6, 9, 0.0),  # all that stood ahead, and more
        ("power", 2, 9, 1.0),  # more than stood behind: the rest stood ahead
        ("power", 0, 5, 0.0),
    ],
)
def test_cancels_ahead_are_estimated(queue, first, cancelled, ahead):
    r = replay(
        (0, DEPTH, 1, 100, first),
        (0, DEPTH, -1, 102, 1),
        (10, DEPTH, 1, 100, 10),
        (20, DEPTH, 1, 100, 10 - cancelled),
        queue=queue,
    )
    r.submit(1, 100, 1)
    r.elapse(20)
    assert r.open_orders["ahead"][0] == pytest.approx(ahead, abs=1e-12)


def test_trades_are_not_counted_again_as_cancels():
    rows = ((0, DEPTH, 1, 100, 6), (10, TRADE, -1, 100, 2), (10, DEPTH, 1, 100, 4))
    r = replay(*rows, queue="power")
    r.submit(1, 100, 1)
    r.elapse(10)
    assert r.open_orders["ahead"].tolist() == [4.0]


def test_taking_uses_up_the_levels_until_the_feed_tells_them_again():
    r = replay(*BOOK, (10, DEPTH, -1, 102, 4), taker_fee=0.01, maker_fee=-0.001)
    r.submit(1, None, 5, "market")
    assert r.elapse(0)[["price", "size", "maker"]].tolist() == [(102, 4, 0), (103, 1, 0)]
    assert (r.ask, r.bid, r.depth(2)[1].tolist()) == (103.0, 100.0, [[103.0, 5.0]])
    assert r.fees == pytest.approx(0.01 * 511) and r.cash == pytest.approx(-511 * 1.01)
    r.submit(1, 102, 9, "ioc")
    assert len(r.elapse(0)) == 0 and len(r.open_orders) == 0
    r.elapse(10)
    assert r.depth(1)[1].tolist() == [[102.0, 4.0]]
    r.submit(-1, 100, 8)  # 5 at once, 3 rest
    r.elapse(0)
    assert r.open_orders[["side", "left", "ahead"]].tolist() == [(-1, 3, 0.0)]


def test_latency_lets_the_market_go_first():
    r = replay(*BOOK, (100, DEPTH, -1, 102, 0), latency=100)
    r.submit(1, 102, 1, "ioc")
    r.elapse(99)
    assert r.outcomes == {}
    assert len(r.elapse(1)) == 0 and r.outcomes == {"accepted": 1}  # what it aimed at has gone at that very time


def test_what_cannot_be_is_counted_and_changes_nothing():
    r = replay(*BOOK, orders=2)
    for _ in range(2):
        r.submit(1, 99, 1)
    r.elapse(0)
    r.submit(1, 98, 1)
    r.elapse(0)
    r.submit(1, 102, 1, "post_only")
    r.cancel(99)
    r.elapse(0)
    r.submit(0, 99, 1)
    r.submit(1, 99, 0)
    r.elapse(0)
    r.submit(1, 99, 2**31)
    r.submit(1, 10_000, 1)  # an order that reaches so far would rest beyond the window
    r.elapse(0)
    assert r.outcomes == {
        "accepted": 2, "book_full": 1, "would_cross": 1, "unknown_order": 1, "bad_side": 1, "bad_size": 2, "off_ladder": 1
    }  # fmt: skip
    assert len(r.open_orders) == 2 and r.position == r.cash == 0 and r.depth(9)[0].tolist() == [[100, 5], [99, 7]]
    for value in (float("nan"), 1e300):
        with pytest.raises(InputError, match=r"^size: got (nan|1e\+300), it must be a whole number of 1$"):
            r.submit(1, 99, value)
    r.submit(1, 99, 1)
    r.submit(1, 99, 1)
    with pytest.raises(InputError, match=r"^submit: 2 requests are on their way"):
        r.submit(1, 99, 1)
    with pytest.raises(InputError, match=r"^price: got 99.5, it must be a whole number of 1$"):
        r.submit(1, 99.5, 1)
    with pytest.raises(InputError, match=r"^submit: got 'stop', allowed are limit, post_only, ioc, market$"):
        r.submit(1, 99, 1, "stop")
    with pytest.raises(InputError, match=r"^levels: got 100, it must be a power of two$"):
        replay(*BOOK, levels=100)
    with pytest.raises(InputError, match=r"^queue: got 'fifo', allowed are risk_averse, power$"):
        replay(*BOOK, queue="fifo")


@pytest.mark.parametrize(("bid", "kept"), [(86, True), (85, False), (60, False)])
def test_the_window_holds_the_touch_or_the_newcomer_is_not_kept(bid, kept):
    r = replay((0, DEPTH, -1, 100, 1), (1, DEPTH, 1, bid, 1), levels=16)
    r.elapse(1)
    assert (r.bid, r.ask) == (bid if kept else None, 100)
    assert [len(side) for side in r.depth(9)] == [int(kept), 1]
    assert r.lost == {"beyond": int(not kept), "left": 0, "crossed": 0}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ((9, DEPTH, 1, 100, 1), "event 1: time: got 9, it must be at least the time before it"),
        ((10, DEPTH, 1, 100, -1), "event 1: size: got -1, it must be 0 or more"),
        ((10, DEPTH, 2, 100, 1), "event 1: side: got 2, it must be 1, -1 or 0"),
        ((10, 7, 1, 100, 1), "event 1: kind: got 7, it must be one of types.Kind"),
    ],
)
def test_a_bad_chunk_is_refused_before_it_is_replayed(event, line):
    r = FeedReplay(
        [events((0, DEPTH, 1, 99, 5), (5, DEPTH, 1, 97, 2)), events((10, DEPTH, 1, 98, 5), event)], 1.0, 1.0, levels=64
    )
    with pytest.raises(InputError, match=rf"^chunks: {line}$"):
        r.elapse(20)
    assert r.depth(5)[0].tolist() == [[99, 5], [97, 2]] and r.time == 5
    with pytest.raises(InputError, match=r"^chunks: got int64 of shape \(3,\), allowed are rows of feeds.types.EVENT$"):
        FeedReplay([np.arange(3)], 1.0, 1.0)


# --- the twin --------------------------------------------------------------------------------------


def random_feed(rng, n: int, step: float = 0.3) -> np.ndarray:
    """Depth around a price that wanders, with levels far away, crossed updates, clears and trades of unknown side."""
    mid = 1000 + np.cumsum(rng.normal(0, step, n)).astype(int)
    feed = np.zeros(n, EVENT)
    feed["time"] = np.cumsum(rng.integers(0, 4, n))
    kind = rng.choice([DEPTH, TRADE, CLEAR, Kind.HALT], n, p=[0.7, 0.27, 0.02, 0.01])
    side = rng.choice([1, -1], n)
    away = rng.geometric(0.3, n) - 1
    away[rng.random(n) < 0.02] += 40
    depth = kind == DEPTH
    feed["kind"] = kind
    feed["side"] = np.where(depth, side, np.where(rng.random(n) < 0.2, 0, side))
    feed["price"] = np.where(depth, mid - side * away, mid + rng.integers(-2, 3, n))
    feed["size"] = np.where(depth, rng.integers(0, 12, n) * (rng.random(n) < 0.8), rng.integers(1, 9, n))
    return feed


def _chunks(feed: np.ndarray, rng) -> list[np.ndarray]:
    return np.split(feed, np.sort(rng.integers(1, len(feed), 5)))


@pytest.mark.parametrize("queue", ["risk_averse", "power"])
@pytest.mark.parametrize(("seed", "latency", "levels"), [(0, 0, 64), (1, 7, 16), (2, 3, 1024)])
def test_the_replay_is_its_slow_twin_event_by_event(queue, seed, latency, levels):
    rng = np.random.default_rng([seed, 5])
    feed = random_feed(rng, 4000)
    fast = FeedReplay(_chunks(feed, rng), 1.0, 1.0, queue, 2.0, latency, levels=levels, orders=6)
    slow = twin.Replay(feed.tolist(), queue, 2.0, latency, levels, 6)
    filled = []
    for _ in range(2500):
        doing = rng.random()
        centre = int(feed["price"][min(int(np.searchsorted(feed["time"], slow.time)), len(feed) - 1)])
        if doing < 0.45 and len(slow.sent) < 6:
            order = (
                int(rng.integers(1, 5)),
                int(rng.choice([1, -1])),
                centre + int(rng.integers(-4, 5)),
                int(rng.integers(0, 9)),
            )
            assert execution.submit(fast._account, fast._requests, *order) == slow.submit(*order)
        elif doing < 0.65 and slow.orders and len(slow.sent) < 6:
            order = slow.own[int(rng.integers(len(slow.own)))].order if slow.own and rng.random() < 0.9 else 0
            fast.cancel(order)
            slow.cancel(order)
        ns = int(rng.integers(0, 5))
        filled += fast.elapse(ns).tolist()
        slow.elapse(ns)
        assert [o[:4] + o[5:] for o in fast.open_orders.tolist()] == [
            (o.order, o.side, o.price, o.left, o.traded) for o in slow.own
        ]
        np.testing.assert_allclose(fast.open_orders["ahead"], [o.ahead for o in slow.own], rtol=0, atol=1e-9)
        for row, side in ((0, 1), (1, -1)):
            told = {int(price): int(size) for price, size in fast.depth(levels)[row]}
            assert told == slow.book[side]
        assert (fast.bid, fast.ask) == (slow.best(1), slow.best(-1))
    assert filled == slow.fills and len(filled) > 100
    assert (fast.position, fast.cash, fast.outcomes) == (slow.position, slow.cash, slow.outcomes)
    assert fast.lost == {"beyond": slow.beyond, "left": slow.left, "crossed": slow.crossed}
    made, taken = fast._account[[execution.MADE, execution.TAKEN]].tolist()
    assert (made, taken) == (slow.made, slow.taken) and made and taken
    assert {fill[3] for fill in filled} == {0, 1}
    assert fast.lost["crossed"] > 0 and (levels > 64 or fast.lost["beyond"] + fast.lost["left"] > 0)


# --- a compiled strategy -----------------------------------------------------------------------------


@stage
def join_the_touch(account, book, sizes, orders, requests, memory):
    """A lot at either touch, where it has none yet; what is no longer there is cancelled."""
    for k in range(account[execution.OPEN]):
        best = book[ladder.BID] if orders[k].side > 0 else book[ladder.ASK]
        if orders[k].price != best:
            execution.cancel(account, requests, orders[k].order)
    if account[execution.OPEN] == 0 and book[ladder.BIDS] > 0 and book[ladder.ASKS] > 0:
        execution.submit(account, requests, Ask.POST_ONLY, 1, book[ladder.BID], 1)
        execution.submit(account, requests, Ask.POST_ONLY, -1, book[ladder.ASK], 1)
    memory[0] += 1


def test_a_compiled_strategy_does_what_it_does_by_hand():
    rng = np.random.default_rng(3)
    feed = random_feed(rng, 5000)
    memory = np.zeros(1)
    played = FeedReplay(_chunks(feed, rng), 1.0, 1.0, latency=2, levels=256)
    fills = played.play(join_the_touch, 5, memory)
    by_hand = FeedReplay([feed], 1.0, 1.0, latency=2, levels=256)
    known = []
    while by_hand.time <= feed["time"][-1]:
        for own in by_hand.open_orders:
            if own["price"] != (by_hand.bid if own["side"] > 0 else by_hand.ask):
                by_hand.cancel(own["order"])
        if len(by_hand.open_orders) == 0 and by_hand.bid is not None and by_hand.ask is not None:
            by_hand.submit(1, by_hand.bid, 1, "post_only")
            by_hand.submit(-1, by_hand.ask, 1, "post_only")
        known += by_hand.elapse(5).tolist()
    assert len(fills) > 50 and fills.tolist() == known[: len(fills)]
    assert memory[0] == played._account[execution.ACTS] == (feed["time"][-1] - feed["time"][0]) // 5 + 1
    assert played.over and played.time == feed["time"][-1]


@stage
def buy(account, book, sizes, orders, requests, memory):
    execution.submit(account, requests, Ask.MARKET, 1, 0, 3)


def test_fills_are_collected_before_their_buffer_is_full():
    rows = [event for t in range(400) for event in ((t, DEPTH, -1, 100, 1), (t, DEPTH, -1, 101, 1))]
    r = FeedReplay([events(*rows)], 1.0, 1.0, levels=4, orders=2)
    assert len(r._fills) == 12
    fills = r.play(buy, 1, np.zeros(1))
    assert fills["price"].tolist() == [100, 101] * 400 and r.position == len(fills) == 800
