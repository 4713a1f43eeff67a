"""The state machine of a dealer: a table, and three lines that read it.

By itself a state moves only towards safety, except that WARN, which takes nothing away, clears after ``cool_off``
clean steps. Every other way up needs people, and the table says whom. What each state does stands in docs/escalation.md.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class State(IntEnum):
    NORMAL = 0
    WARN = 1  # takes nothing away
    RESTRICTED = 2  # quotes towards flat only, and wider
    HALTED = 3  # no quotes
    PROBATION = 4  # quotes within a quarter of the limits


class Event(IntEnum):
    """What can happen to a dealer in a step."""

    NOTHING = 0
    CLEAN = 1  # cool_off steps in WARN without an event or an open case
    SOFT_BREACH = 2
    DRIFT = 3  # the drift alarm
    HARD_BREACH = 4
    SEVERE_BREACH = 5  # of a limit whose on_breach is halt
    UNANSWERED = 6  # a deadline passed, and the safe default is hedge or widen
    UNANSWERED_HALT = 7  # a deadline passed, and the safe default is flatten or halt
    FAULT = 8  # nothing can be recorded, or nobody can be asked
    RESTRICT = 9  # an approver chose hedge or widen
    KILL = 10  # an approver chose flatten or halt, or anyone killed
    RESUME = 11
    RELEASE = 12  # offered after n clean steps of PROBATION


class Needs(IntEnum):
    """Whose word an event takes; each includes those before it."""

    NOBODY = 0
    ANYONE = 1
    APPROVER = 2
    TWO_ROLES = 3  # two approvers, different people of different roles: one proposes, the other approves


_MACHINE = {
    # from:                             N W R H P
    Event.NOTHING: (Needs.NOBODY, "N W R H P"),
    Event.CLEAN: (Needs.NOBODY, "N N R H P"),
    Event.SOFT_BREACH: (Needs.NOBODY, "W W R H R"),
    Event.DRIFT: (Needs.NOBODY, "W W R H R"),
    Event.HARD_BREACH: (Needs.NOBODY, "R R R H H"),
    Event.SEVERE_BREACH: (Needs.NOBODY, "H H H H H"),
    Event.UNANSWERED: (Needs.NOBODY, "R R R H R"),
    Event.UNANSWERED_HALT: (Needs.NOBODY, "H H H H H"),
    Event.FAULT: (Needs.NOBODY, "H H H H H"),
    Event.RESTRICT: (Needs.ANYONE, "R R R H R"),
    Event.KILL: (Needs.ANYONE, "H H H H H"),
    Event.RESUME: (Needs.TWO_ROLES, "N W P P P"),
    Event.RELEASE: (Needs.APPROVER, "N W R H N"),
}
_LETTER = {state.name[0]: state for state in State}

TABLE = np.array([[_LETTER[to] for to in _MACHINE[event][1].split()] for event in Event], np.int8).T.copy()
NEEDS = np.array([_MACHINE[event][0] for event in Event], np.int8)
RANK = np.array([0, 1, 3, 4, 2], np.int8)  # of each state, how safe it is: what it takes away
for _table in (TABLE, NEEDS, RANK):
    _table.flags.writeable = False


def advance(state, event, by=Needs.NOBODY):
    """The states after these events; all of any shape that broadcasts, int8 out.

    ``by``: whose word stands behind the events; one that needs more than that moves nothing.
    """
    return np.where(NEEDS[event] <= by, TABLE[state, event], state).astype(np.int8)
