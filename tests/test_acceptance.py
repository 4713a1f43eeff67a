"""Acceptance: what was learned is accepted or refused, on clients that nobody has met."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from objectives_fixture import TAIL, one_thread  # noqa: F401 (one is autouse)

import experiments
import marketsim
from agents.cast import Cast
from agents.episodes import play
from experiments import acceptance, config, store

TINY = {
    "name": "tiny",
    "market": {"steps": 6, "inventory_limit": 4, "liquidate": True, "segments": [{"rates": [0.8]}]},
    "dealers": [
        {
            "name": "learner",
            "policy": {"kind": "ppo", "hidden": [8], "minibatches": 2},
            "objective": TAIL | {"limit": 4.0},
        }
    ],
    "train": {"steps": 64 * 6 * 3, "markets": 64},
    "evaluate": {"episodes": 40, "sample": 2},
}


class Shock:
    """An overlay that costs: the mid falls while the dealer is long, and it is made long."""

    def __init__(self, desk):
        self.steps = 0

    def before(self, batch, t):
        self.steps += 1

    def quotes(self, batch, t, actions, quotes):
        actions[:, 0, 0], actions[:, 0, 1:] = -1.0, 1.0  # buys at the mid, from everyone, and does not hedge
        actions[:, 0, 2] = -1.0
        return quotes


def test_a_run_accepts_or_refuses_with_figures(tmp_path):
    run = experiments.run(TINY, out=tmp_path)
    report = json.loads((run.path / "base" / "1" / "acceptance.json").read_text())
    assert run.summary["designs"]["base"]["acceptance"] == {"1": report}
    assert report["episodes"] == 100_000 and report["deployed"] == "deterministic"
    found = report["dealers"]["learner"]
    assert found["accepted"] is True and found["reasons"] == [] and found["kept_steps"] > 0
    for mode in ("deterministic", "stochastic"):
        tail = found[mode]["constraints"]["cvar"]
        assert (
            tail["limit"] == 4.0
            and tail["bound"] == pytest.approx(tail["value"] + 1.645 * tail["se"])
            and tail["within"]
        )
    assert found["deterministic"]["constraints"]["cvar"]["value"] != found["stochastic"]["constraints"]["cvar"]["value"]
    table = pd.read_parquet(run.path / "base" / "1" / "training.parquet")
    assert (
        table[["nu", "kappa", "lambda", "cvar", "cvar_se"]].notna().all().all()
        and table["lambda_turnover"].isna().all()
    )

    desk = config.load(TINY).base
    folder = store.design_folder(run.path, "base", 1)
    few = desk.model_copy(update={"evaluate": desk.evaluate.model_copy(update={"acceptance": 1000})})
    again = acceptance.accept(few, folder, "tiny", {"long": Shock})["dealers"]["learner"]
    assert again["accepted"] is False and again["reasons"] == ["1000 episodes are fewer than 100000"]
    worse = again["overlays"]["long"]["deterministic"]["constraints"]["cvar"]["value"]
    assert worse > again["deterministic"]["constraints"]["cvar"]["value"]
    learner = desk.dealers[0]
    strict = learner.model_copy(update={"objective": learner.objective.model_copy(update={"limit": -50.0})})
    refused = acceptance.accept(few.model_copy(update={"dealers": (strict,)}), folder, "tiny")["dealers"]["learner"]
    assert not refused["accepted"] and refused["reasons"][0].startswith("cvar ")


def test_acceptance_meets_clients_that_nobody_has_met():
    experiment = config.load(TINY)
    seeds = {experiment.base.seed, *experiment.training_seeds}
    assert experiment.base.seed + acceptance.SEED not in seeds
    spec, cast = experiment.base, Cast(experiment.base, {})
    first = play(marketsim.MarketBatch(spec, 50, 1), cast).loss
    for other in (marketsim.MarketBatch(spec, 50, 1, 1 << 40), marketsim.MarketBatch(spec, 50, acceptance.SEED)):
        assert np.corrcoef(first[:, 0], play(other, cast).loss[:, 0])[0, 1] < 0.5


@pytest.mark.long
def test_four_of_five_trainings_are_accepted_and_use_their_limit(tmp_path):
    """Gallery ``optimum`` with a mid of volatility 0.5, where the tail is a loss: limit 3.5, 70% of the CVaR without one.

    Measured: all five accepted, at 90 to 96% of the limit, four of them above 90% (docs/objectives.md); at half the steps,
    83 to 95%, two of them.
    """
    changes = {
        "market.price.volatility": 0.5,
        "dealers.learner.observation": ["time_left", "inventory", "tail"],
        "dealers.learner.objective": {"kind": "cvar_constrained", "limit": 3.5},
        "train.seeds": 5,
        "train.steps": 6_000_000,
    }
    found = experiments.run("optimum", set=changes, out=tmp_path).summary["designs"]["base"]["acceptance"].values()
    learners = [report["dealers"]["learner"] for report in found]
    accepted = [learner for learner in learners if learner["accepted"]]
    used = [learner["deterministic"]["constraints"]["cvar"]["value"] / 3.5 for learner in accepted]
    assert len(learners) == 5 and sum(share >= 0.9 for share in used) >= 4
