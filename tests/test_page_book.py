"""The order book in a run's folder and on its page: what it showed, and what dealers earned in it."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import experiments
from experiments import config, evaluate, sampled
from marketsim import buffers
from reports import book, evidence, page
from reports.figures import book_paths
from reports.folder import Design, open_run

STEPS, DT, TICK = 30, 0.5, 0.01
TABLES = ("best_quotes", "prints")
BOOK = {
    "name": "pit",
    "market": {
        "kind": "book", "steps": STEPS, "dt": DT, "liquidate": True, "inventory_limit": 20,
        "price": {"kind": "book", "value": {"kind": "brownian", "mid": 100.0, "volatility": 0.02}},
        "book": {"tick": TICK, "levels": 512, "orders": 512, "opening": {"levels": 10, "lots": 3}, "warm_up": 10, "fill_decay": 60},
        "traders": [{"name": "noise", "kind": "zero_intelligence", "count": 10, "limit_rate": 0.05, "market_rate": 0.4, "cancel_rate": 0.05}],
    },
    "dealers": [
        {"name": "near", "policy": {"kind": "fixed", "markup": 0.01, "hedge": 0.5},
         "action": {"kind": "offsets", "offset": [0, 5], "size": [2, 2]}, "limits": {"position": {"soft": 18, "hard": 20}}},
        {"name": "edge", "policy": {"kind": "fixed", "markup": 0.05, "hedge": 0.5},
         "action": {"kind": "offsets", "offset": [0, 5], "size": [2, 2]}},
    ],
    "evaluate": {"episodes": 12, "sample": 6},
}  # fmt: skip
HYBRID = BOOK | {
    "name": "hybrid",
    "market": {k: v for k, v in BOOK["market"].items() if k != "kind"} | {
        "venue": "book",
        "segments": [{"name": "clients", "rates": [0.4], "choice": {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 25}}}],
    },
    "dealers": [{"name": "desk", "policy": {"kind": "fixed", "markup": 0.0234, "hedge": 1.0}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return experiments.run(BOOK, out=tmp_path_factory.mktemp("runs")).path


@pytest.fixture(scope="module")
def design(folder) -> Design:
    return open_run(folder).designs["base"]


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory) -> Path:
    return experiments.run(HYBRID, out=tmp_path_factory.mktemp("runs")).path


def words_of(path: Path) -> str:
    text = page.compose(open_run(path)).split("<main>")[1].split("</main>")[0]
    return html.unescape(re.sub(r"<[^>]*>", " ", text))


def shown(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """What an evaluation of one episode keeps of its book."""
    desk = config.load(BOOK).designs["base"]
    evaluate.evaluate(desk, _policies(desk), tmp_path, 3, 1, 1)
    return {name: pd.read_parquet(p) for name in TABLES if (p := tmp_path / f"{name}.parquet").exists()}


def _policies(desk):
    from agents.policy import Seat, build

    return {i: build(dealer.policy, Seat(desk, i)) for i, dealer in enumerate(desk.dealer_of)}


# --- the tables -------------------------------------------------------------------------------------


def test_the_columns_are_those_of_the_contract_and_the_episodes_the_first_few(design):
    text = (Path(__file__).parent.parent / "docs" / "run-folder.md").read_text()
    rows = {name: next(row for row in text.splitlines() if f"/{name}.parquet`" in row) for name in TABLES}
    for name in TABLES:
        table = getattr(design.seeds[0], name)
        assert all(f"`{column}`" in rows[name] for column in table.columns), name
        assert list(table["episode"].unique()) == list(range(sampled.BOOKS))
        assert (
            table.groupby("episode")["time"]
            .apply(lambda t: t.is_monotonic_increasing and t.between(0, STEPS).all())
            .all()
        )
    assert f"{sampled.MOST_SHOWN:,} rows" in rows["prints"] and f"{buffers.BOOK_LOG:,}" in rows["prints"]
    assert f"first {sampled.BOOKS} sampled" in rows["best_quotes"]


def test_the_best_quotes_are_those_of_the_mid_that_dealers_saw(design):
    """At every step's begin the last change before it gives the mid of the steps table, exactly."""
    quotes, steps = design.seeds[0].best_quotes, design.seeds[0].steps
    for episode, rows in quotes.groupby("episode"):
        mid = steps[(steps["episode"] == episode) & (steps["dealer"] == "edge")].sort_values("step")["mid"].to_numpy()
        # the dealers' own orders come at the very begin of a step, after the mid was looked at
        last = np.searchsorted(rows["time"].to_numpy(), np.arange(STEPS + 1), side="left") - 1
        last[0] = 0
        np.testing.assert_allclose((rows["bid"] + rows["ask"]).to_numpy()[last] / 2, mid, atol=1e-9)
        changed = rows[["bid", "bid_size", "ask", "ask_size"]].diff().iloc[1:].abs().sum(axis=1) > 1e-12
        assert changed.all(), "a row that changes nothing"


def test_an_aggressor_who_buys_pays_the_ask_and_one_who_sells_gets_the_bid(design):
    quotes, prints = design.seeds[0].best_quotes, design.seeds[0].prints
    met = set()
    for episode, rows in prints.groupby("episode"):
        before = quotes[quotes["episode"] == episode]
        rows = rows[rows["time"] % 1 != 0]  # within a step; at its begin dealers trade at one time
        at = before.iloc[np.searchsorted(before["time"].to_numpy(), rows["time"].to_numpy(), side="left") - 1]
        price, bought = rows["price"].to_numpy(), rows["aggressor"].to_numpy() > 0
        assert (price[bought] >= at["ask"].to_numpy()[bought] - 1e-9).all()
        assert (price[~bought] <= at["bid"].to_numpy()[~bought] + 1e-9).all()
        met |= set(bought)
    assert met == {True, False} and (prints["size"] > 0).all()


def test_memory_is_bounded_and_the_tables_end_with_a_whole_step(tmp_path, monkeypatch):
    full = shown(tmp_path / "full")
    monkeypatch.setattr(sampled, "MOST_SHOWN", 40)
    cut = shown(tmp_path / "cut")
    end = cut["best_quotes"]["time"].max()
    for name in TABLES:
        assert 0 < len(cut[name]) <= 40 < len(full["best_quotes"])
        whole = full[name][full[name]["time"] < np.ceil(end)]
        pd.testing.assert_frame_equal(cut[name], whole.reset_index(drop=True))


def test_a_step_that_cannot_be_recorded_ends_the_tables_and_not_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(buffers, "BOOK_LOG", 6)
    cut = shown(tmp_path)
    assert cut["best_quotes"]["time"].max() < STEPS and (tmp_path / "episodes.parquet").exists()


# --- the figures ------------------------------------------------------------------------------------


def test_a_ratio_is_that_of_the_sums_with_the_error_of_a_mean_where_it_is_one():
    assert book.ratio(pd.Series([1.0, 3.0]), np.ones(2)) == pytest.approx(
        (2.0, 2 - 1.96, 2 + 1.96, np.nan), nan_ok=True
    )
    assert book.ratio(pd.Series([1.0, 3.0]), np.array([1.0, 7.0])).value == 0.5
    assert not book.ratio(pd.Series([0.0]), np.zeros(1)).known


def test_what_is_earned_adds_up_to_the_lots_of_the_sampled_episodes(design):
    episodes, steps = design.table("episodes"), design.table("steps")
    figures = book.earned(episodes, book.lots_taken(design), "near")
    mine, own = (table[table["dealer"] == "near"] for table in (episodes, steps))
    first = mine[mine["episode"] < 6]
    waited, took = (first["bought"] + first["sold"]).sum(), own["hedge"].abs().sum()
    assert took > 10 and own["hedge"].min() < 0 < own["hedge"].max()
    assert figures["share"].value == pytest.approx(waited / (waited + took))
    assert figures["cost"].value == pytest.approx(first["hedge_cost"].sum() / took)
    assert figures["lots"].value == pytest.approx((mine["bought"] + mine["sold"]).sum() / 12)
    assert figures["spread"].value == pytest.approx(mine["spread"].sum() / (mine["bought"] + mine["sold"]).sum())


def test_orders_are_drawn_on_ticks_away_from_the_mid(design):
    steps = pd.DataFrame({"step": [0, 1], "mid": [100.005, 100.005], "bid": [0.012, np.nan], "ask": [0.012, np.nan],
                          "inventory": [0.0, 2.0], "hedge": [0.0, 0.0]})  # fmt: skip
    quotes = pd.DataFrame({"time": [0.0], "bid": [100.0], "bid_size": [1], "ask": [100.01], "ask_size": [0]})
    for in_book, bid, ask in ((True, 99.99, 100.02), (False, 99.993, 100.017)):
        drawn = book_paths.book_paths(quotes, None, steps, TICK, in_book, "step").data
        own = {t.hovertemplate.split()[1]: t.y for t in drawn if t.hovertemplate and t.hovertemplate.startswith("its")}
        np.testing.assert_allclose(own["bid"], bid)  # the last step's stand to the end
        np.testing.assert_allclose(own["ask"], ask)
    assert drawn[0].hovertext[0] == "no ask" and drawn[1].hovertext[0] == "best bid 100.00, 1 lot"


def test_of_a_long_episode_the_beginning_is_drawn(design, monkeypatch):
    seed = design.seeds[0]
    quotes, steps = (table[table["episode"] == 0] for table in (seed.best_quotes, seed.steps))
    assert book_paths.drawn_until(quotes, steps) == STEPS
    monkeypatch.setattr(book_paths, "MOST", len(quotes) // 2)
    end = book_paths.drawn_until(quotes, steps)
    assert 0 < end < STEPS and (quotes["time"] <= end).sum() <= len(quotes) // 2
    mine = steps[steps["dealer"] == "edge"]
    drawn = book_paths.book_paths(quotes, seed.prints[seed.prints["episode"] == 0], mine, TICK, True, "step").data
    assert max(max(trace.x, default=0) for trace in drawn) == end


# --- the page ---------------------------------------------------------------------------------------


def test_the_page_of_a_book_speaks_of_orders_and_of_no_request(folder):
    text = words_of(folder)
    for said in (
        "The book",
        "the orders it asked for",
        "Traded passively",
        "Over the 6 sampled",
        "distance from the mid",
    ):
        assert said in text, said
    assert "in the same episodes" in page.compose(open_run(folder))
    assert "Hit ratio" not in text and "Left out" not in text.split("The book")[1].split("Limits")[0]
    assert "no soft level was passed" in text  # only one dealer has such a level
    assert not re.search(r"\bbook, size|won no request|Markup in", text)


def test_the_page_of_a_hybrid_has_both(hybrid):
    text = words_of(hybrid)
    assert "The book" in text and "what it quoted its clients" in text and "Hit ratio" in text
    assert "Traded at its quotes" in text and "Traded passively" not in text


def test_without_the_tables_the_figure_says_so(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in [*copy.rglob("prints.parquet"), *copy.rglob("best_quotes.parquet")]:
        path.unlink()
    assert "Left out: the run kept nothing of what the book showed" in words_of(copy)


def test_orders_at_an_end_of_their_range_are_doubted(folder, design):
    said = {
        name: " ".join(d.sentence for d in evidence.doubts(open_run(folder), design, name)) for name in design.dealers
    }
    assert "100% of its sampled quotes stand at an end of the allowed 0 to 0.05" in said["edge"]


def test_a_market_without_a_book_has_no_such_section(tmp_path):
    experiment = {"market": {"price": {"kind": "brownian"}}}
    plain = Design("base", {"dealers": {"a": {}}}, (), experiment)
    assert not plain.has_book and plain.has_clients and not plain.in_book("a") and json.dumps(experiment)
    assert book.book_section(None, plain, "a", None) is None
