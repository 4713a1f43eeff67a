"""Any sequence of messages to a small book does the same to its slow twin; what fails is shrunk to a few messages."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from marketsim.types import MAX_LOTS, MAX_TICKS, MESSAGE, Message, SelfTrade, TimeInForce
from tests.book_pair import Pair
from tests.messages_fixture import Mix

sides, tifs = st.sampled_from([1, -1, 1, -1, 0]), st.sampled_from([*TimeInForce, TimeInForce.GTC, 4])
prices = st.integers(-5, 5) | st.sampled_from([MAX_TICKS, -MAX_TICKS - 1, 57, 58, 59])
sizes = st.integers(0, 6) | st.sampled_from([MAX_LOTS, MAX_LOTS + 1])
orders, owners = st.integers(-1, 7), st.integers(-1, 3)


class TwoBooks(RuleBasedStateMachine):
    @initialize(
        self_trade=st.sampled_from(SelfTrade),
        desks=st.sampled_from([{}, {0: 1, 2: 1}]),
        room=st.integers(1, 6),
        levels=st.sampled_from([1, 4, 64]),
    )
    def open(self, self_trade, desks, room, levels):
        self.pair = Pair(Mix(levels=levels, orders=room, self_trade=self_trade, desks=desks), 1)

    def send(self, kind, order, owner, side=0, tif=0, price=0, size=0):
        self.pair.send(np.array([(kind, side, tif, price, size, order, owner)], MESSAGE))

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
