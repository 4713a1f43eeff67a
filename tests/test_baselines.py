"""Dealers without learning. About 3 s."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.config import Desk
from agents.policy import Policy, Seat, build
from marketsim.document import Document, parse

EXPONENTIAL = {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 1.5}}
LOGIT = {"kind": "logit", "intercept": -1.0, "sensitivity": 4.0}
SEGMENTS = [
    {"name": "a", "sizes": [1, 2], "rates": [0.2, 0.1], "choice": EXPONENTIAL},
    {"name": "b", "sizes": [5], "rates": [0.1], "choice": LOGIT},
]


def seat_of(policy, market: dict | None = None, **dealer) -> Seat:
    base = {"steps": 200, "dt": 0.005, "price": {"kind": "brownian", "volatility": 2.0}, "segments": SEGMENTS}
    block = {"name": "dealer", "policy": policy} | dealer
    return Seat(parse(Desk, Document.of({"market": base | (market or {}), "dealers": [block]})), 0)


def played_by(seat: Seat) -> Policy:
    return build(seat.dealer.policy, seat)


def seen(*rows: dict, seat: Seat) -> np.ndarray:
    """Observations with these columns, neutral elsewhere."""
    observation = np.zeros((len(rows), len(seat.dealer.observation)), dtype=np.float32)
    for row, columns in zip(observation, rows, strict=True):
        for name, x in columns.items():
            row[seat.dealer.observation.index(name)] = x
    return observation


# --- fixed ----------------------------------------------------------------------------------------------------------


def test_fixed_quotes_the_reference_one_number_or_one_a_cell():
    reference = seat_of("fixed")
    quotes, hedge = played_by(reference).quote(seen({}, {}, seat=reference))
    assert quotes.shape == (2, 2, 2, 2) and hedge.shape == (2, 1)
    assert quotes[0, 0, 0].tolist() == [1 / 1.5, 1 / 1.5]
    assert (4 * quotes[0, 1, 1, 0] - 1) * math.exp(4 * quotes[0, 1, 1, 0] - 1) == pytest.approx(1.0)  # e^(-a-1) = 1
    assert np.all(np.isnan(quotes[:, :, 1, 1])) and np.all(hedge == 0)

    one = seat_of({"kind": "fixed", "markup": 0.3})
    assert np.nanmin(played_by(one).quote(seen({}, seat=one))[0]) == 0.3
    each = seat_of({"kind": "fixed", "markup": [1, 2, 3, 4, 5, 6]})
    quotes, _ = played_by(each).quote(seen({}, seat=each))
    assert np.nan_to_num(quotes[0]).tolist() == [[[1, 2], [3, 0]], [[4, 5], [6, 0]]]


def test_fixed_hedges_a_fraction_of_its_inventory():
    seat = seat_of({"kind": "fixed", "hedge": 0.5}, {"inventory_limit": 10})
    _, hedge = played_by(seat).quote(seen({"inventory": 0.4}, {"inventory": -0.7}, seat=seat))
    assert hedge[:, 0].tolist() == [-2.0, 3.5]  # the engine makes it whole


def test_a_list_of_markups_of_another_length_is_refused():
    seat = seat_of({"kind": "fixed", "markup": [1.0, 2.0]})
    with pytest.raises(ValueError, match="dealers.dealer.policy.markup: 2 markups for 6 cells"):
        played_by(seat)


@pytest.mark.parametrize("policy", [{"kind": "fixed", "hedge": 0.5}, "avellaneda_stoikov"])
def test_what_a_policy_needs_it_must_observe(policy):
    with pytest.raises(ValueError, match="dealers.dealer.observation: policy .* needs 'inventory'"):
        played_by(seat_of(policy, observation=["time_left", "pnl"]))


# --- random ---------------------------------------------------------------------------------------------------------


def test_random_actions_are_uniform_and_do_not_depend_on_the_batch():
    seat = seat_of("random")
    policy = played_by(seat)
    policy.reset(3, 1, 0, 20_000)
    first, second = (policy.act(np.zeros((20_000, 10), np.float32)) for _ in range(2))
    assert first.shape == (20_000, 7) and first.dtype == np.float32 and np.abs(first).max() <= 1.0
    assert abs(first.mean()) < 4 / math.sqrt(3 * first.size) and abs(first.var() - 1 / 3) < 0.01
    assert abs(np.corrcoef(first[:, 0], first[:, 1])[0, 1]) < 0.03
    assert not np.array_equal(first, second)
    policy.reset(3, 1, 7, 1)
    np.testing.assert_array_equal(policy.act(np.zeros((1, 10), np.float32))[0], first[7])
    policy.reset(3, 2, 7, 1)
    assert not np.array_equal(policy.act(np.zeros((1, 10), np.float32))[0], first[7])
    with pytest.raises(RuntimeError, match="reset"):
        played_by(seat).act(np.zeros((1, 10), np.float32))


# --- Avellaneda and Stoikov -----------------------------------------------------------------------------------------


def test_avellaneda_stoikov_at_the_end_and_flat_quotes_the_known_half_spread():
    """(1/gamma) log(1 + gamma/k) = 0.6453852 at gamma = 0.1, k = 1.5."""
    seat = seat_of("avellaneda_stoikov")
    quotes, hedge = played_by(seat).quote(seen({"time_left": 0.0}, seat=seat))
    np.testing.assert_allclose(quotes[0, :, 0], 0.6453852, atol=5e-8)
    assert hedge.tolist() == [[0.0]]


def test_avellaneda_stoikov_leans_against_its_inventory():
    """The reservation price lies q gamma sigma^2 (T - t) below the mid, the spread opens by gamma sigma^2 (T - t)."""
    seat = seat_of("avellaneda_stoikov", {"inventory_limit": 10})
    rows = ({"time_left": 0.5, "inventory": 0.3}, {"time_left": 0.5, "inventory": -0.3}, {"time_left": 0.5})
    long, short, flat = played_by(seat).quote(seen(*rows, seat=seat))[0]
    risk = 0.1 * 2.0**2 * 0.5
    np.testing.assert_allclose(flat[:, 0, 0], 0.5 * risk + math.log1p(0.1 / 1.5) / 0.1)
    np.testing.assert_allclose(long[:, 0, 0] - flat[:, 0, 0], [3 * risk, -3 * risk])
    np.testing.assert_allclose(short, long[::-1])
    np.testing.assert_allclose(long.sum(axis=0)[0], risk + 2 * math.log1p(0.1 / 1.5) / 0.1)


def test_avellaneda_stoikov_without_risk_aversion_quotes_the_reference():
    seat = seat_of({"kind": "avellaneda_stoikov", "risk_aversion": 1e-9})
    rows = ({"time_left": 1.0, "inventory": 1.0}, {})
    quotes, _ = played_by(seat).quote(seen(*rows, seat=seat))
    fixed, _ = played_by(seat_of("fixed")).quote(seen(*rows, seat=seat))
    np.testing.assert_allclose(quotes, fixed, atol=1e-6)


@pytest.mark.parametrize(
    "price, sd",
    [
        ({"kind": "gbm", "mid": 50.0, "volatility": 0.02}, 1.0),
        (
            {"kind": "regime", "drift": [0, 0], "volatility": [1.0, 2.0], "transition": [[0.9, 0.1], [0.3, 0.7]]},
            math.sqrt(0.75 * 1 + 0.25 * 4),
        ),
    ],
)
def test_avellaneda_stoikov_takes_the_volatility_of_the_market(price, sd):
    seat = seat_of("avellaneda_stoikov", {"price": price})
    given = seat_of({"kind": "avellaneda_stoikov", "volatility": sd}, {"price": price})
    rows = ({"time_left": 1.0, "inventory": 0.5},)
    np.testing.assert_allclose(
        played_by(seat).quote(seen(*rows, seat=seat))[0], played_by(given).quote(seen(*rows, seat=given))[0], rtol=1e-9
    )


def test_avellaneda_stoikov_needs_a_rate_where_the_reference_says_nothing():
    clients = [{"rates": [0.1], "choice": {"kind": "best_price", "reservation": {"kind": "fixed", "value": 0.0}}}]
    with pytest.raises(ValueError, match="dealers.dealer.policy.rate: must be given"):
        played_by(seat_of("avellaneda_stoikov", {"segments": clients}))
    played_by(seat_of({"kind": "avellaneda_stoikov", "rate": 2.0}, {"segments": clients}))
