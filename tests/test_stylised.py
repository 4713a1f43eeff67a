"""The statistics of the stylised facts against series whose answer is known."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from marketsim.measures import stylised
from marketsim.measures.jackknife import ahead_correlation, autocorrelations, jackknife, l_ratios
from tests.tape_fixture import garch, garch_square_autocorrelation


def normal(n, seed):
    return np.random.default_rng(seed).standard_normal(n)


def holds(measured, truth):
    return measured.low <= truth <= measured.high


# --- intervals -------------------------------------------------------------------------------------


def test_the_lag_of_a_correlation_is_the_lag_that_is_asked_for():
    x = normal(5000, 0)
    y = np.concatenate([np.zeros(7), x[:-7]])
    assert ahead_correlation(x, y, 7, 7).value == pytest.approx(1, abs=0.01)
    assert abs(ahead_correlation(x, y, 6, 6).value) < 0.05 and abs(ahead_correlation(x, y, 8, 8).value) < 0.05
    mean = np.mean([ahead_correlation(x, y, k, k).value for k in range(3, 9)])
    assert ahead_correlation(x, y, 3, 8).value == pytest.approx(mean, abs=1e-3)
    assert ahead_correlation(x, x, 3, 3).value == pytest.approx(autocorrelations(x, np.array([3]))[0], abs=1e-3)
    assert np.isfinite(autocorrelations(x, np.array([1250, 1251]))).tolist() == [True, False]


def test_intervals_cover_the_truth_of_a_dependent_series():
    """The lag-1 correlation of an AR(1) of 0.6, whose terms lag 1 alone would call independent."""
    covered = 0
    for seed in range(200):
        e = normal(3000, seed)
        x = np.empty(3000)
        x[0] = e[0] / 0.8
        for t in range(1, 3000):
            x[t] = 0.6 * x[t - 1] + e[t]
        covered += holds(ahead_correlation(x, x, 1, 1), 0.6)
    assert 180 <= covered <= 199  # 95% of 200, 5 standard deviations either way


def test_the_mean_of_independent_terms_has_the_interval_of_students_t():
    x = normal(500, 3)
    measured = jackknife(lambda rows: float(rows.mean()), x, blocks=500, block=1)
    low, high = stats.t.interval(0.95, 499, x.mean(), stats.sem(x))
    assert (measured.low, measured.high) == pytest.approx((low, high), rel=1e-9)
    assert measured.observations == 500


def test_too_short_a_series_has_no_interval_and_does_not_raise():
    for n in range(19):
        for measure in (stylised.return_autocorrelation, stylised.tail_index, stylised.aggregation,
                        stylised.asymmetry, stylised.intermittency, stylised.slow_decay, stylised.conditional_tails):  # fmt: skip
            measured = measure(normal(n, 1))
            assert np.isnan(measured.low) and np.isnan(measured.high)


# --- facts -----------------------------------------------------------------------------------------


def test_independent_gaussian_returns_have_nothing_to_show():
    r = normal(40_000, 5)
    for measure in (stylised.return_autocorrelation, stylised.clustering, stylised.slow_decay, stylised.leverage):
        assert holds(measure(r), 0) and measure(r).high < 0.02
    assert holds(stylised.aggregation(r), 0) and holds(stylised.asymmetry(r), 0)
    cv = np.sqrt(np.pi / 2 - 1) / np.sqrt(stylised.LONG)  # of the mean of 20 absolute normals
    assert holds(stylised.intermittency(r), cv)
    assert holds(stylised.volume_volatility(r, np.abs(normal(40_000, 6))), 0)


def hill_of(law):
    """What the Hill index of the ``TAIL`` largest comes to for |r| of a symmetric law: 1 / E[log(x / u) | x > u]."""
    u = law.isf(stylised.TAIL / 2)
    return stylised.TAIL / 2 / quad(lambda x: law.sf(x) / x, u, np.inf)[0]


@pytest.mark.parametrize("law", [stats.norm(), stats.t(3), stats.t(5), stats.laplace()])
def test_the_tail_index_is_that_of_the_law(law):
    measured = stylised.tail_index(law.rvs(40_000, random_state=np.random.default_rng(11)))
    assert holds(measured, hill_of(law))
    assert measured.high - measured.low < 0.25 * measured.value


def test_l_ratios_are_those_of_the_books():
    """Hosking (1990), table 1; of t with 3 degrees 1 - 175 / (24 pi^2)."""
    rng = np.random.default_rng(2)
    for law, skewness, kurtosis in (
        (stats.norm(), 0, 0.1226), (stats.uniform(), 0, 0), (stats.expon(), 1 / 3, 1 / 6),
        (stats.laplace(), 0, 0.2357), (stats.t(3), 0, 1 - 175 / (24 * np.pi**2)), (stats.gumbel_r(), 0.1699, 0.1504),
    ):  # fmt: skip
        assert l_ratios(law.rvs(400_000, random_state=rng)) == pytest.approx((skewness, kurtosis), abs=0.006)


def test_heavy_independent_returns_become_gaussian_in_sums_and_do_not_cluster():
    r = stats.t(4).rvs(40_000, random_state=np.random.default_rng(8))
    assert stylised.aggregation(r).low > 0.05
    assert stylised.clustering(r).high < 0.02 and stylised.intermittency(r).high < 0.3
    horizons = stylised.kurtosis_by_horizon(r, (1, 5, 20, 40_000))
    assert horizons[0] > horizons[1] > horizons[2] and np.isnan(horizons[3])


def test_the_clustering_of_garch_is_the_closed_form():
    r = garch(200_000, 0.1, 0.8, seed=4)
    truth = garch_square_autocorrelation(0.1, 0.8, np.arange(1, 11))
    assert autocorrelations(r**2, np.arange(1, 11)) == pytest.approx(truth, abs=0.03)
    measured = ahead_correlation(r**2, r**2, 1, 10)
    assert holds(measured, truth.mean()) and measured.high - measured.low < 0.05
    assert holds(stylised.return_autocorrelation(r), 0)


def test_permuting_takes_the_clustering_and_leaves_the_law():
    r = garch(20_000, 0.1, 0.89, seed=5)
    shuffled = np.random.default_rng(0).permutation(r)
    assert stylised.clustering(r).low > 0.1 and stylised.slow_decay(r).low > 0.02
    assert stylised.intermittency(r).low > 0.3 > stylised.intermittency(shuffled).high
    assert abs(stylised.clustering(shuffled).value) < 0.01 and abs(stylised.slow_decay(shuffled).value) < 0.01
    assert stylised.tail_index(r).value == pytest.approx(stylised.tail_index(shuffled).value)
    assert stylised.asymmetry(r).value == pytest.approx(stylised.asymmetry(shuffled).value)


def test_volatility_taken_out_leaves_the_law_of_what_drives_it():
    slow = np.exp(np.sin(np.arange(40_000) / 3000))  # so slow that the estimate follows
    gaussian, heavy = normal(40_000, 1), stats.t(4).rvs(40_000, random_state=np.random.default_rng(1))
    assert 0.12 < stylised.conditional_tails(slow * gaussian).value < 0.135  # an estimated volatility adds some
    assert l_ratios(slow * gaussian)[1] > 0.18
    assert stylised.conditional_tails(slow * heavy).low > 0.2


def test_leverage_has_the_sign_of_falls_that_are_followed_by_large_moves():
    z = normal(20_000, 9)
    r = z * np.concatenate([[1], np.exp(-0.3 * z[:-1])])
    assert stylised.leverage(r).high < -0.02
    assert stylised.leverage(-r).value == pytest.approx(-stylised.leverage(r).value, abs=1e-3)
    mirrored = stylised.asymmetry(np.where(z < 0, 2 * z, z))
    assert mirrored.high < -0.1  # losses larger than gains


def test_volume_that_moves_with_volatility_is_seen():
    r = garch(5000, 0.1, 0.8, seed=1)
    assert stylised.volume_volatility(r, 3 * np.abs(r) + 7).value == pytest.approx(1)
