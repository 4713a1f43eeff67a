"""The governor in a market: what it sees becomes states and orders, and the market does what they say."""

from __future__ import annotations

import numpy as np
import pytest
from governor_fixture import HALF, LOSS, MARKETS, STEPS, Played, calibrated, escalation

from marketsim.guardrails.operator import Scripted
from marketsim.guardrails.states import State
from marketsim.scenarios import overlay
from marketsim.types import Reason


@pytest.fixture(scope="module")
def calibration():
    return calibrated()


# --- breaches --------------------------------------------------------------------------------------


def test_a_hard_breach_restricts_in_the_next_step(calibration):
    played = Played(calibration, LOSS, acknowledge_within=50, decide_within=50)
    played.losing(HALF)
    assert np.all((played.reasons & Reason.ROLLING_LOSS > 0) == HALF)
    # a fall like that may be a drift alarm, too, which takes nothing away
    assert not np.any(played.reasons & Reason.ORDERED) and np.all(played.states <= State.WARN)
    reference = float(played.batch.tables.cells["reference"][0])
    met = {True: 0, False: 0}
    for _ in range(6):
        before, won, sign = played.step(hedge=3.0, markup=-0.3)
        assert np.all((played.reasons & Reason.ORDERED > 0) == HALF)
        assert np.all(played.hedge[HALF] == 0.0) and np.all(played.hedge[~HALF & (before <= 15)] == 3.0)
        held = HALF[won["market"]]
        assert np.all(sign[held] * before[won["market"]][held] < 0)  # only towards flat
        assert np.all(won["markup"][held] >= -0.3 + reference - 1e-9)  # and wider, by the limit's own order or ours
        assert np.all(won["markup"][~held] == -0.3)
        for side in (True, False):
            met[side] += int(np.sum(held == side))
    assert met[True] > 0 and met[False] > 20
    assert np.all((played.states == State.RESTRICTED) == HALF)
    cases = [case for case in played.book.open if case.cause != "drift"]
    assert [case.cause for case in cases] == ["rolling_loss"] * (MARKETS // 2)
    assert "passed its hard limit: rolling loss" in cases[0].what
    assert cases[0].figures == {"rolling_loss_hard": 60.0}


def test_a_limit_that_halts_halts(calibration):
    played = Played(calibration, {"rolling_loss": {"hard": 40, "steps": 30, "on_breach": "halt"}})
    played.losing(HALF)
    wins = np.zeros(MARKETS)
    for _ in range(8):
        _, won, _ = played.step(markup=-0.5)
        wins += np.bincount(won["market"], minlength=MARKETS)
    assert np.all((played.states == State.HALTED) == HALF)
    assert not wins[HALF].any() and np.all(wins[~HALF] > 0)


def test_a_soft_level_warns_and_takes_nothing_away(calibration):
    played = Played(calibration, {"position": {"soft": 5, "hard": 20}}, cool_off=3)
    played.step(hedge=8.0, markup=np.nan)
    played.steps(8, markup=np.nan)
    assert np.all(played.states == State.WARN) and not np.any(played.reasons) and not played.book.cases
    played.step(hedge=-8.0, markup=np.nan)
    played.steps(3, markup=np.nan)
    assert np.all(played.states == State.WARN)  # three clean steps make it four
    played.steps(2, markup=np.nan)
    assert np.all(played.states == State.NORMAL)


def test_what_people_decide_is_not_undone_by_the_limit_they_knew_of(calibration):
    """The loss stop stays in force until the end of the episode; it is no new breach, and no clean step either."""
    played = Played(calibration, {"loss": {"hard": 40, "on_breach": "flatten"}, "pace": 1}, markets=1)
    played.losing()
    played.step()
    assert played.states[0] == State.RESTRICTED
    played.let_go()
    played.steps(12, markup=-0.5)
    assert played.reasons[0] & Reason.LOSS and played.states[0] == State.PROBATION
    assert played.book.clean[0, 0] == 0
    played.begin()
    played.steps(8)
    assert played.book.clean[0, 0] == 7 and not played.book.open
    played.step()
    assert [case.cause for case in played.book.open] == ["probation"]


def test_a_soft_breach_in_probation_says_which_level(calibration):
    played = Played(calibration, {"position": {"soft": 2, "hard": 20}, **LOSS}, markets=1)
    played.losing()
    played.step()
    played.let_go()
    played.begin()
    played.step(hedge=5.0, markup=np.nan)
    played.steps(2, markup=np.nan)
    assert played.states[0] == State.RESTRICTED
    assert [case.cause for case in played.book.open] == ["soft_position"]
    assert played.book.open[0].what == "maker passed its soft limit: position"


# --- drift -----------------------------------------------------------------------------------------


def test_drift_opens_one_case_a_dealer_and_cause(calibration):
    played = Played(calibration, acknowledge_within=1000, decide_within=1000)
    changed = overlay("volatility_x3", played.batch.config, begin=0.0)
    for _ in range(6):
        played.episode(changed)
    drifted = [case.market for case in played.book.cases if case.cause == "drift"]
    assert sorted(set(drifted)) == list(range(MARKETS)) and len(drifted) == MARKETS
    assert len(played.governor.alarms) > 2 * MARKETS  # it goes on, and is counted
    assert all(case.repeats > 0 for case in played.book.cases)
    case = played.book.cases[0]
    assert case.what.startswith("volatility is ") and case.figures["recent"] > case.figures["quiet"]
    assert case.since <= case.opened and case.figures["level"] >= case.figures["threshold"] > 10_000


def test_a_dealer_that_is_held_does_not_drift_by_it(calibration):
    """Halted, it wins nothing: that is no drift of the market. Neither is what it trades on probation, nor just after."""
    played = Played(calibration, acknowledge_within=1000, decide_within=1000, probation=60)
    played.step()
    played.book.kill("anyone", "a test", 1)
    for _ in range(2):
        played.episode()
    played.let_go()
    for _ in range(2):
        played.episode()
    assert np.all(played.states == State.PROBATION) and played.governor.alarms == []
    changed = overlay("volatility_x3", played.batch.config, begin=0.0)
    for _ in range(4):
        played.episode(changed)
    assert len({alarm[1] for alarm in played.governor.alarms}) > MARKETS / 2  # but the market's own drift is seen


def test_states_and_detectors_go_on_from_one_episode_to_the_next(calibration):
    played = Played(calibration, LOSS, acknowledge_within=1000, decide_within=1000)
    played.losing(HALF)
    played.step(hedge=-10.0, markup=np.nan)
    played.steps(STEPS - 4)
    level = played.governor._watches[0].detector.level.copy()
    played.begin()
    _, won, _ = played.step(markup=-0.5)
    assert np.all((played.states == State.RESTRICTED) == HALF)
    assert np.all((played.reasons & Reason.ORDERED > 0) == HALF)  # from its first step on
    assert not HALF[won["market"]].any()  # flat: there is nothing to reduce
    after = played.governor._watches[0].detector.level
    assert np.all(after != level) and np.corrcoef(after, level)[0, 1] > 0.5
    assert played.governor.step == STEPS + 1


def test_markets_are_governed_alike_whatever_their_neighbours(calibration):
    def course(markets, first):
        scripted = escalation(operator={"delay": {"median": 4, "p90": 9}, "accuracy": 0.7})
        played = Played(calibration, LOSS, Scripted(scripted, 5), markets=markets, first=first)
        changed, states, pnl = overlay("volatility_x3", played.batch.config, begin=0.0), [], []
        for episode in range(5):
            played.begin(changed if episode > 1 else None)
            for _ in range(STEPS):
                played.step(hedge=-np.sign(played.inventory))
                states.append(played.states.copy())
                pnl.append(np.asarray(played.batch.state["cash"])[:, 0].copy())
        return np.array(states), np.array(pnl)

    states, cash = course(6, 0)
    alone, own = course(1, 3)
    assert len(np.unique(states[:, 3])) >= 3
    np.testing.assert_array_equal(states[:, 3:4], alone)
    np.testing.assert_array_equal(cash[:, 3:4], own)


# --- people ----------------------------------------------------------------------------------------


def test_silence_fires_the_safe_default(calibration):
    played = Played(calibration, markets=1)
    played.step(hedge=9.0, markup=np.nan)
    changed = overlay("volatility_x3", played.batch.config, begin=0.0)
    while not played.book.open:
        if played.batch.state["step"] > STEPS - 15:
            played.begin(changed)
            played.step(hedge=9.0, markup=np.nan)
        played.step(markup=np.nan)
    opened, inventory = played.book.open[0].opened, played.inventory.copy()
    while played.governor.step <= opened + 5:
        played.step(markup=np.nan)
        assert played.states[0] == State.WARN and played.hedge[0] == 0.0
    played.step(markup=np.nan)  # the first after the deadline
    assert played.states[0] == State.RESTRICTED and played.hedge[0] == np.rint(-inventory[0] / 2) != 0
    played.step(markup=np.nan)
    assert played.hedge[0] == 0.0  # once


def test_two_roles_let_a_dealer_go_within_a_quarter_of_its_limits(calibration):
    played = Played(calibration, LOSS, markets=1)
    played.losing()
    played.step()
    assert played.decide("resume", "bob", "desk") == "" and played.states[0] == State.RESTRICTED
    assert "same role" in played.decide("resume", "cyd", "desk") and "same person" in played.decide(
        "resume", "bob", "desk"
    )
    assert played.decide("resume", "ann", "risk") == "" and played.states[0] == State.PROBATION
    played.begin()
    for _ in range(10):
        played.step(hedge=20.0, markup=np.nan)
    assert played.inventory[0] == 5.0 and played.reasons[0] & Reason.ORDERED  # of 20
    assert played.states[0] == State.PROBATION


def test_flatten_closes_the_position_at_its_pace(calibration):
    played = Played(calibration, {"pace": 4}, markets=2)
    played.step(hedge=[10.0, -7.0], markup=np.nan)
    played.book.kill("anyone", "stop", 1, market=1)  # halts, and leaves the position
    played.people.answers[1] = lambda book, step: book.kill("anyone", "stop", step, market=0)
    played.people.answers[2] = lambda book, step: played.decide("flatten", "ann", "risk", 2)
    hedges = []
    for _ in range(6):
        _, won, _ = played.step(hedge=[-10.0, -2.0], markup=-1.0)
        assert not len(won)
        hedges.append(played.hedge.copy())
    np.testing.assert_array_equal(np.array(hedges)[:, 0], [-10, 0, 0, 0, 0, 0])  # its own hedge, towards flat
    np.testing.assert_array_equal(played.inventory, [0, -7])
    assert played.decide("flatten", "ann", "risk", 1) == ""
    hedges = []
    for _ in range(4):
        played.step(hedge=-2.0, markup=-1.0)
        hedges.append(played.hedge[1])
    assert hedges == [4, 3, 0, 0] and played.inventory[1] == 0
