"""The compiled market around a book against its slow twin, event by event."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.book.config import Book
from marketsim.types import Message, TimeInForce
from tests.traders_fixture import KINDS, Pair, blocks, books, population

STEPS = 12
ACTIVE = {
    "zero_intelligence": {"limit_rate": 0.3, "market_rate": 1.0},
    "maker": {"rate": 2.0, "half_spread": 0.1},
}


def paths(seed, tick, markets=2):
    """Random values that move by a few ticks a step."""
    rng = np.random.default_rng(seed)
    start = 50.0 + rng.choice([0.0, 0.5, 0.3]) * tick
    return start + tick * np.cumsum(rng.normal(0, 2, (STEPS + 1, markets)), axis=0).round(2)


@settings(max_examples=120, deadline=None)
@given(book=books(), traders=st.lists(st.sampled_from(KINDS).flatmap(blocks), max_size=5), seed=st.integers(0, 2**40))
def test_a_random_population_does_what_its_twin_does(book, traders, seed):
    pair = Pair(book, population(*traders), paths(seed % 1000, book.tick), seed, seed % 7, first=seed % 1000)
    for _ in range(STEPS):
        pair.step()
    pair.check()


@settings(max_examples=60, deadline=None)
@given(book=books(), traders=st.lists(st.sampled_from(KINDS).flatmap(blocks), max_size=3), seed=st.integers(0, 2**40))
def test_dealers_among_traders_are_settled_as_in_the_twin(book, traders, seed):
    """Three dealers send limit, market, cancel and amend messages, of which some travel."""
    pair = Pair(book, population(*traders), paths(seed % 1000, book.tick), seed, 0, first=3, dealers=3)
    rng = np.random.default_rng(seed % 1000)
    ids = [0, 0]
    for _ in range(STEPS):
        for m, twin in enumerate(pair.twins):
            for _ in range(4):
                pair.send(m, *dealers_message(rng, twin, ids, m), rng.choice([0.0, 0.0, 0.2, 1.0]))
        pair.step()
    pair.check()


def dealers_message(rng, twin, ids, m):
    owner, kind = int(rng.integers(3)), int(rng.choice([1, 1, 2, 3, 4]))
    side = int(rng.choice([-1, 1]))
    order = ids[m] if kind in (Message.LIMIT, Message.MARKET) else int(rng.integers(ids[m] + 1))
    ids[m] += 1
    if kind in (Message.CANCEL, Message.AMEND) and order in twin.book.orders:
        owner = twin.book.orders[order].owner
    price = round(twin.middle) - side * int(rng.integers(-2, 5))
    return owner, (kind, side, int(TimeInForce.GTC), price, int(rng.integers(1, 6)), order)


def test_the_populations_of_these_tests_meet_what_can_happen():
    """Every family trades; messages are lost, orders held back, cancels come too late, quotes would cross, books fill up."""
    met = Counter()
    for room in ({"in_flight": 6}, {"orders": 14}, {}):
        for kind in KINDS:
            block = {"kind": kind, "latency": {"median": 0.5, "sigma": 1.0}, "count": 4} | ACTIVE.get(
                kind, {"rate": 2.0}
            )
            flow = {
                "kind": "zero_intelligence",
                "limit_rate": 0.3,
                "market_rate": 2.0,
                "cancel_rate": 0.3,
                "band": 4,
                "size": 4,
            }
            book = {"tick": 1.0, "levels": 40, "opening": {"levels": 3, "lots": 2}} | room
            pair = Pair(Book.model_validate(book), population(flow, block), paths(1, 1.0), 0, 0, 0)
            for _ in range(STEPS):
                pair.step()
            pair.check()
            met += Counter({f"{kind} trades": sum(abs(t.inventory) for t in pair.twins[0].traders[1:])})
            met += Counter(pair.markets.counts())
    for name in [f"{kind} trades" for kind in KINDS] + ["lost", "unknown_order", "would_cross", "book_full"]:
        assert met[name] > 0, (name, met)
