"""Evaluation: its tables against each other, against the market's rules, and against the exact optimum."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents.policy import Seat, build
from experiments import store
from experiments.config import Experiment, load
from experiments.evaluate import evaluate
from experiments.fan import Fan
from experiments.summary import summarise
from marketsim.measures.tail import cvar

STEPS, EPISODES = 24, 60
TABLES = ("episodes", "steps", "requests", "quantiles", "quotes", "benchmarks", "interventions")
DESK = {
    "name": "desk",
    "seed": 5,
    "market": {
        "steps": STEPS, "liquidate": True, "inventory_limit": 12, "arrivals": "poisson",
        "venue": {"half_spread": 0.1, "slope": 0.01, "fee": 0.02},
        "segments": [
            {"name": "slow", "sizes": [1, 3], "rates": [0.5, 0.2], "choice": {"kind": "logit", "intercept": -1.0, "sensitivity": 2.0}},
            {"name": "fast", "sizes": [2], "rates": [0.3], "panel": 2, "informed": {"share": 0.5, "lead": 2}},
        ],
    },
    "dealers": [
        {"name": "maker", "policy": {"kind": "fixed", "markup": 0.2, "hedge": 0.5}, "limits": {"position": {"soft": 3, "hard": 6}},
         "reward": ["pnl", {"kind": "inventory_penalty", "weight": 0.1}]},
        {"name": "model", "policy": {"kind": "avellaneda_stoikov", "risk_aversion": 0.05}},
        {"name": "chance", "policy": "random", "limits": {"loss": {"soft": 2, "hard": 8}}},
    ],
    "evaluate": {"episodes": EPISODES, "sample": EPISODES},
}  # fmt: skip
ALONE = {
    "name": "alone",
    "seed": 5,
    "market": {
        "steps": 12, "inventory_limit": 5, "liquidate": True, "arrivals": "at_most_one",
        "venue": {"half_spread": 0.2},
        "segments": [{"rates": [0.4], "choice": {"kind": "logit", "intercept": -1.0, "sensitivity": 2.0}}],
    },
    "dealers": [{"name": "maker", "policy": "optimal", "reward": ["pnl", {"kind": "inventory_penalty", "weight": 0.05}]}],
    "evaluate": {"episodes": 4000, "sample": 2},
}  # fmt: skip


def play(experiment: Experiment, folder: Path, design: str = "base", **how) -> dict[str, pd.DataFrame]:
    desk = experiment.designs[design]
    policies = {i: build(dealer.policy, Seat(desk, i)) for i, dealer in enumerate(desk.dealer_of)}
    evaluate(desk, policies, folder, desk.seed, desk.evaluate.episodes, desk.evaluate.sample, **how)
    return {
        name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES if (folder / f"{name}.parquet").exists()
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Three dealers of every kind, all episodes sampled."""
    return play(load(DESK), tmp_path_factory.mktemp("desk"))


def paths(tables: dict[str, pd.DataFrame], column: str) -> np.ndarray:
    """(episodes, steps + 1, dealers)."""
    return tables["steps"][column].to_numpy().reshape(EPISODES, STEPS + 1, 3)


def of_episodes(tables: dict[str, pd.DataFrame], column: str) -> np.ndarray:
    """(episodes, dealers)."""
    return tables["episodes"][column].to_numpy().reshape(EPISODES, 3)


# --- the tables agree with each other ---------------------------------------------------------------


def test_columns_are_those_of_the_contract(tables):
    text = (Path(__file__).parent.parent / "docs" / "run-folder.md").read_text()
    for name in ("episodes", "steps", "quotes", "benchmarks", "interventions"):
        row = next(line for line in text.splitlines() if f"/{name}.parquet`" in line)
        named = set(re.findall(r"`([a-z_0-9]+)`", row.split("|", 3)[3].split("(of")[0]))
        assert set(tables[name].columns) <= named, name
        assert named - set(tables[name].columns) <= {"policy", "optimal", "bid", "ask", "soft_position", "soft_loss"}, (
            name
        )


def test_money_adds_up(tables):
    """P&L = spread + inventory - hedge cost - fees = cash + inventory at the mid; reward = P&L where that is it."""
    e = tables["episodes"]
    np.testing.assert_allclose(e["pnl"], e["spread"] + e["inventory"] - e["hedge_cost"] - e["fees"], atol=1e-12)
    np.testing.assert_allclose(of_episodes(tables, "pnl"), paths(tables, "pnl")[:, -1], atol=1e-9)
    reward, pnl = of_episodes(tables, "reward"), of_episodes(tables, "pnl")
    np.testing.assert_allclose(reward[:, 1:], pnl[:, 1:], atol=1e-9)
    assert (reward[:, 0] < pnl[:, 0]).all()


def test_lots_are_conserved(tables):
    e = tables["episodes"]
    np.testing.assert_allclose(e["bought"] - e["sold"] + e["hedge"], e["final_inventory"])
    assert (e["final_inventory"] == 0).all()  # liquidated
    assert (e["won"] > 0).mean() > 0.5


def test_episodes_follow_from_their_requests(tables):
    """What was won, earned by markups and marked out, from the requests alone."""
    requests = tables["requests"]
    mid = paths(tables, "mid")[:, :, 0]
    np.testing.assert_array_equal(requests["mid"], mid[requests["episode"], requests["step"]])
    won = requests[requests["winner"] >= 0]
    assert set(won["winner_name"]) == {"maker", "model", "chance"}
    assert requests["winner_name"].isna().sum() == (requests["winner"] < 0).sum()
    signed = won["size"].to_numpy() * np.where(won["side"] == 0, 1, -1)
    later = won["step"].to_numpy() + 5
    move = np.where(later <= STEPS, mid[won["episode"], np.minimum(later, STEPS)] - won["mid"].to_numpy(), 0.0)
    expected = {
        "spread": won["size"] * won["markup"], "won": np.ones(len(won)), "bought": np.maximum(signed, 0),
        "markout_5": signed * move, "marked_5": won["size"] * (later <= STEPS),
    }  # fmt: skip
    for column, values in expected.items():
        total = np.zeros((EPISODES, 3))
        np.add.at(total, (won["episode"].to_numpy(), won["winner"].to_numpy()), np.asarray(values, dtype=float))
        np.testing.assert_allclose(of_episodes(tables, column), total, atol=1e-9, err_msg=column)


def test_episodes_follow_from_their_steps(tables):
    pnl, q = paths(tables, "pnl"), paths(tables, "inventory")
    np.testing.assert_allclose(of_episodes(tables, "drawdown"), (np.maximum.accumulate(pnl, axis=1) - pnl).max(axis=1))
    np.testing.assert_allclose(of_episodes(tables, "worst_loss"), -pnl.min(axis=1))
    np.testing.assert_array_equal(of_episodes(tables, "max_inventory"), np.abs(q).max(axis=1))
    np.testing.assert_array_equal(of_episodes(tables, "inventory_square"), (q[:, :-2] ** 2).sum(axis=1))
    np.testing.assert_array_equal(of_episodes(tables, "inventory_product"), (q[:, :-2] * q[:, 1:-1]).sum(axis=1))
    for column in ("hedge", "interventions"):
        np.testing.assert_array_equal(of_episodes(tables, column), paths(tables, column).sum(axis=1))


def test_quotes_of_the_steps_are_those_of_the_policies(tables):
    steps = tables["steps"]
    assert steps[steps["step"] == STEPS][["bid", "ask"]].isna().all(axis=None)
    quoted = steps[steps["step"] < STEPS].set_index("dealer")
    assert (quoted.loc["maker", ["bid", "ask"]] == 0.2).all(axis=None)
    model = quoted.loc["model"]
    assert (np.sign((model["bid"] - model["ask"]).round(9)) == np.sign(model["inventory"])).all()  # it skews against it
    chance = quoted.loc["chance", ["bid", "ask"]].to_numpy()
    assert 0 <= chance.min() < 0.2 and 1.8 < chance.max() <= 2 and abs(chance.mean() - 1) < 0.05


def test_the_fan_is_of_all_episodes(tables):
    fan = tables["quantiles"]
    for name in ("pnl", "inventory"):
        path = paths(tables, name)
        np.testing.assert_allclose(fan[f"{name}_mean"].to_numpy().reshape(-1, 3), path.mean(axis=0), atol=1e-5)
        for level in (5, 25, 50, 75, 95):
            found = fan[f"{name}_{level:02d}"].to_numpy().reshape(-1, 3)
            np.testing.assert_allclose(found, np.quantile(path, level / 100, axis=0), atol=1e-4)


def test_the_fan_keeps_as_many_episodes_as_memory_allows(monkeypatch):
    monkeypatch.setattr("experiments.fan.MEMORY", 2 * 4 * (STEPS + 1) * 3 * 10)
    fan = Fan(load(DESK).base, 1_000_000)
    for first in (0, 8, 16):
        fan.add(first, 0, np.full((3, 8), float(first)), np.zeros((3, 8)))
    assert fan.quantiles()["pnl_mean"][0] == pytest.approx(8 * 2 / 10)  # eight of the first block, two of the second


def test_interventions_by_reason(tables):
    counts = tables["interventions"].set_index(["dealer", "reason"])["count"]
    episodes = tables["episodes"].groupby("dealer")["interventions"].sum()
    for dealer in ("maker", "model", "chance"):
        hard = sum(n for reason, n in counts[dealer].items() if not reason.startswith("soft_"))
        assert hard == episodes[dealer]
    assert counts["maker", "position"] > 0 and counts["chance", "loss"] > 0 and ("model", "soft_loss") not in counts
    q, pnl = paths(tables, "inventory")[:, :-1], paths(tables, "pnl")[:, :-1]
    assert counts["maker", "soft_position"] == (np.abs(q[:, :, 0]) > 3).sum()
    assert counts["chance", "soft_loss"] == (-pnl[:, :, 2] > 2).sum()


# --- common random numbers, batches, refusals -------------------------------------------------------


def test_batches_and_threads_change_nothing(tables, tmp_path):
    experiment = load(DESK, {"evaluate.sample": 7})
    seen = []
    again = play(experiment, tmp_path, markets=11, threads=2, progress=lambda *report: seen.append(report))
    for name in ("episodes", "quantiles", "interventions"):
        pd.testing.assert_frame_equal(again[name], tables[name])
    early = tables["requests"]["episode"] < 7
    pd.testing.assert_frame_equal(again["requests"], tables["requests"][early])
    assert [done for done, _ in seen] == [11, 22, 33, 44, 55, 60] and "maker: objective" in seen[-1][1]


def test_other_policies_meet_the_same_clients_and_mid(tables, tmp_path):
    other = play(load(DESK, {"dealers.model.policy": {"kind": "fixed", "markup": 5.0}}), tmp_path)
    for column in ("episode", "step", "number", "segment", "side", "size", "informed", "mid"):
        np.testing.assert_array_equal(other["requests"][column], tables["requests"][column])
    assert not np.array_equal(other["episodes"]["pnl"], tables["episodes"]["pnl"])


def test_every_agent_needs_a_policy(tmp_path):
    with pytest.raises(ValueError, match="each of the 3 agents needs one"):
        evaluate(load(DESK).base, {}, tmp_path, 0, 10, 1)


# --- against the optimum ----------------------------------------------------------------------------


def test_exact_values_are_those_that_are_played(tmp_path):
    """The optimum, and a policy that is far from it, earn their exact value within four standard errors."""
    best = play(load(ALONE), tmp_path / "best")
    poor = play(load(ALONE, {"dealers.maker.policy": {"kind": "fixed", "markup": 0.1}}), tmp_path / "poor")
    percents = []
    for tables in (best, poor):
        row, reward = tables["benchmarks"].iloc[0], tables["episodes"]["reward"]
        assert row["exact"] and pd.isna(row["reason"])
        assert abs(reward.mean() - row["value"]) < 4 * reward.std() / len(reward) ** 0.5
        assert row["percent"] == pytest.approx(100 * row["value"] / row["optimal"])
        assert row["gap"] == pytest.approx(row["optimal"] - row["value"])
        percents.append(row["percent"])
    assert percents[0] == pytest.approx(100) and percents[1] < 95
    assert best["benchmarks"]["optimal"][0] == poor["benchmarks"]["optimal"][0]
    maps = poor["quotes"]
    assert (maps[maps["source"] == "policy"]["markup"] == 0.1).all()
    assert sorted(maps["inventory"].unique()) == list(range(-5, 6)) and set(maps["step"]) == set(range(12))


def test_no_exact_answer_is_said_in_words(tables, tmp_path):
    rows = tables["benchmarks"]
    assert not rows["exact"].any() and rows["percent"].isna().all() and rows["optimal"].isna().all()
    assert rows["reason"].str.contains("3 dealers compete").all()
    chance = play(load(ALONE, {"dealers.maker.policy": "random", "evaluate.episodes": 10}), tmp_path)
    row = chance["benchmarks"].iloc[0]
    assert np.isnan(row["value"]) and row["optimal"] > 0 and "draws or remembers" in row["reason"]


def test_a_learner_that_sees_more_has_no_exact_value(tmp_path):
    class Quiet:
        native = False

        def act(self, observation):
            return np.zeros((len(observation), 3), np.float32)

    for seen, exact in (("default", False), (["time_left", "inventory"], True)):
        desk = load(ALONE, {"dealers.maker.policy": "ppo", "dealers.maker.observation": seen}).base
        evaluate(desk, {0: Quiet()}, tmp_path, 1, 10, 1)
        row = pd.read_parquet(tmp_path / "benchmarks.parquet").iloc[0]
        assert row["exact"] == exact
        assert exact or row["reason"].startswith("its policy also sees mid_move_1")
        assert row["ceiling"] <= row["optimal"] + 1e-12


# --- the summary ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def summary(tmp_path_factory) -> dict:
    """Of two designs and two training seeds, whose learner is played by stand-ins that differ by seed."""
    run = tmp_path_factory.mktemp("run")
    experiment = load(
        DESK,
        {
            "dealers.maker.policy": "ppo", "train.seeds": 2, "evaluate.episodes": 300, "evaluate.sample": 2,
            "designs": {"plain": {"dealers.maker.reward": ["pnl"]}, "same": {"dealers.maker.policy.hidden": [8]}},
        },
    )  # fmt: skip
    for design, desk in experiment.designs.items():
        for seed in experiment.training_seeds:
            fixed = load(DESK, {"dealers.maker.policy.markup": 0.3 + 0.01 * seed + 0.1 * (design == "plain")}).base
            policies = {i: build(dealer.policy, Seat(fixed, i)) for i, dealer in enumerate(fixed.dealer_of)}
            evaluate(desk, policies, store.design_folder(run, design, seed), desk.seed, 300, 2)
    summary = summarise(run, experiment)
    store.write_json(run / "summary.json", summary)
    tables = [
        store.read_table(store.design_folder(run, "base", seed), "episodes") for seed in experiment.training_seeds
    ]
    return {"summary": summary, "written": json.loads((run / "summary.json").read_text()), "tables": tables}


def test_the_summary_has_the_keys_of_the_contract(summary):
    text = (Path(__file__).parent.parent / "docs" / "run-folder.md").read_text()
    contract = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    written = summary["written"]
    assert written.keys() == contract.keys()
    assert written["designs"]["base"].keys() == contract["designs"]["base"].keys()
    mine, theirs = (
        tree["designs"]["base"]["dealers"][name] for tree, name in ((written, "maker"), (contract, "learner"))
    )
    assert mine.keys() == theirs.keys()
    for key in ("pnl", "objective", "inventory", "markout", "attribution", "optimum"):
        assert mine[key].keys() == theirs[key].keys(), key
    assert written["comparisons"][0].keys() == contract["comparisons"][0].keys()


def test_figures_are_means_over_the_training_seeds(summary):
    figures = summary["summary"]["designs"]["base"]["dealers"]["maker"]
    pnl = [table[table["dealer"] == "maker"]["pnl"].to_numpy() for table in summary["tables"]]
    assert figures["pnl"]["value"] == pytest.approx(np.mean(pnl))
    assert figures["cvar_95"]["value"] == pytest.approx(np.mean([cvar(-x, 0.95) for x in pnl]))
    assert figures["pnl"]["low"] < figures["pnl"]["value"] < figures["pnl"]["high"]
    assert figures["reward"] == "pnl + 0.1 inventory_penalty"
    assert sum(s * figures["attribution"][t] for t, s in (("spread", 1), ("inventory", 1), ("hedge_cost", -1), ("fees", -1))) == (
        pytest.approx(figures["pnl"]["value"])
    )  # fmt: skip


def test_learners_are_held_against_every_other_dealer(summary):
    base = summary["summary"]["designs"]["base"]
    assert base["against"].keys() == {"maker"} and base["against"]["maker"].keys() == {"model", "chance"}
    wide = np.mean(
        [table.pivot(index="episode", columns="dealer", values="reward") for table in summary["tables"]], axis=0
    )
    by_name = dict(zip(sorted(["maker", "model", "chance"]), wide.mean(axis=0), strict=True))
    found = base["against"]["maker"]["chance"]["objective"]
    assert found["value"] == pytest.approx(by_name["maker"] - by_name["chance"])
    assert base["best_rival"]["maker"] == max(("model", "chance"), key=by_name.__getitem__)


def test_designs_are_compared_with_the_base(summary):
    rows = summary["summary"]["comparisons"]
    assert all(row["against"] == "base" and row["dealer"] == "maker" for row in rows)
    plain = {row["figure"]: row for row in rows if row["design"] == "plain"}
    same = {row["figure"]: row for row in rows if row["design"] == "same"}
    assert "objective" not in plain and "objective" in same  # another reward is another scale
    assert plain["hit_ratio"]["verdict"] == "lower"  # it asks for more
    assert {row["verdict"] for row in same.values()} == {"cannot tell"}


def test_doubts_are_said_in_words(summary):
    doubts = summary["summary"]["designs"]["base"]["doubts"]
    assert doubts[0] == "CVaR 99 rests on 3 episodes: too few to be believed"
    assert any("2 training seeds" in doubt for doubt in doubts)
    assert any("position limit of 6 lots" in doubt for doubt in doubts)
    assert any("the guardrails intervened against maker" in doubt for doubt in doubts)
    assert any("3 dealers compete" in doubt for doubt in doubts)
