"""The loader: text -> tree and lines, changes at paths, trees -> models, files of prices -> arrays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.config import MarketConfig
from marketsim.document import Document, InputError, apply, load_config, parse, read, read_text, read_value
from marketsim.readers import read_prices

QUOTES = Path("../shared/data/ethusdt_perp_2024-08-08/quotes.csv")
DESK = {
    "market": {"segments": [{"name": "clients", "rates": [0.5]}]},
    "dealers": [
        {"name": "learner", "policy": "ppo", "reward": ["pnl", {"kind": "downside", "weight": 2}]},
        {"name": "rival.one", "policy": {"kind": "fixed"}},
    ],
}


# --- text -> tree ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7), ("-7", -7), ("1_000", 1000), ("0", 0), ("1e6", 1_000_000), ("2.5e-1", 0.25), (".5", 0.5), ("5.", 5),
        ("1_000.5", 1000.5), ("007", "007"), ("0x10", "0x10"), ("12:30", "12:30"), ("2024-08-08", "2024-08-08"),
        ("yes", "yes"), ("on", "on"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("'7'", "7"), ('"true"', "true"), ("1.2.3", "1.2.3"), ("e5", "e5"), ("nan", "nan"), ("[1, [2.5, x]]", [1, [2.5, "x"]]),
        ("{a: {b: []}}", {"a": {"b": []}}), ("|\n  two\n  lines\n", "two\nlines\n"), ("für", "für"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    read = read_value(text, "text")
    assert read == value and type(read) is type(value)


def test_every_key_and_item_knows_its_line():
    _, lines = read_text("a:\n  b: 1\n  c:\n    - x\n    -\n      d: 2\n", "f.yaml")
    assert {".".join(map(str, p)): line for p, line in lines.items()} == {
        "": "f.yaml:1", "a": "f.yaml:1", "a.b": "f.yaml:2", "a.c": "f.yaml:3", "a.c.0": "f.yaml:4", "a.c.1": "f.yaml:6",
        "a.c.1.d": "f.yaml:6",
    }  # fmt: skip


def test_an_alias_is_what_its_anchor_is_and_shares_nothing_with_it():
    tree, _ = read_text("a: &r [1, {x: 2}]\nb: *r\n", "f.yaml")
    assert tree == {"a": [1, {"x": 2}], "b": [1, {"x": 2}]}
    tree["a"][1]["x"] = 3
    assert tree["b"][1]["x"] == 2


words = st.text("abcdefghij_", min_size=1, max_size=8)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
trees = st.dictionaries(
    words, st.recursive(numbers | st.booleans() | words, lambda t: st.lists(t, max_size=3) | st.dictionaries(words, t, max_size=3)),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(trees)
def test_what_a_run_writes_is_what_it_reads(tmp_path_factory, tree):
    from experiments.store import write_yaml

    path = tmp_path_factory.mktemp("yaml") / "tree.yaml"
    write_yaml(path, tree)
    assert read(path).tree == Document.of(tree).tree == tree


# --- dicts -------------------------------------------------------------------------------------------


def test_a_dict_is_held_as_yaml_would_have_it():
    given = {"a": (1, 2.0), "b": np.array([0.5, 1.0]), "c": np.float64(3), "d": Path("x")}
    assert Document.of(given).tree == {"a": [1, 2], "b": [0.5, 1], "c": 3, "d": "x"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "a.b: got nan, numbers must be finite"),
        (np.array([1, np.inf]), "a.b.1: got inf, numbers must be finite"),
        (object(), "a.b: got a object, allowed are maps, lists, text and numbers"),
        (b"x", "a.b: got a bytes, allowed are maps, lists, text and numbers"),
    ],
)
def test_a_dict_is_refused_in_one_line(value, expected):
    with pytest.raises(InputError) as refused:
        Document.of({"a": {"b": value}})
    assert str(refused.value) == expected


def test_a_dict_that_holds_itself_is_refused():
    tree: dict = {}
    tree["a"] = tree
    with pytest.raises(InputError, match="nested deeper than 32"):
        Document.of(tree)


# --- changes -----------------------------------------------------------------------------------------


def changed(changes):
    return apply(Document.of(DESK), changes).tree


def test_items_are_addressed_by_name_reward_terms_by_kind_others_by_number():
    assert changed({"dealers.rival.one.policy.markup": 2})["dealers"][1]["policy"] == {"kind": "fixed", "markup": 2}
    assert changed({"dealers.1.policy": "random"})["dealers"][1]["policy"] == "random"
    assert changed({"dealers.learner.reward.downside.weight": 0})["dealers"][0]["reward"][1]["weight"] == 0
    assert changed({"market.segments.clients.rates.0": 0.25})["market"]["segments"][0]["rates"] == [0.25]


def test_what_is_written_by_its_kind_alone_widens():
    assert changed({"dealers.learner.policy.hidden": [8]})["dealers"][0]["policy"] == {"kind": "ppo", "hidden": [8]}
    assert changed({"dealers.learner.reward.pnl.weight": 3})["dealers"][0]["reward"][0] == {"kind": "pnl", "weight": 3}


def test_maps_on_the_way_are_made():
    assert changed({"train.steps": 5, "market.price.volatility": 2})["train"] == {"steps": 5}


def test_a_change_leaves_the_document_alone_and_says_where_it_stands():
    document = Document(*read_text("market: {steps: 5}\ndealers: []\n", "f.yaml"))
    other = apply(document, {"market.steps": -1})
    assert document.tree["market"]["steps"] == 5
    with pytest.raises(InputError, match=r"^--set: market.steps: got -1, it must be at least 1$"):
        parse(MarketConfig, apply(other, {"market.segments": [{"rates": [1]}], "dealers": [{}]}, "f.yaml:9"))


# --- trees -> models ---------------------------------------------------------------------------------


def test_keys_of_the_layers_above_are_passed_over_and_no_others():
    config = load_config(DESK | {"train": {"steps": "nonsense"}, "designs": 3, "escalation": {}})
    assert config.agents == ("learner", "rival.one")
    with pytest.raises(InputError, match="^trian: unknown key"):
        load_config(DESK | {"trian": {}})


def test_six_lines_are_an_experiment(tmp_path):
    path = tmp_path / "six.yaml"
    path.write_text("market:\n  segments:\n    - rates: [0.5]\ndealers:\n  - name: learner\n    policy: ppo\n")
    config = load_config(path)
    assert config.market.steps == 96 and config.market.segments[0].bid_rates == (0.5,)


def test_a_replayed_file_is_found_beside_the_experiment_then_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("beside", "."):
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "mid.csv").write_text("price\n1\n2\n")
    file = "market:\n  price: {kind: replay, file: mid.csv}\n  segments: [{rates: [1]}]\ndealers: [{name: a}]\n"
    Path("beside/desk.yaml").write_text(file)
    assert load_config("beside/desk.yaml").market.price.file == "beside/mid.csv"
    Path("beside/mid.csv").unlink()
    assert load_config("beside/desk.yaml").market.price.file == "mid.csv"


# --- prices ------------------------------------------------------------------------------------------


def prices(folder: Path, text: str, name: str = "p.csv", **options) -> np.ndarray:
    (folder / name).write_text(text)
    return read_prices(folder / name, **options)


def test_columns_are_found_by_their_usual_names(tmp_path):
    assert prices(tmp_path, "time,price\n1,2\n2,3\n").tolist() == [2, 3]
    assert prices(tmp_path, "Timestamp,Bid,Ask,last\n1,2,4,9\n").tolist() == [3]
    assert prices(tmp_path, "best_ask,best_bid\n4,3\n").tolist() == [3.5]
    assert prices(tmp_path, "bid,ask,close\n2,4,9\n", price="close").tolist() == [9]
    assert prices(tmp_path, "b,a\n2,4\n", bid="b", ask="a").tolist() == [3]


def test_prices_are_the_last_known_at_each_time(tmp_path):
    text = "time,price\n10,1\n11,2\n11,3\n14.5,4\n16,5\n"
    assert prices(tmp_path, text, every=1).tolist() == [1, 3, 3, 3, 3, 4, 5]
    assert prices(tmp_path, text, every=2).tolist() == [1, 3, 3, 5]
    assert prices(tmp_path, text, every=100).tolist() == [1]


def test_dates_are_seconds(tmp_path):
    text = "date,price\n2024-01-01T00:00:00,1\n2024-01-01T00:00:01.500,2\n2024-01-01T00:00:03,3\n"
    assert prices(tmp_path, text, every=1).tolist() == [1, 1, 2, 3]


def test_parquet_is_read_like_csv(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"time": [1, 2, 4], "mid": [1.5, 2.5, 3.5]}), tmp_path / "p.parquet")
    assert read_prices(tmp_path / "p.parquet", every=1).tolist() == [1.5, 2.5, 2.5, 3.5]
    parquet.write_table(pyarrow.table({"mid": [1.5, -2.0]}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p.parquet: row 1: mid: got -2, it must be above 0$"):
        read_prices(tmp_path / "p.parquet")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("time,price\n1,2\n2,\n", ":3: price: got nan, it must be above 0"),
        ("time,price\n1,2\n2,0\n", ":3: price: got 0, it must be above 0"),
        ("time,price\n1,2\n2,-1\n", ":3: price: got -1, it must be above 0"),
        ("time,price\n1,2\n2,inf\n", ":3: price: got inf, it must be above 0"),
        ("time,price\n1,2\n2,two\n", ":3: price: got 'two', it must be a number"),
        ("time,price\n5,2\n4,2\n", ":3: time: got 4, it must be at least the time before it"),
        ("time,price\nnan,2\n", ":2: time: got nan, it must be finite"),
        ("time,bid,ask\n1,2,3\n2,2,nan\n", ":3: ask: got nan, it must be above 0"),
        ("time,price\n", ": holds no rows"),
        ("", ": is not a CSV or Parquet table: Empty CSV file"),
        ("a,b\n1,2\n", ": no price and no bid and ask among the columns a, b, name them with price: or with bid: and ask:"),
        ("price\n2\n", ": every: no time column among price, name it with time:"),
        ("time,price\n1,2,3\n", ": is not a CSV or Parquet table: CSV parse error: Expected 2 columns, got 3: 1,2,3"),
        ("time,price\n0,1\n1e15,1\n", ": every: 0.01 makes 1e+17 prices, at most 5e+07 are allowed"),
    ],
)  # fmt: skip
def test_bad_rows_are_refused_in_one_line(tmp_path, text, expected):
    with pytest.raises(InputError) as refused:
        prices(tmp_path, text, every=0.01)
    assert str(refused.value) == f"{tmp_path / 'p.csv'}{expected}"


def test_a_column_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="price: there is no column 'px', allowed are time, price$"):
        prices(tmp_path, "time,price\n1,2\n", price="px")
    with pytest.raises(InputError, match="a bid and an ask are needed, only the bid is named"):
        prices(tmp_path, "bid,ask\n1,2\n", bid="bid")


@pytest.mark.skipif(not QUOTES.exists(), reason="the sample of a real market is not part of the repository")
def test_a_real_market_is_read():
    quotes = np.genfromtxt(QUOTES, delimiter=",", names=True)
    mid = (quotes["bid"] + quotes["ask"]) / 2
    assert np.array_equal(read_prices(QUOTES), mid)
    grid = np.arange(quotes["time_ms"][0], quotes["time_ms"][-1] + 1, 100)
    last = [mid[quotes["time_ms"] <= t][-1] for t in grid]
    assert np.array_equal(read_prices(QUOTES, every=100), last)
