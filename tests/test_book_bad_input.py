"""Bad messages are rejected by a typed outcome, bad arguments by one clear line; the book is then as it was."""

import itertools

import numpy as np
import pytest
from book_fixture import (
    BUY,
    FOK,
    IOC,
    POST_ONLY,
    SELL,
    amend,
    cancel,
    check,
    limit,
    market,
    outcome,
    send,
    uncounted,
)

from marketsim import OrderBook
from marketsim.book.order_book import OrderRejected
from marketsim.types import MAX_LOTS, MAX_TICKS, MESSAGE, Outcome


@pytest.fixture
def book():
    """Bids 5 at 10 (owner 1, twice) and 3 at 9, an ask 4 at 12 (owner 2); 5 ticks, room for 4."""
    book = OrderBook(levels=5, orders=4)
    send(book, limit(1, BUY, 10, 5, 1), limit(2, BUY, 10, 5, 1), limit(3, BUY, 9, 3, 0), limit(4, SELL, 12, 4, 2))
    return book


BAD = [
    ((0, BUY, 0, 10, 1, 9, 1), Outcome.BAD_KIND),
    ((5, BUY, 0, 10, 1, 9, 1), Outcome.BAD_KIND),
    ((-1, 3, 9, MAX_TICKS + 1, 0, -1, 1), Outcome.BAD_KIND),
    (limit(9, 0, 10, 1), Outcome.BAD_SIDE),
    (limit(9, 2, 10, 1), Outcome.BAD_SIDE),
    (market(9, -2, 1), Outcome.BAD_SIDE),
    (limit(9, BUY, 10, 0), Outcome.BAD_SIZE),
    (limit(9, BUY, 10, -1), Outcome.BAD_SIZE),
    (limit(9, BUY, 10, MAX_LOTS + 1), Outcome.BAD_SIZE),
    (limit(9, BUY, 10, -(2**63)), Outcome.BAD_SIZE),
    (limit(9, BUY, 10, 2**63 - 1), Outcome.BAD_SIZE),
    (market(9, SELL, 0), Outcome.BAD_SIZE),
    (amend(1, 10, 0), Outcome.BAD_SIZE),
    (amend(1, 10, MAX_LOTS + 1), Outcome.BAD_SIZE),
    (limit(9, BUY, MAX_TICKS + 1, 1), Outcome.BAD_PRICE),
    (limit(9, BUY, -MAX_TICKS - 1, 1), Outcome.BAD_PRICE),
    (limit(9, SELL, 2**63 - 1, 1, tif=IOC), Outcome.BAD_PRICE),
    (limit(9, SELL, -(2**63), 1, tif=FOK), Outcome.BAD_PRICE),
    (amend(1, MAX_TICKS + 1, 1), Outcome.BAD_PRICE),
    (amend(1, -(2**63), 1), Outcome.BAD_PRICE),
    (limit(9, BUY, 10, 1, tif=4), Outcome.BAD_TIF),
    (limit(9, BUY, 10, 1, tif=-1), Outcome.BAD_TIF),
    (market(9, BUY, 1, tif=POST_ONLY), Outcome.BAD_TIF),
    (limit(-1, BUY, 10, 1), Outcome.BAD_ORDER),
    (market(-(2**63), BUY, 1), Outcome.BAD_ORDER),
    (cancel(-1), Outcome.BAD_ORDER),
    (amend(-1, 10, 1), Outcome.BAD_ORDER),
    (limit(1, SELL, 13, 1), Outcome.DUPLICATE_ORDER),
    (market(4, BUY, 1), Outcome.DUPLICATE_ORDER),
    (cancel(9), Outcome.UNKNOWN_ORDER),
    (cancel(2**63 - 1), Outcome.UNKNOWN_ORDER),
    (amend(9, 10, 1), Outcome.UNKNOWN_ORDER),
    (cancel(1, owner=2), Outcome.NOT_OWNER),
    (amend(1, 10, 1, owner=0), Outcome.NOT_OWNER),
    (limit(9, BUY, 12, 1, tif=POST_ONLY), Outcome.WOULD_CROSS),
    (limit(9, BUY, MAX_TICKS, 1, tif=POST_ONLY), Outcome.WOULD_CROSS),
    (limit(9, BUY, 12, 5, tif=FOK), Outcome.WOULD_NOT_FILL),
    (market(9, SELL, 14, tif=FOK), Outcome.WOULD_NOT_FILL),
    (market(9, SELL, 4, owner=1, tif=FOK), Outcome.WOULD_NOT_FILL),  # its own 10 lots are no liquidity
    (limit(9, BUY, 7, 1), Outcome.OFF_LADDER),
    (limit(9, SELL, 14, 1, tif=POST_ONLY), Outcome.OFF_LADDER),
    (limit(9, SELL, -MAX_TICKS, 1), Outcome.OFF_LADDER),
    (amend(4, 14, 4), Outcome.OFF_LADDER),
    (limit(9, BUY, 10, 1), Outcome.BOOK_FULL),
    (limit(9, SELL, 10, 1), Outcome.BOOK_FULL),
    (limit(9, SELL, 13, 1, tif=POST_ONLY), Outcome.BOOK_FULL),
]


def test_every_outcome_has_its_message():
    assert {reason for _, reason in BAD} == set(Outcome) - {Outcome.ACCEPTED}


@pytest.mark.parametrize(("message", "reason"), BAD)
def test_a_rejected_message_leaves_the_book_as_it_was_and_is_counted(book, message, reason):
    before, counts = uncounted(book), book.counts
    assert Outcome(int(outcome(book, message))) == reason
    assert uncounted(book) == before
    assert len(book.trades) == 0

    kind, size = message[0], message[4]
    lots = size if kind in (1, 3) and 1 <= size <= MAX_LOTS else 0
    added = {name: n - counts[name] for name, n in book.counts.items() if n != counts[name]}
    assert added == {reason.name.lower(): 1} | ({"submitted": lots, "rejected": lots} if lots else {})
    check(book)


def test_the_first_reason_in_the_order_of_the_enumeration_is_given(book):
    """A message with everything wrong, put right from the front, one thing at a time."""
    wrong = {"kind": 7, "side": 0, "size": 0, "price": MAX_TICKS + 1, "tif": 4, "order": -1}
    right = {"kind": 1, "side": BUY, "size": 99, "price": 12, "tif": POST_ONLY, "order": 1}
    given = []
    for k in range(len(wrong) + 1):
        message = np.zeros(1, MESSAGE)
        for field in wrong:
            message[field] = right[field] if field in list(right)[:k] else wrong[field]
        book.process(message)
        given.append(Outcome(int(book.outcomes[0])))
    assert given == list(Outcome)[1:8]
    assert outcome(book, limit(9, BUY, 14, 99, tif=POST_ONLY)) == Outcome.WOULD_CROSS  # off the ladder, and full
    assert outcome(book, limit(9, BUY, 14, 99)) == Outcome.OFF_LADDER


def test_the_order_of_a_fill_is_unknown_to_cancel_and_amend(book):
    send(book, market(9, BUY, 4))
    assert outcome(book, cancel(4)) == Outcome.UNKNOWN_ORDER
    assert outcome(book, amend(4, 12, 1)) == Outcome.UNKNOWN_ORDER


def test_the_largest_sizes_and_prices_are_accepted_and_do_not_overflow():
    book = OrderBook(orders=8)
    for k, price in enumerate([MAX_TICKS, MAX_TICKS - 1, MAX_TICKS, MAX_TICKS]):
        send(book, limit(k, SELL, price, MAX_LOTS))
    assert book.depth()[1]["lots"].tolist() == [MAX_LOTS, 3 * MAX_LOTS]
    send(book, limit(9, BUY, MAX_TICKS, MAX_LOTS), limit(10, BUY, MAX_TICKS, MAX_LOTS, owner=3))
    assert book.accounts[3] == (MAX_LOTS, -float(MAX_TICKS) * MAX_LOTS, 0.0)
    check(book)
    low = OrderBook()
    send(low, limit(0, BUY, -MAX_TICKS, MAX_LOTS), limit(1, BUY, -MAX_TICKS, MAX_LOTS), market(2, SELL, MAX_LOTS))
    assert low.best_bid == -MAX_TICKS
    check(low)


@pytest.mark.parametrize("stride", [1, 16, 2**20, 2**32 + 1, 2**49])
def test_a_full_book_finds_every_order_whatever_the_ids_are_like(stride):
    book = OrderBook(orders=4_096)
    ids = np.arange(4_096) * stride
    send(book, *(limit(k, BUY, 7, 1) for k in ids.tolist()))
    assert outcome(book, limit(1 + stride * 4_096, BUY, 7, 1)) == Outcome.BOOK_FULL
    gone = np.random.default_rng(3).permutation(ids)[:4_000].tolist()
    send(book, *(cancel(k) for k in gone))
    assert book.open_orders()["order"].tolist() == sorted(set(ids.tolist()) - set(gone))
    check(book)


# --- the friendly face --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tick": 0}, "tick"),
        ({"tick": float("nan")}, "tick"),
        ({"levels": 0}, "levels"),
        ({"levels": 10.5}, "levels"),
        ({"levels": 2**40}, "levels"),
        ({"orders": -1}, "orders"),
        ({"orders": "many"}, "orders"),
        ({"maker_fee": float("inf")}, "maker_fee"),
        ({"taker_fee": None}, "taker_fee"),
        ({"self_trade": "no"}, "self_trade"),
        ({"desks": {-1: 0}}, "desks: owner"),
        ({"desks": {2**31: 0}}, "desks: owner"),
        ({"desks": {0: -1}}, "desks: desk"),
        ({"desks": {0: "north"}}, "desks: desk"),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_clear_line(settings, named):
    with pytest.raises(ValueError, match=f"^{named}.*allowed|^{named}.*must") as error:
        OrderBook(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "messages",
    [
        np.zeros((2, 2), MESSAGE),
        np.zeros((), MESSAGE),
        np.zeros(3),
        np.zeros(3, [("kind", "i1"), ("price", "f8")]),
        [limit(1, BUY, 1, 1)],
        None,
    ],
)
def test_messages_of_another_dtype_or_shape_are_refused(book, messages):
    before = uncounted(book)
    with pytest.raises(ValueError, match="^messages: got"):
        book.process(messages)
    assert uncounted(book) == before


def test_no_messages_and_strided_or_locked_ones_are_as_good_as_any(book):
    assert len(book.process(np.zeros(0, MESSAGE))) == 0
    messages = np.array([cancel(1), cancel(9), cancel(2), cancel(9)], MESSAGE)
    messages.flags.writeable = False
    book.process(messages[::2])
    assert book.outcomes.tolist() == [0, 0]
    book.process(messages)
    assert set(book.outcomes) == {Outcome.UNKNOWN_ORDER}


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda book: book.limit("buy", 9.5, 1), "price"),
        (lambda book: book.limit("buy", float("nan"), 1), "price"),
        (lambda book: book.limit("buy", "9", 1), "price"),
        (lambda book: book.limit("buy", 2**70, 1), "price"),
        (lambda book: book.limit("buy", 9, 1.5), "size"),
        (lambda book: book.limit("buy", 9, None), "size"),
        (lambda book: book.limit("long", 9, 1), "side"),
        (lambda book: book.limit(0, 9, 1), "side"),
        (lambda book: book.limit([], 9, 1), "side"),
        (lambda book: book.limit("buy", 9, 1, tif="day"), "tif"),
        (lambda book: book.limit("buy", 9, 1, owner=2**40), "owner"),
        (lambda book: book.cancel(1.5), "order"),
        (lambda book: book.amend(1, 9, float("inf")), "size"),
        (lambda book: book.depth(-1), "n"),
        (lambda book: book.restore({}), "snapshot"),
        (lambda book: book.restore(OrderBook(levels=4_096).snapshot()), "snapshot"),
    ],
)
def test_an_argument_that_makes_no_sense_is_one_clear_line(book, call, named):
    before = uncounted(book)
    with pytest.raises(ValueError, match=f"^{named}: ") as error:
        call(book)
    assert "\n" not in str(error.value)
    assert uncounted(book) == before


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda book: book.limit("buy", 12, 1, tif="post_only"), Outcome.WOULD_CROSS),
        (lambda book: book.market("buy", 0), Outcome.BAD_SIZE),
        (lambda book: book.cancel(77), Outcome.UNKNOWN_ORDER),
        (lambda book: book.amend(1, 10, 1, owner=2), Outcome.NOT_OWNER),
        (lambda book: book.queue_ahead(77), Outcome.UNKNOWN_ORDER),
    ],
)
def test_an_order_by_hand_that_is_rejected_says_why(book, call, reason):
    before = uncounted(book)
    with pytest.raises(OrderRejected, match=reason.name) as error:
        call(book)
    assert error.value.outcome == reason
    assert uncounted(book) == before


def test_random_messages_good_and_bad_keep_every_invariant():
    """Small ladders and few ids, so that every rule is met often; the whole of the arrays is checked now and then."""
    rng = np.random.default_rng(11)
    seen = np.zeros(len(Outcome), int)
    for levels, policy in itertools.product(
        (5, 90, 9_000), ("allow", "cancel_resting", "cancel_incoming", "cancel_both")
    ):
        book = OrderBook(levels=levels, orders=12, self_trade=policy, desks={1: 0, 2: 0, 4: 1}, taker_fee=0.5)
        n = 2_000
        messages = np.zeros(n, MESSAGE)
        messages["kind"] = rng.choice(6, n, p=[0.01, 0.5, 0.2, 0.1, 0.18, 0.01])
        messages["side"] = rng.choice(3, n, p=[0.02, 0.49, 0.49]) * 2 - 3
        messages["tif"] = rng.choice(5, n, p=[0.6, 0.1, 0.15, 0.13, 0.02])
        messages["price"] = np.cumsum(rng.normal(0, levels / 20, n)) + rng.integers(-levels, levels, n) / 3
        messages["price"][rng.random(n) < 0.01] = MAX_TICKS + 1
        messages["size"] = rng.integers(0, 9, n)
        messages["order"] = rng.integers(-1, 40, n) * (2**40 + 1)
        messages["owner"] = rng.integers(-1, 6, n)
        for part in np.split(messages, 40):
            book.process(part)
            seen += np.bincount(book.outcomes, minlength=len(Outcome))
            check(book)
            lots, cash, fees = np.array(list(book.accounts.values()) or [(0, 0, 0)]).sum(axis=0)
            assert (lots, cash) == (0, -fees)
            assert fees == 0.5 * book.counts["filled"] / 2
    assert (seen > 30).all(), seen
