"""The compiled step of a market with an order book against its slow twin, over random experiments and random play."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin.book_step import BookMarket
from twin.book_strategies import hybrids, markets_with_a_book, random_play
from twin.strategies import of_market

import marketsim
from marketsim.types import Reason
from tests.test_twin import check_ledger, check_observation, check_state, close


def check_episode(config, markets, seed, episode, play):
    """Play an episode in both; returns the reasons met."""
    batch = marketsim.MarketBatch(marketsim.load_config(config), len(markets), seed=seed, first_market=markets[0])
    twins = [BookMarket(config, seed, episode, market) for market in markets]
    check_observation(batch.reset(episode=episode), [twin.observe() for twin in twins])
    check_state(batch.state, twins)
    met = Reason(0)
    for actions, quotes, governing in random_play(config, len(batch.agents), len(markets), play):
        governing.of_batch(batch)
        for m, twin in enumerate(twins):
            governing.of_market(m, twin)
        step = batch.step(actions, quotes=quotes)
        done = [twin.step(of_market(m, actions, quotes)) for m, twin in enumerate(twins)]
        check_books(batch, twins)
        np.testing.assert_array_equal(step.reasons, [market.reasons for market in done], err_msg="reasons")
        check_state(batch.state, twins)
        check_ledger(step.ledger, [market.ledger for market in done])
        np.testing.assert_array_equal(step.warnings, [market.warnings for market in done], err_msg="warnings")
        np.testing.assert_array_equal(step.terminated, [market.terminated for market in done], err_msg="terminated")
        close(step.reward, [market.reward for market in done], 1e-5, "reward")
        check_observation(step.observation, [market.observation for market in done])
        met |= Reason(int(np.bitwise_or.reduce(step.reasons, axis=None)))
    return met


def check_books(batch, twins):
    """Every order of a dealer: where it stands, and how many lots."""
    books = batch._book_of
    for m, twin in enumerate(twins):
        assert resting(books, m) == {
            (order.number, order.owner, order.side * order.lots, order.limit) for order in twin.book.orders.values()
        }, f"market {m}"


def resting(books, m):
    """The orders of a compiled book: (id, owner, signed lots, price)."""
    out = set()
    for slot in books.levels[m]["first"].tolist():
        while slot:
            row = books.orders[m, slot]
            out.add((int(row["order"]), int(row["owner"]), int(row["side"] * row["size"]), int(row["price"])))
            slot = row["next"]
    return out


PLAYS = {
    "seed": st.integers(0, 2**40),
    "episode": st.integers(0, 1000),
    "first_market": st.integers(0, 10_000),
    "play": st.integers(0, 2**32),
}


@settings(max_examples=80, deadline=None)
@given(config=markets_with_a_book(), **PLAYS)
def test_the_step_of_a_book_alone_is_its_twin(config, seed, episode, first_market, play):
    """Books, inventories, counts and reasons are equal; money agrees to 1e-9, what is float32 to 1e-5."""
    check_episode(config, range(first_market, first_market + 2), seed, episode, play)


@settings(max_examples=50, deadline=None)
@given(config=hybrids(), **PLAYS)
def test_the_step_of_a_hybrid_is_its_twin(config, seed, episode, first_market, play):
    check_episode(config, range(first_market, first_market + 2), seed, episode, play)


@pytest.mark.long
@settings(max_examples=5000, deadline=None)
@given(config=st.one_of(markets_with_a_book(), hybrids()), **PLAYS)
def test_the_step_with_a_book_is_its_twin_five_thousand_times(config, seed, episode, first_market, play):
    check_episode(config, range(first_market, first_market + 2), seed, episode, play)


def test_every_reason_of_a_book_is_met_and_is_the_twin_s():
    """Three dealers whose limits are so tight that each acts in some step, under a desk and orders from outside."""
    limits = {
        "markup": {"low": -0.5, "high": 1.5},
        "size": {"hard": 4},
        "position": {"soft": 2, "hard": 5},
        "worst_case": {"hard": 4.5},
        "hedge": {"hard": 2},
        "order_rate": {"hard": 5, "steps": 3},
        "repeated_execution": {"soft": 2, "hard": 4, "steps": 3, "on_breach": "reduce_only"},
        "self_trade": {"hard": 1, "on_breach": "widen"},
        "pace": 2,
    }
    tight = {
        "loss": {"soft": 1.0, "hard": 6.0},
        "rolling_loss": {"steps": 3, "hard": 3.0, "on_breach": "widen"},
        "drawdown": {"hard": 5.5, "on_breach": "reduce_only"},
        "feed": {"jump": 2.4, "frozen": 6, "on_breach": "widen"},
        "time_at_limit": {"level": 3, "hard": 2, "on_breach": "widen"},
    }
    action = {"kind": "offsets", "offset": [-2.0, 4.0], "size": [0, 6], "hedge": 4}
    config = {
        "market": {
            "kind": "book",
            "steps": 24,
            "price": {"kind": "book", "volatility": 0.3},
            "book": {"tick": 0.5, "levels": 64, "orders": 64, "taker_fee": 0.02, "opening": {"levels": 5, "lots": 3}},
        },
        "dealers": [
            {"name": "free", "count": 2, "action": action, "limits": limits},
            {"name": "tight", "action": action | {"latency": 0.5}, "limits": limits | tight},
        ],
        "desk": {"position": {"hard": 7}},
    }
    never = Reason.SLIPPAGE  # a hedge in the book has no curve whose cost is known beforehand
    assert check_episode(config, range(20), seed=3, episode=4, play=6) == ~Reason(0) & ~never
