"""The compiled book and the slow twin agree event by event, on every mix of messages."""

import pytest

from marketsim.types import Outcome
from tests.book_pair import agree
from tests.messages_fixture import MIXES

EVENTS = 1_000_000 // len(MIXES) + 1


@pytest.mark.parametrize("name", MIXES)
def test_every_message_does_the_same_to_both(name):
    agree(name, EVENTS, seed=list(MIXES).index(name))


def test_the_mixes_meet_every_outcome():
    pairs = [agree(name, 4000, seed=100) for name in MIXES]
    for outcome in Outcome:
        assert sum(pair.twin.outcomes[outcome] for pair in pairs) > 100, outcome.name


@pytest.mark.long
@pytest.mark.parametrize("name", MIXES)
def test_ten_million_messages_do_the_same_to_both(name):
    agree(name, 10 * EVENTS, seed=1000 + list(MIXES).index(name))
