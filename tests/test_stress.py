"""``marketsim stress`` end to end: what it plays, measures, writes, prints and refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from command_fixture import call
from test_run import TINY

import experiments
from experiments import stress
from experiments.config import load
from experiments.evaluate import Course, evaluate, outcomes
from experiments.players import players
from marketsim import scenarios

OVERLAYS = ("crash_and_rebound", "drought+volatility_x3", "mean_reversion_breaks")
FIGURES = {"pnl", "cvar_95", "worst", "max_inventory", "interventions_per_1000"}
RUN = TINY | {
    "designs": {"careful": {"dealers.learner.reward": ["pnl", {"kind": "inventory_penalty", "weight": 0.1}]}},
    "train": TINY["train"] | {"seeds": 2},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> experiments.Run:
    return experiments.run(RUN, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def stressed(run) -> Iterator[tuple[dict, pd.DataFrame]]:
    stress.stress(run.path, OVERLAYS, episodes=80)
    tree = json.loads((run.path / "stress.json").read_text())
    yield tree, pd.read_parquet(run.path / "stress.parquet")


def test_every_design_learner_overlay_and_figure_has_a_row(stressed):
    tree, _ = stressed
    found = {(row["design"], row["dealer"], row["overlay"], row["figure"]) for row in tree["rows"]}
    assert len(tree["rows"]) == len(found)
    assert found == {(d, "learner", o, f) for d in ("base", "careful") for o in OVERLAYS[:2] for f in FIGURES}
    assert set(tree["overlays"]) == set(OVERLAYS[:2])
    assert any("left out: mean_reversion_breaks: the price does not revert" in note for note in tree["notes"])
    assert tree["episodes"] == 80


def test_figures_are_those_of_the_episodes(stressed):
    """Means over episodes and training seeds; the worst of all of them."""
    tree, table = stressed
    assert len(table) == 2 * 2 * 3 * 80
    for row in tree["rows"]:
        mine = table[(table["design"] == row["design"]) & (table["dealer"] == row["dealer"])]
        under, base = (mine[mine["overlay"] == name] for name in (row["overlay"], "none"))
        if row["figure"] == "pnl":
            known = under["pnl"].mean(), base["pnl"].mean()
        elif row["figure"] == "worst":
            known = under["pnl"].min(), base["pnl"].min()
        elif row["figure"] == "max_inventory":
            known = under["max_inventory"].mean(), base["max_inventory"].mean()
        else:
            continue
        assert (row["value"], row["base"]) == pytest.approx(known)
        assert row["difference"] == pytest.approx(known[0] - known[1])
        if row["figure"] == "worst":
            assert row["low"] is None and row["verdict"] == ""
        else:
            assert row["low"] <= row["difference"] <= row["high"]


def test_without_an_overlay_the_episodes_are_those_of_the_run(run, stressed):
    _, table = stressed
    for design in ("base", "careful"):
        for seed in run.manifest["seeds"]:
            measured = pd.read_parquet(run.path / design / str(seed) / "episodes.parquet")
            measured = measured[measured["dealer"] == "learner"]["pnl"].to_numpy()
            again = table[(table["design"] == design) & (table["seed"] == seed) & (table["overlay"] == "none")]
            # a network's float32 sums depend on how many markets it plays at once
            np.testing.assert_allclose(again["pnl"].to_numpy()[: len(measured)], measured, atol=1e-4)


def test_an_overlay_that_does_nothing_makes_no_difference(run, stressed, tmp_path, monkeypatch):
    """Without pairing, two sets of 60 episodes would differ."""
    monkeypatch.setitem(scenarios.CATALOGUE, "nothing", lambda config: scenarios.Overlay("nothing", "Nothing happens."))
    copied = tmp_path / "run"
    shutil.copytree(run.path, copied)
    stress.stress(copied, ["nothing"])
    rows = json.loads((copied / "stress.json").read_text())["rows"]
    assert len(rows) == 2 * len(FIGURES) and {row["difference"] for row in rows} == {0.0}
    assert {row["verdict"] for row in rows} == {"cannot tell", ""}


def test_a_scenario_is_evaluated_like_a_market(run, tmp_path):
    desk = load(RUN).base
    policies = players(desk, run.path / "base" / "1")
    drought = scenarios.overlay("drought", desk)
    evaluate(desk, policies, tmp_path, desk.seed, 50, 5, course=Course(scenario=drought))
    assert {path.stem for path in tmp_path.iterdir()} == {
        "episodes", "steps", "requests", "quantiles", "interventions", "quotes", "benchmarks"
    }  # fmt: skip
    table = outcomes(desk, policies, desk.seed, 50, drought, markets=7)
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "episodes.parquet"))
    requests = pd.read_parquet(tmp_path / "requests.parquet")
    plain = outcomes(desk, policies, desk.seed, 50)
    assert table["asked"].sum() < plain["asked"].sum()
    assert requests.groupby("step").size().reindex(range(5, 10), fill_value=0).mean() < 2.5


def test_the_run_stays_the_run(run, stressed):
    from experiments import store

    assert store.result_digest(run.path, load(RUN)) == run.digest
    assert experiments.open_run(run.path).summary == run.summary


def test_the_command_prints_a_table_or_the_file(run, stressed, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "stress", str(run.path), "--overlay", "drought", "--episodes", "20")
    assert code == 0 and "base, learner: drought" in out and "careful, learner: drought" in out
    assert "Only 20% of the requests come" in out and "20 episodes of each training seed" in out
    code, out, _ = call(monkeypatch, capsys, "stress", str(run.path), "--overlay", "drought", "--json")
    assert code == 0 and json.loads(out) == json.loads((run.path / "stress.json").read_text())
    assert json.loads(out)["episodes"] == 60  # what the run was measured on
    assert not list(run.path.glob(".*half"))


def test_an_unknown_overlay_is_refused_and_nothing_is_written(run, stressed, tmp_path, monkeypatch, capsys):
    written = (run.path / "stress.json").read_bytes()
    code, out, err = call(monkeypatch, capsys, "stress", str(run.path), "--overlay", "drougt")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("--overlay: no overlay is named 'drougt', allowed are crash_and_rebound, ")
    assert err.endswith("(did you mean drought?)\n")
    assert (run.path / "stress.json").read_bytes() == written
    code, _, err = call(monkeypatch, capsys, "stress", str(tmp_path), "--overlay", "drought")
    assert code == 2 and err == f"{tmp_path}: is not the folder of a run\n"
    code, _, err = call(monkeypatch, capsys, "stress", str(run.path), "--episodes", "1")
    assert code == 2 and "--episodes" in err
