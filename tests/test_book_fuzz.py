"""Storms of messages against a compiled book: nothing that must hold is ever broken.

The long one takes a quarter of an hour on a busy machine: `pytest -m long -s tests/test_book_fuzz.py`.
"""

import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from marketsim.book.state import LIVE, OUTCOMES, PREVENTED, book_arrays, trade_log
from marketsim.types import MESSAGE, Outcome, SelfTrade
from tests.book_fuzz import FAULTS, LEDGER, NONE, blow
from tests.book_pair import desk_table


@dataclass(frozen=True)
class Weather:
    """A book, and how a storm of messages blows; the words are those of ``tests.book_fuzz``."""

    self_trade: SelfTrade
    levels: int = 64
    orders: int = 64
    desks: dict[int, int] = field(default_factory=dict)
    reach: int = 16
    sizes: int = 9
    owners: int = 4
    memory: int = 60
    swing: int = 40
    slow: int = 50
    drift: int = 7
    ids: int = 512


WEATHERS = {
    "calm": Weather(SelfTrade.ALLOW, swing=2, slow=1000, drift=0),
    "rising": Weather(SelfTrade.CANCEL_RESTING, slow=9, drift=30),
    "falling": Weather(SelfTrade.CANCEL_INCOMING, slow=9, drift=-30, owners=12),
    "both go": Weather(SelfTrade.CANCEL_BOTH, desks={0: 1, 3: 1}),
    "desks": Weather(SelfTrade.CANCEL_RESTING, desks={0: 0, 1: 1, 2: 0, 4: 1}, owners=6),
    "no room": Weather(SelfTrade.CANCEL_BOTH, levels=10, orders=6, reach=8),
    "crowd at a price": Weather(SelfTrade.ALLOW, reach=2, orders=900, memory=900, ids=2000, swing=1, slow=10**6),
    "wide": Weather(SelfTrade.CANCEL_RESTING, levels=8192, orders=100, reach=3000, swing=5000, slow=3, owners=40),
}


class Storm:
    def __init__(self, weather, seed):
        arrays = book_arrays(1, weather.levels, weather.orders, weather.self_trade)
        self.book = tuple(arrays[name][0] for name in ("head", "levels", "orders", "index"))
        self.desks, self.trades = desk_table(weather.desks), trade_log(weather.orders, 1)
        self.message, self.ledger = np.zeros(1, MESSAGE), np.zeros(weather.ids, LEDGER)
        self.accounts, self.totals = np.zeros((weather.owners + 1, 2), np.int64), np.zeros(5, np.int64)
        self.storm = np.array(
            [getattr(weather, name) for name in ("reach", "sizes", "owners", "memory", "swing", "slow", "drift")]
        )
        self.seed, self.next = seed, 1

    def blow(self, count, every):
        """So many messages on; ``every`` so many all is audited."""
        self.next, fault = blow(
            *self.book, self.desks, self.trades, self.message, self.ledger, self.accounts, self.totals, self.storm,
            self.seed, self.next, count, every,
        )  # fmt: skip
        assert fault == NONE, f"message {self.next}, {self.message[0]}: {FAULTS[fault]}"

    def outcomes(self):
        return {outcome.name: int(self.book[0][OUTCOMES + outcome]) for outcome in Outcome}


@pytest.mark.parametrize("name", WEATHERS)
def test_nothing_that_must_hold_is_broken_in_a_storm(name):
    storm = Storm(WEATHERS[name], seed=list(WEATHERS).index(name))
    storm.blow(1_000_000 // len(WEATHERS), every=61 if WEATHERS[name].levels < 1000 else 997)
    assert storm.outcomes()["ACCEPTED"] > 30_000


def test_storms_meet_every_outcome_and_every_policy():
    storms = [Storm(weather, seed=9) for weather in WEATHERS.values()]
    for storm in storms:
        storm.blow(20_000, every=1000)
    for outcome in Outcome:
        assert sum(storm.outcomes()[outcome.name] for storm in storms) > 20, outcome.name
    for weather, storm in zip(WEATHERS.values(), storms, strict=True):
        assert (storm.book[0][PREVENTED] > 100) == (weather.self_trade != SelfTrade.ALLOW)
        assert storm.book[0][LIVE] <= weather.orders and storm.totals[1] > 10_000


@pytest.mark.long
def test_nothing_is_broken_in_a_billion_messages():
    blow_all(10**9)


def blow_all(count):
    """So many messages over all weathers, with progress."""
    began, storms, part = time.monotonic(), [Storm(weather, 77) for weather in WEATHERS.values()], 500_000
    for done in range(0, count, part * len(storms)):
        for storm, weather in zip(storms, WEATHERS.values(), strict=True):
            storm.blow(part, every=509 if weather.levels < 1000 else 20011)
        sofar, seconds = done + part * len(storms), time.monotonic() - began
        print(f"{sofar / 1e6:.0f} of {count / 1e6:.0f} million, {sofar / seconds / 1e6:.1f} a second")
