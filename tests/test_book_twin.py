"""The compiled book and the slow twin agree event by event, on every mix of messages."""

import numpy as np
import pytest

from marketsim import OrderBook
from marketsim.types import ANONYMOUS, Outcome
from tests.book_pair import agree, agree_at_the_bounds, agree_in_one_batch
from tests.messages_fixture import MIXES, messages
from tests.twin.book import Book

WIDE = 1000  # levels from which a comparison of all levels takes its time


def events(mix):
    return 10_000 if mix.levels > WIDE else 43_000


def agree_long(name, times, seed):
    mix = MIXES[name]
    agree(name, times * events(mix), seed, chunk=2000 if mix.levels > WIDE else 400)


@pytest.mark.parametrize("name", MIXES)
def test_every_message_does_the_same_to_both(name):
    agree_long(name, 1, seed=list(MIXES).index(name))


def test_that_is_a_million_messages():
    assert sum(map(events, MIXES.values())) >= 1_000_000


@pytest.mark.parametrize("name", ["plain", "swings"])
def test_a_batch_does_what_its_messages_do_and_a_cleared_book_is_a_new_one(name):
    agree_in_one_batch(name, 5000, seed=3)


def test_the_bounds_of_prices_and_sizes_are_those_of_the_twin():
    agree_at_the_bounds()


def test_the_mixes_meet_every_outcome():
    pairs = [agree(name, 3000, seed=100, chunk=3000) for name in MIXES]
    for outcome in Outcome:
        assert sum(pair.twin.outcomes[outcome] for pair in pairs) > 100, outcome.name


@pytest.mark.parametrize("name", ["plain", "desks, cancel both", "drifts down through zero", "amends", "mostly bad"])
def test_the_friendly_face_tells_what_the_twin_holds(name):
    mix, fees = MIXES[name], {"maker_fee": -0.25, "taker_fee": 0.5}
    policy = mix.self_trade.name.lower()
    book = OrderBook(levels=mix.levels, orders=mix.orders, self_trade=policy, desks=mix.desks, tick=0.5, **fees)
    twin = Book(mix.levels, mix.orders, mix.self_trade, mix.desks, **fees)
    for sent in np.split(messages(mix, 6000, seed=5), 6):
        book.process(sent)
        for message in sent.tolist():
            twin.process(message)
        for side, depth in zip((+1, -1), book.depth(100), strict=True):
            queues = [(price, lots, len(twin.queue(side, price))) for price, lots in twin.depth(side)]
            assert depth.tolist() == queues
        assert (book.best_bid, book.best_ask) == (twin.best(+1), twin.best(-1))
        assert {order: book.queue_ahead(order) for order in twin.orders} == {o: twin.ahead(o) for o in twin.orders}
        counts = book.counts
        assert {name: counts[name] for name in twin.lots} == dict(twin.lots)
        assert [counts[outcome.name.lower()] for outcome in Outcome] == [twin.outcomes[outcome] for outcome in Outcome]
        assert book.accounts == accounts(twin, tick=0.5)


def accounts(twin, tick):
    """(lots, cash in price units, fees) of each owner of the twin; the anonymous are one."""
    out = {}
    for owner, lots in twin.inventory.items():
        name, cash, fees = max(owner, ANONYMOUS), tick * twin.cash[owner], twin.fees[owner]
        before = out.get(name, (0, 0.0, 0.0))
        out[name] = (before[0] + lots, before[1] + cash - fees, before[2] + fees)
    return out


@pytest.mark.long
@pytest.mark.parametrize("name", MIXES)
def test_ten_million_messages_do_the_same_to_both(name):
    agree_long(name, 10, seed=1000 + list(MIXES).index(name))
