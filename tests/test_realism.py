"""The realism report: what zero intelligence fails and planted series pass, and the verb that says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import marketsim
from experiments import tapes
from experiments.cli import app
from experiments.realism import measure, realism, verdicts
from marketsim.book.config import Book, ZeroIntelligence
from marketsim.book.market import simulate
from marketsim.document import InputError
from marketsim.measures import realism as yardstick
from marketsim.measures.jackknife import Measured
from marketsim.measures.realism import FAIL, PASS, REPORTED, UNDECIDED, facts, findings, sample, verdict
from tests.tape_fixture import garch, persistent_signs, tape_of

VOLATILITY = {"volatility clustering", "slow decay", "intermittency"}
SIGNS = {"sign correlation", "sign memory", "sign exponent"}


def verdicts_of(tape):
    return {finding.fact.name: finding.verdict for finding in findings(sample(tape))}


@pytest.fixture(scope="module")
def poisson():
    """A market of zero intelligence alone: Poisson limit orders, market orders and cancellations."""
    traders = (ZeroIntelligence(kind="zero_intelligence", limit_rate=0.5, market_rate=5.0, cancel_rate=0.2, band=20),)
    return simulate(Book(warm_up=50.0), traders, 100.0, 20_000, 1.0, seed=1)


# --- what flips ------------------------------------------------------------------------------------


def test_zero_intelligence_fails_clustering_and_memory_and_burstiness(poisson):
    found = verdicts_of(poisson)
    for name in VOLATILITY | SIGNS | {"time between trades", "trades in a window"}:
        assert found[name] == FAIL, name
    for name in ("volume and volatility", "flow and return", "imbalance and next move", "spread"):
        assert found[name] == PASS, name


def test_signs_with_memory_planted_on_its_trades_flip_those_facts_and_no_other(poisson):
    orders = sample(poisson).trades  # one print an order, so that a planted sign is a trade's
    prints = orders.copy()
    prints["side"] = persistent_signs(len(orders), 0.8, seed=1)
    before, after = verdicts_of(replace(poisson, prints=orders)), verdicts_of(replace(poisson, prints=prints))
    flow = {"flow and return", "concave impact"}  # trades that no longer push the mid
    assert {name for name in before if before[name] != after[name]} - flow == SIGNS
    assert all(before[name] == FAIL and after[name] == PASS for name in SIGNS)


def test_planted_garch_flips_the_facts_of_clustering_and_a_permutation_flips_them_back():
    returns = 1e-4 * garch(15_000, 0.1, 0.89, seed=1)
    planted = verdicts_of(tape_of(returns))
    permuted = verdicts_of(tape_of(np.random.default_rng(0).permutation(returns)))
    assert {name for name in VOLATILITY if planted[name] == PASS} == VOLATILITY
    assert all(permuted[name] == FAIL for name in VOLATILITY)
    assert planted["no autocorrelation"] == PASS and planted["sign memory"] == FAIL


def test_gaussian_noise_fails_every_fact_of_its_law():
    found = verdicts_of(tape_of(1e-4 * np.random.default_rng(3).standard_normal(15_000)))
    for name in VOLATILITY | {"heavy tails", "conditional heavy tails", "aggregational Gaussianity", "leverage effect"}:
        assert found[name] == FAIL, name
    assert found["no autocorrelation"] == PASS and found["gain-loss asymmetry"] == REPORTED


def test_quotes_without_trades_are_judged_by_the_quotes_alone():
    tape = tape_of(1e-4 * garch(15_000, 0.1, 0.89, seed=1))
    found = verdicts_of(replace(tape, prints=tape.prints[:0]))
    assert found["volatility clustering"] == PASS and found["gain-loss asymmetry"] == REPORTED
    trades = {"volume and volatility", "spread", "time between trades", "trades in a window", "flow and return", "concave impact"}  # fmt: skip
    assert all(found[name] == UNDECIDED for name in SIGNS | trades)
    assert all(np.isnan(y).all() for _, y in [yardstick.curves(sample(replace(tape, prints=tape.prints[:0])))["signs"]])


# --- the yardstick ---------------------------------------------------------------------------------


def test_an_interval_must_lie_inside_the_range_to_pass_and_outside_to_fail():
    fact = replace(facts()[0], range=(0.2, 0.9), least=100)
    for low, high, said in (
        (0.2, 0.9, PASS), (0.3, 0.4, PASS), (0.1, 0.19, FAIL), (0.91, 1.5, FAIL), (0.1, 0.3, UNDECIDED),
        (0.8, 1.0, UNDECIDED), (0.0, 1.0, UNDECIDED), (np.nan, np.nan, UNDECIDED),
    ):  # fmt: skip
        assert verdict(fact, Measured(0.5 * (low + high), low, high, 100)) == said
    assert verdict(fact, Measured(0.3, 0.3, 0.4, 99)) == UNDECIDED
    assert verdict(replace(fact, range=None), Measured(0.3, 0.3, 0.4, 1)) == REPORTED


def test_every_fact_has_a_measure_a_source_and_a_range_that_noise_does_not_straddle():
    assert {fact.measure for fact in facts()} == set(yardstick.MEASURES) and len(facts()) == 20
    for fact in facts():
        assert fact.source and fact.statistic and fact.least >= 200
        if fact.range is not None:
            low, high = fact.range
            assert low < high and 0.0 not in fact.range  # else what is not there could never fail


# --- where tapes come from -------------------------------------------------------------------------

POISSON = """
name: poisson
market:
  kind: book
  steps: 10
  price: {kind: book, value: {kind: brownian, mid: 50, volatility: 0.02}}
  book: {tick: 0.01, warm_up: 20}
  traders:
    - {kind: zero_intelligence, limit_rate: 0.5, market_rate: 5.0, cancel_rate: 0.2, band: 20}
dealers:
  - {name: idle, policy: fixed, action: {kind: offsets, offset: [0, 5], size: [1, 2]}}
"""


@pytest.fixture
def population(tmp_path):
    path = tmp_path / "poisson.yaml"
    path.write_text(POISSON)
    return path


def test_a_market_is_simulated_once_for_each_seed_and_alike_each_time(population):
    first, again, other = (
        [tape for _, tape in tapes.tapes_of(population, seeds, 200)] for seeds in ((3, 4), (3,), (4,))
    )
    assert (first[0].quotes == again[0].quotes).all() and (first[1].prints == other[0].prints).all()
    assert len(first[0].quotes) != len(first[1].quotes)
    assert abs(first[0].mid[0] - 50) < 1 and 150 < first[0].quotes["time"][-1] <= 200


def test_a_run_is_simulated_as_its_experiment_says(population):
    folder = population.parent / "run"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(POISSON)
    (_, tape), (_, same) = *tapes.tapes_of(folder, [1], 50), *tapes.tapes_of(population, [1], 50)
    assert (tape.quotes == same.quotes).all()


REGIME = {
    "kind": "regime",
    "mid": 9.0,
    "transition": [[0.8, 0.2], [0.3, 0.7]],
    "drift": [0.1, -0.3],
    "volatility": [0.2, 1],
}


@pytest.mark.parametrize("price", [{"mid": 7.0, "volatility": 0.5, "drift": 0.1}, REGIME])
def test_the_exogenous_value_is_the_engines(price):
    desk = {
        "market": {
            "steps": 30, "dt": 0.25, "price": price,
            "segments": [{"name": "one", "rates": [0.1], "choice": {"kind": "logit"}}],
        },
        "dealers": [{"name": "dealer"}],
    }  # fmt: skip
    config = marketsim.load_config(desk)
    batch = marketsim.MarketBatch(config, 1, seed=5)
    batch.reset(episode=0)
    mids = [batch.state["mid"].item()]
    for _ in range(30):
        batch.step(np.full((1, 1, batch.action_widths[0]), np.nan, np.float32))
        mids.append(batch.state["mid"].item())
    assert tapes.exogenous(config, 30, 5).tolist() == mids


def test_a_file_of_market_data_is_one_tape_of_which_too_little_is_said(tmp_path, capsys):
    rng = np.random.default_rng(0)
    mids = 2000 + np.cumsum(rng.choice([-1, 1], 3000)) / 10
    quotes = "".join(f"{100 * i},{m - 0.1:.1f},{rng.integers(1, 9)},{m + 0.1:.1f},{rng.integers(1, 9)}\n" for i, m in enumerate(mids))  # fmt: skip
    trades = "".join(f"{100 * i + 50},{mids[i]:.1f},1,{rng.choice([-1, 1])}\n" for i in range(0, 3000, 3))
    (tmp_path / "quotes.csv").write_text("time_ms,bid,bid_size,ask,ask_size\n" + quotes)
    (tmp_path / "trades.csv").write_text("time_ms,price,size,side\n" + trades)
    tree = measure(tmp_path, [1, 2, 3])
    assert tree["experiment"] is None and len(tree["tapes"]) == 1
    (tape,) = tree["tapes"]
    assert tape["returns"] == 299 and tape["trades"] == 1000
    said = {fact["name"]: fact["verdict"] for fact in tape["facts"]}
    assert said["heavy tails"] == said["sign memory"] == UNDECIDED and said["sign correlation"] != PASS


# --- the verb --------------------------------------------------------------------------------------


def test_the_verb_prints_what_the_function_finds(population):
    result = CliRunner().invoke(app, ["realism", str(population), "--seeds", "2", "--steps", "2000", "--json"])
    assert result.exit_code == 0
    tree = json.loads(result.stdout)
    assert [tape["name"] for tape in tree["tapes"]] == ["seed 1", "seed 2"]
    assert [fact["name"] for fact in tree["facts"]] == [fact.name for fact in facts()]
    mine = measure(population, [1, 2], 2000)
    assert tree["tapes"][1]["facts"][0]["value"] == mine["tapes"][1]["facts"][0]["value"]
    shown = CliRunner().invoke(app, ["realism", str(population), "--seeds", "2", "--steps", "2000"], env={"COLUMNS": "120"})  # fmt: skip
    assert "2 of 2 fail" in shown.stdout and "seed 2: " in shown.stdout


def test_a_required_fact_that_does_not_pass_is_exit_code_1(population):
    words = ["realism", str(population), "--seeds", "1", "--steps", "2000"]
    assert CliRunner().invoke(app, [*words, "--require", "sign memory"]).exit_code == 1
    assert CliRunner().invoke(app, [*words, "--require", "flow and return"]).exit_code == 0


def test_what_cannot_be_read_is_one_line(population, tmp_path):
    def refused(source, match, **more):
        with pytest.raises(InputError, match=match) as error:
            realism(source, **more)
        assert "\n" not in str(error.value)

    page = tmp_path / "page.html"
    refused(population, r"--require: there is no fact 'sign memoir', allowed are no autocorr", require=["sign memoir"])
    refused(tmp_path / "no.yaml", "there is no such file")
    refused(tmp_path / "no.csv", "there is no such file")
    refused(population, r"seed 1: the mid moves \d times, a single interval is made of 10", steps=1, out=page)
    population.write_text(POISSON.replace("band", "bond"))
    refused(population, r"poisson.yaml:\d+: market.traders.zero_intelligence.bond: unknown key", out=page)
    population.write_text(
        POISSON.replace("- {kind: zero", "[]  # {kind: zero").replace("traders:\n    [", "traders: [")
    )
    refused(population, r"poisson.yaml:\d+: market.traders: what is measured are traders in a book")
    refused("quickstart", r"quickstart.yaml:\d+: market.price: what is measured are traders in a book")
    assert not page.exists()


def test_ranges_and_verdicts_in_words():
    ranges = ((0.05, np.inf), (-np.inf, 0.9), (-0.1, 0.1), None)
    assert [replace(facts()[0], range=r).asked for r in ranges] == ["above 0.05", "below 0.9", "-0.1 to 0.1", ""]
    assert verdicts([PASS]) == PASS and verdicts([PASS] * 5) == "5 of 5 pass"
    assert verdicts([FAIL, PASS, UNDECIDED, PASS]) == "2 pass, 1 fail, 1 too little data"
    assert verdicts([REPORTED] * 3) == REPORTED


# --- the gallery -----------------------------------------------------------------------------------


def verdicts_by_fact(tree):
    return {
        fact["name"]: [tape["facts"][k]["verdict"] for tape in tree["tapes"]] for k, fact in enumerate(tree["facts"])
    }


def test_the_gallerys_market_clusters_and_remembers():
    found = verdicts_by_fact(measure("realistic_book", [1], 30_000))
    for name in VOLATILITY | SIGNS | {"trades in a window", "conditional heavy tails"}:
        assert found[name] == [PASS], name


@pytest.mark.long
def test_the_gallerys_market_passes_in_five_of_five_seeds_and_loses_nothing_that_zero_intelligence_passes():
    realistic, poisson = (verdicts_by_fact(measure(name, range(1, 6))) for name in ("realistic_book", "zero_intelligence_book"))  # fmt: skip
    assert realistic["volatility clustering"] == realistic["sign memory"] == [PASS] * 5
    assert poisson["volatility clustering"] == poisson["sign memory"] == [FAIL] * 5
    for name in realistic:
        for seed in range(5):
            assert poisson[name][seed] != PASS or realistic[name][seed] == PASS, (name, seed + 1)
    assert sum(set(found) == {PASS} for found in realistic.values()) == 17
    assert sum(set(found) == {PASS} for found in poisson.values()) == 5
