"""What compiled code asks a book, against the same answered from the list of its orders."""

import numpy as np
import pytest
from book_fixture import BUY, SELL

from marketsim.book.index import find
from marketsim.book.ladder import ahead, depth, lots_at, next_level
from marketsim.book.matching import clear, process
from marketsim.book.state import BEST_ASK, BEST_BID, NO_ASK, NO_BID, TRADES, book_arrays, trade_log
from marketsim.types import ANONYMOUS, MESSAGE, Message

NO_DESKS = np.zeros(0, np.int32)


def filled(levels, orders, rng):
    """A book with so many orders strewn over its ladder, and their messages in order."""
    arrays = {name: rows[0] for name, rows in book_arrays(1, levels, orders).items()}
    middle = int(rng.integers(-(2**39), 2**39))
    messages = np.zeros(orders, MESSAGE)
    messages["kind"] = Message.LIMIT
    messages["order"] = rng.permutation(3 * orders)[:orders]
    messages["price"] = middle + rng.integers(-(levels // 2), levels // 2, orders)
    messages["side"] = np.where(messages["price"] < middle, BUY, SELL)
    messages["size"] = rng.integers(1, 9, orders)
    messages["owner"] = ANONYMOUS
    outcomes = np.ones(orders, np.uint8)
    process(*arrays.values(), NO_DESKS, trade_log(0, 0), messages, outcomes)
    assert not outcomes.any()
    return arrays, messages


@pytest.mark.parametrize(("levels", "orders"), [(64, 3), (4_096, 12), (4_096, 300), (20_000, 9), (2**17, 40)])
def test_every_question_is_answered_as_from_the_list_of_orders(levels, orders):
    rng = np.random.default_rng(levels)
    for _ in range(5):
        arrays, listed = filled(levels, orders, rng)
        head, rows, slots, index = arrays.values()
        for side, beyond in ((BUY, NO_BID), (SELL, NO_ASK)):
            mine = listed[listed["side"] == side]
            prices = np.unique(mine["price"])[::-side]  # the best first
            assert head[BEST_BID if side == BUY else BEST_ASK] == (prices[0] if len(prices) else beyond)

            for price in [
                *rng.choice(listed["price"], 10),
                *(listed["price"][0] + rng.integers(-2 * levels, 2 * levels, 10)),
            ]:
                further = prices[side * (price - prices) > 0]
                assert next_level(head, rows, side, int(price)) == (further[0] if len(further) else beyond)
                assert lots_at(head, rows, int(price)) == listed["size"][listed["price"] == price].sum()
            for ticks in (0, 1, levels // 3, 2 * levels):
                near = side * (prices[0] - mine["price"]) <= ticks if len(prices) else []
                assert depth(head, rows, side, ticks) == mine["size"][near].sum()

        for order in range(3 * orders):
            slot, place = find(slots, index, order), np.nonzero(listed["order"] == order)[0]
            if len(place):
                before = listed[: place[0]]
                assert slots["order"][slot] == order
                assert ahead(rows, slots, slot) == before["size"][before["price"] == listed["price"][place[0]]].sum()
            else:
                assert slot == -1


def test_an_empty_book_has_no_levels():
    head, levels, _, _ = (rows[0] for rows in book_arrays(1, 64, 4).values())
    assert next_level(head, levels, BUY, 5) == NO_BID
    assert next_level(head, levels, SELL, 5) == NO_ASK
    assert depth(head, levels, BUY, 100) == depth(head, levels, SELL, 100) == lots_at(head, levels, 0) == 0


def test_a_cleared_book_is_a_new_one_and_plays_as_one():
    rng = np.random.default_rng(2)
    arrays, messages = filled(500, 60, rng)
    clear(*arrays.values())
    new = {name: rows[0] for name, rows in book_arrays(1, 500, 60).items()}
    for name in ("head", "levels", "index"):
        assert arrays[name].tobytes() == new[name].tobytes()

    messages["side"] = rng.choice([BUY, SELL], len(messages))
    logs = []
    for book in (arrays, new):
        trades, outcomes = trade_log(0, len(messages)), np.zeros(len(messages), np.uint8)
        process(*book.values(), NO_DESKS, trades, messages, outcomes)
        logs.append((trades[: book["head"][TRADES]].tolist(), outcomes.tolist()))
    assert logs[0] == logs[1]
    assert arrays["head"].tobytes() == new["head"].tobytes()
    assert len(logs[0][0]) > 10


def test_books_are_rows_that_do_not_touch_each_other():
    rng = np.random.default_rng(3)
    books = book_arrays(3, 200, 30)
    before = {name: rows[[0, 2]].tobytes() for name, rows in books.items()}
    _, messages = filled(200, 30, rng)
    outcomes = np.ones(30, np.uint8)
    process(*(rows[1] for rows in books.values()), NO_DESKS, trade_log(0, 30), messages, outcomes)
    assert not outcomes.any()
    assert {name: rows[[0, 2]].tobytes() for name, rows in books.items()} == before
