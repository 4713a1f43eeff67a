"""A price that reverts: its exact moments, and how it is observed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scenarios_fixture import DESK, PRICES, desk

import marketsim
from agents.config import Desk
from marketsim.config import Brownian


@pytest.mark.parametrize(("reversion", "dt"), [(0.3, 0.5), (4.0, 1.0), (0.0, 1.0)])
def test_ou_has_its_exact_moments(reversion, dt):
    """Mean, variance and autocovariance of the exact solution, for a start away from the mean."""
    markets, volatility = 40_000, 0.8
    price = {"kind": "ou", "mid": 3.0, "mean": 1.0, "reversion": reversion, "volatility": volatility}
    batch = marketsim.MarketBatch(desk(price=price, steps=12, dt=dt), markets, seed=3)
    batch.reset()
    paths = []
    for _ in range(12):
        batch.step(None)
        paths.append(batch.state["exogenous"][:, 0].copy())  # type: ignore[index]
    time = dt * np.arange(1, 13)
    mean = 1.0 + 2.0 * np.exp(-reversion * time)
    spread = -np.expm1(-2 * reversion * time) / (2 * reversion) if reversion else time
    variance = volatility**2 * spread
    error = np.sqrt(variance / markets)
    assert np.all(np.abs(np.mean(paths, axis=1) - mean) < 4.5 * error)
    assert np.all(np.abs(np.var(paths, axis=1) / variance - 1) < 4.5 * np.sqrt(2 / markets))
    covariance = np.cov(paths[3], paths[9])[0, 1]
    expected = variance[3] * math.exp(-reversion * 6 * dt)
    assert abs(covariance - expected) < 4.5 * math.sqrt((variance[3] * variance[9] + expected**2) / markets)


def test_ou_moves_are_observed_in_their_own_sd_and_have_no_exact_optimum():
    from agents.exact import support

    segment = {"rates": [0.4], "choice": "logit"}
    market = {"price": PRICES["ou"], "arrivals": "at_most_one", "segments": [segment]}
    config = Desk.model_validate({"market": market, "dealers": DESK["dealers"][:1]})
    assert marketsim.MarketBatch(config, 1).tables.market["move_sd"][0] == pytest.approx(
        0.5 * math.sqrt((1 - math.exp(-0.4)) / 0.4)
    )
    assert "price ou depends on more than the step" in (support(config, 0) or "")
    assert (
        support(config.model_copy(update={"market": config.market.model_copy(update={"price": Brownian()})}), 0) is None
    )
    assert desk(price={"kind": "ou", "mid": 50.0}).market.price.mean is None
    assert marketsim.MarketBatch(desk(price={"kind": "ou", "mid": 50.0}), 1).tables.market["drift"][0] == pytest.approx(
        50.0 * -math.expm1(-0.1)
    )
