"""The drill of a market with a book: its controls hold, those that need clients are not tried, a broken one is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_drill import without

from experiments import config, drill
from experiments.drills import book, limits, people
from experiments.drills import stand as stands
from experiments.drills.stand import Play, Stand
from marketsim.types import Order

BOOK = {
    "market": {
        "kind": "book", "steps": 48, "inventory_limit": 40,
        "price": {"kind": "book", "value": {"kind": "brownian", "mid": 100.0, "volatility": 0.01}},
        "book": {"levels": 512, "orders": 512, "maker_fee": -0.001, "taker_fee": 0.002, "opening": {"levels": 8, "lots": 4}, "warm_up": 10, "fill_decay": 60},
        "traders": [{"kind": "zero_intelligence", "count": 4, "limit_rate": 0.02, "market_rate": 0.1, "cancel_rate": 0.03}],
    },
    "dealers": [
        {
            "name": "maker",
            "policy": {"kind": "ppo"},
            "action": {"kind": "offsets", "offset": [0, 5], "size": [1, 5], "hedge": "fraction", "latency": 0.3},
            "limits": {
                "markup": {"low": 0.01, "high": 0.08, "on_breach": "reject"},
                "size": {"hard": 4},
                "position": {"soft": 6, "hard": 9, "on_breach": "reduce_only"},
                "worst_case": {"hard": 12},
                "loss": {"hard": 3, "on_breach": "halt"},
                "rolling_loss": {"hard": 2, "steps": 4, "on_breach": "widen"},
                "slippage": {"hard": 0.04},
                "order_rate": {"hard": 3, "steps": 3},
                "self_trade": {"hard": 2, "on_breach": "halt"},
                "repeated_execution": {"soft": 2, "hard": 5, "steps": 4, "on_breach": "reduce_only"},
            },
        },
        {"name": "rival", "policy": {"kind": "fixed", "markup": 0.02}, "action": {"kind": "offsets", "size": [2, 2]}},
    ],
    "desk": {"dealers": ["maker", "rival"], "position": {"hard": 15}},
}  # fmt: skip
HYBRID = {
    "market": {
        **{name: BOOK["market"][name] for name in ("steps", "inventory_limit", "price", "book", "traders")},
        "venue": "book",
        "segments": [{"sizes": [1, 3], "rates": [0.3, 0.1], "choice": {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 25.0}}}],
    },
    "dealers": [{"name": "maker", "policy": {"kind": "fixed"}, "limits": {"slippage": {"hard": 0.04}}}],
}  # fmt: skip
CONTROLS = {control.name: control for control in (*limits.CONTROLS, *book.CONTROLS, *people.CONTROLS)}


def drilled(experiment) -> dict[str, drill.Tried]:
    return {tried.control: tried for tried in drill.drill(experiment)}


@pytest.fixture(scope="module")
def stand() -> Stand:
    return Stand(config.load(BOOK).base)


def test_every_control_holds_where_dealers_quote_in_the_book():
    done = drilled(BOOK)
    assert {name: tried.happened for name, tried in done.items() if tried.passed is False} == {}
    not_tried = {name for name, tried in done.items() if tried.passed is None}
    assert not_tried == {"request size", "markup band", "position", "worst-case position", "slippage"}
    assert "not tried: nobody requests quotes in this market" == done["position"].happened
    assert len(done) == 39 and not drill.failed(list(done.values()))
    own = {control.name for control in book.CONTROLS}
    assert {name for name in own if "as configured" not in done[name].happened} == {"open orders cancelled"}


def test_every_control_holds_where_clients_are_served_and_hedges_go_to_the_book():
    done = drilled(HYBRID)
    assert {name: tried.happened for name, tried in done.items() if tried.passed is False} == {}
    not_tried = {name for name, tried in done.items() if tried.passed is None}
    in_the_book = {control.name for control in book.CONTROLS if control.needs == "orders"}
    assert not_tried == in_the_book | {"slippage"} and len(in_the_book) == 8
    assert "(as configured" in done["hedge in the book"].happened


def test_what_is_not_tried_is_neither_held_nor_failed(capsys):
    tried = drill.Tried("slippage", "a hedge", "not tried: hedges go to the book", None, "a rule")
    held = replace(tried, passed=True)
    drill.show([tried, held])
    assert "1 of 1 controls held" in capsys.readouterr().out
    assert drill.as_tree([tried, held])["passed"] is True and drill.failed([tried, replace(held, passed=False)])


def lenient(name, **looser):
    """The limit of this name has other levels than it was asked to have."""
    configured = Stand.config

    def broken(stand, limits, *arguments):
        limits = {k: v | looser if k == name and isinstance(v, dict) else v for k, v in limits.items()}
        return configured(stand, limits, *arguments)

    return broken


def no_desk(stand, limits, desk=None, *arguments, configured=Stand.config):
    return configured(stand, limits, None, *arguments)


BREAKS = {
    "order size": (Stand, "config", lenient("size", hard=50.0)),
    "order markup band": (Stand, "config", lenient("markup", low=-1.0)),
    "position with open orders": (Stand, "config", lenient("position", hard=10.0)),
    "worst case of open orders": (Stand, "config", lenient("worst_case", hard=13.0)),
    "desk with open orders": (Stand, "config", no_desk),
    "order rate": (Stand, "config", lenient("order_rate", hard=4.0)),
    "self-trade": (Stand, "config", lenient("self_trade", hard=3.0)),
    "repeated execution": (Stand, "config", lenient("repeated_execution", soft=3.0)),
    "hedge in the book": (Stand, "config", lenient("slippage", hard=0.06)),
    "open orders cancelled": (stands.MarketBatch, "order", without(Order.NO_QUOTES)),
    "loss": (Stand, "config", lenient("loss", hard=1e9)),
    "orders": (stands.MarketBatch, "order", without(Order.WIDEN)),
}  # fmt: skip


def test_every_control_of_the_book_is_broken_once():
    assert {control.name for control in book.CONTROLS} <= set(BREAKS)


@pytest.mark.parametrize("name", BREAKS)
def test_a_control_that_was_broken_is_found(name, stand, monkeypatch):
    assert drill._try(CONTROLS[name], stand).passed
    monkeypatch.setattr(*BREAKS[name])
    tried = drill._try(CONTROLS[name], stand)
    assert tried.passed is False and "it broke" not in tried.happened, tried.happened


def test_a_hard_level_of_repeated_execution_that_is_looser_is_found(stand, monkeypatch):
    monkeypatch.setattr(Stand, "config", lenient("repeated_execution", hard=6.0))
    tried = drill._try(CONTROLS["repeated execution"], stand)
    assert tried.passed is False and "hard level" in tried.happened


@pytest.mark.parametrize("response", ["halt", "widen"])
def test_another_response_than_the_one_configured_is_found(response, monkeypatch):
    experiment = config.load(BOOK, {"dealers.maker.limits.self_trade.on_breach": response}).base
    stand = Stand(experiment)
    assert drill._try(CONTROLS["self-trade"], stand).passed
    other = {"halt": "widen", "widen": "reject"}[response]
    monkeypatch.setattr(Stand, "config", lenient("self_trade", on_breach=other))
    tried = drill._try(CONTROLS["self-trade"], stand)
    assert tried.passed is False and "it broke" not in tried.happened


@pytest.mark.parametrize("latency", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["position with open orders", "worst case of open orders", "desk with open orders"])
def test_no_limit_is_passed_by_orders_on_their_way(name, latency):
    """Those of the desk's dealers before are not in the book yet."""
    tried = drill._try(CONTROLS[name], Stand(config.load(BOOK, {"dealers.maker.action.latency": latency}).base))
    assert tried.passed, tried.happened


@pytest.mark.parametrize("self_trade", ["cancel_resting", "cancel_incoming", "cancel_both"])
def test_self_trade_is_tried_however_the_book_prevents_it(self_trade):
    tried = drill._try(CONTROLS["self-trade"], Stand(config.load(BOOK, {"market.book.self_trade": self_trade}).base))
    assert tried.passed and "more than 2 times: halt" in tried.happened


def test_a_copy_without_traders_moves_only_by_the_drill(stand):
    play = Play(stand, {})
    mid = play.mid.copy()
    for _ in range(5):
        step = play.step(markup=stand.cheap)
        assert (play.mid == mid).all() and (step.after == 0).all()
        assert len(step.won) == 128 and np.allclose(step.won["markup"], stand.cheap, atol=1e-6)
    assert (play.open_lots(play.agent) == 1).all()
    step = play.step(hedge=3.0)
    assert (step.after == 3).all() and (step.reasons == 0).all()
