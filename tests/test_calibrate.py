"""Calibration: estimates from exact simulations cover what was put in; closed forms; slow twins; what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from calibrate_fixture import (
    REPLICATIONS,
    assert_covers,
    exponential_reaches,
    generator,
    quotes_of,
    tape_of_orders,
    thinned,
    zero_intelligence_book,
)

from marketsim.calibrate.excitation import remembered
from marketsim.calibrate.fills import fills, rates
from marketsim.calibrate.hawkes import Likelihood, fit, hawkes
from marketsim.calibrate.market_orders import market_orders
from marketsim.calibrate.volatility import of_regular, volatility
from marketsim.calibrate.zero_intelligence import of_messages, zero_intelligence
from marketsim.document import InputError
from marketsim.feeds.lobster import ROW, Type
from marketsim.tape import PRINT, QUOTE, Tape


def prints_of(*rows) -> np.ndarray:
    return np.array(list(rows), PRINT)


# --- market orders ---------------------------------------------------------------------------------


def test_an_order_is_all_that_prints_at_one_time_on_one_side():
    tape = Tape(
        quotes_of([0.0, 2.0, 3.0], [100, 99, 99], [101, 102, 102]),
        prints_of((1, 101, 5, 1), (1, 102, 2, 1), (1, 100, 1, -1), (2, 99, 4, -1), (3, 102, 1, 1), (4, 102, 1, 1)),
    )
    orders = market_orders(tape)
    assert orders.time.tolist() == [1, 1, 2, 3, 4]
    assert orders.side.tolist() == [-1, 1, -1, 1, 1]
    assert orders.size.tolist() == [1, 7, 4, 1, 1]
    assert orders.duration == 4.0  # the last print is after the last quotes
    # The mid before t = 2 is that of t = 0, its bid was 100: the quotes had moved a tick before the sale at 99.
    assert orders.reach.tolist() == [1, 3, 1, 3, 3]


def test_an_order_inside_the_quotes_reaches_less_than_half_of_the_spread():
    tape = Tape(quotes_of([0.0, 9.0], [100, 100], [104, 104]), prints_of((1, 103, 1, 1), (2, 101, 1, -1)))
    assert market_orders(tape).reach.tolist() == [2, 2]


# --- volatility ------------------------------------------------------------------------------------


def test_volatility_without_noise_is_covered_by_both():
    found = [of_regular(np.cumsum(0.1 * generator(key).standard_normal(1001)), 10.0) for key in range(REPLICATIONS)]
    assert_covers([v.two_scale for v in found], 1.0, "two scales")
    assert_covers([v.plain for v in found], 1.0, "plain")


def test_volatility_under_noise_is_covered_on_two_scales_and_missed_by_the_plain_one():
    def seen(key):
        rng = generator(key)
        path = np.cumsum(rng.standard_normal(4001)) / math.sqrt(4000)
        return of_regular(path + 0.02 * rng.standard_normal(4001), 1.0)

    found = [seen(key) for key in range(REPLICATIONS)]
    assert_covers([v.two_scale for v in found], 1.0, "two scales")
    assert np.mean([v.noise for v in found]) == pytest.approx(0.02, rel=0.01)
    assert np.mean([v.plain.value for v in found]) == pytest.approx(math.sqrt(1 + 2 * 4000 * 0.02**2), rel=0.01)


def test_volatility_of_a_tape_is_in_price_units_per_root_of_its_time():
    rng = generator(1)
    time = np.sort(rng.uniform(0, 400, 20_000))
    mid = np.cumsum(0.5 * rng.standard_normal(20_000) * np.sqrt(np.diff(time, prepend=0.0)))
    bid = 10_000 + np.floor(mid / 0.001).astype(int)
    found = volatility(Tape(quotes_of(time, bid, bid + 1), prints_of(), tick=0.001))
    assert found.two_scale.value == pytest.approx(0.5, abs=4 * found.two_scale.error)
    assert found.two_scale.error < 0.01
    assert found.plain.n == 19_999


# --- fills -----------------------------------------------------------------------------------------


def test_arrival_rate_and_decay_of_exponential_reaches_are_covered():
    found = [fills(exponential_reaches(key, A=2.0, k=60.0, tick=0.01, duration=200.0)) for key in range(REPLICATIONS)]
    assert_covers([f.decay for f in found], 60.0, "k")
    assert_covers([f.arrival for f in found], 2.0, "A")
    assert_covers([f.bid for f in found], 2.0, "A of the bid")
    assert_covers([f.ask for f in found], 2.0, "A of the ask")
    assert found[0].nearest == 0.005
    low = sum(f.p_value < 0.05 for f in found)
    assert 1 <= low <= 24  # 10 expected: the test of the law has its size


def test_a_law_that_is_fitted_to_a_farthest_distance_is_covered_too():
    tapes = [exponential_reaches(key, A=2.0, k=60.0, tick=0.01, duration=200.0) for key in range(REPLICATIONS)]
    found = [fills(tape, farthest=0.025) for tape in tapes]
    assert_covers([f.decay for f in found], 60.0, "k")
    assert_covers([f.arrival for f in found], 2.0, "A")
    assert np.mean([f.decay.error for f in found]) > np.mean([fills(tape).decay.error for tape in tapes])


def test_what_lies_beyond_the_farthest_distance_does_not_matter():
    """With a tick to go, k is the share of orders that go it: log(N / gone) / tick."""
    for beyond in (1, 2, 40):
        rows = [(t, 101 + j, 1, 1) for t in range(1, 31) for j in range(beyond + 1 if t > 20 else 1)]
        rows += [(40 + t, 100, 1, -1) for t in range(1, 31)]
        tape = Tape(quotes_of([0.0, 80.0], [100, 100], [101, 101]), prints_of(*rows), tick=0.5)
        found = fills(tape, farthest=0.75)
        assert found.decay.value == pytest.approx(math.log(60 / 10) / 0.5, rel=1e-9)
        assert found.arrival.value == pytest.approx(60 / 160 * math.exp(0.25 * found.decay.value), rel=1e-9)
    with pytest.raises(InputError, match="fills: farthest: got 0.25, it must be above the half-spread, at least 0.5"):
        fills(tape, farthest=0.25)


def test_decay_at_one_spread_is_the_closed_form():
    """k = log(1 + tick / mean excess) / tick, error 1 / (tick sqrt(N m (1 + m))) with m ticks of mean excess."""
    excess = [0] * 20 + [1] * 8 + [3] * 2
    rows = [
        (t + 1.0, price, 1, side)
        for side, best in ((1, 101), (-1, 100))
        for t, e in enumerate(excess)
        for price in range(best, best + side * (e + 1), side)
    ]
    tape = Tape(quotes_of([0.0, 40.0], [100, 100], [101, 101]), prints_of(*sorted(rows)), tick=0.5)
    found = fills(tape)
    m, N = np.mean(excess), 60
    k = math.log(1 + 1 / m) / 0.5
    assert found.decay.value == pytest.approx(k, rel=1e-9)
    assert found.decay.error == pytest.approx(1 / (0.5 * math.sqrt(N * m * (1 + m))), rel=1e-9)
    assert found.arrival.value == pytest.approx(N / 2 / 40 * math.exp(k * 0.25), rel=1e-9)
    log_error = math.sqrt(1 / N + (0.25 * found.decay.error) ** 2)
    assert found.arrival.error == pytest.approx(found.arrival.value * log_error, rel=1e-9)
    assert rates(tape, market_orders(tape), np.array([0.25, 0.3, 1.75])).tolist() == [30 / 40, 10 / 40, 2 / 40]


# --- hawkes ----------------------------------------------------------------------------------------


def test_what_the_kernel_remembers_is_the_sum_over_the_past():
    rng = generator(2)
    time = np.sort(np.round(rng.uniform(0, 20, 60), 1))  # with ties
    side = rng.integers(0, 2, 60)
    out = np.empty((2, 3, 60))
    remembered(time, side, 0.7, out)
    for i in range(60):
        for j in range(2):
            age = time[i] - time[:i][side[:i] == j]
            slow = [(age**p * np.exp(-0.7 * age)).sum() for p in range(3)]
            np.testing.assert_allclose(out[j, :, i], slow, rtol=1e-12, atol=1e-12)


def test_likelihood_is_that_of_the_definition_and_its_derivatives_are_its_own():
    time, side = thinned(3, [0.6, 0.4], [[0.3, 0.2], [0.1, 0.4]], 2.0, 60.0)
    likelihood = Likelihood(time, side, 60.0)
    x = np.array([0.5, 0.45, 0.25, 0.15, 0.2, 0.35, math.log(1.6)])
    mu, n, decay = x[:2], x[2:6].reshape(2, 2), 1.6

    slow = -60.0 * mu.sum()
    for t, i in zip(time, side, strict=True):
        past = [decay * np.exp(-decay * (t - time[(side == j) & (time < t)])).sum() for j in range(2)]
        slow += math.log(mu[i] + n[i] @ past)
        slow -= n[:, i].sum() * (1 - math.exp(-decay * (60.0 - t)))
    value, gradient = likelihood.value_and_gradient(x)
    assert value == pytest.approx(slow, rel=1e-12)

    step = 1e-5 * np.eye(7)
    slopes = [(likelihood.value_and_gradient(x + h)[0] - likelihood.value_and_gradient(x - h)[0]) / 2e-5 for h in step]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-6)
    bends = [(likelihood.value_and_gradient(x - h)[1] - likelihood.value_and_gradient(x + h)[1]) / 2e-5 for h in step]
    np.testing.assert_allclose(likelihood.information(x), bends, rtol=1e-5, atol=1e-4)


CHILDREN = [[0.4, 0.2], [0.15, 0.35]]


def test_hawkes_parameters_are_covered_and_the_fit_is_not_refuted():
    found = [fit(*thinned(key, [0.5, 0.6], CHILDREN, 3.0, 300.0), 300.0) for key in range(REPLICATIONS)]
    for i in range(2):
        assert_covers([f.baseline[i] for f in found], [0.5, 0.6][i], f"baseline {i}")
        for j in range(2):
            assert_covers([f.children[i][j] for f in found], CHILDREN[i][j], f"children {i}{j}")
    assert_covers([f.decay for f in found], 3.0, "decay")
    assert_covers([f.ratio for f in found], max(np.linalg.eigvals(CHILDREN).real), "branching ratio")
    assert sum(f.p_value < 0.05 for f in found) <= 16  # 10 at most where nothing is fitted


def test_residuals_of_the_wrong_memory_are_refuted():
    """Children come at once or late: one exponential is not enough."""
    rng = generator(4)
    parents = rng.uniform(0, 10_000, 700)
    born = [parents + rng.exponential(after, 700) for after in (0.001, 2.0, 2.0)]
    time = np.sort(np.concatenate([parents, *born]))
    time = time[time < 10_000]
    assert fit(time, rng.integers(0, 2, len(time)), 10_000.0).p_value < 1e-6


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (np.sort(generator(5).uniform(0, 500, 500)), "cannot be told from a Poisson process"),
        (np.cumsum(generator(6).gamma(4, 0.25, 450)), "cannot be told from a Poisson process"),
        (np.repeat(np.arange(1.0, 100), 3), "the memory of the orders is shorter than any gap"),
    ],
    ids=["poisson", "orderly", "bursts without length"],
)
def test_orders_without_a_memory_of_their_own_are_refused(time, said):
    with pytest.raises(InputError, match=said):
        fit(time, generator(7).integers(0, 2, len(time)), 500.0)


def test_a_market_that_would_never_end_is_refused():
    time, side = thinned(8, [0.5, 0.5], [[0.8, 0.8], [0.8, 0.8]], 3.0, 3.5)
    with pytest.raises(InputError, match="branching ratio is 1.*, it must be below 1"):
        fit(time, side, 3.5)


def test_time_units_scale_the_rates_of_a_tape_and_nothing_else():
    time, side = thinned(6, [0.5, 0.6], CHILDREN, 3.0, 600.0)
    slow, fast = hawkes(tape_of_orders(time, side, 600.0)), hawkes(tape_of_orders(time / 10, side, 60.0))
    assert fast.decay.value == pytest.approx(10 * slow.decay.value, rel=1e-4)
    assert fast.baseline[0].error == pytest.approx(10 * slow.baseline[0].error, rel=1e-4)
    assert fast.ratio.value == pytest.approx(slow.ratio.value, rel=1e-4)
    assert fast.log_likelihood == pytest.approx(slow.log_likelihood + len(time) * math.log(10), rel=1e-6)


# --- zero intelligence -----------------------------------------------------------------------------


def test_zero_intelligence_rates_are_covered():
    """By the tape of best quotes, and by the messages."""
    books = [zero_intelligence_book(key, alpha=0.3, mu=1.0, delta=0.1, events=1200) for key in range(REPLICATIONS)]
    for found in ([zero_intelligence(tape) for tape, _ in books], [of_messages(*book) for book in books]):
        assert_covers([z.limit_rate for z in found], 0.3, "limit orders")
        assert_covers([z.market_rate for z in found], 1.0, "market orders")
        assert_covers([z.cancel_rate for z in found], 0.1, "cancellations")
        assert {z.limit_size.value for z in found} == {z.market_size.value for z in found} == {1.0}


def test_an_order_rests_until_the_last_of_it_is_gone():
    s, N, L, D, X = 10**9, Type.NEW, Type.LESS, Type.DELETE, Type.EXECUTION
    rows = [
        (1 * s, N, 1, 1, 10, 99), (2 * s, X, 1, 1, 4, 99), (4 * s, D, 1, 1, 6, 99),  # cancelled after 3 s
        (1 * s, N, 1, 2, 10, 98), (2 * s, L, 1, 2, 4, 98), (3 * s, X, 1, 2, 6, 98),  # traded after 2 s
        (5 * s, N, -1, 3, 5, 102), (5 * s, D, 1, 77, 5, 90),  # rests to the end, 4 s; one that was never seen to come
    ]  # fmt: skip
    tape = Tape(quotes_of([0.0, 9.0], [100, 100], [101, 101]), prints_of((1, 101, 1, 1), (2, 100, 1, -1)))
    found = of_messages(tape, np.array(sorted(rows), ROW))
    assert (found.cancel_rate.n, found.cancel_rate.value) == (1, 1 / (3 + 2 + 4))
    assert found.band == 2  # ticks from the other side: 2, 3 and 2
    assert (found.limit_rate.value, found.limit_size.value) == (2 / (2 * 2 * 9.0), 7.5)


def test_each_change_of_the_best_bid_is_told_by_what_traded():
    """Rows: 10 at 100; 4 of it sold and 3 added; the rest cancelled, 99 shows; an order of 5 at 100, of which 2 are sold."""
    quotes = quotes_of([0.0, 1.0, 2.0, 3.0, 5.0], [100, 100, 99, 100, 100], [101] * 5, 10)
    quotes["bid_size"] = [10, 9, 50, 3, 3]
    prints = prints_of((0.5, 100, 4, -1), (2.5, 100, 2, -1), (4.0, 101, 0, 1))
    found = zero_intelligence(Tape(quotes, prints))
    assert found.limit_rate.n == 2 and found.limit_size.value == (3 + 5) / 2
    assert found.limit_rate.value == 2 / (2 * (1 + 1 + 2 + 2))  # the spread was 1, 1, 2 and 1 wide for 1, 1, 1 and 2
    assert found.cancel_rate.n == 1 and found.cancel_rate.value == 9 / (10 + 9 + 50 + 2 * 3 + 5 * 10)
    assert found.market_rate.value == 3 / (2 * 5.0)


# --- what cannot be estimated ----------------------------------------------------------------------

STILL = Tape(quotes_of([0.0, 9.0], [100, 100], [101, 101]), prints_of((1, 101, 1, 1), (2, 100, 1, -1)))
ONE_SIDED = replace(STILL, prints=prints_of((1, 101, 1, 1)))
EMPTY = replace(STILL, quotes=np.zeros(0, QUOTE))
GONE = Tape(quotes_of([0.0, 2.0, 9.0], [100, 99, 99], [101, 101, 101]), prints_of((1, 100, 1, -1), (3, 102, 1, 1)))
WIDE = Tape(
    quotes_of([0.0, 99.0], [100, 100], [500, 500]),
    prints_of(*((t, p, 1, s) for t in range(1, 30) for s, p in ((-1, 100), (1, 500))), (29, 99, 1, -1)),
)
NO_DEPTH = tape_of_orders(np.arange(1.0, 80.0), np.arange(79) % 2, 80.0)


@pytest.mark.parametrize(
    ("estimator", "tape", "said"),
    [
        (volatility, STILL, "volatility: the mid moved 0 times"),
        (volatility, EMPTY, "quotes: there are none"),
        (fills, ONE_SIDED, "prints: nobody sold"),
        (fills, replace(STILL, prints=prints_of()), "prints: nobody bought"),
        (fills, STILL, "fills: 1 purchases and 1 sales reached"),
        (fills, NO_DEPTH, "fills: no market order went further than the median half-spread, the decay k has no bound"),
        (fills, WIDE, "fills: e^(-k d) falls to e^-816 from the mid to the median half-spread"),
        (hawkes, STILL, "hawkes: 1 market orders bought"),
        (zero_intelligence, NO_DEPTH, "zero_intelligence: the quotes show no cancellation"),
        (zero_intelligence, GONE, "zero_intelligence: the quotes show no limit order"),
        (zero_intelligence, ONE_SIDED, "prints: nobody sold"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_one_line(estimator, tape, said):
    with pytest.raises(InputError) as refused:
        estimator(tape)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_a_price_whose_moves_all_come_back_is_refused():
    with pytest.raises(InputError, match="all that the mid moved came back"):
        of_regular(np.arange(1000) % 2 * 1.0, 1.0)
