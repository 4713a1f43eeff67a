"""The state machine, exhaustively: nothing goes up without its people, nothing safe is ever refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from guardrails_fixture import Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.guardrails.states import NEEDS, RANK, TABLE, Event, Needs, State, advance

PAIRS = list(itertools.product(State, Event))
UNFREE = (State.RESTRICTED, State.HALTED)


def test_the_table_is_the_one_in_the_document():
    rows = {}
    for line in Path("docs/escalation.md").read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if len(cells) == 8 and cells[0].upper() in Event.__members__:
            rows[Event[cells[0].upper()]] = cells[1:]
    assert list(rows) == list(Event)
    for event, (needs, *states, _) in rows.items():
        assert Needs[needs.upper().replace(" ", "_")] == NEEDS[event]
        assert [State[s] if s != "-" else state for s, state in zip(states, State, strict=True)] == list(
            TABLE[:, event]
        )


@pytest.mark.parametrize("state, event", PAIRS)
def test_up_takes_people_and_the_exception_is_a_clean_warn(state, event):
    after = TABLE[state, event]
    if RANK[after] < RANK[state]:
        expected = {
            (State.WARN, Event.CLEAN): (State.NORMAL, Needs.NOBODY),
            (State.RESTRICTED, Event.RESUME): (State.PROBATION, Needs.TWO_ROLES),
            (State.HALTED, Event.RESUME): (State.PROBATION, Needs.TWO_ROLES),
            (State.PROBATION, Event.RELEASE): (State.NORMAL, Needs.APPROVER),
        }
        assert (after, NEEDS[event]) == expected[state, event]


@pytest.mark.parametrize("state", State)
def test_what_happens_by_itself_keeps_the_promises(state):
    assert TABLE[state, Event.NOTHING] == state
    assert TABLE[state, Event.KILL] == TABLE[state, Event.FAULT] == State.HALTED and NEEDS[Event.KILL] <= Needs.ANYONE
    assert RANK[TABLE[state, Event.UNANSWERED]] >= RANK[State.RESTRICTED]
    assert TABLE[state, Event.UNANSWERED_HALT] == TABLE[state, Event.SEVERE_BREACH] == State.HALTED
    assert RANK[TABLE[state, Event.HARD_BREACH]] >= RANK[State.RESTRICTED]
    for event in (Event.SOFT_BREACH, Event.DRIFT, Event.HARD_BREACH):
        assert RANK[TABLE[State.PROBATION, event]] >= RANK[State.RESTRICTED]  # probation forgives nothing


@pytest.mark.parametrize("state, event", PAIRS)
@pytest.mark.parametrize("by", Needs)
def test_advance_reads_the_table_and_asks_for_the_people(state, event, by):
    after = advance(state, event, by)
    assert after == (TABLE[state, event] if by >= NEEDS[event] else state)
    if by < Needs.APPROVER and RANK[after] < RANK[state]:
        assert (state, event) == (State.WARN, Event.CLEAN)


def test_advance_moves_many_at_once():
    rng = np.random.default_rng(0)
    states, events = rng.integers(0, len(State), (50, 3)), rng.integers(0, len(Event), (50, 3))
    moved = advance(states, events, Needs.TWO_ROLES)
    assert moved.dtype == np.int8
    for m, d in np.ndindex(50, 3):
        assert moved[m, d] == TABLE[states[m, d], events[m, d]]
    assert (advance(states, Event.KILL, Needs.ANYONE) == State.HALTED).all()


# --- the book, with anything happening and people doing anything ---

EVENTS = [e for e in Event if NEEDS[e] == Needs.NOBODY and e not in (Event.NOTHING, Event.CLEAN)]
NAMES = [("ada", "risk"), ("bob", "desk"), ("cyd", "desk"), ("Ada", "desk"), ("eve", "risk"), ("learner", "risk")]
OPTIONS = ["keep", "widen", "hedge", "flatten", "halt", "resume", "release", "sell"]
ANSWER = st.tuples(st.sampled_from(OPTIONS), st.sampled_from(NAMES), st.integers(1, 4), st.integers(-1, 0))
STEP = st.tuples(st.sampled_from([Event.NOTHING] * 12 + EVENTS), st.lists(ANSWER, max_size=3), st.integers(0, 30))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25), st.sampled_from(["hedge", "halt"]))
def test_no_way_up_without_its_people(steps, if_silent):
    desk = Desk(if_silent=if_silent)
    for event, answers, idle in steps:
        for option, (who, role), case, older in answers:
            if case <= len(desk.book.cases):
                desk.decide(option, who, role, case, desk.book.cases[case - 1].version + older)
        desk.step(event)
        desk.until(desk.now + idle)
        for d in range(2):  # whoever is not free has a case in which people are asked
            assert desk.book.state[0, d] not in UNFREE or any(c.dealer == desk.book.dealers[d] for c in desk.book.open)
    desk.step(Event.DRIFT)  # whatever came before: an alarm that nobody answers ends safe in time
    desk.until(desk.now + desk.book.escalation.decide_within + 1)
    assert desk.state in UNFREE
    role = {"ada": "risk", "bob": "desk", "cyd": "desk"}
    for body in desk.kinds("state"):
        before, after, who = State[body["from"]], State[body["to"]], body["who"]
        if RANK[after] < RANK[before] and before != State.WARN:
            roles = [role[name.lower()] for name in who]
            assert len(roles) == len(set(roles)) == (1 if before == State.PROBATION else 2)
            assert after == (State.NORMAL if before == State.PROBATION else State.PROBATION)
    keys = [(c.dealer, c.cause) for c in desk.book.open]
    assert len(keys) == len(set(keys))
