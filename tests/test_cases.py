"""Cases: one a dealer and cause, two deadlines that fire in time, and decisions by the right people only."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from guardrails_fixture import PEOPLE, Desk, escalation

from marketsim.guardrails.case import Case, Decision
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.options import OFFERED, OPTIONS, predicted_costs
from marketsim.guardrails.states import NEEDS, RANK, TABLE, Event, Needs, State


def drifting(**changes) -> Desk:
    """A desk whose learner drifts at step 10: case 1, asked at 10, acknowledge by 15, decide by 30."""
    desk = Desk(**changes)
    desk.until(9)
    desk.step(Event.DRIFT)
    return desk


def restricted(**changes) -> Desk:
    """A desk whose learner is RESTRICTED by a hard breach at step 10."""
    desk = Desk(**changes)
    desk.until(9)
    desk.step(Event.HARD_BREACH)
    assert desk.state == State.RESTRICTED
    return desk


# --- what a case is ---


def test_a_case_says_everything_that_is_asked_of_it():
    (case,) = drifting().book.open
    assert (case.id, case.dealer, case.market, case.cause) == (1, "learner", 0, "drift")
    assert (case.opened, case.since, case.acknowledge_by, case.decide_by) == (10, 6, 15, 30)
    assert case.what == "DRIFT of learner" and case.figures == {"z": 3.5}
    assert case.did == ["NORMAL to WARN at step 10"] and case.state == "WARN" and case.version == 1
    assert case.exposure == {"inventory": 7.0, "pnl": -3.0, "loss": 3.0} and case.if_silent == "hedge"
    assert case.options == {"keep": 12.0, "widen": None, "hedge": 5.0, "flatten": None, "halt": None}
    assert Case(**json.loads(json.dumps(asdict(case), allow_nan=False))) == case


def test_flapping_opens_one_case_not_forty():
    desk = drifting()
    for _ in range(20):
        desk.step(Event.DRIFT)
        desk.step()
    assert [c.cause for c in desk.book.cases] == ["drift"] and desk.book.cases[0].repeats == 20
    desk.step(Event.HARD_BREACH, Event.DRIFT)  # another cause, another dealer
    assert [(c.dealer, c.cause) for c in desk.book.cases[1:]] == [("learner", "hard_breach"), ("rival", "drift")]


def test_warn_clears_after_cool_off_clean_steps_and_not_under_an_open_case():
    desk = Desk()
    desk.step(Event.SOFT_BREACH)
    desk.until(5)
    desk.step(Event.SOFT_BREACH)  # the count starts again
    desk.until(15)
    assert desk.state == State.WARN and not desk.book.cases
    desk.step()
    assert desk.state == State.NORMAL
    desk = drifting(acknowledge_within=50, decide_within=50)
    desk.until(40)
    assert desk.state == State.WARN
    assert not desk.decide("keep")
    desk.until(51)
    assert desk.state == State.NORMAL and not desk.book.open


def test_a_breach_in_probation_goes_back_and_asks():
    desk = restricted()
    desk.decide("resume")
    desk.decide("resume", "bob", "desk")
    assert desk.state == State.PROBATION and not desk.book.open
    desk.step(Event.SOFT_BREACH)
    assert desk.state == State.RESTRICTED and [c.cause for c in desk.book.open] == ["soft_breach"]


# --- deadlines ---


@pytest.mark.parametrize(
    "if_silent, state, orders",
    [("hedge", "RESTRICTED", [0.5]), ("widen", "RESTRICTED", []), ("flatten", "HALTED", [1.0]), ("halt", "HALTED", [])],
)
def test_not_acknowledged_fires_the_default_in_the_next_step(if_silent, state, orders):
    desk = drifting(if_silent=if_silent)
    assert desk.until(15) == [] and desk.state == State.WARN
    assert [(o.market, o.dealer, o.option, o.share) for o in desk.step()] == [
        (0, "learner", if_silent, share) for share in orders
    ]
    assert desk.state.name == state
    assert desk.until(30) == []  # once
    assert [o.share for o in desk.step()] == orders and desk.book.cases[0].asked == 31


def test_acknowledged_but_not_decided_fires_the_default_in_the_next_step():
    desk = drifting()
    assert desk.book.acknowledge(1, "ada", 15) == ""
    desk.until(30)
    assert desk.state == State.WARN
    (order,) = desk.step()
    assert order.option == "hedge" and desk.state == State.RESTRICTED
    (case,) = desk.book.open
    assert (case.asked, case.acknowledge_by, case.decide_by, case.acknowledged) == (31, 36, 51, None)
    assert "nobody decided by step 30: hedge, WARN to RESTRICTED at step 31" in case.did


def test_a_proposal_that_nobody_approves_is_no_decision():
    desk = restricted(if_silent="halt")
    assert not desk.decide("resume", step=29)
    desk.until(30)
    assert desk.state == State.RESTRICTED and desk.book.cases[0].proposal
    desk.step()
    assert desk.state == State.HALTED and desk.book.cases[0].proposal is None
    assert desk.decide("resume", "bob", "desk") == ""  # a proposal of its own now
    assert desk.state == State.HALTED


def test_a_decision_at_the_deadline_is_in_time_and_one_after_it_is_late():
    desk = drifting()
    assert not desk.book.acknowledge(1, "bob", 12)
    version = desk.book.cases[0].version
    desk.until(29)
    assert not desk.decide("keep", step=30)
    desk = drifting()
    desk.until(15)
    assert not desk.book.acknowledge(1, "bob", 15)
    desk.until(30)
    assert desk.decide("keep", step=31).startswith("late")  # before the default fires
    desk.step()
    assert desk.decide("keep", version=version).startswith("late")  # and after
    assert not desk.decide("keep")  # what is asked now


def test_after_a_person_answered_silence_leaves_the_dealer_as_it_is():
    desk = restricted(if_silent="halt")
    assert not desk.decide("keep", step=11)
    assert desk.until(200) == [] and desk.state == State.RESTRICTED
    (case,) = desk.book.open
    assert case.if_silent == "stay" and case.asked > 150


def test_what_happens_again_to_a_dealer_that_was_let_go_is_a_question_again():
    desk = drifting()
    assert not desk.decide("widen", step=11)  # answered: from now on silence changes nothing in case 1
    desk.step(Event.HARD_BREACH)
    desk.decide("resume", case=2)
    desk.decide("resume", "bob", "desk", case=2)
    assert desk.state == State.PROBATION and desk.book.cases[0].closed is None
    desk.step(Event.DRIFT)
    (case,) = desk.book.open
    assert (case.id, case.repeats, case.if_silent, case.asked) == (1, 1, "hedge", desk.now)
    assert len(desk.until(desk.now + 6)) == 1


# --- decisions ---


def test_leaving_takes_two_people_of_different_roles():
    desk = restricted()
    assert desk.decide("resume", "bob", "desk") == "" and desk.state == State.RESTRICTED
    assert desk.decide("resume", "bob", "desk").startswith("same person")
    assert desk.decide("resume", "B.O.B", "Desk").startswith("same person")
    assert desk.decide("resume", "cyd", "desk").startswith("same role")
    assert desk.state == State.RESTRICTED
    assert desk.decide("resume", "ada", "risk") == "" and desk.state == State.PROBATION
    assert desk.kinds("state")[-1]["who"] == ["bob", "ada"]
    assert [b["why"].split(":")[0] for b in desk.kinds("refusal")] == ["same person", "same person", "same role"]
    assert [b["what"] for b in desk.kinds("decision")] == ["proposed", "accepted"]
    assert desk.book.cases[0].outcome == "resume by bob and ada"


def test_the_table_asks_for_two_people_again(monkeypatch):
    monkeypatch.setattr("marketsim.guardrails.cases.takes_two", lambda case, option: False)
    desk = restricted()
    desk.decide("resume")
    assert desk.state == State.RESTRICTED


def test_probation_ends_after_clean_steps_and_one_approval():
    desk = restricted()
    desk.decide("resume")
    desk.decide("resume", "bob", "desk")
    assert desk.decide("release").startswith("late")
    desk.until(desk.now + 7)
    assert not desk.book.open
    desk.step()
    (case,) = desk.book.open
    assert case.cause == "probation" and "release" in case.options and case.if_silent == "stay"
    desk.until(desk.now + 100)
    assert desk.state == State.PROBATION and desk.book.open == [case]  # silence gives nothing back
    assert desk.decide("release", "cyd", "desk", case=2) == "" and desk.state == State.NORMAL and not desk.book.open


def test_clean_steps_that_were_earned_before_a_breach_release_nobody():
    desk = restricted()
    desk.decide("resume")
    desk.decide("resume", "bob", "desk")
    desk.until(desk.now + 8)
    desk.step(Event.DRIFT)
    assert [c.cause for c in desk.book.open] == ["probation", "drift"] and desk.state == State.RESTRICTED
    desk.decide("resume", case=3)
    desk.decide("resume", "bob", "desk", case=3)
    assert desk.state == State.PROBATION and all("release" not in c.options for c in desk.book.open)
    desk.until(desk.now + 30)
    assert [c.outcome for c in desk.book.cases if c.cause == "probation"] == ["nothing was left to ask", ""]


REFUSED = {
    "foreign case": ({"case": 2, "version": 1}, "there is no case 2"),
    "case before the first": ({"case": 0, "version": 1}, "there is no case 0"),
    "stranger": ({"who": "eve"}, "eve is not an approver"),
    "the agent itself": ({"who": "learner"}, "learner is a dealer, and no agent decides"),
    "the agent, spelt otherwise": ({"who": "Learner."}, "Learner. is a dealer, and no agent decides"),
    "another's role": ({"role": "desk"}, "ada is risk, not desk"),
    "stale": ({"version": 0}, "stale: it is about state version 0, the dealer is at 1"),
    "from the future": ({"version": 2}, "stale: "),
    "late": ({"step": 31}, "late: "),
    "not offered": ({"option": "resume"}, "resume is not offered, there are keep, widen, hedge, flatten, halt"),
    "no option": ({"option": "sell"}, "sell is not offered"),
}


@pytest.mark.parametrize("change, why", REFUSED.values(), ids=REFUSED)
def test_refused_and_recorded(change, why):
    desk = drifting()
    before = asdict(desk.book.cases[0])
    given = {"option": "hedge", "step": 12, **change}
    assert desk.decide(**given).startswith(why)
    (refusal,) = desk.kinds("refusal")
    assert refusal["why"].startswith(why) and refusal["option"] == given["option"] and refusal["step"] == given["step"]
    assert desk.state == State.WARN and asdict(desk.book.cases[0]) == before and not desk.kinds("decision")


def test_the_same_decision_again_is_refused():
    desk = drifting()
    assert not desk.decide("keep", version=1, step=12)
    assert desk.decide("keep", version=1, step=12) == "late: case 1 was closed at step 12 (keep by ada)"


def test_acknowledgements_are_minded_too():
    desk = drifting()
    book = desk.book
    assert book.acknowledge(2, "ada", 11) == "there is no case 2"
    assert book.acknowledge(1, "learner", 11) == "learner is not an approver"
    assert book.acknowledge(1, "Ada", 11) == ""
    assert book.acknowledge(1, "bob", 12) == "it was acknowledged at step 11"
    assert book.acknowledge(1, "bob", 31).startswith("late")
    assert len(desk.kinds("refusal")) == 4


def test_a_move_makes_what_was_seen_stale_and_voids_the_proposal():
    desk = restricted()
    desk.decide("resume")
    version = desk.book.cases[0].version
    desk.step(Event.SEVERE_BREACH)
    assert desk.state == State.HALTED
    assert desk.decide("resume", "bob", "desk", version=version).startswith("stale")
    assert not desk.decide("resume", "bob", "desk") and desk.state == State.HALTED  # the first of two again


@pytest.mark.parametrize("option, state, shares", [("widen", 2, []), ("hedge", 2, [0.5]), ("flatten", 3, [1.0])])
def test_one_approver_orders_what_is_safe_and_the_order_comes_with_the_next_step(option, state, shares):
    desk = drifting()
    assert not desk.decide(option, "bob", "desk", step=11)
    assert desk.state == state and [o.share for o in desk.step()] == shares
    (case,) = desk.book.open  # the same case now asks what to do with a dealer that is not free
    assert case.id == 1 and "resume" in case.options and case.if_silent == "stay"


def test_anyone_may_kill_what_they_name():
    desk = Desk()
    desk.step()
    assert desk.book.kill("the cleaner", "smoke", 1, dealer="rival") == ""
    assert list(desk.book.state[0]) == [State.NORMAL, State.HALTED]
    assert desk.book.kill("the cleaner", "smoke", 1) == "" and desk.state == State.HALTED
    assert desk.book.kill("the cleaner", "smoke", 1, dealer="nobody") == "there is no dealer nobody in market None"
    assert sorted(c.dealer for c in desk.book.open) == ["learner", "rival"]
    desk.until(300)
    assert desk.state == State.HALTED


def test_no_approver_is_a_dealer():
    with pytest.raises(ValueError, match=r"escalation.approvers: 'Learner' is a dealer"):
        Desk(approvers=[*PEOPLE, {"name": "Learner", "role": "risk"}])


def test_every_decision_is_made_of_the_right_stuff():
    for nonsense in ({"case": "1"}, {"version": True}, {"option": None}, {"reason": 3}, {"step": 1.0}):
        with pytest.raises(TypeError, match=f"the {next(iter(nonsense))} of a decision"):
            Decision(
                **{"case": 1, "version": 1, "option": "keep", "reason": "", "who": "ada", "role": "risk", **nonsense}
            )


# --- options ---


def test_what_is_offered_leads_somewhere_and_only_resume_takes_two():
    for state, names in OFFERED.items():
        for name in names:
            event = OPTIONS[name].event
            assert (NEEDS[event] == Needs.TWO_ROLES) == (name == "resume")
            if name != "resume":
                assert RANK[TABLE[state, event]] >= RANK[state]


def test_predicted_costs():
    costs = predicted_costs(State.WARN, -4.0, 25, half_spread=0.1, slope=0.01, fee=0.02, move_sd=0.5, income=0.3)
    tail = 2.0627128075074253 * 0.5 * 5  # a lot, 25 steps
    trade = {2: 0.12 * 2 + 0.01 * 4, 4: 0.12 * 4 + 0.01 * 16}
    assert costs["keep"] == pytest.approx(4 * tail)
    assert costs["widen"] == pytest.approx(0.15 * 25 + 4 * tail)
    assert costs["hedge"] == pytest.approx(trade[2] + 0.15 * 25 + 2 * tail)
    assert costs["flatten"] == pytest.approx(trade[4] + 0.3 * 25)
    assert costs["halt"] == pytest.approx(0.3 * 25 + 4 * tail)
    halted = predicted_costs(State.HALTED, -4.0, 25, 0.1, 0.01, 0.02, 0.5, 0.3)
    assert halted["keep"] == costs["halt"] and halted["resume"] == pytest.approx(0.75 * 0.3 * 25 + 4 * tail)


# --- many markets, and the log ---


def test_market_7_alone_equals_market_7_of_ten():
    rng = np.random.default_rng(1)
    events = rng.choice(
        [Event.NOTHING, Event.SOFT_BREACH, Event.DRIFT, Event.HARD_BREACH], (80, 10, 2), p=[0.94, 0.02, 0.03, 0.01]
    )
    logs = []
    for first, markets in ((0, 10), (7, 1)):
        desk, log = Desk(), []
        book = CaseBook(
            escalation(),
            ["learner", "rival"],
            lambda k, b, log=log: log.append((k, b)),
            desk.describe,
            desk.look,
            markets,
            first,
        )
        for t in range(80):
            book.step(t, events[t, first : first + markets])
        logs.append([(k, {**b, "case": {**b["case"], "id": 0}} if k == "case" else b) for k, b in log])
        logs[-1] = [(k, b) for k, b in logs[-1] if (b["case"]["market"] if k == "case" else b["market"]) == 7]
    assert logs[0] == logs[1] and len(logs[0]) > 10


def test_restored_from_any_prefix_of_the_log_nobody_is_freer_and_everybody_is_asked():
    desk = restricted(if_silent="halt")
    desk.decide("resume")
    desk.decide("resume", "bob", "desk")
    desk.until(40)
    desk.step(Event.DRIFT)
    desk.step(Event.NOTHING, Event.DRIFT)
    desk.until(120)
    for cut in range(len(desk.log) + 1):
        log = json.loads(json.dumps(desk.log[:cut]))
        again = Desk(if_silent="halt")
        again.book.restore(log, 120)
        states = {"learner": "NORMAL", "rival": "NORMAL"}
        states.update({body["dealer"]: body["to"] for kind, body in log if kind == "state"})
        assert [State(s).name for s in again.book.state[0]] == list(states.values())
        for dealer, state in states.items():
            assert state not in ("RESTRICTED", "HALTED") or any(c.dealer == dealer for c in again.book.open)
    assert again.book.cases == desk.book.cases and (again.book.version == desk.book.version).all()
    for later in (desk, again):
        later.now = 120
        later.until(160)
    assert again.book.cases == desk.book.cases


def test_a_proposal_survives_a_restart_unless_the_state_has_moved():
    for moves in (False, True):
        desk = restricted()
        desk.decide("resume")
        if moves:
            desk.book.kill("eve", "smoke", 11, dealer="learner")
        again = Desk()
        again.book.restore(json.loads(json.dumps(desk.log)), 11)
        again.now = 10
        assert moves or again.book.cases == desk.book.cases
        assert again.decide("resume", "bob", "desk") == ""
        assert again.state == (State.HALTED if moves else State.PROBATION)


def test_two_names_of_one_key_are_one_person():
    desk = restricted()
    desk.book._who = lambda name: "the same key"
    desk.decide("resume")
    assert desk.decide("resume", "bob", "desk").startswith("same person") and desk.state == State.RESTRICTED
