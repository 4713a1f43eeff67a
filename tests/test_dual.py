"""What an objective makes of losses: CVaR against closed forms, multipliers against known optima, exponential utility."""

from __future__ import annotations

import math

import numpy as np
import pytest
from objectives_fixture import one_thread, totals  # noqa: F401 (one is autouse)
from scipy import stats

from agents.config import PID, CVaRConstrained, Entropic, MeanCVaR
from agents.objectives import LARGEST, Dual, Multiplier, tail_of
from agents.ppo import gae

# --- the tail ----------------------------------------------------------------------------------------


def test_cvar_of_seven_losses_by_hand():
    nu, found = tail_of(np.arange(1.0, 8.0), 0.8)
    assert nu == 6.0 and found.value == pytest.approx(6.714286, abs=5e-7)  # 7 whole and 0.4 of 6


def test_a_constant_loss_is_its_own_tail():
    assert tail_of(np.full(10, 2.5), 0.95) == (2.5, (found := tail_of(np.full(10, 2.5), 0.95)[1]))
    assert found.value == 2.5 and found.se == 0.0


def normal(level):
    z = stats.norm.ppf(level)
    return stats.norm, z, stats.norm.pdf(z) / (1 - level)


def student(level, freedom=4):
    law = stats.t(freedom)
    z = law.ppf(level)
    return law, z, law.pdf(z) * (freedom + z**2) / ((freedom - 1) * (1 - level))


def exponential(level):
    z = -math.log(1 - level)
    return stats.expon, z, z + 1


@pytest.mark.parametrize("law", [normal, student, exponential])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_cvar_against_closed_forms(law, level):
    """McNeil, Frey and Embrechts (2005, examples 2.18, 2.19); losses at the law's own mid-quantiles."""
    distribution, quantile, expected = law(level)
    losses = distribution.ppf((np.arange(400_000) + 0.5) / 400_000)
    nu, found = tail_of(losses, level)
    assert nu == pytest.approx(quantile, abs=2e-3)
    assert found.value == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize("law", [normal, exponential])
def test_the_standard_error_is_the_spread_of_repeated_samples(law):
    distribution, _, expected = law(0.95)
    samples = distribution.rvs(size=(600, 2000), random_state=np.random.default_rng(1))
    found = [tail_of(sample, 0.95)[1] for sample in samples]
    values, errors = (np.array([getattr(e, part) for e in found]) for part in ("value", "se"))
    assert errors.mean() == pytest.approx(values.std(), rel=0.1)
    assert 0.91 < np.mean(np.abs(values - expected) <= 1.96 * errors) < 0.97  # the tail of 2,000 is still skewed


# --- the multipliers -----------------------------------------------------------------------------------


def test_a_multiplier_is_never_negative_and_does_not_wind_up():
    rng = np.random.default_rng(0)
    for gains in (PID(), PID(proportional=3.0, integral=1.0, derivative=2.0), PID(integral=0.0)):
        multiplier = Multiplier(gains)
        for excess in rng.normal(-0.5, 2.0, 2000):
            assert 0.0 <= multiplier.update(float(excess)) <= LARGEST
            assert 0.0 <= multiplier.integral <= LARGEST
        for _ in range(5000):
            multiplier.update(-1.0)  # slack for long
        assert multiplier.value == 0.0
        if gains.integral:
            assert multiplier.update(0.5) > 0.0  # and awake at once
        for _ in range(5000):
            multiplier.update(1.0)  # cannot be met
        assert multiplier.update(-200.0) == 0.0


def test_pid_is_that_of_its_source():
    """Stooke et al. (2020, alg. 2): K_P e + K_I (sum of e)+ + K_D (rise of the cost)+."""
    multiplier = Multiplier(PID(proportional=2.0, integral=0.5, derivative=3.0))
    assert multiplier.update(1.0) == pytest.approx(2.0 + 0.5)  # nothing rose yet
    assert multiplier.update(1.5) == pytest.approx(3.0 + 1.25 + 1.5)
    assert multiplier.update(0.5) == pytest.approx(1.0 + 1.5)


def test_the_dual_finds_the_constrained_optimum_and_its_multiplier():
    """Hold a lots: P&L a (m + s Z) - c a^2, so CVaR = a (s k - m) + c a^2, k = phi(z)/(1 - level).

    max E subject to CVaR = d: a* the root of the constraint, lambda* = (m - 2 c a*)/(s k - m + 2 c a*). The learner is
    exact: for every nu and kappa it plays the best a, found on a fine grid.
    """
    mean, sd, cost, level, limit = 1.0, 2.0, 0.05, 0.95, 8.0
    k = stats.norm.pdf(stats.norm.ppf(level)) / (1 - level)
    slope = sd * k - mean + 2.465 * sd / math.sqrt(4000)  # what is kept is the value plus its standard error
    best = (-slope + math.sqrt(slope**2 + 4 * cost * limit)) / (2 * cost)
    price = (mean - 2 * cost * best) / (sd * k - mean + 2 * cost * best)
    dual = Dual(CVaRConstrained(kind="cvar_constrained", limit=limit, level=level, pid=PID(proportional=0.1)))
    grid = np.linspace(0.0, 10.0, 1001)
    z = stats.norm.ppf((np.arange(300) + 0.5) / 300)
    rng = np.random.default_rng(2)
    prices, held = [], []
    a = 10.0
    for _ in range(200):
        gain = a * (mean + sd * rng.standard_normal(4000)) - cost * a**2
        dual.update(totals(gain, -gain))
        loss = -(grid[:, None] * (mean + sd * z) - cost * grid[:, None] ** 2)
        worth = -loss.mean(1) - dual.kappa * np.maximum(loss - dual.nu, 0.0).mean(1)
        a += 0.3 * (grid[np.argmax(worth)] - a)  # it learns, it does not jump
        prices.append(dual.prices["cvar"])
        held.append(a)
    assert np.mean(held[-100:]) == pytest.approx(best, rel=0.02)
    assert np.mean(prices[-100:]) == pytest.approx(price, rel=0.1)


def test_every_constraint_has_its_own_multiplier():
    spec = {
        "kind": "cvar_constrained",
        "limit": 1.0,
        "constraints": [{"kind": "turnover", "limit": 40.0}, {"kind": "time_at_limit", "limit": 0.05}],
    }
    dual = Dual(CVaRConstrained.model_validate(spec))
    loss = np.random.default_rng(0).normal(0.0, 0.1, 2000)
    dual.update(totals(-loss, loss, time_at_limit=0.01, turnover=60.0))
    assert dual.prices["cvar"] == dual.prices["time_at_limit"] == 0.0 and not dual.within(dual.found)
    assert dual.prices["turnover"] == pytest.approx((0.5 + 0.1) * 0.5 * loss.std(ddof=1) / 40.0)
    reward, discount = dual.credit(np.array([1.0]), {"turnover": np.array([2.0]), "time_at_limit": np.array([1.0])})
    assert reward[0] == pytest.approx(1.0 - 2.0 * dual.prices["turnover"]) and discount == 1.0
    dual.update(totals(-loss, loss, time_at_limit=math.nan, turnover=1.0))
    assert not dual.within(dual.found)  # a NaN keeps no limit


def test_mean_cvar_has_a_fixed_price():
    dual = Dual(MeanCVaR(kind="mean_cvar", weight=0.5, level=0.9))
    loss = np.random.default_rng(0).normal(size=2000)
    dual.update(totals(-loss, loss))
    assert dual.kappa == pytest.approx(5.0) and dual.nu == tail_of(loss, 0.9)[0] and not dual.limits


# --- exponential utility -------------------------------------------------------------------------------


def test_the_utility_of_an_episode_is_that_of_its_sum():
    rewards = np.random.default_rng(0).normal(0.0, 1.0, (12, 50, 1))
    dual = Dual(Entropic(kind="entropic", risk_aversion=0.7))
    credit, discount = dual.credit(rewards, {})
    zero, ended = np.zeros_like(rewards), np.zeros(rewards.shape, bool)
    ended[-1] = True
    utility = gae(credit, zero, zero, ended, discount, 1.0)[0]
    assert utility == pytest.approx((1 - np.exp(-0.7 * rewards.sum(0))) / 0.7, abs=1e-12)
