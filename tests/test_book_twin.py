"""The compiled book and the slow twin agree event by event, on every mix of messages."""

import pytest

from marketsim.types import Outcome
from tests.book_pair import agree, agree_in_one_batch
from tests.messages_fixture import MIXES

WIDE = 1000  # levels from which a comparison of all levels takes its time


def events(mix):
    return 10_000 if mix.levels > WIDE else 43_000


def agree_long(name, times, seed):
    mix = MIXES[name]
    agree(name, times * events(mix), seed, chunk=2000 if mix.levels > WIDE else 400)


@pytest.mark.parametrize("name", MIXES)
def test_every_message_does_the_same_to_both(name):
    agree_long(name, 1, seed=list(MIXES).index(name))


def test_that_is_a_million_messages():
    assert sum(map(events, MIXES.values())) >= 1_000_000


@pytest.mark.parametrize("name", ["plain", "swings"])
def test_a_batch_does_what_its_messages_do_and_a_cleared_book_is_a_new_one(name):
    agree_in_one_batch(name, 5000, seed=3)


def test_the_mixes_meet_every_outcome():
    pairs = [agree(name, 3000, seed=100, chunk=3000) for name in MIXES]
    for outcome in Outcome:
        assert sum(pair.twin.outcomes[outcome] for pair in pairs) > 100, outcome.name


@pytest.mark.long
@pytest.mark.parametrize("name", MIXES)
def test_ten_million_messages_do_the_same_to_both(name):
    agree_long(name, 10, seed=1000 + list(MIXES).index(name))
