"""Every fault of the asking, injected: the safe state in time, each time, and on record."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest
from guardrails_fixture import Desk

from marketsim.guardrails import hook as hooks
from marketsim.guardrails.case import Decision
from marketsim.guardrails.hook import Hook, on_escalation, registered
from marketsim.guardrails.states import Event, State

RELEASE = threading.Event()  # lets the hanging hooks of a test end


@pytest.fixture(autouse=True)
def _end_what_hangs():
    RELEASE.clear()
    yield
    RELEASE.set()
    on_escalation(lambda case: None)
    hooks._registered.clear()


def hedge(case):
    return Decision(case.id, case.version, "hedge", "it drifts", "ada", "risk")


def raises(case):
    raise RuntimeError("no line to the desk")


def exits(case):
    sys.exit(3)


def hangs(case):
    RELEASE.wait()


def recurses(case):
    return recurses(case)


class Alike(Decision):
    """Not a Decision as the book knows it."""


FAULTS = {
    "raises": (raises, "the hook raised RuntimeError: no line to the desk"),
    "exits": (exits, "the hook raised SystemExit: 3"),
    "recurses": (recurses, "the hook raised RecursionError"),
    "hangs": (hangs, "the hook did not answer within 0.05 seconds"),
    "text": (lambda case: "hedge", "the hook answered a str, it must be a Decision or None"),
    "true": (lambda case: True, "the hook answered a bool"),
    "the case itself": (lambda case: case, "the hook answered a Case"),
    "nan": (lambda case: float("nan"), "the hook answered a float"),
    "a class": (lambda case: Decision, "the hook answered a type"),
    "something like it": (lambda case: Alike(case.id, 1, "keep", "", "ada", "risk"), "the hook answered a Alike"),
    "made of nonsense": (
        lambda case: Decision(case.id, 1, None, "", "ada", "risk"),
        "the hook raised TypeError: the option",
    ),
    "another case": (
        lambda case: Decision(case.id + 1, 1, "keep", "", "ada", "risk"),
        "the hook was asked about case 1 and answered about 2",
    ),
}


def run(desk, hook, until, event=Event.DRIFT, at=3):
    """Steps as the run takes them: people first, then what happened; the learner drifts at step ``at``."""
    orders = []
    while desk.now < until:
        hook.attend(desk.book, desk.now + 1)
        orders += desk.step(event if desk.now + 1 == at else Event.NOTHING)
    return orders


@pytest.mark.parametrize("if_silent, state", [("hedge", State.RESTRICTED), ("halt", State.HALTED)])
@pytest.mark.parametrize("function, what", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("pace", ["pause", "walk"])
def test_a_fault_of_the_hook_ends_in_the_safe_state_in_time(function, what, pace, if_silent, state):
    desk = Desk(if_silent=if_silent)
    hook = Hook(function, 0.05 if function is hangs else 10.0, pace)
    run(desk, hook, 3)
    hook.attend(desk.book, 4)
    for _ in range(1000):
        time.sleep(0.01 if hook._call and not hook._call.ready else 0)
    run(desk, hook, 5)
    (case,) = desk.book.open
    assert desk.state == state and 5 <= case.opened + desk.book.escalation.acknowledge_within + 1
    (fault,) = desk.kinds("fault")
    assert fault["what"].startswith(what) and fault["case"] == 1 and fault["step"] in (4, 5)


@pytest.mark.parametrize("function", [hangs, lambda case: None], ids=["hangs for long", "answers nothing"])
def test_without_an_answer_the_deadlines_hold_while_the_run_walks(function):
    desk = Desk()
    hook = Hook(function, 60.0, "walk")
    run(desk, hook, 8)
    assert desk.state == State.WARN
    run(desk, hook, 9)  # acknowledge_by is 3 + 5
    assert desk.state == State.RESTRICTED


def test_after_a_fault_the_hook_is_not_asked_every_step():
    asked = []
    desk = Desk()
    run(desk, Hook(lambda case: asked.append(case.id) or raises(case), 1.0), 60)
    steps = [body["step"] for body in desk.kinds("fault")]
    assert len(asked) == len(steps) and min(np.diff(steps)) > 5  # again only once a deadline has passed


def test_a_hook_that_hangs_is_not_waited_for_again():
    desk = Desk()
    hook = Hook(hangs, 0.05)
    started = time.monotonic()
    run(desk, hook, 60)
    assert time.monotonic() - started < 2 and desk.state == State.RESTRICTED
    assert {b["what"] for b in desk.kinds("fault")[1:]} == {"the hook still hangs in an earlier case"}
    RELEASE.set()
    run(desk, hook, 100)
    assert desk.kinds("fault")[-1]["step"] < 100


def test_the_hook_gets_a_copy():
    def meddles(case):
        case.decide_by, case.if_silent, case.exposure["inventory"] = 10**9, "stay", 0.0

    desk = Desk()
    run(desk, Hook(meddles, 1.0), 5)
    (case,) = desk.book.open
    assert (case.decide_by, case.if_silent, case.exposure["inventory"]) == (23, "hedge", 7.0)


@pytest.mark.parametrize("pace", ["pause", "walk"])
def test_an_answer_counts_at_the_step_at_which_it_arrives(pace):
    desk = Desk(acknowledge_within=20)
    hook = Hook(lambda case: time.sleep(0.1) or hedge(case), 5.0, pace)
    run(desk, hook, 4)
    assert desk.state == (State.RESTRICTED if pace == "pause" else State.WARN)
    if pace == "walk":
        run(desk, hook, 6)
        time.sleep(0.2)
    run(desk, hook, 7)
    assert desk.state == State.RESTRICTED
    assert desk.kinds("decision")[0]["step"] == {"pause": 4, "walk": 7}[pace]


def test_one_hook_cannot_be_two_people():
    """It may speak for two approvers, and is asked again once one has proposed; as one of them it gets nowhere."""

    def resumes(people):
        def ask(case):
            who, role = people[case.proposal is not None]
            return Decision(case.id, case.version, "resume", "it is over", who, role)

        return ask

    for people, state in (
        ([("ada", "risk")] * 2, State.RESTRICTED),
        ([("ada", "risk"), ("bob", "desk")], State.PROBATION),
    ):
        desk = Desk()
        run(desk, Hook(resumes(people), 1.0), 6, Event.HARD_BREACH)
        assert desk.state == state


def test_the_last_function_registered_is_asked():
    assert registered() is None
    on_escalation(raises)
    assert on_escalation(hedge) is hedge and registered() is hedge


# --- the log fails ---


FULL = OSError(28, "No space left on device")


class Disk:
    """A log that is full from its n-th record until room is made."""

    def __init__(self, n, error=FULL):
        self.n, self.error, self.log = n, error, []

    def __call__(self, kind, body):
        if len(self.log) >= self.n:
            raise self.error
        self.log.append((kind, body))


def story(desk):
    """A desk's life: a breach, a resume by two, drift and silence, a kill; what each step leaves."""
    for t in range(60):
        if t in (5, 6):
            desk.decide("resume", *[("ada", "risk"), ("bob", "desk")][t - 5])
        if t == 40:
            desk.book.kill("eve", "smoke", t, dealer="rival")
        desk.step(
            {3: Event.HARD_BREACH, 20: Event.DRIFT}.get(t, Event.NOTHING), Event.DRIFT if t == 10 else Event.NOTHING
        )
        yield t, desk.book.state.copy()


WHOLE = Disk(10**9)
STATES = dict(story(Desk(WHOLE)))


@pytest.mark.parametrize("n", range(len(WHOLE.log)))
def test_a_full_disk_halts_everything_in_the_step_in_which_it_is_met(n):
    disk = Disk(n)
    desk = Desk(disk)
    full = False
    for _, states in story(desk):
        full = full or len(disk.log) == n < len(disk.log) + len(desk.book._log._unwritten)
        assert not full or (states == State.HALTED).all()
    assert full and disk.log == WHOLE.log[:n]
    ups = [b for k, b in desk.book._log._unwritten if k == "state" and b["event"] in ("resume", "release")]
    assert not ups  # nothing was given back that is not on record
    disk.n = 10**9
    desk.until(61)
    assert not desk.book._log.broken and len(disk.log) > n and (desk.book.state == State.HALTED).all()
    last = {b["dealer"]: b["to"] for k, b in disk.log if k == "state"}
    assert set(last.values()) == {"HALTED"}  # what was missed is written, in order
    assert [b["version"] for k, b in disk.log if k == "state" and b["dealer"] == "rival"] == sorted(
        {b["version"] for k, b in disk.log if k == "state" and b["dealer"] == "rival"}
    )


def test_the_story_is_long_enough_to_meet_every_kind_of_record():
    assert {kind for kind, _ in WHOLE.log} == {"state", "case", "decision"} and len(WHOLE.log) > 20
    assert {int(s) for states in STATES.values() for s in np.ravel(states)} == set(State)


@pytest.mark.parametrize("error", [ValueError("closed file"), BrokenPipeError(), RuntimeError("the channel is dead")])
def test_whatever_the_log_raises_is_a_fault(error):
    desk = Desk(Disk(0, error))
    desk.step(Event.DRIFT)
    assert (desk.book.state == State.HALTED).all()


def test_a_resume_that_cannot_be_recorded_does_not_happen():
    for n in (1, 2):  # the decision, then the move
        disk = Disk(10**9)
        desk = Desk(disk)
        desk.step(Event.HARD_BREACH)
        desk.decide("resume")
        disk.n = len(disk.log) + n - 1
        assert desk.decide("resume", "bob", "desk").startswith("it cannot be recorded: OSError")
        assert desk.state == State.RESTRICTED
        disk.n = 10**9
        desk.step()
        assert desk.state == State.HALTED
        assert len([b for k, b in disk.log if k == "decision" and b["what"] == "accepted"]) == n - 1
        assert [b["to"] for k, b in disk.log if k == "state" and b["dealer"] == "learner"] == ["RESTRICTED", "HALTED"]
        assert [k for k, b in disk.log].count("refusal") == 1


def test_what_the_log_has_missed_is_written_in_the_next_step_however_quiet():
    disk = Disk(1)
    desk = Desk(disk)
    desk.step(Event.HARD_BREACH)
    for _ in range(2):
        missed = list(desk.book._log._unwritten)
        assert missed and len(disk.log) == 1
        desk.step()
    disk.n = 10**9
    desk.step()
    assert disk.log[1:] == missed and not desk.book._log._unwritten


def test_any_other_fault_halts_everything_and_asks():
    desk = Desk()
    desk.step()
    desk.book.fault(1, "the channel to the desk is dead")
    assert (desk.book.state == State.HALTED).all()
    assert [(c.dealer, c.cause, c.what) for c in desk.book.open] == [
        (dealer, "fault", "the channel to the desk is dead") for dealer in ("learner", "rival")
    ]
