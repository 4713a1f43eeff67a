"""Calibration closes: traders of a compiled book are found on its tape, and those of the block make such a tape again."""

from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter

from experiments.market_block import Orders, market_block
from marketsim.calibrate.fills import fills
from marketsim.calibrate.hawkes import hawkes
from marketsim.calibrate.volatility import volatility
from marketsim.calibrate.zero_intelligence import zero_intelligence
from marketsim.document import read_text

config = pytest.importorskip("marketsim.book.config", reason="traders are not there yet")
market = pytest.importorskip("marketsim.book.market", reason="traders are not there yet")

ORDERS = {"kind": "zero_intelligence", "limit_rate": 0.6, "cancel_rate": 0.1, "band": 15, "size": {"mean": 3.0}}
FLOW = {"kind": "hawkes", "rate": 1.2, "excitation": [0.3, 0.2], "decay": 2.0, "market_share": 1, "size": {"mean": 2.0}}


def simulated(traders: list[dict], seed: int):
    book = config.Book.model_validate({"tick": 0.01, "opening": {"levels": 3, "lots": 1}})
    return market.simulate(book, TypeAdapter(config.Traders).validate_python(traders), 100.0, 2000, 1.0, seed=seed)


def near(estimate, truth: float) -> None:
    assert abs(estimate.value - truth) < 3.5 * estimate.error, f"{estimate} against {truth}"


def assert_found(tape) -> None:
    z, h = zero_intelligence(tape), hawkes(tape)
    near(z.limit_rate, 0.6)
    near(z.cancel_rate, 0.1)
    near(z.limit_size, 3.0)
    for i in range(2):
        near(h.baseline[i], 0.6)
        near(h.children[i][i], 0.3)
        near(h.children[i][1 - i], 0.2)
    near(h.decay, 2.0)
    near(h.ratio, 0.5)
    assert h.p_value > 0.01


def test_traders_are_found_on_their_tape():
    assert_found(simulated([ORDERS, FLOW], 1))


def test_the_traders_of_the_block_make_such_a_tape_again():
    tape = simulated([ORDERS, FLOW], 2)
    block = market_block("tape", tape, volatility(tape), fills(tape), Orders(zero_intelligence(tape), hawkes(tape)))
    tree, _ = read_text("market:\n" + "\n".join(re.findall(r"^  # (  .*)$", block, re.MULTILINE)), "block")
    again = simulated(tree["market"]["traders"], 3)
    for estimator, name in ((zero_intelligence, "limit_rate"), (zero_intelligence, "cancel_rate"), (hawkes, "ratio")):
        first, second = (getattr(estimator(of), name) for of in (tape, again))
        assert abs(first.value - second.value) < 3.5 * (first.error**2 + second.error**2) ** 0.5, name
