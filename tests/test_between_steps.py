"""What can be done to a market between two steps: other rules, and a shock to the mid."""

from __future__ import annotations

import numpy as np
import pytest
from scenarios_fixture import DESK, PRICES, desk

import marketsim
from agents.config import Desk


def test_a_change_lasts_until_the_next_reset_and_keeps_the_scales():
    config = desk()
    batch = marketsim.MarketBatch(config, 4)
    own = batch.tables
    with pytest.raises(RuntimeError, match="reset"):
        batch.change(config)
    batch.reset()
    kept = batch.snapshot()
    busier = desk(segments=[s | {"rates": [5.0] * len(s["rates"])} for s in DESK["market"]["segments"]])
    batch.change(busier)
    assert batch.tables.market["intensity"][0] == 30.0
    for name in ("expected_requests", "inventory_scale", "pnl_scale"):
        assert np.array_equal(batch.tables.dealers[name], own.dealers[name])
    louder = desk(price=PRICES["ou"] | {"volatility": 5.0})
    batch.change(louder)
    assert batch.tables.market["move_sd"] == own.market["move_sd"]
    assert batch.tables.market["volatility"] == 10 * own.market["volatility"]
    batch.restore(kept)
    assert batch.tables is own
    batch.change(louder)
    batch.reset()
    assert batch.tables is own


def test_more_requests_after_a_change_are_all_recorded():
    batch = marketsim.MarketBatch(desk(), 50, record=True)
    batch.reset()
    busier = desk(segments=[s | {"rates": [30.0] * len(s["rates"])} for s in DESK["market"]["segments"]])
    batch.change(busier)
    batch.step(None)
    assert len(batch.requests) == pytest.approx(50 * 180, rel=0.05)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"steps": 31}, "steps"),
        ({"segments": [s | {"informed": None} for s in DESK["market"]["segments"]]}, "leads"),
        ({"segments": [s | {"sizes": [2] * len(s["rates"]) if len(s["rates"]) == 1 else [1, 2]} for s in DESK["market"]["segments"]]}, "cells"),
    ],
)  # fmt: skip
def test_a_change_that_an_episode_cannot_make_is_refused(changed, what):
    batch = marketsim.MarketBatch(desk(), 4)
    batch.reset()
    with pytest.raises(ValueError, match=f"of other {what}$"):
        batch.change(desk(**changed))
    for dealers in ([*DESK["dealers"], {"name": "more", "policy": "fixed"}], DESK["dealers"][:1]):
        with pytest.raises(ValueError, match="of other dealers$"):
            batch.change(Desk.model_validate(DESK | {"dealers": dealers}))
    seeing = [DESK["dealers"][0] | {"observation": ["inventory"]}, DESK["dealers"][1]]
    with pytest.raises(ValueError, match="of other observations$"):
        batch.change(Desk.model_validate(DESK | {"dealers": seeing}))


def test_a_shock_can_differ_between_markets():
    config = desk(price=PRICES["brownian"], venue={})
    amounts = np.array([1.0, -2.0, 0.0])
    mids = []
    for shock in (0.0, amounts):
        batch = marketsim.MarketBatch(config, 3, seed=2)
        batch.reset()
        for t in range(4):
            if t == 1:
                batch.shock(shock)
            batch.step(None)
            mids.append(batch.state["mid"][:, 0].copy())  # type: ignore[index]
    np.testing.assert_allclose(np.array(mids[4:]) - mids[:4], np.array([[0], [1], [1], [1]]) * amounts, atol=1e-12)
