"""The escalation's block in an experiment file: who may approve, and what is refused."""

from __future__ import annotations

import pytest
from guardrails_fixture import PEOPLE, escalation
from pydantic import ValidationError

from marketsim.guardrails.escalation import person

WRONG = {
    "nobody": ({"approvers": []}, "two people of different roles"),
    "one": ({"approvers": PEOPLE[:1]}, "two people of different roles"),
    "one role": ({"approvers": PEOPLE[1:]}, "two people of different roles"),
    "one role, spelt otherwise": (
        {"approvers": [PEOPLE[1], {"name": "ada", "role": "Desk"}]},
        "two people of different",
    ),
    "one person twice": ({"approvers": [*PEOPLE, {"name": "A-da", "role": "desk"}]}, "that is one person"),
    "deadlines": ({"decide_within": 4}, "decide_within: 4 is below acknowledge_within 5"),
    "default": ({"if_silent": "resume"}, "'hedge', 'widen', 'flatten' or 'halt'"),
    "delay": ({"operator": {"delay": {"median": 9, "p90": 5}}}, "p90: 5 is below the median 9"),
    "hours": (
        {"operator": {"delay": {"median": 9, "p90": 9}, "working_hours": {"every": 8, "start": 4, "end": 9}}},
        "start < end <= every",
    ),
    "unknown": ({"cool_of": 5}, "unknown key"),
    "timeout": ({"hook_timeout": 0}, "greater than 0"),
    "watched twice": ({"watch": ["markout_1", "markout_1"]}, "each stream once"),
    "name": ({"approvers": [*PEOPLE, {"name": "аda", "role": "risk"}]}, "pattern"),  # a Cyrillic a
}


@pytest.mark.parametrize("change, why", WRONG.values(), ids=WRONG)
def test_a_wrong_escalation_is_refused(change, why):
    with pytest.raises(ValidationError, match=why):
        escalation(**change)


def test_one_person_however_spelt():
    assert len({person(name) for name in ("Zoë Lee", "zoe lee", "ZOE-LEE", "zoe.lee", "ＺＯＥ lee")}) == 1
    assert person("ada") != person("adam")
