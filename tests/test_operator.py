"""Scripted operators have the delays and the judgement that their block says; recorded ones play back to the bit."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from guardrails_fixture import Desk, escalation
from scipy.stats import kstest, lognorm

from marketsim.guardrails.case import Decision
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.escalation import WorkingHours
from marketsim.guardrails.operator import Replay, Scripted, at_work
from marketsim.guardrails.states import Event, State

DELAY = {"median": 15, "p90": 50}
PATIENT = {"acknowledge_within": 100_000, "decide_within": 100_000}


def books(markets, first=0, seed=1, until=300, log=None, drifted=True, **changes):
    """So many markets whose learner drifts at step 10, attended by scripted operators."""
    changes = {"operator": {"delay": DELAY, **changes.pop("operator", {})}, **PATIENT, **changes}
    desk, operators = Desk(), Scripted(escalation(**changes), seed)
    record = partial(_keep, [] if log is None else log)
    book = CaseBook(escalation(**changes), ["learner"], record, desk.describe, desk.look, markets, first)
    for t in range(until):
        operators.attend(book, t, lambda case: drifted)
        book.step(t, np.full((markets, 1), Event.DRIFT if t == 10 else Event.NOTHING))
    return book


def _keep(log, kind, body):
    log.append((kind, json.loads(json.dumps(body))))


def test_delays_are_log_normal_of_that_median_and_p90():
    spec = escalation(operator={"delay": {"median": 1500, "p90": 5000}}, **PATIENT)
    operators = Scripted(spec, 3)
    desk = Desk()
    book = CaseBook(spec, ["learner"], desk.record, desk.describe, desk.look, 1500)
    book.step(0, np.full((1500, 1), Event.DRIFT))
    plans = [operators._plan(book, case) for case in book.open]
    sigma = np.log(5000 / 1500) / 1.2815515655446004
    for i in range(3):  # each approver, each of the two delays
        for waits in ([p[i].acknowledges for p in plans], [p[i].decides - p[i].acknowledges for p in plans]):
            assert kstest(waits, lognorm(sigma, scale=1500).cdf).pvalue > 0.001
    waits = np.array([[p[i].acknowledges for i in range(3)] + [p[0].decides - p[0].acknowledges] for p in plans])
    assert np.abs(np.corrcoef(np.log(waits.T)) - np.eye(4)).max() < 0.1  # streams of their own


@pytest.mark.parametrize("drifted", [True, False])
@pytest.mark.parametrize("accuracy", [0.0, 0.7, 1.0])
def test_accuracy_is_the_chance_of_the_right_option(drifted, accuracy):
    log, first = [], {}
    book = books(300, log=log, drifted=drifted, operator={"accuracy": accuracy}, until=120)
    for kind, body in log:
        if kind == "decision" and book.cases[body["case"] - 1].cause == "drift":
            first.setdefault(body["case"], body["option"])
    right = [option == ("hedge" if drifted else "keep") for option in first.values()]
    assert len(right) > 290
    assert np.mean(right) == pytest.approx(accuracy, abs=4 * np.sqrt(0.25 / 300) * (0 < accuracy < 1))


def test_each_market_has_its_own_operators_whatever_the_batch():
    logs = []
    for first, markets in ((0, 10), (7, 1)):
        log = []
        books(markets, first, log=log, operator={"accuracy": 0.6})
        case_ids = {b["case"]["id"] for k, b in log if k == "case" and b["case"]["market"] == 7}
        logs.append(
            [(b["step"], b["what"], b["option"], b["who"]) for k, b in log if k == "decision" and b["case"] in case_ids]
        )
    assert logs[0] == logs[1] and logs[0]
    assert len({books(1, m, until=200).cases[0].acknowledged for m in range(8)}) > 2
    assert len({books(1, 0, s, until=200).cases[0].acknowledged for s in range(8)}) > 2


def test_two_operators_give_a_restricted_dealer_back_and_then_its_limits():
    log = []
    desk = Desk()
    spec = escalation(operator={"delay": {"median": 3, "p90": 6}})
    book = CaseBook(spec, ["learner"], lambda k, b: log.append((k, b)), desk.describe, desk.look)
    operators = Scripted(spec, 0)
    for t in range(150):
        operators.attend(book, t, lambda case: t < 40)  # noqa: B023 - called in this step
        book.step(t, np.array([[Event.HARD_BREACH if t == 5 else Event.NOTHING]]))
    moves = [(b["from"], b["to"], len(b["who"])) for k, b in log if k == "state"]
    assert moves == [("NORMAL", "RESTRICTED", 0), ("RESTRICTED", "PROBATION", 2), ("PROBATION", "NORMAL", 1)]
    assert next(b["step"] for k, b in log if k == "state" and b["to"] == "PROBATION") >= 40
    assert not [b for k, b in log if k == "refusal"]


def test_an_operator_who_disagrees_rejects_the_proposal():
    desk = Desk(**PATIENT, operator={"delay": DELAY})
    desk.step(Event.HARD_BREACH)
    desk.decide("resume", step=1)
    operators = Scripted(desk.book.escalation, 0)
    for t in range(1, 200):
        operators.attend(desk.book, t, lambda case: True)
        desk.step()
        if desk.book.cases[0].proposal is None:
            break
    assert desk.state == State.RESTRICTED and desk.kinds("decision")[-1]["option"] == "keep"


@pytest.mark.parametrize("hours, released", [(None, [2, 3]), ({"every": 10, "start": 3, "end": 4}, [13, 23])])
def test_who_is_due_with_another_looks_at_what_was_proposed_at_the_next_working_step(hours, released):
    desk = Desk(**PATIENT, operator={"delay": {"median": 1, "p90": 1}, "working_hours": hours})
    desk.step(Event.HARD_BREACH)
    operators = Scripted(desk.book.escalation, 0)
    for t in range(1, 40):
        operators.attend(desk.book, t, lambda case: False)
        desk.step()
    assert [(b["step"], b["what"]) for b in desk.kinds("decision")][:2] == list(
        zip(released, ("proposed", "accepted"), strict=True)
    )


@pytest.mark.parametrize("start, end", [(0, 24), (8, 17), (0, 1), (23, 24)])
def test_only_working_steps_count(start, end):
    hours = WorkingHours(every=24, start=start, end=end)
    for step in (0, 7, 8, 16, 17, 100):
        for delay in (1, 2, 9, 10, 100):
            t, left = step, delay
            while left:
                t += 1
                left -= start <= t % 24 < end
            assert at_work(step, delay, hours) == t
    assert at_work(5, 7, None) == 12


def test_nobody_answers_outside_working_hours():
    log = []
    books(100, log=log, operator={"working_hours": {"every": 40, "start": 30, "end": 40}})
    steps = np.array([b["step"] for k, b in log if k == "decision" or b.get("what") == "acknowledged"])
    assert len(steps) > 150 and (steps % 40 >= 30).all()


def test_fatigue_slows_and_errs_with_each_recent_case_of_the_market():
    spec = escalation(
        operator={"delay": DELAY, "accuracy": 1.0, "fatigue": {"recent": 50, "slower": 2.0, "less_accurate": 0.5}},
        **PATIENT,
    )
    rested = Scripted(escalation(operator={"delay": DELAY}, **PATIENT), 0)
    tired, desk = Scripted(spec, 0), Desk()
    book = CaseBook(spec, ["learner", "rival"], desk.record, desk.describe, desk.look, 300)
    both = np.full((300, 2), Event.DRIFT)
    book.step(0, both)
    book.step(40, np.full((300, 2), Event.HARD_BREACH))  # three before, the later of the two
    last = [c for c in book.cases if c.dealer == "rival" and c.cause == "hard_breach"]
    plans = [(tired._plan(book, c)[0], rested._plan(book, c)[0]) for c in last]
    slower = [(t.acknowledges - 40) / (r.acknowledges - 40) for t, r in plans]
    assert np.median(slower) == pytest.approx(8, rel=0.05)
    assert np.mean([t.right for t, _ in plans]) == pytest.approx(1 / 8, abs=0.08) and all(r.right for _, r in plans)
    book.step(95, np.full((300, 2), Event.SEVERE_BREACH))  # those of step 40 are too long ago
    last = [c for c in book.cases if c.dealer == "rival" and c.cause == "severe_breach"]
    ratio = [(tired._plan(book, c)[0].acknowledges - 95) / (rested._plan(book, c)[0].acknowledges - 95) for c in last]
    assert np.median(ratio) == pytest.approx(2, rel=0.1)


def test_no_operator_block_no_scripted_operators():
    with pytest.raises(ValueError, match="escalation.operator: is missing"):
        Scripted(escalation(), 0)


# --- replay ---


def live(people, log):
    """A run with two dealers, everything happening; ``people(book, step)`` answer."""
    desk = Desk(lambda kind, body: log.append((kind, json.loads(json.dumps(body)))))
    rng = np.random.default_rng(5)
    for t in range(400):
        people(desk.book, t)
        desk.step(
            *rng.choice(
                [Event.NOTHING, Event.SOFT_BREACH, Event.DRIFT, Event.HARD_BREACH], 2, p=[0.94, 0.03, 0.02, 0.01]
            )
        )
    return desk.book


class Erratic:
    """People who acknowledge, decide and kill at whim, often wrongly."""

    def __init__(self):
        self.rng = np.random.default_rng(2)

    def __call__(self, book, t):
        for case in book.open:
            if self.rng.random() < 0.15:
                book.acknowledge(case.id + int(self.rng.integers(0, 2)), ["ada", "Bob", "eve"][self.rng.integers(3)], t)
            if self.rng.random() < 0.3:
                who, role = [("ada", "risk"), ("B-ob", "desk"), ("cyd", "desk"), ("eve", "risk")][self.rng.integers(4)]
                option = [*case.options, "resume", "sell"][self.rng.integers(len(case.options) + 2)]
                version = case.version - int(self.rng.random() < 0.1)
                book.decide(Decision(case.id, version, option, "a whim, “quoted”", who, role), t)
        if t == 200:
            book.kill("anyone", "smoke", t, dealer="rival")
            book.kill("anyone", "smoke", t, dealer="nobody")
        if t == 300:
            book.fault(t, "the channel is dead", book.open[0].id if book.open else None)


def test_recorded_answers_replay_to_the_bit():
    first, second = [], []
    book = live(Erratic(), first)
    foreign = [
        ("configuration", {}),
        ("fault", {"what": "a torn last row"}),
        ("decision", {"what": "signed", "step": 3}),
    ]
    again = live(Replay(foreign + first).attend, second)
    assert json.dumps(first) == json.dumps(second) and book.cases == again.cases
    assert {k for k, _ in first} == {"state", "case", "decision", "refusal", "fault"}
    assert {b["what"] for k, b in first if k == "decision"} == {"accepted", "proposed", "kill"}
    assert len([b for k, b in first if k == "refusal"]) > 20
    assert any(b["to"] == "PROBATION" for k, b in first if k == "state")


def test_scripted_answers_replay_without_the_operators():
    first, second = [], []
    operators = Scripted(escalation(operator={"delay": {"median": 4, "p90": 12}, "accuracy": 0.8}), 4)
    live(lambda book, t: operators.attend(book, t, lambda case: t % 100 < 50), first)
    live(Replay(first).attend, second)
    assert first == second
