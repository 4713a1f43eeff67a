"""Governed runs end to end: what they leave, that they can be repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_fixture import call

import experiments
from marketsim.guardrails import hook
from marketsim.guardrails.audit import rows, verify
from marketsim.guardrails.case import Case, Decision
from marketsim.guardrails.governor import Governor
from marketsim.guardrails.identity import ASSERTED, new_key

GOVERNED = """\
name: gov
market:
  steps: 24
  inventory_limit: 20
  liquidate: true
  price: {volatility: 0.5}
  venue: {half_spread: 0.2}
  segments: [{sizes: [1, 2], rates: [0.4, 0.2], choice: {kind: logit, intercept: -1.0, sensitivity: 4.0}}]
dealers:
  - {name: maker, policy: {kind: fixed, markup: 0.4}, limits: {position: {soft: 8, hard: 20}, loss: {soft: 4, hard: 6}}}
evaluate: {episodes: 60, in_a_row: 10, sample: 2, scenario: {overlay: volatility_x3, after: 5, begin: 0}}
escalation:
  watch: [requests, hit_ratio, volatility]
  approvers: [{name: ann, role: risk}, {name: bob, role: desk}]
  operator: {delay: {median: 6, p90: 12}, accuracy: 0.7}
  probation: 30
  cool_off: 20
designs: {ungoverned: {escalation: null}}
"""


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gov.yaml"
    path.write_text(GOVERNED)
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> experiments.Run:
    path = tmp_path_factory.mktemp("governed")
    (path / "gov.yaml").write_text(GOVERNED)
    return experiments.run(path / "gov.yaml", out=path / "runs")


def table(run, name, design="base"):
    return pd.read_parquet(run.path / design / "1" / f"{name}.parquet")


# --- scripted --------------------------------------------------------------------------------------


def test_the_tables_tell_what_the_audit_tells(done):
    folder = done.path / "base" / "1"
    said = list(rows(folder / "audit.jsonl"))
    assert verify(folder / "audit.jsonl").consistent and said[0].kind == "configuration"
    assert done.manifest["audit_heads"] == {"base/1": said[-1].hash}
    assert said[0].body["limits"]["maker"]["loss"] == {
        "soft": 4.0,
        "hard": 6.0,
        "owner": "desk",
        "on_breach": "flatten",
    }
    assert said[0].body["identity"] == ASSERTED and said[0].body["dealers"] == ["maker"]
    cases, states, drift = table(done, "cases"), table(done, "states"), table(done, "drift")
    opened = [row.body["case"]["id"] for row in said if row.kind == "case" and row.body["what"] == "opened"]
    assert cases["id"].tolist() == opened and {"loss", "drift"} <= set(cases["cause"])
    assert states["step"].tolist() == list(range(240)) and set(states["dealer"]) == {"maker"}
    shares = states[["normal", "warn", "restricted", "halted", "probation"]].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    at = np.zeros((240, 6), int)  # the states, as the audit's moves make them
    names = ["NORMAL", "WARN", "RESTRICTED", "HALTED", "PROBATION"]
    for row in said:
        if row.kind == "state":
            at[row.body["step"] :, row.body["market"]] = names.index(row.body["to"])
    np.testing.assert_allclose(shares, np.stack([(at == k).mean(axis=1) for k in range(5)], axis=1))
    assert shares[:, 4].any() and shares[:, 2].any()
    assert set(drift["stream"]) <= {"requests", "hit_ratio", "volatility"}
    assert (drift["step"] >= 0).all() and (drift["level"] > 10_000).all()
    assert {c["outcome"] for _, c in cases.iterrows()} & {"resume by ann and bob", "resume by bob and ann"}


def test_its_twin_without_governance_plays_the_same_clients(done):
    mine, other = table(done, "episodes"), table(done, "episodes", "ungoverned")
    assert not (done.path / "ungoverned" / "1" / "audit.jsonl").exists()
    assert mine["episode"].tolist() == other["episode"].tolist() == list(range(60))
    np.testing.assert_array_equal(mine["asked"], other["asked"])
    np.testing.assert_array_equal(mine["requested"], other["requested"])
    assert mine["won"].sum() < other["won"].sum() and mine["pnl"].std() != other["pnl"].std()
    first = mine["episode"] < 6  # nothing has happened to anybody in the first steps
    assert np.corrcoef(mine["pnl"][first], other["pnl"][first])[0, 1] > 0.5


def test_the_summary_says_how_it_was_watched_and_once_what_that_was_worth(done):
    governance = done.summary["designs"]["base"]["governance"]
    assert set(governance) == {
        "begin", "cases", "causes", "false_alarm_every", "restricted", "halted", "identity", "heads", "delay", "detected",
    }  # fmt: skip
    assert governance["begin"] == 5 * 24 and governance["cases"] == sum(governance["causes"].values())
    assert (
        governance["cases"] == len(table(done, "cases")) and "governance" not in done.summary["designs"]["ungoverned"]
    )
    pairs = [row for row in done.summary["comparisons"] if row["figure"] == "cvar_95"]
    assert [(row["design"], row["against"], row["dealer"]) for row in pairs] == [("ungoverned", "base", "maker")]


def test_the_same_again_is_the_same_to_the_byte(done, file):
    again = experiments.run(file)
    assert again.digest == done.digest and again.path.name == done.path.name
    mine, other = (run.path / "base" / "1" / "audit.jsonl" for run in (done, again))
    assert mine.read_bytes() == other.read_bytes()
    for name in ("cases", "states", "drift"):
        pd.testing.assert_frame_equal(table(done, name), table(again, name))


def test_a_market_is_governed_alike_whatever_others_there_are(done, file):
    fewer = experiments.run(file, set=["evaluate.episodes=30", "designs={}"])
    few, many = table(fewer, "episodes"), table(done, "episodes")
    many = many[many["market"] < 3].reset_index(drop=True)
    for column in ("pnl", "won", "hedge", "interventions", "max_inventory"):
        np.testing.assert_array_equal(few[column], many[column])
    own = ["market", "cause", "opened", "closed", "outcome"]
    mine, theirs = table(fewer, "cases")[own], table(done, "cases")[own]
    theirs = theirs[theirs["market"] < 3].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, theirs)


BAD = {
    "unknown stream": ("watch: [requests, hit_ratio", "watch: [request, hit_ratio", "gov.yaml:13: escalation.watch.0: got 'request', it must be one of requests, ", "did you mean requests?"),
    "stream of the agent": ("hit_ratio, volatility]", "critic_error]", "gov.yaml:13: escalation.watch: critic_error is of a policy that has learned, maker is fixed; ", ""),
    "unknown overlay": ("overlay: volatility_x3", "overlay: volatility_x4", "gov.yaml:11: evaluate.scenario.overlay: no overlay is named 'volatility_x4', allowed are ", "did you mean volatility_x3?"),
    "scenario after the end": ("after: 5", "after: 10", "gov.yaml:11: evaluate.scenario.after: 10 of 10 episodes leave none for it", ""),
    "no whole rows": ("episodes: 60", "episodes: 61", "gov.yaml:11: evaluate.episodes: 61 is no multiple of in_a_row, 10", ""),
    "a dealer approves": ("{name: bob", "{name: Maker", "gov.yaml:14: escalation.approvers: 'Maker' is a dealer, and no agent approves anything", ""),
    "one role": ("role: desk", "role: risk", "gov.yaml:14: escalation.approvers: a restricted dealer is let go by two people", ""),
    "open key": ("role: risk}", "role: risk, key: open.key}", "gov.yaml:14: escalation.approvers.ann.key: open.key: the key file has mode 0644, it must be 0600", ""),
    "no key": ("role: desk}", "role: desk, key: none.key}", "gov.yaml:14: escalation.approvers.bob.key: none.key: the key file cannot be read", ""),
    "too many false alarms": ("  probation: 30", "  false_alarm_every: 5", "gov.yaml:16: escalation.false_alarm_every: got 5", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_writes_nothing(case, file, monkeypatch, capsys):
    old, new, expected, hint = BAD[case]
    new_key("open.key")
    Path("open.key").chmod(0o644)
    assert GOVERNED.count(old) == 1
    file.write_text(GOVERNED.replace(old, new))
    before = sorted(file.parent.rglob("*"))
    code, out, err = call(monkeypatch, capsys, "run", "gov.yaml")
    err = err.removeprefix("compiling the market step, once; up to a minute ...\n")
    assert (code, out) == (2, ""), err
    assert err.startswith(expected) and hint in err and err.count("\n") == 1, err
    assert sorted(file.parent.rglob("*")) == before


def test_a_calibration_of_too_few_samples_is_refused(file, monkeypatch, capsys):
    monkeypatch.setattr("experiments.quiet.MARKETS", 2)
    code, out, err = call(monkeypatch, capsys, "run", "gov.yaml")
    last = err.splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith("escalation.watch: maker cannot be watched: stream requests: ")
    assert "quiet samples, at least 10000 are needed" in last


def test_a_contaminated_calibration_is_refused(file, monkeypatch, capsys):
    """Half of the quiet episodes were played while the mid moved three times as much."""
    from experiments import quiet
    from marketsim.scenarios import overlay

    class Drifting(quiet.MarketBatch):
        def step(self, *arguments):
            half = quiet.FIRST_EPISODE + quiet.STEPS // self.steps // 2
            if self.state["step"] == 0 and self.episode >= half:
                self.change(overlay("volatility_x3", self.config, begin=0.0).changes[0].rules(self.config))
            return super().step(*arguments)

    monkeypatch.setattr(quiet, "MarketBatch", Drifting)
    code, out, err = call(monkeypatch, capsys, "run", "gov.yaml")
    assert (code, out) == (2, "")
    assert "maker cannot be watched: stream " in err and "the quiet sample is not one market" in err.splitlines()[-1]


# --- a hook ------------------------------------------------------------------------------------------


def test_a_run_that_a_hook_answers_goes_on_as_if_it_had_not_been_stopped(file, monkeypatch):
    """Stopped between two steps and resumed: the same rows to the byte, and nothing is asked twice."""
    asked = []

    def answer(case: Case) -> Decision:
        asked.append((case.id, case.version, case.proposal is not None))
        option = next((o for o in ("release", "resume") if o in case.options), "keep")
        who, role = ("bob", "desk") if case.proposal else ("ann", "risk")
        return Decision(case.id, case.version, option, "seen", who, role)

    monkeypatch.setattr(hook, "_registered", [answer])
    people = GOVERNED.replace("  operator: {delay: {median: 6, p90: 12}, accuracy: 0.7}\n", "  hook_timeout: 60\n")
    file.write_text(people.replace("episodes: 60", "episodes: 20"))
    whole = experiments.run(file, out="whole")
    without = len(asked)
    asked.clear()
    before = Governor.before

    def stopped(governor):
        if governor.step == 150:
            raise KeyboardInterrupt
        before(governor)

    monkeypatch.setattr(Governor, "before", stopped)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(file, out="stopped")
    monkeypatch.setattr(Governor, "before", before)
    resumed = experiments.run(file, out="stopped", resume=True)
    assert resumed.digest == whole.digest
    mine, other = (run.path / "base" / "1" / "audit.jsonl" for run in (whole, resumed))
    assert mine.read_bytes() == other.read_bytes() and b'"what":"accepted"' in mine.read_bytes()
    assert len(asked) == without > 10
