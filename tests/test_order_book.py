"""The rules of docs/book.md, an example each, and what other engines got wrong."""

import re
from pathlib import Path

import numpy as np
import pytest
from book_fixture import BUY, FOK, GTC, IOC, POST_ONLY, SELL, amend, cancel, check, limit, market, outcome, queue, send

from experiments.bench import matching as bench
from marketsim import OrderBook
from marketsim.book.state import book_arrays
from marketsim.types import MESSAGE, Outcome

SELF_TRADES = ("allow", "cancel_resting", "cancel_incoming", "cancel_both")


@pytest.fixture
def book():
    """Asks 4 at 101, 5 and 6 at 102; bids 3 at 99, 7 at 98: of owners 1 to 5."""
    book = OrderBook(levels=64, orders=32)
    resting = [limit(1, SELL, 101, 4, 1), limit(2, SELL, 102, 5, 2), limit(3, SELL, 102, 6, 3)]
    assert send(book, *resting, limit(4, BUY, 99, 3, 4), limit(5, BUY, 98, 7, 5)) == []
    yield book
    check(book)


# --- priority, limit, market --------------------------------------------------------------------------


def test_best_price_first_then_first_come_and_the_makers_price(book):
    assert send(book, limit(9, BUY, 102, 12)) == [(1, 9, 101, 4), (2, 9, 102, 5), (3, 9, 102, 3)]
    assert queue(book, 102) == [(3, 3)]
    assert send(book, limit(10, SELL, 98, 4)) == [(4, 10, 99, 3), (5, 10, 98, 1)]


def test_a_limit_order_trades_as_far_as_its_price_reaches_and_rests(book):
    assert send(book, limit(9, BUY, 101, 10)) == [(1, 9, 101, 4)]
    assert (book.best_bid, book.best_ask, book.mid, book.spread) == (101, 102, 101.5, 1)
    assert queue(book, 101) == [(9, 6)]


def test_ioc_does_not_rest(book):
    assert send(book, limit(9, SELL, 99, 10, tif=IOC)) == [(4, 9, 99, 3)]
    assert book.best_ask == 101
    assert book.counts["cancelled"] == 7


def test_fok_trades_all_or_nothing(book):
    assert outcome(book, limit(9, BUY, 102, 16, tif=FOK)) == Outcome.WOULD_NOT_FILL
    assert outcome(book, limit(9, BUY, 101, 5, tif=FOK)) == Outcome.WOULD_NOT_FILL
    assert send(book, limit(9, BUY, 102, 15, tif=FOK)) == [(1, 9, 101, 4), (2, 9, 102, 5), (3, 9, 102, 6)]
    assert book.best_ask is None


def test_post_only_never_trades(book):
    assert outcome(book, limit(9, BUY, 101, 1, tif=POST_ONLY)) == Outcome.WOULD_CROSS
    assert outcome(book, limit(9, BUY, 101, 1, owner=1, tif=POST_ONLY)) == Outcome.WOULD_CROSS  # whoever owns it
    assert outcome(book, limit(9, SELL, 99, 1, tif=POST_ONLY)) == Outcome.WOULD_CROSS
    assert send(book, limit(9, BUY, 100, 1, tif=POST_ONLY)) == []
    assert book.best_bid == 100


def test_a_market_order_takes_what_there_is(book):
    assert send(book, market(9, SELL, 50)) == [(4, 9, 99, 3), (5, 9, 98, 7)]
    assert book.counts["cancelled"] == 40
    assert send(book, market(10, SELL, 5, tif=IOC)) == []  # an empty side
    assert book.counts["cancelled"] == 45
    assert outcome(book, market(11, BUY, 16, tif=FOK)) == Outcome.WOULD_NOT_FILL
    assert len(send(book, market(11, BUY, 15, tif=FOK))) == 3


# --- cancel, amend ------------------------------------------------------------------------------------


@pytest.mark.parametrize("gone", [11, 12, 13])
def test_an_order_leaves_from_anywhere_in_its_queue(book, gone):
    send(book, *(limit(k, BUY, 95, k) for k in (11, 12, 13)), cancel(gone))
    assert queue(book, 95) == [(k, k) for k in (11, 12, 13) if k != gone]
    assert outcome(book, cancel(gone)) == Outcome.UNKNOWN_ORDER


def test_less_keeps_its_place_more_or_another_price_loses_it(book):
    send(book, amend(2, 102, 1))
    assert queue(book, 102) == [(2, 1), (3, 6)]
    send(book, amend(2, 102, 1))  # the same again
    assert queue(book, 102) == [(2, 1), (3, 6)]
    assert book.counts["cancelled"] == 4
    send(book, amend(2, 102, 2))
    assert queue(book, 102) == [(3, 6), (2, 2)]
    send(book, amend(3, 103, 6), amend(3, 102, 6))
    assert queue(book, 102) == [(2, 2), (3, 6)]
    assert book.counts["submitted"] == 25 + 1


def test_an_amended_order_trades_where_its_price_reaches_and_keeps_its_owner(book):
    book.process(np.array([amend(4, 102, 10)], MESSAGE))
    assert book.trades.tolist() == [(1, 4, 101, 4, 1, 4), (2, 4, 102, 5, 2, 4), (3, 4, 102, 1, 3, 4)]
    assert book.counts["submitted"] == 25 + 7
    assert book.accounts[4].lots == 10
    assert [o["order"] for o in book.open_orders()] == [3, 5]


def test_an_amended_order_that_is_filled_in_part_rests_with_its_owner(book):
    send(book, amend(4, 101, 10))
    assert book.open_orders(owner=4).tolist() == [(4, 4, 1, 101, 6)]


# --- owners -------------------------------------------------------------------------------------------


def test_only_its_owner_or_nobody_in_particular_cancels_an_order(book):
    assert outcome(book, cancel(2, owner=3)) == Outcome.NOT_OWNER
    assert outcome(book, amend(2, 102, 1, owner=3)) == Outcome.NOT_OWNER
    send(book, cancel(2, owner=2), cancel(3), limit(20, BUY, 90, 1, owner=-1))
    assert outcome(book, cancel(20, owner=0)) == Outcome.NOT_OWNER  # an anonymous order is nobody's
    send(book, cancel(20, owner=-7))


def own_orders(self_trade, size, owner=2, tif=GTC, **settings):
    """Asks of owners 1, 2, 3 at 101 (2 lots each), met by a buyer."""
    book = OrderBook(self_trade=self_trade, **settings)
    send(book, *(limit(k, SELL, 101, 2, owner=k) for k in (1, 2, 3)))
    book.process(np.array([limit(9, BUY, 101, size, owner, tif)], MESSAGE))
    check(book)
    made = [(t["maker"], t["size"]) for t in book.trades]
    return made, [(o["order"], o["size"]) for o in book.open_orders()], book


@pytest.mark.parametrize(
    ("self_trade", "made", "resting", "prevented"),
    [
        ("allow", [(1, 2), (2, 2), (3, 1)], [(3, 1)], 0),
        ("cancel_resting", [(1, 2), (3, 2)], [(9, 1)], 1),
        ("cancel_incoming", [(1, 2)], [(2, 2), (3, 2)], 1),
        ("cancel_both", [(1, 2)], [(3, 2)], 1),
    ],
)
def test_self_trade_prevention(self_trade, made, resting, prevented):
    *result, book = own_orders(self_trade, 5)
    assert result == [made, resting]
    assert book.counts["self_trades_prevented"] == prevented


def test_it_acts_only_where_a_trade_is_about_to_happen():
    made, resting, _ = own_orders("cancel_resting", 2)
    assert (made, resting) == ([(1, 2)], [(2, 2), (3, 2)])


@pytest.mark.parametrize("self_trade", SELF_TRADES[1:])
def test_a_desk_does_not_trade_with_itself(self_trade):
    """Owners 1 and 7 are desk 3, which is not owner 3."""
    made, _, _ = own_orders(self_trade, 2, owner=7, desks={7: 3, 1: 3})
    assert made == ([(2, 2)] if self_trade == "cancel_resting" else [])
    made, _, _ = own_orders(self_trade, 6, owner=7, desks={7: 3})
    assert made == [(1, 2), (2, 2), (3, 2)]


def test_the_anonymous_trade_with_each_other():
    book = OrderBook()
    assert send(book, limit(1, SELL, 5, 1, owner=-1), limit(2, BUY, 5, 1, owner=-1)) == [(1, 2, 5, 1)]


@pytest.mark.parametrize(("self_trade", "most"), list(zip(SELF_TRADES, (6, 4, 2, 2), strict=True)))
def test_whether_a_fok_fills_is_judged_with_it(self_trade, most):
    _, _, book = own_orders(self_trade, most, tif=FOK)
    assert book.outcomes[0] == Outcome.ACCEPTED
    _, _, book = own_orders(self_trade, most + 1, tif=FOK)
    assert book.outcomes[0] == Outcome.WOULD_NOT_FILL
    assert book.counts["self_trades_prevented"] == 0


# --- ids, ladder, fees, counts -----------------------------------------------------------------------


def test_an_id_may_be_used_again_once_its_order_is_done(book):
    assert outcome(book, limit(4, SELL, 110, 1)) == Outcome.DUPLICATE_ORDER
    assert outcome(book, market(4, SELL, 1)) == Outcome.DUPLICATE_ORDER
    send(book, market(9, SELL, 3), limit(4, SELL, 110, 1))
    assert queue(book, 110) == [(4, 1)]


def test_the_ladder_ends_at_the_tick_though_its_array_is_longer():
    book = OrderBook(levels=50)
    send(book, limit(1, BUY, 0, 1))
    assert outcome(book, limit(2, SELL, 50, 1)) == Outcome.OFF_LADDER
    assert outcome(book, limit(2, BUY, -50, 1)) == Outcome.OFF_LADDER
    assert outcome(book, amend(1, 50, 1)) == Outcome.OFF_LADDER  # its old price counts
    send(book, limit(2, SELL, 49, 1), limit(3, SELL, -20, 1, tif=IOC))
    assert book.best_bid is None
    assert outcome(book, limit(4, BUY, 99, 1)) == Outcome.OFF_LADDER  # judged before it trades
    assert send(book, limit(4, BUY, 98, 1)) == [(2, 4, 49, 1)]
    check(book)


def test_there_is_room_for_just_so_many_orders():
    book = OrderBook(orders=3)
    send(book, limit(1, SELL, 5, 1), limit(2, SELL, 6, 1), limit(3, BUY, 4, 1))
    assert outcome(book, limit(4, BUY, 4, 1)) == Outcome.BOOK_FULL
    assert outcome(book, limit(4, BUY, 5, 1)) == Outcome.BOOK_FULL  # judged before it trades
    assert outcome(book, limit(4, BUY, 4, 1, tif=POST_ONLY)) == Outcome.BOOK_FULL
    send(book, amend(1, 7, 9), limit(4, BUY, 6, 1, tif=IOC), limit(5, BUY, 4, 1))
    check(book)


@pytest.mark.parametrize("start", [0, -1_000, 2**40 - 4_000, -(2**40)])
@pytest.mark.parametrize("levels", [64, 100, 20_000])
def test_the_ladder_moves_with_the_market(start, levels):
    """Five laps of a ladder upwards and back, two orders a side; through 0 where it starts below."""
    book = OrderBook(levels=levels, orders=8)
    laps = max(levels, 64) * 5 if levels < 1_000 else 3_000
    path = range(0, min(laps, 3_990), max(1, levels // 40))
    order = 0
    for move in [*path, *reversed(path)]:
        mid = start + move + 4
        quotes = [(BUY, mid - 1), (BUY, mid - 3), (SELL, mid + 1), (SELL, mid + 3)]
        send(book, *(limit(order + k, *quote, 2) for k, quote in enumerate(quotes)))
        assert (book.best_bid, book.best_ask) == (mid - 1, mid + 1)
        assert send(book, market(order + 5, BUY, 3)) == [
            (order + 2, order + 5, mid + 1, 2),
            (order + 3, order + 5, mid + 3, 1),
        ]
        assert book.best_ask == mid + 3
        send(book, cancel(order), cancel(order + 1), cancel(order + 3))
        order += 6
    assert book.best_bid is None and book.best_ask is None
    check(book)


def test_fees_are_charged_for_each_lot_and_cash_sums_to_them():
    book = OrderBook(tick=0.5, maker_fee=-0.25, taker_fee=0.75)
    send(book, limit(1, BUY, 10, 4, owner=0), limit(2, SELL, 10, 3, owner=1))
    assert book.accounts == {0: (3, -15 + 0.75, -0.75), 1: (-3, 15 - 2.25, 2.25)}
    send(book, limit(3, SELL, 9, 1, owner=1))
    assert book.accounts == {0: (4, -20 + 1, -1), 1: (-4, 20 - 3, 3)}
    assert sum(account.cash for account in book.accounts.values()) == -2


def test_messages_and_lots_are_counted(book):
    for message, expected in [
        (limit(9, BUY, 101, 5), Outcome.ACCEPTED),  # 4 trade, 1 rests
        (limit(10, BUY, 102, 8, tif=POST_ONLY), Outcome.WOULD_CROSS),
        (cancel(5), Outcome.ACCEPTED),  # 7
        (cancel(5), Outcome.UNKNOWN_ORDER),
        (amend(9, 101, 3), Outcome.ACCEPTED),  # 2 more
        (amend(9, 101, 1), Outcome.ACCEPTED),  # 2 cancelled
        (limit(11, BUY, 90, -4), Outcome.BAD_SIZE),  # no lots
        (market(12, BUY, 12, tif=FOK), Outcome.WOULD_NOT_FILL),
    ]:
        assert outcome(book, message) == expected
    assert {name: n for name, n in book.counts.items() if n} == {
        "accepted": 5 + 4,
        "bad_size": 1,
        "unknown_order": 1,
        "would_cross": 1,
        "would_not_fill": 1,
        "submitted": 25 + 5 + 8 + 2 + 12,
        "filled": 8,
        "cancelled": 7 + 2,
        "resting": 5 + 6 + 3 + 1,
        "rejected": 8 + 12,
    }


# --- what other engines got wrong ---------------------------------------------------------------------


def test_two_orders_at_one_price_and_time_are_two():
    book = OrderBook()
    send(book, limit(1, BUY, 7, 2, owner=3), limit(2, BUY, 7, 2, owner=3))
    assert queue(book, 7) == [(1, 2), (2, 2)]
    assert send(book, limit(3, SELL, 7, 3)) == [(1, 3, 7, 2), (2, 3, 7, 1)]


def test_a_level_holds_more_than_a_hundred_orders():
    book = OrderBook(orders=1_000)
    send(book, *(limit(k, SELL, 7, 1) for k in range(1_000)))
    assert (book.queue_ahead(100), book.queue_ahead(999)) == (100, 999)
    assert send(book, market(1_000, BUY, 1_000)) == [(k, 1_000, 7, 1) for k in range(1_000)]
    check(book)


def test_partial_fills_reach_the_position_and_the_queue():
    book = OrderBook()
    send(book, limit(1, BUY, 7, 10, owner=1), limit(2, BUY, 7, 10, owner=2))
    for k in range(3):
        send(book, market(10 + k, SELL, 3, owner=5))
        assert book.accounts[1].lots == 3 * (k + 1)
        assert book.queue_ahead(2) == 10 - 3 * (k + 1)


def test_id_0_and_owner_0_are_like_any_other():
    book = OrderBook()
    send(book, limit(0, BUY, 7, 1, owner=0))
    assert outcome(book, limit(0, BUY, 7, 1, owner=1)) == Outcome.DUPLICATE_ORDER
    assert outcome(book, cancel(0, owner=1)) == Outcome.NOT_OWNER
    assert send(book, market(1, SELL, 1, owner=0)) == []  # its own order is cancelled
    assert book.counts["self_trades_prevented"] == 1
    assert outcome(book, cancel(0, owner=0)) == Outcome.UNKNOWN_ORDER


# --- the friendly face, and the machine ---------------------------------------------------------------


def test_orders_by_hand_get_ids_that_nobody_used(book):
    order = book.limit("buy", 100.0, 5, owner=8)
    assert order == 6
    book.amend(order, 100, 4, owner=8)
    book.limit(SELL, 100, 1, tif="ioc")
    assert book.open_orders(owner=8).tolist() == [(6, 8, 1, 100, 3)]
    book.cancel(order)
    assert book.market("sell", 3) == 8
    assert book.trades["maker"].tolist() == [4]


def test_depth_and_repr_show_the_top_of_the_ladder(book):
    bids, asks = book.depth(1)
    assert bids.tolist() == [(99, 3, 1)]
    assert asks.tolist() == [(101, 4, 1)]
    assert book.depth()[1].tolist() == [(101, 4, 1), (102, 11, 2)]
    assert [line.split()[:3] for line in repr(book).splitlines()[1:]] == [
        ["ask", "102", "11"],
        ["ask", "101", "4"],
        ["bid", "99", "3"],
        ["bid", "98", "7"],
    ]


def test_a_snapshot_in_the_middle_goes_on_as_the_book_did(book):
    middle = book.snapshot()
    other = OrderBook(levels=64, orders=32)
    other.restore(middle)
    on = [market(9, BUY, 6, owner=7), limit(10, SELL, 99, 5), amend(5, 97, 9), cancel(2)]
    assert send(book, *on) == send(other, *on)
    assert {k: v.tobytes() for k, v in book.snapshot().items()} == {k: v.tobytes() for k, v in other.snapshot().items()}
    assert middle["head"].tobytes() != book.snapshot()["head"].tobytes()
    book.restore(middle)
    assert book.best_ask == 101


def test_one_book_of_4096_levels_and_16384_orders_is_below_2_megabytes():
    assert sum(array.nbytes for array in book_arrays(1, 4_096, 16_384).values()) < 2e6


def test_the_page_tells_the_memory_and_its_example_runs():
    page = (Path(__file__).parents[1] / "docs" / "book.md").read_text()
    for levels, orders, told in re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$", page, re.M):
        arrays = book_arrays(1, *(int(n.replace(",", "")) for n in (levels, orders)))
        assert f"{sum(array.nbytes for array in arrays.values()):,}" == told
    names = {}
    exec(re.search(r"```python\n(.*?)```", page, re.S)[1], names)
    assert names["book"].accounts[7] == (2, pytest.approx(-200.204, abs=1e-9), 0.004)


def test_the_messages_of_the_bench_are_what_it_says():
    messages = bench.draw(4_000)
    mix = np.bincount(messages["kind"], minlength=4)[1:] / len(messages)
    assert mix == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    book, resting = OrderBook(), []
    for part in np.split(messages, 400):
        book.process(part)
        resting.append(book.open_orders().size)
    assert book.counts["accepted"] > 3_995
    assert np.mean((np.array(resting) >= bench.FEW) & (np.array(resting) <= bench.MANY)) > 0.95
