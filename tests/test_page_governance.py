"""The page on governance and acceptance: what it counts, what it says, and that it says nothing where nothing was kept."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import guarded_fixture
from guarded_fixture import IDENTITY, REASON
from page_fixture import make_run

from reports import acceptance, evidence, governance, page, words
from reports.acceptance import acceptances
from reports.figures.timeline import timeline
from reports.figures.training import training_curve
from reports.folder import Design, Difference, Estimate, Run, Scenario, open_run
from reports.governed import Cause, Governed, governed, identities, saved, told_case

STEPS, BEGINS = 24, 240  # of an episode; ten of them pass before the scenario


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A watched design and one that is not, two training seeds of which one was accepted."""
    path = tmp_path_factory.mktemp("runs") / "gov"
    two = {"designs": ("base", "unwatched"), "seeds": (7, 8), "dealers": ("learner", "fixed")}
    return make_run(path, **two, governed=("base",), constrained=True, episodes=600, steps=STEPS)


@pytest.fixture(scope="module")
def run(folder) -> Run:
    return open_run(folder)


@pytest.fixture(scope="module")
def base(run) -> Design:
    return run.designs["base"]


@pytest.fixture(scope="module")
def text(folder) -> str:
    return page.write(folder).read_text().split("<main>")[1].split("</main>")[0]


def words_of(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def told(found: Governed, design: Design) -> str:
    return words.plain([*governance.alarms(found, design), *governance.people(found, False), *governance.held(found)])


# --- what is counted -------------------------------------------------------------------------------


def test_alarms_are_false_before_the_scenario_and_the_first_of_a_market_counts_after(base):
    found = governed(base, "learner")
    assert (found.markets, found.steps) == (60, 480)  # of two seeds
    assert found.scenario == Scenario("volatility_x3", BEGINS)
    assert sorted(found.before) == sorted(2 * [60, 120, 235])
    assert found.after == 2 * 29
    assert sorted(found.first) == sorted(2 * [m // 2 + 1 for m in range(27)])
    assert found.delay == 8.0  # of 30 markets a seed: the three that nobody noticed are late, not left out


def test_delay_of_fewer_than_half_is_not_told(base):
    found = governed(base, "learner")
    few = Governed(**{**vars(found), "first": found.first.iloc[:29]})
    assert few.delay == np.inf and "half of them" not in told(few, base)


def test_a_case_is_answered_by_who_came_first(base):
    assert governed(base, "learner").causes == (
        Cause("drift", 6, 4, 2, 21.0, 2),
        Cause("probation", 2, 0, 0, pytest.approx(np.nan, nan_ok=True), 2),
    )


def test_the_case_told_is_the_first_of_drift_after_the_scenario(base):
    seed, case = told_case(base, "learner")
    assert (seed.name, case["id"], case["opened"]) == ("7", 2, 241)
    assert [row.step for row in seed.audit.story(2)] == [241, 241, 249, 250, 255]
    said = [row.what for row in seed.audit.story(2)]
    assert said[:3] == [
        "NORMAL to WARN (drift)",
        "people are asked; without an answer by step 261: hedge",
        "ann acknowledged",
    ]
    assert said[3:] == ["maker was refused: a dealer", f"ann (risk) decided keep: {REASON}"]
    assert [row.what for row in seed.audit.story(1)][2] == "nobody acknowledged by step 81: hedge"


def test_the_audit_is_read_as_far_as_it_is_whole(base, tmp_path):
    audit = base.seeds[0].audit
    lines = audit.path.read_text().splitlines()
    assert audit.rows == len(lines) and audit.head == json.loads(lines[-1])["hash"] and audit.identity == IDENTITY
    torn = tmp_path / "audit.jsonl"
    torn.write_text("\n".join(lines[:5]) + '\n{"body"')
    assert type(audit).read(torn).rows == 5


def test_saved_has_the_sign_of_ungoverned_less_governed(run, base):
    def judged(design: str, against: str) -> Difference:
        entry = {"design": design, "against": against, "dealer": "learner", "figure": "cvar_95"}
        entry |= {"value": 30.0, "low": 28.0, "high": 32.0, "verdict": "worse"}
        found = saved(
            Run(run.path, run.manifest, {**run.summary, "comparisons": [entry]}, run.experiment), base, "learner"
        )
        assert found.against == "unwatched" and not found.pnl.estimate.known
        return found.cvar

    assert judged("unwatched", "base") == (Estimate(30.0, 28.0, 32.0), "better")  # worse without it
    assert judged("base", "unwatched") == (Estimate(-30.0, -32.0, -28.0), "worse")


# --- what is said ----------------------------------------------------------------------------------


def test_governance_in_a_traders_words(base):
    said = told(governed(base, "learner"), base)
    assert "60 markets of 480 steps. 6 false alarms before volatility x3 began, one in 2,400 steps (at most" in said
    assert "after it 54 of 60 markets raised the alarm, half of them within 8 steps" in said
    assert (
        "8 cases went to people. They answered 4 in time; in 2 a deadline came first and its safe default fired; 2 still"
        in said
    )


@pytest.mark.parametrize(
    ("difference", "sign", "said"),
    [
        (Difference(Estimate(30.3, 28.8, 31.8), "better"), 1, "saved 30.3 (28.8 to 31.8) of CVaR"),
        (Difference(Estimate(3.9, 2.9, 4.9), "worse"), -1, "cost 3.9 (2.9 to 4.9) of CVaR"),
        (Difference(Estimate(-3.9, -4.9, -2.9), "worse"), 1, "cost 3.9 (2.9 to 4.9) of CVaR"),
        (Difference(Estimate(-3.9, -4.9, -2.9), "better"), -1, "saved 3.9 (2.9 to 4.9) of CVaR"),
    ],
)
def test_savings_follow_the_sign(difference, sign, said):
    assert words.plain(governance.changed(difference, sign, "CVaR")) == said


def test_savings_that_cannot_be_told_are_not_claimed():
    nothing = Difference(Estimate(1.0, -2.0, 4.0), "cannot tell")
    said = words.plain(governance.changed(nothing, 1, "CVaR 95"))
    assert said.startswith("did not change CVaR 95 that could be told") and "saved" not in said


def test_without_a_judged_difference_both_figures_stand_side_by_side(run, base):
    bare = Run(run.path, run.manifest, {**run.summary, "comparisons": []}, run.experiment)
    said = words.plain(governance.savings(bare, base, "learner", saved(bare, base, "learner"), "$"))
    assert " in unwatched; P&L" in said and "saved" not in said and "cost" not in said


def test_doubts_name_the_overlay_the_identity_and_the_leaning(run, base):
    doubts = {doubt.topic: doubt.sentence for doubt in evidence.doubts(run, base, "learner")}
    assert (
        doubts["scenario"]
        == "Played under volatility x3 from step 240 of each market on: the figures mix both markets."
    )
    assert doubts["identity"] == "Who decided: identity asserted, not authenticated."
    assert doubts["constraint"].startswith("No policy kept its constraints in training with 1 of 2 seeds")
    assert words.scenario_doubt(Scenario("drought", 0), True).sentence.startswith("Played under drought: ")
    assert words.identity_doubt(["identity authenticated by key"]) is None
    assert "leans on its limits" in words.intervention_doubt(797.0).sentence
    assert "leans" not in words.intervention_doubt(2.0).sentence
    assert "leans" not in words.intervention_doubt(797.0, watched=True).sentence


def test_what_people_write_stays_text_and_the_head_stands_there(text, base):
    section = text.split("<h2>Governance</h2>")[1].split("</section>")[0]
    assert REASON not in section and html.escape(REASON) in section
    assert IDENTITY in section.lower() and all(seed.audit.head in section for seed in base.seeds)
    assert identities(base) == [IDENTITY]


def test_an_unwatched_design_has_no_governance(text):
    views = text.split('<article class="view"')[1:]
    assert ["<h2>Governance</h2>" in view for view in views] == [True, False]


@pytest.mark.parametrize("gone", ["states", "cases", "drift", "audit"])
def test_what_was_not_kept_is_not_told(tmp_path, gone):
    folder = make_run(tmp_path / "run", governed=("base",), episodes=600, steps=6, dealers=("learner",))
    next((folder / "base" / "7").glob(f"{gone}.*")).unlink()
    text = page.write(folder).read_text().split("<main>")[1].split("</main>")[0]
    said = words_of(text.split("<h2>Governance</h2>")[1].split("</section>")[0])
    assert {
        "states": "The run kept no record of its escalation.",
        "cases": "No cases were kept.",
        "drift": "No alarms were kept.",
        "audit": "The run kept no audit file.",
    }[gone] in said
    assert not re.search(r"\bnan\b|\binf\b|None", said)


# --- acceptance ------------------------------------------------------------------------------------


def test_acceptance_of_each_seed(base):
    one, other = acceptances(base, "learner")
    assert (one.accepted, one.kept, other.accepted, other.kept) == (True, True, False, False)
    assert one.constraints("deterministic")["cvar"].limit == 25.0
    assert not one.constraints("deterministic", "volatility_x3")["cvar"].within
    assert acceptances(base, "fixed") == []


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ((0,), " It was accepted: it keeps its limits in the market as configured."),
        ((1,), " It was refused: it was not shown to keep its limits."),
        ((0, 1), " It was accepted for 1 of 2 training seeds."),
        ((1, 1), " It was refused for both training seeds: it was not shown to keep its limits."),
        ((1, 1, 1), " It was refused for all 3 training seeds: it was not shown to keep its limits."),
        ((), ""),
    ],
)
def test_the_verdict_says_accepted_or_refused(base, seeds, said):
    tried = acceptances(base, "learner")
    assert words.plain(acceptance.verdict([tried[k] for k in seeds])) == said


def test_acceptance_table_holds_the_worst_seed_against_the_limit(text):
    section = text.split("<h2>Acceptance</h2>")[1].split("</section>")[0]
    rows = [words_of(row) for row in re.findall(r"<tr>.*?</tr>", section)]
    assert rows[0].startswith("PlayedCVaR 95at most 25 bp × 1M EUR")
    assert rows[1].startswith("as deployed, deterministic25.40 ± 0.21within for 1 of 2")
    assert rows[2].startswith("stochastic instead26.30 ± 0.21beyond")  # of both seeds: 25.0 + 1.645 * 0.21 > 25
    assert rows[3].startswith("under volatility x361.00 ± 0.21beyond")
    assert "Accepted 1 of 2" in section and "cvar 25.4 + 1.645 x 0.21 is not within 25" in section


def test_too_few_episodes_are_told_from_a_limit_that_is_not_kept(tmp_path):
    folder = make_run(tmp_path / "run", episodes=20, steps=4, dealers=("learner",), constrained=True)
    path = folder / "base" / "7" / "acceptance.json"
    report = json.loads(path.read_text())
    report["dealers"]["learner"] |= {"accepted": False, "reasons": ["2000 episodes are fewer than 100000"]}
    path.write_text(json.dumps(report))
    said = words.plain(acceptance.verdict(acceptances(open_run(folder).designs["base"], "learner")))
    assert said == " It was refused: too few episodes were tried."


# --- figures ---------------------------------------------------------------------------------------


def test_timeline_stacks_to_the_whole_and_marks_the_scenario():
    shares = pd.DataFrame({"normal": [1.0, 0.5], "warn": [0, 0.5], "probation": 0.0, "restricted": 0.0, "halted": 0.0})
    figure = timeline(shares, Scenario("drought", 1), [0, 0], [1], "step")
    assert np.sum([trace.y for trace in figure.data[:5]], axis=0).tolist() == [1.0, 1.0]
    assert [shape.x0 for shape in figure.layout.shapes] == [1]
    assert [list(trace.x) for trace in figure.data[-2:]] == [[0], [1]]
    assert list(figure.data[-2].hovertext) == ["step 0: 2 false alarms"]
    assert {"normal", "warn"} <= {a.text for a in figure.layout.annotations}
    assert timeline(shares, None, [], [], "step").layout.shapes == ()
    assert timeline(shares.iloc[:0], None, [], [], "step") is None


def test_timeline_of_a_long_run_is_thinned_not_cut():
    n = 5000
    shares = pd.DataFrame({"normal": np.ones(n)} | dict.fromkeys(("warn", "probation", "restricted", "halted"), 0.0))
    figure = timeline(shares, None, [], [], "step")
    assert len(figure.data[0].x) <= 600 and figure.data[0].x[-1] > n - 10


def test_training_curve_draws_the_limit():
    table = pd.DataFrame({"seed": ["7", "7"], "steps": [1, 2], "cvar": [33.0, 24.0]})
    figure = training_curve(table, "cvar", 25.0)
    assert [shape.y0 for shape in figure.layout.shapes] == [25.0]
    assert any("limit" in a.text for a in figure.layout.annotations)
    assert training_curve(table, "cvar").layout.shapes == ()


def test_fixture_begins_where_the_experiment_says(base):
    assert guarded_fixture.AFTER * STEPS == base.scenario.begins == BEGINS
