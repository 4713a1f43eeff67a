"""Soft levels of what an agent says about itself: they call people, take nothing away, and are passed by whatever is no number."""

from __future__ import annotations

import numpy as np
import pytest
from command_fixture import call
from governor_fixture import LOSS, MARKETS, STEPS, WATCH, Played, desk
from governor_fixture import escalation as asking
from pydantic import ValidationError

from experiments import quiet
from experiments.players import players
from marketsim.guardrails.envelope import Limits
from marketsim.guardrails.states import State
from marketsim.guardrails.supplied import SoftReason, Supplied, passed, soft_levels
from marketsim.types import Reason

BUDGET = {"cvar_budget": {"soft": 25.0}}
DISTANCE = {"reference_distance": {"soft": 2.0}}


@pytest.fixture(scope="module")
def calibration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiet")
    return quiet.calibrate(desk(), players(desk(), folder), [0], WATCH, 0, folder)


class Saying(Played):
    """A governed dealer that says ``figures`` about itself."""

    def __init__(self, calibration, limits, **changes):
        self.figures: dict[str, np.ndarray] = {}
        super().__init__(calibration, limits, **{"acknowledge_within": 500, "decide_within": 500} | changes)
        after = self.governor.after
        self.governor.after = lambda step: after(step, {0: Supplied({}, self.figures)} if self.figures else None)

    def say(self, name: str, *figures: float) -> None:
        """One figure for all markets, or for each."""
        self.figures = {name: np.resize(np.array(figures), self.markets)}

    def moves(self):
        return [body for kind, body in self.log if kind == "state"]


# --- what is compared --------------------------------------------------------------------------------


def test_their_bits_are_nobody_elses():
    mine, others = [int(reason) for reason in SoftReason], [int(reason) for reason in Reason]
    assert sum(mine) & sum(others) == 0 and len(set(mine)) == 3 and max(mine) < 2**32
    assert {str(reason.name).lower() for reason in SoftReason} <= set(Limits.model_fields)


@pytest.mark.parametrize("figure, fails", [(2.0, False), (np.nextafter(2.0, 3.0), True), (-1e308, False),
                                           (np.nan, True), (np.inf, True), (-np.inf, False)])  # fmt: skip
def test_a_level_is_kept_by_what_is_at_most_that(figure, fails):
    levels = soft_levels(Limits.model_validate(DISTANCE | {"critic_error": {"soft": 1.0}}))
    figures = {"reference_distance": np.array([figure]), "critic_error": np.array([0.5])}
    assert passed(levels, Supplied({}, figures), 1)[0] == (SoftReason.REFERENCE_DISTANCE if fails else 0)


def test_a_figure_that_nobody_supplies_fails():
    levels = soft_levels(Limits.model_validate(BUDGET | DISTANCE))
    both = SoftReason.CVAR_BUDGET | SoftReason.REFERENCE_DISTANCE
    assert (passed(levels, None, 3) == both).all()
    assert (passed(levels, Supplied({}, {"cvar_budget": np.zeros(3)}), 3) == SoftReason.REFERENCE_DISTANCE).all()
    assert (passed({}, None, 3) == 0).all()


# --- the governor ------------------------------------------------------------------------------------


def test_a_passed_level_warns_by_its_name_and_clears(calibration):
    played = Saying(calibration, DISTANCE)
    half = np.arange(MARKETS) % 2 == 0
    played.say("reference_distance", 2.5, 1.5)
    played.step()
    assert (played.states == State.NORMAL).all()
    played.step()
    np.testing.assert_array_equal(played.states == State.WARN, half)
    assert not played.book.cases and len(played.moves()) == half.sum()
    assert played.moves()[0] == {
        "step": 1, "market": 0, "dealer": "maker", "from": "NORMAL", "to": "WARN", "event": "soft_breach", "who": [],
        "version": 1, "what": "maker passed its soft limit: reference distance",
    }  # fmt: skip
    played.steps(15)
    np.testing.assert_array_equal(played.states == State.WARN, half)  # no step was clean
    assert len(played.moves()) == half.sum()  # it was passed once
    played.say("reference_distance", 2.0)
    played.steps(12)
    assert (played.states == State.NORMAL).all()


@pytest.mark.parametrize("figures", [{}, {"reference_distance": np.full(MARKETS, np.nan)}])
def test_silence_and_nonsense_warn(calibration, figures):
    played = Saying(calibration, DISTANCE)
    played.figures = figures
    played.steps(2)
    assert (played.states == State.WARN).all()


def test_on_probation_it_restricts_and_the_case_says_the_figure(calibration):
    played = Saying(calibration, LOSS | BUDGET, markets=1, probation=200)
    played.say("cvar_budget", 3.0)
    played.losing()
    played.step()
    played.let_go()
    assert played.states[0] == State.PROBATION
    played.begin()
    played.say("cvar_budget", 25.5)
    played.steps(2)
    assert played.states[0] == State.RESTRICTED
    case = next(case for case in played.book.open if case.cause == "soft_cvar_budget")
    assert case.what == "maker passed its soft limit: cvar budget"
    assert case.figures == {"cvar_budget_soft": 25.0, "cvar_budget": 25.5}


def test_a_budget_that_stays_exceeded_is_not_passed_anew_by_a_reset(calibration):
    """Its losses go on over resets: what people decided about it stands."""
    played = Saying(calibration, LOSS | BUDGET, markets=1, probation=200)
    played.say("cvar_budget", 30.0)
    played.losing()
    played.step()
    played.let_go()
    for _ in range(2):
        played.begin()
        played.steps(STEPS)
    assert played.states[0] == State.PROBATION
    played.say("cvar_budget", 3.0)
    played.begin()
    played.step()
    played.say("cvar_budget", 30.0)
    played.steps(2)
    assert played.states[0] == State.RESTRICTED


def test_the_critic_is_not_held_to_what_it_never_saw(calibration):
    """It expected what a free dealer earns: under orders, and 20 steps longer, its error is no breach."""
    played = Saying(calibration, LOSS, probation=15)
    played.governor._soft_levels = [{SoftReason.CRITIC_ERROR: 1.0}]  # as of a dealer that has learned
    played.say("critic_error", 0.5)
    played.losing()
    played.step()
    assert (played.states == State.RESTRICTED).all()
    played.let_go()
    played.begin()
    played.say("critic_error", 9.0)
    played.steps(20)
    assert (played.states == State.PROBATION).all()
    for case in [case for case in played.book.open if case.cause == "probation"]:
        assert played.decide("release", "ann", "risk", case.id) == ""
    freed, free = played.governor.step, played.states == State.NORMAL
    assert free.sum() > MARKETS / 2  # the others have another case
    played.begin()
    while played.governor.step <= freed + 20:
        played.step()
        assert (played.states[free] == State.NORMAL).all()
    played.steps(2)
    assert (played.states[free] == State.WARN).all()


# --- the file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reference_distance", "critic_error", "cvar_budget"])
@pytest.mark.parametrize("key, value", [("hard", 5.0), ("on_breach", "halt")])
def test_an_agents_word_enforces_nothing(name, key, value):
    with pytest.raises(ValidationError, match=f"{key}: the agent supplies this figure, and what is enforced"):
        Limits.model_validate({name: {"soft": 1.0, key: value}})


FILE = """\
market: {steps: 10, segments: [{rates: [0.4]}]}
dealers:
  - name: maker
    policy: fixed
    limits:
      LIMIT
escalation: {approvers: [{name: ann, role: risk}, {name: bob, role: desk}], watch: [requests]}
"""
BAD = {
    "reference_distance: {hard: 3}": "bad.yaml:6: dealers.maker.limits.reference_distance.hard: the agent supplies this figure, and what is enforced must not hang on its word: only a soft level is allowed",
    "critic_error: {soft: 3}": "limits.critic_error: policy fixed has no critic, only one that learns has",
    "cvar_budget: {soft: 3, level: 0.2}": "bad.yaml:6: dealers.maker.limits.cvar_budget.level: got 0.2",
    "cvar_budget: {level: 0.9}": "bad.yaml:6: dealers.maker.limits.cvar_budget.soft: ",
}  # fmt: skip


@pytest.mark.parametrize("limit", BAD)
def test_bad_input_is_one_line(limit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(FILE.replace("LIMIT", limit))
    code, out, err = call(monkeypatch, capsys, "run", "bad.yaml")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert BAD[limit] in err and err.startswith("bad.yaml:"), err
    assert not (tmp_path / "runs").exists()


def test_people_have_longer_than_a_function():
    assert (asking().function_timeout, asking().people_timeout) == (30.0, 900.0)
    assert asking(hook_timeout=2.0).people_timeout == asking(hook_timeout=2.0).function_timeout == 2.0
