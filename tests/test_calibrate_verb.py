"""``marketsim calibrate tape``: one table, one object, a market block that loads, and one line where there is nothing."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from calibrate_fixture import exponential_reaches, zero_intelligence_book

import marketsim
from experiments import cli
from experiments.calibrate import calibrate, rows
from experiments.market_block import Orders, market_block
from marketsim import feeds
from marketsim.calibrate.estimate import Estimate
from marketsim.calibrate.fills import fills
from marketsim.calibrate.hawkes import Hawkes
from marketsim.calibrate.volatility import volatility
from marketsim.calibrate.zero_intelligence import zero_intelligence
from marketsim.document import read_text
from marketsim.tape import Tape

DATA = Path("../shared/data")
real = pytest.mark.skipif(not DATA.exists(), reason="the samples of real markets are not part of the repository")


def write(folder: Path, tape: Tape) -> Path:
    """The tape as a folder of two CSV files."""
    folder.mkdir()
    quotes = [
        f"{q['time']:.9f},{q['bid'] * tape.tick:.2f},{q['bid_size']},{q['ask'] * tape.tick:.2f},{q['ask_size']}"
        for q in tape.quotes
    ]
    trades = [f"{p['time']:.9f},{p['price'] * tape.tick:.2f},{p['size']},{p['side']}" for p in tape.prints]
    (folder / "quotes.csv").write_text("\n".join(["time,bid,bid_size,ask,ask_size", *quotes]) + "\n")
    (folder / "trades.csv").write_text("\n".join(["time,price,size,side", *trades]) + "\n")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    tape = exponential_reaches(1, A=2.0, k=60.0, tick=0.01, duration=200.0)
    return write(tmp_path_factory.mktemp("data") / "piece", tape)


@pytest.fixture(scope="module")
def tape(folder) -> Tape:
    return feeds.tape(folder)


def call(monkeypatch, capsys, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["marketsim", "calibrate", "tape", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as left:
        code = left.code
    return (code, *capsys.readouterr())


def test_the_table_names_each_estimate_and_each_refusal(monkeypatch, capsys, folder):
    code, out, err = call(monkeypatch, capsys, folder)
    assert (code, err) == (0, "")
    for name in ("volatility", "A ", "k ", "market rate"):
        assert re.search(rf"^ *{name}", out, re.MULTILINE), name
    assert "A e^(-k d): not refuted (p = " in out
    assert "not estimated: hawkes: the " in out and "cannot be told from a Poisson process" in out


def test_json_is_one_object_of_the_same(monkeypatch, capsys, folder, tape):
    _, out, _ = call(monkeypatch, capsys, folder, "--json")
    tree = json.loads(out)
    told = {row["name"]: (row["value"], row["error"], row["n"]) for row in tree["estimates"]}
    k = fills(tape).decay
    assert told["k"] == pytest.approx((k.value, k.error, k.n), rel=1e-6)
    assert (tree["quotes"], tree["prints"], tree["tick"]) == (len(tape.quotes), len(tape.prints), 0.01)
    assert set(tree["refused"]) == {"hawkes"}


def test_the_law_is_fitted_as_far_as_one_says(monkeypatch, capsys, folder, tape):
    _, out, _ = call(monkeypatch, capsys, folder, "--farthest", "0.025", "--json")
    told = {row["name"]: row["value"] for row in json.loads(out)["estimates"]}
    assert told["k"] == pytest.approx(fills(tape, 0.025).decay.value, rel=1e-6)
    assert told["k"] != pytest.approx(fills(tape).decay.value, rel=1e-3)


def test_two_files_are_as_good_as_a_folder(folder):
    one, two = calibrate(folder), calibrate(folder / "quotes.csv", trades=folder / "trades.csv")
    assert list(rows(two.found)) == list(rows(one.found))


def test_the_market_block_loads_with_the_estimates_and_their_errors(monkeypatch, capsys, folder, tape, tmp_path):
    out = tmp_path / "block.yaml"
    assert call(monkeypatch, capsys, folder, "--out", out)[0] == 0
    market = marketsim.load_config(out).market
    f, v = fills(tape), volatility(tape)
    (segment,) = market.segments
    assert segment.choice.reservation.rate == pytest.approx(f.decay.value, rel=1e-5)
    assert (*segment.bid_rates, *segment.ask_rates) == pytest.approx((f.bid.value, f.ask.value), rel=1e-5)
    assert market.price.volatility == pytest.approx(v.two_scale.value, rel=1e-5)
    text = out.read_text()
    for key, estimate in (("volatility", v.two_scale), ("rate", f.decay), ("bid", f.bid), ("ask", f.ask)):
        assert re.search(rf"^ +{key}: .*  # \+- {re.escape(f'{estimate.error:.2g}')}$", text, re.MULTILINE), key
    marketsim.MarketBatch(marketsim.load_config(out), markets=4).reset()


def test_many_requests_make_short_steps(tape):
    f = fills(tape)
    busy = replace(f, bid=Estimate(900.0, 1.0, 10), ask=Estimate(900.0, 1.0, 10))
    tree, _ = read_text(market_block("busy", tape, volatility(tape), busy, None), "busy")
    assert marketsim.load_config(tree).market.dt == 0.01


def test_the_book_of_the_block_is_one_that_the_traders_know(tape):
    config = pytest.importorskip("marketsim.book.config", reason="traders are not there yet")
    from pydantic import TypeAdapter

    z = zero_intelligence(zero_intelligence_book(1, 0.3, 1.0, 0.1, 1200)[0])

    def guess(value):
        return Estimate(value, 0.1, 50)

    h = Hawkes(
        (guess(0.5), guess(0.7)), ((guess(0.4), guess(0.1)), (guess(0.3), guess(0.2))), guess(2.0), guess(0.5), 0.0, 1.0
    )
    for hawkes, kinds in ((None, ["zero_intelligence"]), (h, ["zero_intelligence", "hawkes"])):
        block = market_block("book", tape, volatility(tape), fills(tape), Orders(z, hawkes))
        lines = re.findall(r"^  # (  .*)$", block, re.MULTILINE)
        tree, _ = read_text("market:\n" + "\n".join(lines), "book")
        config.Book.model_validate(tree["market"]["book"])
        traders = TypeAdapter(config.Traders).validate_python(tree["market"]["traders"])
        assert [trader.kind for trader in traders] == kinds
        assert traders[0].market_rate == (0 if hawkes else pytest.approx(2 * z.market_rate.value, rel=1e-5))
    assert (traders[1].rate, *traders[1].excitation) == pytest.approx((1.2, 0.3, 0.2))


def test_what_cannot_be_done_is_one_line_and_writes_nothing(monkeypatch, capsys, folder, tmp_path):
    out = tmp_path / "block.yaml"
    code, printed, err = call(monkeypatch, capsys, folder / "quotes.csv", "--out", out)
    assert (code, printed) == (2, "")
    assert err == f"{folder / 'quotes.csv'}: prints: nobody bought after the first quotes, both sides are needed\n"
    assert not out.exists()

    out.write_text("mine")
    code, _, err = call(monkeypatch, capsys, folder, "--out", out)
    assert (code, err) == (2, f"{out}: exists already, it is not overwritten\n")
    assert out.read_text() == "mine"

    code, _, err = call(monkeypatch, capsys, folder, "--book", "b.csv", "--trades", "t.csv")
    assert (code, err) == (2, "b.csv: a LOBSTER piece tells its own trades, give --book or --trades\n")
    code, _, err = call(monkeypatch, capsys, folder, "--farthest", "0.002")
    assert (code, err.partition(": ")[2]) == (
        2,
        "fills: farthest: got 0.002, it must be above the half-spread, at least 0.015\n",
    )
    code, _, err = call(monkeypatch, capsys, tmp_path / "nothing.csv")
    assert code == 2 and "there is no such file" in err
    code, _, err = call(monkeypatch, capsys, folder / "trades.csv")
    assert code == 2 and err.count("\n") == 1 and "quotes: there are none" in err


@real
def test_real_markets_are_sane():
    eth = {row.name: row.estimate for row in rows(calibrate(DATA / "ethusdt_perp_2024-08-08").found)}
    assert 0.2 < eth["volatility"].value < 0.45  # 45 to 100% a year at a price of 2681
    assert 4 < eth["A"].value < 8 and 30 < eth["k"].value < 70
    assert eth["market rate"].value == pytest.approx(3506 / (2 * 344.319), rel=0.01)
    assert 0.2 < eth["branching ratio"].value < 0.6
    apple = {row.name: row.estimate for row in rows(calibrate(DATA / "lobster_aapl_2012-06-21").found)}
    assert 0.03 < apple["volatility"].value < 0.1  # 12 to 40% a year at 585
    assert 15 < apple["k"].value < 60 and apple["k"].n == 30
    assert not any(math.isnan(e.value) for e in (*eth.values(), *apple.values()))
