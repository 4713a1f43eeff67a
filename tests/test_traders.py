"""The market around a book: what does not change it, and the laws that its traders obey."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from marketsim.book.config import Book
from marketsim.book.market import BookMarkets, simulate
from marketsim.book.state import LIVE
from marketsim.types import Message, Outcome
from tests.traders_fixture import population

ZERO_INTELLIGENCE = {
    "kind": "zero_intelligence", "limit_rate": 0.2, "market_rate": 1.5, "cancel_rate": 0.1, "band": 10,
}  # fmt: skip
MIXED = (
    ZERO_INTELLIGENCE | {"count": 3, "latency": {"median": 0.1, "sigma": 0.7}},
    {"kind": "hawkes", "rate": 1.0, "cancel_rate": 0.2, "size": {"mean": 2.0}},
    {"kind": "momentum", "rate": 0.5, "count": 2, "latency": 0.2},
    {"kind": "value", "rate": 0.5, "noise": 3.0, "threshold": 1.0, "cancel_rate": 0.2},
    {"kind": "informed", "rate": 0.5},
    {"kind": "maker", "rate": 1.0, "size": 3, "skew": 0.1, "position": 40},
)
BOOK = Book(tick=0.1, levels=512, orders=2000, warm_up=5.0)
STEPS = 40


def values(markets, first=0):
    """Paths of F, each market its own."""
    moves = [np.random.default_rng(first + m).normal(0, 0.1, STEPS) for m in range(markets)]
    return 20.0 + np.vstack([np.zeros(markets), np.cumsum(np.array(moves).T, axis=0)])


def played(traders, markets=1, first=0, book=BOOK, **more):
    m = BookMarkets(book, population(*traders), markets=markets, log=10_000, **more)
    paths = values(markets, first)
    m.reset(paths[0], seed=5, episode=2, first_market=first)
    m.play(paths, 1.0)
    return m


def same(a, i, b, j):
    """Market i of one and market j of another were the same."""
    mine, other = a.tape(i), b.tape(j)
    return np.array_equal(mine.quotes, other.quotes) and np.array_equal(mine.prints, other.prints)


def test_a_market_does_not_depend_on_the_others_of_its_batch():
    many, alone = played(MIXED, markets=6, first=0), played(MIXED, markets=1, first=4)
    assert same(many, 4, alone, 0)
    assert not same(many, 3, alone, 0)
    assert len(alone.tape().prints) > 100


def test_markets_played_step_by_step_or_at_once_or_from_a_snapshot_are_the_same():
    at_once = played(MIXED, markets=2)
    m = BookMarkets(BOOK, population(*MIXED), markets=2, log=10_000)
    m.reset(values(2)[0], seed=5, episode=2)
    for t in range(STEPS):
        if t == 17:
            snapshot = m.snapshot()
            m.play(values(2), 1.0, t, STEPS)
            m.restore(snapshot)
        m.play(values(2), 1.0, t, t + 1)
    assert same(at_once, 0, m, 0) and same(at_once, 1, m, 1)


@pytest.mark.parametrize(
    "inactive", [{"kind": "maker", "rate": 0.0}, ZERO_INTELLIGENCE | {"limit_rate": 0.0, "market_rate": 0.0}]
)
def test_an_inactive_trader_at_the_end_changes_nothing(inactive):
    assert same(played(MIXED), 0, played((*MIXED, inactive | {"count": 30})), 0)


def test_dealers_who_do_nothing_change_nothing():
    assert same(played(MIXED), 0, played(MIXED, dealers=4), 0)


def test_a_latency_that_is_almost_none_is_none():
    """Of 10^-9 units of time: every message is in flight, and arrives before anything else happens."""
    none = [block | {"latency": 0.0} for block in MIXED]
    tiny = [block | {"latency": 1e-9} for block in MIXED]
    a, b = played(none).tape(), played(tiny).tape()
    assert len(a.prints) > 100
    np.testing.assert_array_equal(a.quotes[["bid", "ask"]], b.quotes[["bid", "ask"]])
    np.testing.assert_allclose(a.prints["time"], b.prints["time"], rtol=0, atol=1.1e-9)


def test_latency_delays_what_is_sent_but_not_what_is_decided():
    late = played([ZERO_INTELLIGENCE | {"latency": 3.0}], book=Book(tick=0.1, opening={"levels": 0}))
    quotes = late.tape().quotes
    assert quotes["time"][1] > 3.0 and quotes["bid_size"][0] == quotes["ask_size"][0] == 0
    prompt = played([ZERO_INTELLIGENCE], book=Book(tick=0.1, opening={"levels": 0}))
    assert prompt.tape().quotes["time"][1] + 3.0 == pytest.approx(quotes["time"][1], abs=1e-9)


def test_money_and_lots_are_conserved():
    """Between traders alone cash sums to the fees, with the sign of a payment, and inventory to zero."""
    book = Book(tick=0.1, maker_fee=-0.02, taker_fee=0.05, opening={"levels": 0})
    m = played(MIXED, book=book)
    lots = m.tape().prints["size"].sum()
    assert lots > 100
    agents = m.agents[0]
    assert agents["inventory"].sum() == 0
    assert agents["cash"].sum() == pytest.approx(-0.03 * lots, rel=1e-9)


def test_a_dealer_may_cancel_what_is_in_flight_no_sooner_than_it_arrives():
    m = BookMarkets(BOOK, population(), dealers=1)
    m.reset(20.0)
    assert m.send(0, 0, Message.LIMIT, 1, 195, 5, 7, latency=0.5) == -1
    assert m.send(0, 0, Message.CANCEL, 0, 0, 0, 7) == -1  # without latency, and yet behind its order
    m.play(np.full((2, 1), 20.0), 1.0)
    counts = m.counts()
    assert counts["requests"] == 2 and counts["unknown_order"] == 0
    assert m.send(0, 0, Message.CANCEL, 0, 0, 0, 7) == Outcome.UNKNOWN_ORDER


def test_a_limit_order_beyond_those_a_trader_keeps_in_mind_is_held_back():
    m = BookMarkets(BOOK, population(ZERO_INTELLIGENCE))
    m.blocks["room"] = 5
    m.reset(20.0)
    m.play(values(1), 1.0)
    assert m.agents["open"].max() <= 5
    assert m.counts()["held_back"] > 100
    assert m.head[0, LIVE] <= 2 * BOOK.opening.levels + 5


def test_traders_who_would_keep_more_in_mind_than_fits_into_memory_are_refused():
    with pytest.raises(ValueError, match="a higher cancel_rate"):
        BookMarkets(BOOK, population(ZERO_INTELLIGENCE | {"cancel_rate": 1e-7, "count": 100}))


def test_simulate_is_a_market_alone_whatever_the_length_of_its_log():
    tape = simulate(BOOK, population(*MIXED), values(1)[:, 0], STEPS, 1.0, seed=5, episode=2)
    m = played(MIXED)
    assert np.array_equal(tape.prints, m.tape().prints) and np.array_equal(tape.quotes, m.tape().quotes)
    long = simulate(BOOK, population(ZERO_INTELLIGENCE), 20.0, 2000, 1.0)
    assert len(long.quotes) > 1024  # more than it first makes room for
    again = simulate(BOOK, population(ZERO_INTELLIGENCE), 20.0, 2000, 1.0)
    assert np.array_equal(long.quotes, again.quotes)


def test_a_log_that_is_too_short_is_refused():
    m = BookMarkets(BOOK, population(*MIXED), log=10)
    m.reset(20.0)
    m.play(values(1), 1.0)
    assert m.counts()["unrecorded"] > 0
    with pytest.raises(ValueError, match="do not fit into a log of 10 rows"):
        m.tape()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e15])
def test_values_that_are_no_prices_are_refused(value):
    m = BookMarkets(BOOK, population(*MIXED))
    with pytest.raises(ValueError, match="2\\^39 ticks"):
        m.reset(value)
    m.reset(20.0)
    with pytest.raises(ValueError, match="2\\^39 ticks"):
        m.play(np.array([[20.0], [value]]), 1.0)


@pytest.mark.parametrize(
    "block, wrong",
    [
        ({"kind": "zero"}, "kind"),
        ({"kind": "hawkes", "rate": 1.0, "excitation": [0.6, 0.4]}, "less than 1 other"),
        ({"kind": "hawkes", "rate": 1.0, "excitation": [0.6]}, "own side, other side"),
        ({"kind": "momentum", "rate": 1.0, "fast": 3, "slow": 2}, "fast 3 must be below slow 2"),
        ({"kind": "value"}, "rate"),
        ({"kind": "value", "rate": -1.0}, "rate"),
        ({"kind": "value", "rate": 1.0, "size": 0}, "size"),
        ({"kind": "value", "rate": 1.0, "latency": {"median": 0.0, "sigma": 1.0}}, "median"),
        ({"kind": "maker", "rate": 1.0, "half_spread": 0.0}, "half_spread"),
        ({"kind": "maker", "rate": 1.0, "band": 3}, "band"),
    ],
)
def test_a_block_that_makes_no_sense_is_refused(block, wrong):
    with pytest.raises(ValidationError, match=wrong):
        population(block)


def test_the_examples_of_the_page_run():
    page = (Path(__file__).parent.parent / "docs" / "traders.md").read_text()
    tree = YAML(typ="safe").load(page.split("```yaml")[1].split("```")[0])["market"]
    m = BookMarkets(Book.model_validate(tree["book"]), population(*tree["traders"]))
    m.reset(100.0)
    m.play(np.full((11, 1), 100.0), 1.0)
    assert m.counts()["requests"] > 100
    names: dict = {}
    exec(page.split("```python")[1].split("```")[0], names)
    assert len(names["tape"].prints) > 1000


def test_two_blocks_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="two are named 'a'"):
        population({"kind": "maker", "rate": 1.0, "name": "a"}, {"kind": "value", "rate": 1.0, "name": "a"})
