"""Any sequence of messages to a small book does the same to its slow twin; what fails is shrunk to a few messages."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from marketsim.types import MAX_LOTS, MAX_TICKS, MESSAGE, Message, SelfTrade, TimeInForce
from tests.book_pair import Pair
from tests.messages_fixture import Mix

# mostly what is accepted, near enough to meet
sides = st.sampled_from([1, -1] * 6 + [0])
tifs = st.sampled_from([TimeInForce.GTC] * 5 + [*TimeInForce] * 2 + [4])
prices = st.sampled_from([*range(-2, 3)] * 4 + [-40, 20, 23, 24, 25, MAX_TICKS, -MAX_TICKS - 1])
sizes = st.sampled_from([1, 2, 3] * 6 + [0, 7, MAX_LOTS, MAX_LOTS + 1])
orders = st.sampled_from([*range(8)] * 3 + [-1])
owners = st.sampled_from([-1, 0, 1, 2, 3])


class TwoBooks(RuleBasedStateMachine):
    @initialize(
        self_trade=st.sampled_from(SelfTrade),
        desks=st.sampled_from([{}, {0: 0, 2: 0}]),
        room=st.sampled_from([6, 4, 1]),
        levels=st.sampled_from([64, 4, 1]),
    )
    def open(self, self_trade, desks, room, levels):
        self.pair = Pair(Mix(levels=levels, orders=room, self_trade=self_trade, desks=desks), 1)

    def send(self, kind, order, owner, side=0, tif=0, price=0, size=0):
        self.pair.send(np.array([(kind, side, tif, price, size, order, owner)], MESSAGE))

    @rule(
        side=st.sampled_from([1, -1]),
        tif=st.sampled_from(TimeInForce),
        price=st.integers(-2, 2),
        size=st.integers(1, 3),
        owner=owners,
    )
    def sound_limit(self, **fields):
        free = min(set(range(8)) - set(self.pair.twin.orders))
        self.send(Message.LIMIT, order=free, **fields)

    @rule(side=sides, tif=tifs, price=prices, size=sizes, order=orders, owner=owners)
    def limit(self, **fields):
        self.send(Message.LIMIT, **fields)

    @rule(side=sides, tif=tifs, size=sizes, order=orders, owner=owners)
    def market(self, **fields):
        self.send(Message.MARKET, **fields)

    @rule(order=orders, owner=owners)
    def cancel(self, **fields):
        self.send(Message.CANCEL, **fields)

    @rule(price=prices, size=sizes, order=orders, owner=owners)
    def amend(self, **fields):
        self.send(Message.AMEND, **fields)

    @invariant()
    def hold_the_same(self):
        if hasattr(self, "pair"):
            self.pair.compare()
            self.pair.compare_views()


TestTwoBooks = TwoBooks.TestCase
TestTwoBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
