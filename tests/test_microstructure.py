"""The statistics of quotes and trades against tapes whose answer is known."""

import numpy as np
import pytest

from marketsim.measures import microstructure
from marketsim.measures.sampled_tape import SampledTape
from marketsim.tape import PRINT, QUOTE, Tape
from tests.tape_fixture import (
    fractional_noise,
    noise_autocorrelation,
    persistent_signs,
    sign_autocorrelation,
    tape_of,
)


def holds(measured, truth):
    return measured.low <= truth <= measured.high


def quotes_of(*rows):
    return np.array(list(rows), QUOTE)


def with_prints(tape, **fields):
    prints = tape.prints.copy()
    for name, values in fields.items():
        prints[name] = values
    return Tape(tape.quotes, prints, tape.tick)


@pytest.fixture(scope="module")
def noise():
    """A tape of 4,000 intervals of Gaussian returns, 5 trades in each."""
    return tape_of(1e-4 * np.random.default_rng(0).standard_normal(4000))


# --- the sampled tape ------------------------------------------------------------------------------


def test_a_small_tape_by_hand():
    """Mid 100, 101 from time 1, 103 from 2.5, 102 from 4: three moves in four units of time, intervals of 8/3 for 2."""
    quotes = quotes_of((0, 99, 3, 101, 1), (1, 100, 5, 102, 2), (2.5, 102, 4, 104, 4), (4, 101, 7, 103, 1))
    prints = np.array([(0, 101, 1, 1), (1, 101, 1, 1), (1, 102, 2, 1), (1, 99, 4, -1), (2.5, 102, 1, 1)], PRINT)
    sampled = SampledTape(Tape(quotes, prints, tick=0.5), moves=2)
    assert sampled.interval == pytest.approx(8 / 3)
    assert sampled.times == pytest.approx([0, 8 / 3]) and sampled.returns == pytest.approx([np.log(103 / 100)])
    assert sampled.trades["size"].tolist() == [1, 3, 4, 1]  # one buyer at 1 met two orders
    assert sampled.count.tolist() == [3]  # the trade at 0 was before the first interval
    assert sampled.volume.tolist() == [8] and sampled.signed_volume.tolist() == [0]
    assert sampled.quotes["bid_size"].tolist() == [3, 4] and sampled.next_move.tolist() == [1, -1]
    assert sampled.quotes_before["bid"].tolist() == [99, 99, 100]  # none stood before time 0


def test_the_last_quote_has_no_next_move():
    quotes = quotes_of((0, 99, 1, 101, 1), (1, 100, 1, 102, 1), (2, 99, 1, 101, 1))
    sampled = SampledTape(Tape(quotes, np.zeros(0, PRINT)), moves=1)
    assert sampled.next_move.tolist() == [1, -1, 0]
    assert microstructure.sign_memory(sampled).observations == 0  # and no trades


def test_a_market_that_does_not_move_or_costs_nothing_is_refused():
    still = quotes_of((0, 99, 1, 101, 1), (5, 99, 2, 101, 1))
    with pytest.raises(ValueError, match="moves 0 times, a single interval is made of 10"):
        SampledTape(Tape(still, np.zeros(0, PRINT)), moves=10)
    with pytest.raises(ValueError, match="comes down to -1"):
        SampledTape(Tape(quotes_of((0, -2, 1, 0, 1), (1, 5, 1, 7, 1)), np.zeros(0, PRINT)), moves=1)


def test_planted_returns_are_sampled_as_they_were_planted():
    r = 1e-4 * np.random.default_rng(1).standard_normal(500)
    assert SampledTape(tape_of(r), 10).returns == pytest.approx(r, abs=1e-9)


# --- quotes ----------------------------------------------------------------------------------------


def test_the_spread_is_held_against_the_move_from_trade_to_trade(noise):
    """Spread of 2 ticks; the mid moves by a tick from trade to trade: 2."""
    n = 3000
    quotes = np.zeros(n, QUOTE)
    mid = 1000 + np.cumsum(np.random.default_rng(2).choice([-1, 1], n))
    quotes["time"], quotes["bid"], quotes["ask"] = np.arange(n), mid - 1, mid + 1
    prints = np.zeros(n, PRINT)
    prints["time"], prints["side"], prints["size"] = np.arange(n) + 0.5, 1, 1
    measured = microstructure.spread_to_volatility(SampledTape(Tape(quotes, prints), 10))
    assert (measured.value, measured.low, measured.high) == pytest.approx((2, 2, 2))


def test_the_shape_of_a_gamma_law_is_found():
    rng = np.random.default_rng(3)
    for shape in (0.5, 0.75, 1, 3):
        assert microstructure.gamma_shape(rng.gamma(shape, 40, 200_000)) == pytest.approx(shape, rel=0.015)
    assert np.isnan(microstructure.gamma_shape(np.full(10, 3.0)))


def test_the_two_sides_of_the_book_may_be_of_different_depth(noise):
    rng = np.random.default_rng(4)
    quotes = noise.quotes.copy()
    quotes["bid_size"] = 1 + rng.gamma(0.75, 100_000, len(quotes))
    quotes["ask_size"] = 1 + rng.gamma(0.75, 1_000_000, len(quotes))
    quotes["ask_size"][::50] = 0  # an empty side now and then
    measured = microstructure.best_volume_shape(SampledTape(Tape(quotes, noise.prints, noise.tick), 10))
    assert holds(measured, 0.75) and measured.high - measured.low < 0.1


def test_queues_that_tell_the_next_move_correlate_with_it(noise):
    sampled = SampledTape(noise, 10)
    assert holds(microstructure.imbalance_move(sampled), 0)
    quotes = noise.quotes.copy()
    mid = noise.mid
    up = np.append(mid[1:] > mid[:-1], True)
    quotes["bid_size"], quotes["ask_size"] = np.where(up, 9, 1), np.where(up, 1, 9)
    told = microstructure.imbalance_move(SampledTape(Tape(quotes, noise.prints, noise.tick), 10))
    assert told.value == pytest.approx(1)


# --- trades ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_the_shape_of_the_times_between_trades_is_found(noise, shape):
    gaps = np.random.default_rng(6).weibull(shape, len(noise.prints))
    gaps[::100] = 0  # two at once say nothing
    tape = with_prints(noise, time=np.cumsum(gaps))
    measured = microstructure.duration_shape(SampledTape(tape, 10))
    assert holds(measured, shape) and measured.high - measured.low < 0.05 * shape


def test_poisson_trades_are_neither_bunched_nor_even(noise):
    rng = np.random.default_rng(7)
    times = np.sort(rng.uniform(0, 4000, len(noise.prints)))
    assert holds(microstructure.dispersion(SampledTape(with_prints(noise, time=times), 10)), 1)
    assert microstructure.dispersion(SampledTape(noise, 10)).high < 0.2  # planted at even times
    bunched = np.sort(np.repeat(rng.uniform(0, 4000, len(times) // 4), 4) + rng.uniform(0, 1e-6, len(times)))
    assert holds(microstructure.dispersion(SampledTape(with_prints(noise, time=bunched), 10)), 4)


def test_fair_coins_have_no_memory(noise):
    sampled = SampledTape(noise, 10)
    assert holds(microstructure.sign_correlation(sampled), 0) and holds(microstructure.sign_memory(sampled), 0)
    assert holds(microstructure.sign_exponent(sampled), 0.5)


def test_planted_memory_of_signs_is_the_closed_form():
    sides = persistent_signs(200_000, 0.75, seed=3)
    sampled = SampledTape(tape_of(1e-4 * np.random.default_rng(0).standard_normal(1000), sides), 10)
    near, far = (sign_autocorrelation(0.75, np.arange(*lags)).mean() for lags in ((1, 11), (51, 101)))
    n, k = len(sides), np.arange(1, len(sides))
    bias = (1 + 2 * np.sum((1 - k / n) * sign_autocorrelation(0.75, k))) / n  # the variance of the mean taken off
    assert holds(microstructure.sign_correlation(sampled), near - bias) and near > 0.1
    assert holds(microstructure.sign_memory(sampled), far - bias) and far > 0.02 > 5 * bias
    assert microstructure.sign_exponent(sampled).value == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("hurst", [0.3, 0.5, 0.8])
def test_the_hurst_exponent_of_fractional_noise_is_found_in_its_interval(hurst):
    """95% of intervals hold it: at least 32 of 40, four standard deviations."""
    found = [microstructure.hurst(fractional_noise(8192, hurst, seed)) for seed in range(40)]
    assert sum(holds(measured, hurst) for measured in found) >= 32
    assert np.mean([measured.value for measured in found]) == pytest.approx(hurst, abs=0.02)


def test_fractional_noise_has_the_correlation_that_is_planted():
    """The fixture itself: the mean over many series of x_t x_{t+k}, whose mean is known to be 0."""
    series = np.stack([fractional_noise(512, 0.75, seed) for seed in range(400)])
    assert series.std() == pytest.approx(1, abs=0.02)
    for lag in (1, 5, 60):
        found = np.mean(series[:, :-lag] * series[:, lag:])
        assert found == pytest.approx(noise_autocorrelation(0.75, lag), abs=0.02)


# --- trades and the mid ----------------------------------------------------------------------------


def flow_tape(volumes, returns):
    """A trade in the middle of each interval, of |volume| lots on its side."""
    tape = tape_of(returns, np.sign(volumes).astype(np.int8))
    return with_prints(tape, time=np.arange(len(returns)) + 0.5, size=np.abs(volumes))


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_impact_planted_as_a_power_of_volume_is_found(exponent):
    rng = np.random.default_rng(8)
    volumes = rng.choice([-40, -10, 10, 40], 4000)
    impact = 1e-5 * np.sign(volumes) * np.abs(volumes) ** exponent
    sampled = SampledTape(flow_tape(volumes, impact + 1e-5 * rng.standard_normal(4000)), 10)
    measured = microstructure.impact_exponent(sampled)
    assert holds(measured, exponent) and measured.high - measured.low < 0.1
    sizes, moves = microstructure.impact_curve(sampled, 2)
    assert sizes == pytest.approx([10, 40], rel=0.05)
    assert np.log(moves[1] / moves[0]) / np.log(4) == pytest.approx(exponent, abs=0.05)


def test_intervals_in_which_trades_balance_have_no_impact():
    sampled = SampledTape(tape_of(1e-4 * np.random.default_rng(1).standard_normal(2000), trades=4), 10)
    moved = int(np.count_nonzero(sampled.signed_volume))
    assert 1000 < moved < 1600  # of four fair coins, 3/8 balance
    assert microstructure.impact_exponent(sampled).observations == moved


def test_impact_of_one_size_has_no_exponent():
    volumes = np.random.default_rng(9).choice([-10, 10], 1000)
    assert np.isnan(microstructure.impact_exponent(SampledTape(flow_tape(volumes, 1e-5 * volumes), 10)).value)


def test_flow_that_moves_the_mid_correlates_with_it():
    rng = np.random.default_rng(10)
    volumes = rng.choice([-2, -1, 1, 2], 4000)
    noise = rng.standard_normal(4000)
    moved = SampledTape(flow_tape(volumes, 1e-5 * (volumes / np.sqrt(2.5) + noise)), 10)
    assert holds(microstructure.flow_return(moved), 1 / np.sqrt(2))
    assert holds(microstructure.flow_return(SampledTape(flow_tape(volumes, 1e-5 * noise), 10)), 0)
