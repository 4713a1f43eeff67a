"""The command line: quick, quiet on stdout, and a sentence where the machine refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_fixture import COMMAND, ENVIRONMENT, call, marketsim
from test_run import TINY

import experiments
from experiments import config
from experiments.new import new
from experiments.schema import schema
from experiments.validate import validate

ROOT = Path(experiments.__file__).parent.parent
VERBS = {
    "run", "new", "validate", "schema", "report", "compare", "stress", "policy-map", "audit-reward", "bench", "drill",
    "inbox", "decide", "kill", "keys", "audit",
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> experiments.Run:
    return experiments.run(TINY, out=tmp_path_factory.mktemp("runs"))


def test_help_names_every_verb_and_is_quick(tmp_path):
    took = []
    for _ in range(3):
        began = time.perf_counter()
        done = marketsim(tmp_path, "--help")
        took.append(time.perf_counter() - began)
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)
    assert min(took) < 1.0  # 0.5 s on a machine that does nothing else


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; from experiments import cli; sys.argv = ['marketsim', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'numba', 'torch', 'pandas', 'plotly', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_run_prints_its_page_and_a_verdict(tmp_path, monkeypatch, capsys):
    from experiments import store

    store.write_yaml(tmp_path / "tiny.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    code, out, err = call(monkeypatch, capsys, "run", "tiny.yaml", "--set", "evaluate.episodes=70", "--seed", "3")
    page, verdict = out.splitlines()
    assert code == 0 and Path(page).exists() and page.endswith("report.html")
    assert "learner" in verdict
    assert "training base/4: 2.05k of 2.05k steps" in err


def test_json_is_one_object(tmp_path, monkeypatch, capsys):
    from experiments import store

    store.write_yaml(tmp_path / "tiny.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(monkeypatch, capsys, "run", "tiny.yaml", "--json", "--out", "elsewhere")
    done = json.loads(out)
    assert code == 0 and set(done) == {"folder", "digest", "summary"}
    assert json.loads((Path(done["folder"]) / "manifest.json").read_text())["digest"] == done["digest"]
    assert done["folder"].startswith("elsewhere")


def test_report_writes_the_page_again(tiny, monkeypatch, capsys):
    tiny.page.unlink()
    code, out, _ = call(monkeypatch, capsys, "report", str(tiny.path))
    assert code == 0 and out.strip() == str(tiny.page) and tiny.page.exists()


def test_new_writes_an_experiment_that_is_good_and_commented(tmp_path):
    path = new(tmp_path / "mine.yaml")
    experiment = config.load(path)
    assert experiment.name == "mine"
    assert path.read_text().count("#") >= 20


def test_schema_knows_every_key_and_the_short_forms():
    tree = schema()
    json.dumps(tree, allow_nan=False)
    assert set(tree["properties"]) == set(config.ExperimentConfig.model_fields)
    assert not tree["additionalProperties"]
    dealer = tree["$defs"]["TradingDealer"]["properties"]
    assert set(dealer["policy"]["anyOf"][0]["enum"]) >= {"ppo", "fixed", "avellaneda_stoikov", "optimal"}
    term = dealer["reward"]["items"]["anyOf"]
    assert "inventory_penalty" in term[0]["enum"] and "$ref" in term[1]
    assert tree["$defs"]["Market"]["properties"]["arrivals"]["anyOf"][0]["enum"] == [
        "at_most_one",
        "bernoulli",
        "poisson",
    ]


def test_validate_answers_like_a_colleague():
    market = {
        "market.segments": [
            {"name": "corporate", "sizes": [1, 2], "rates": [0.2, 0.1], "choice": {"kind": "logit", "intercept": [-1, 0]}},
            {"name": "fast", "rates": [0.1], "informed": {"share": 0.5, "accuracy": 0.8}},
        ],
        "dealers.learner.action": {"kind": "ladder", "markup": [-0.2, 0.3]},
    }  # fmt: skip
    remarks = validate(TINY, set=market)
    assert "0.8 requests a step, 1 lots, over 16 steps" in remarks
    assert "corporate: alone and at mid you win 73, 50% of sizes 1, 2" in remarks
    assert "fast: alone and at mid you win 100%; 65% of its requests are on the side that the mid moves to" in remarks
    assert "CVaR 99 will rest on 0.6 episodes, too few to trust" in remarks
    assert any(
        r.startswith("learner: the markup range [-0.2, 0.3] excludes the fixed quote of other 0.5") for r in remarks
    )
    assert any(
        r.startswith("learner: the markup range [-0.2, 0.3] excludes the Avellaneda-Stoikov quote ") for r in remarks
    )
    assert any(r.startswith("training takes about ") for r in remarks)
    wide = validate(TINY, set={"dealers.learner.action": {"kind": "ladder", "markup": [-5.0, 50.0]}})
    assert not any("excludes" in remark for remark in wide)


def test_policy_map_is_csv(tiny, monkeypatch, capsys, tmp_path):
    code, out, _ = call(monkeypatch, capsys, "policy-map", str(tiny.path), "other")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert list(rows[0]) == ["step", "inventory", "rival_inventory", "side", "segment", "size", "markup", "hedge"]
    assert {float(row["markup"]) for row in rows} == {0.5}
    assert {row["side"] for row in rows} == {"bid", "ask"}
    assert {int(row["step"]) for row in rows} == set(range(16))
    assert {float(row["inventory"]) for row in rows} == set(range(-5, 6))
    assert call(monkeypatch, capsys, "policy-map", str(tiny.path), "other", "--out", str(tmp_path / "m.csv"))[:2] == (
        0,
        "",
    )
    assert (tmp_path / "m.csv").read_text() == out
    code, out, err = call(monkeypatch, capsys, "policy-map", str(tiny.path), "othr")
    assert code == 2 and err.endswith("allowed are learner, other (did you mean other?)\n")


# --- where the machine refuses -----------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch, capsys):
    from experiments import store

    store.write_yaml(tmp_path / "tiny.yaml", TINY)
    (tmp_path / "occupied").write_text("a file")
    code, out, err = call(monkeypatch, capsys, "run", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "occupied"))
    assert code == 1 and out == ""
    assert "Not a directory" in err.splitlines()[-1] and "Traceback" not in err


def test_a_full_disk_is_a_sentence_and_the_last_checkpoint_is_whole(tmp_path):
    from experiments import store

    store.write_yaml(tmp_path / "tiny.yaml", TINY)
    limit = 30_000  # bytes a file: enough for the checkpoint, not for the results

    def cap():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = marketsim(tmp_path, "run", "tiny.yaml", preexec_fn=cap)
    assert done.returncode == 1, done.stderr
    assert "the last checkpoint is whole, --resume continues from it" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/**/.*half"))
    assert marketsim(tmp_path, "run", "tiny.yaml", "--resume").returncode == 0


def test_a_package_that_shadows_ours_is_named(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("raise RuntimeError('imported')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(
        [*COMMAND, "schema"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"the package 'agents' is {tmp_path / 'agents'}, not ours in ")
    assert done.stderr.count("\n") == 1
