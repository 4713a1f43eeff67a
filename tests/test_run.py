"""Runs end to end: what they leave behind, that they can be killed and continued, and every file of the gallery."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from command_fixture import COMMAND, ENVIRONMENT

import experiments
from experiments import config, evaluate, store, training
from marketsim.document import InputError

TINY = {
    "name": "tiny",
    "market": {
        "steps": 16,
        "inventory_limit": 5,
        "segments": [{"rates": [0.5], "choice": {"kind": "logit", "sensitivity": 2.0}}],
    },
    "dealers": [
        {"name": "learner", "policy": {"kind": "ppo", "hidden": [8], "minibatches": 2, "epochs": 2}},
        {"name": "other", "policy": {"kind": "fixed", "markup": 0.5}},
    ],
    "train": {"steps": 4 * 32 * 16, "markets": 32, "checkpoint_every": 3},
    "evaluate": {"episodes": 60, "sample": 3},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> experiments.Run:
    return experiments.run(TINY, out=tmp_path_factory.mktemp("runs"))


# --- what a run leaves behind ------------------------------------------------------------------------


def test_the_folder_is_the_one_of_the_documentation(tiny):
    folder = tiny.path / "base" / "1"
    assert tiny.path.name == f"tiny-{tiny.manifest['config_digest'][:8]}"
    assert {path.name for path in tiny.path.iterdir()} == {
        "base", "experiment.yaml", "manifest.json", "report.html", "summary.json",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} >= {
        "training.parquet", "episodes.parquet", "steps.parquet", "requests.parquet", "quantiles.parquet",
        "quotes.parquet", "benchmarks.parquet", "interventions.parquet", "checkpoints", "training",
    }  # fmt: skip
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"learner"}


def test_the_manifest_says_what_made_it(tiny):
    manifest = tiny.manifest
    assert manifest["complete"] and manifest["name"] == "tiny" and manifest["seeds"] == [1]
    assert manifest["versions"]["numpy"] and manifest["cpu"] and manifest["inputs"] == {}
    assert manifest["digest"] == store.result_digest(tiny.path, config.load(TINY)) == tiny.digest


def test_the_resolved_file_is_the_same_experiment(tiny):
    again = config.load(tiny.path / "experiment.yaml")
    assert again.designs == config.load(TINY).designs
    assert store.config_digest(again) == tiny.manifest["config_digest"]


def test_training_is_recorded_for_every_update(tiny):
    training = pd.read_parquet(tiny.path / "base" / "1" / "training.parquet")
    assert training["steps"].tolist() == [512, 1024, 1536, 2048]


def test_the_verdict_names_the_learner(tiny):
    assert "learner" in tiny.verdict and "\n" not in tiny.verdict


def test_the_same_again_is_the_same_result(tiny):
    before = (tiny.path / "base" / "1" / "episodes.parquet").stat().st_mtime_ns
    again = experiments.run(TINY, out=tiny.path.parent)
    assert again.path == tiny.path and again.digest == tiny.digest
    assert (tiny.path / "base" / "1" / "episodes.parquet").stat().st_mtime_ns > before


def test_a_finished_run_resumed_is_left_as_it_is(tiny):
    before = (tiny.path / "manifest.json").stat().st_mtime_ns
    assert experiments.run(TINY, out=tiny.path.parent, resume=True).digest == tiny.digest
    assert (tiny.path / "manifest.json").stat().st_mtime_ns == before


def test_another_seed_is_another_folder_and_another_result(tiny):
    other = experiments.run(TINY, seed=5, out=tiny.path.parent)
    assert other.path != tiny.path and other.digest != tiny.digest
    assert other.manifest["seeds"] == [6]


def test_the_digest_is_of_values_not_of_bytes(tiny, tmp_path):
    table = pd.read_parquet(tiny.path / "base" / "1" / "episodes.parquet")
    experiment = config.load(TINY)
    folder = store.design_folder(tmp_path, "base", 1)

    def digest(table: pd.DataFrame) -> str:
        store.write_table(folder, "episodes", table)
        return store.result_digest(tmp_path, experiment)

    first = digest(table)
    table.to_parquet(folder / "episodes.parquet", index=False, compression="gzip")
    assert store.result_digest(tmp_path, experiment) == first
    nudged = table.copy()
    nudged.loc[7, "pnl"] += 1e-12
    assert digest(nudged) != first
    renamed = table.copy()
    renamed.loc[7, "dealer"] = "another"
    assert digest(renamed) != first
    assert digest(table.rename(columns={"pnl": "profit"})) != first


def test_designs_share_clients_and_seeds(tmp_path):
    run = experiments.run(
        TINY, set={"designs": {"greedy": {"dealers.other.policy.markup": 2.0}}, "train.seeds": 2}, out=tmp_path
    )
    assert sorted(p.relative_to(run.path).as_posix() for p in run.path.glob("*/*") if p.is_dir()) == [
        "base/1", "base/2", "greedy/1", "greedy/2",
    ]  # fmt: skip
    base, greedy = (
        pd.read_parquet(run.path / d / "1" / "requests.parquet")[["market", "step", "number", "side", "size"]]
        for d in ("base", "greedy")
    )
    pd.testing.assert_frame_equal(base, greedy)
    assert set(run.summary["designs"]) == {"base", "greedy"}


def test_nobody_has_to_learn(tmp_path):
    run = experiments.run(TINY | {"dealers": [{"name": "only", "policy": "fixed"}]}, out=tmp_path)
    assert run.summary["learners"] == [] and "only" in run.verdict


def test_learners_may_go_on_exploring(tiny):
    exploring = experiments.run(TINY, set={"evaluate.stochastic": True}, out=tiny.path.parent)
    figures = [
        pd.read_parquet(r.path / "base" / "1" / "episodes.parquet").groupby("dealer")["pnl"].mean()["learner"]
        for r in (tiny, exploring)
    ]
    assert figures[0] != figures[1]


def test_a_dealer_without_a_reward_is_scored_by_the_first_learners():
    changes = {
        "dealers.learner.reward": ["pnl", {"kind": "downside", "weight": 2.0}],
        "designs": {"x": {"dealers.learner.reward": ["spread"]}},
    }
    experiment = config.load(TINY, set=changes)
    assert experiment.base.dealers[1].reward == experiment.base.dealers[0].reward
    assert [term.kind for term in experiment.designs["x"].dealers[1].reward] == ["spread"]
    own = config.load(TINY, set=changes | {"dealers.other.reward": ["fees"]})
    assert [term.kind for term in own.base.dealers[1].reward] == ["fees"]


def test_a_sweep_is_every_combination():
    experiment = config.load(TINY, set={"sweep": {"train.steps": [10, 20], "dealers.other.policy.markup": [0.5, 1.0]}})
    assert list(experiment.designs) == [
        "base", "train.steps-10_policy.markup-0.5", "train.steps-10_policy.markup-1",
        "train.steps-20_policy.markup-0.5", "train.steps-20_policy.markup-1",
    ]  # fmt: skip
    assert experiment.designs["train.steps-20_policy.markup-1"].train.steps == 20


# --- killed and continued ----------------------------------------------------------------------------

LONG = {"train": {"steps": 150 * 32 * 16, "markets": 32, "checkpoint_every": 3}}


def start(folder: Path, *words: str) -> subprocess.Popen:
    store.write_yaml(folder / "tiny.yaml", TINY | LONG)
    return subprocess.Popen(
        [*COMMAND, "run", "tiny.yaml", "--json", *words],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a suite that runs in the background of a shell has Ctrl-C ignored, and would pass that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> str:
    return experiments.run(TINY | LONG, out=tmp_path_factory.mktemp("runs")).digest


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_training_it_continues_to_the_same_result(how, uninterrupted, tmp_path):
    process = start(tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/base/1/training/state-*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.splitlines()[-1] == "stopped; the last checkpoint of a run is whole, --resume continues from it"
    assert "Traceback" not in err
    (folder,) = tmp_path.glob("runs/*")
    assert not json.loads((folder / "manifest.json").read_text())["complete"]
    with pytest.raises(InputError, match="not finished"):
        experiments.open_run(folder)
    with pytest.raises(InputError, match="holds this run unfinished, --resume continues it"):
        experiments.run(tmp_path / "tiny.yaml", out=tmp_path / "runs")
    assert finish(start(tmp_path, "--resume"))["digest"] == uninterrupted


def test_a_state_that_was_cut_off_falls_back_to_the_one_before(uninterrupted, tmp_path):
    experiment = config.load(TINY | LONG)
    path = store.run_folder(experiment, tmp_path)
    finished = experiments.run(TINY | LONG, out=tmp_path)
    assert finished.digest == uninterrupted
    older, newer = sorted((path / "base" / "1" / "training").glob("state-*.safetensors"))
    newer.write_bytes(newer.read_bytes()[:1000])
    store.write_json(path / "manifest.json", finished.manifest | {"complete": False})
    (path / "base" / "1" / "done.json").unlink()
    assert experiments.run(TINY | LONG, out=tmp_path, resume=True).digest == uninterrupted


def test_designs_and_seeds_that_are_done_are_not_done_again(tmp_path, monkeypatch):
    """Stopped while the second of two is measured: resumed, the first is neither trained nor measured."""
    tree = TINY | {"designs": {"paid": {"dealers.learner.reward": ["spread"]}}}
    whole = experiments.run(tree, out=tmp_path / "whole")
    train, measure = training.train, evaluate.evaluate
    done, stop = [], True

    def trained(desk, seed, folder, *rest):
        done.append(f"train {folder.parent.name}/{seed}")
        train(desk, seed, folder, *rest)

    def measured(desk, policies, folder, *rest, **options):
        done.append(f"measure {folder.parent.name}/{folder.name}")
        if stop and done[-1] == "measure paid/1":
            raise KeyboardInterrupt
        measure(desk, policies, folder, *rest, **options)

    monkeypatch.setattr(training, "train", trained)
    monkeypatch.setattr(evaluate, "evaluate", measured)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(tree, out=tmp_path / "stopped")
    assert done[-1] == "measure paid/1" and len(done) == 4
    stop, done[:] = False, []
    resumed = experiments.run(tree, out=tmp_path / "stopped", resume=True)
    assert done == ["train paid/1", "measure paid/1"]
    assert resumed.digest == whole.digest


# --- the gallery -------------------------------------------------------------------------------------

SHORT = {
    "train.steps": 4000,
    "train.markets": 16,
    "evaluate.episodes": 60,
    "evaluate.sample": 3,
    "evaluate.acceptance": 100,
}


@pytest.mark.parametrize("name", config.gallery())
def test_every_gallery_file_runs(name, tmp_path):
    if name == "replay" and not Path("../shared/data/ethusdt_perp_2024-08-08/quotes.csv").exists():
        times = "".join(f"{1000 + 100 * i},{2000 + i % 7},{2001 + i % 7}\n" for i in range(1000))
        (tmp_path / "quotes.csv").write_text("time_ms,bid,ask\n" + times)
        more = {"market.price.file": str(tmp_path / "quotes.csv")}
    else:
        more = {}
    experiment = config.load(name, set=more)
    assert experiment.name == name and experiment.base.description
    more |= {"evaluate.episodes": max(60, 3 * experiment.base.evaluate.in_a_row)}
    run = experiments.run(name, set=SHORT | more, out=tmp_path)
    assert run.manifest["complete"] and run.page.exists()
    assert set(run.summary["designs"]) == set(experiment.designs)


@pytest.mark.long
def test_the_quickstarts_learner_scores_higher_than_every_rival(tmp_path):
    began = time.monotonic()
    summary = json.loads((experiments.run("quickstart", out=tmp_path).path / "summary.json").read_text())
    assert time.monotonic() - began < 300
    against = summary["designs"]["base"]["against"]["learner"]
    assert set(against) == {"rival_0", "rival_1", "rival_2", "constant"}
    for rival, difference in against.items():
        assert difference["objective"]["low"] > 0 and difference["objective"]["verdict"] == "better", rival
