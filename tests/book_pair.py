"""A compiled book and its slow twin, fed the same messages and held to the same answers."""

import itertools

import numpy as np

from marketsim.book.index import find
from marketsim.book.ladder import ahead, depth, lots_at, next_level
from marketsim.book.matching import clear, process
from marketsim.book.state import (
    BEST_ASK,
    BEST_BID,
    CANCELLED,
    FILLED,
    LIVE,
    NO_ASK,
    NO_BID,
    OUTCOMES,
    PREVENTED,
    REJECTED,
    RESTING,
    SUBMITTED,
    TRADES,
    book_arrays,
    trade_log,
)
from marketsim.types import ANONYMOUS, MAX_LOTS, MAX_TICKS, MESSAGE, Message, Outcome
from tests.book_invariants import broken, process_watched
from tests.messages_fixture import MIXES, Mix, messages
from tests.rows import rows, table
from tests.twin.book import Book


class Pair:
    def __init__(self, mix, chunk):
        arrays = book_arrays(1, mix.levels, mix.orders, mix.self_trade)
        self.head, self.index = arrays["head"][0], arrays["index"][0]
        self.levels, self.orders = rows(arrays["levels"][0]), rows(arrays["orders"][0])
        self.desks = desk_table(mix.desks)
        self.trades = rows(trade_log(mix.orders, chunk))
        self.twin = Book(mix.levels, mix.orders, mix.self_trade, mix.desks)

    @property
    def book(self):
        return self.head, self.levels, self.orders, self.index

    def send(self, sent):
        """Each message to both: the same outcome, trades, best prices, lots there and counts, event by event."""
        outcomes, seen = np.zeros(len(sent), np.uint8), np.zeros((len(sent), 6), np.int64)
        self.head[TRADES] = 0
        process_watched(*self.book, self.desks, self.trades, rows(sent), outcomes, seen)
        trades, seen = table(self.trades)[: self.head[TRADES]].tolist(), seen.tolist()
        done = 0
        for message, outcome, after in zip(sent.tolist(), outcomes.tolist(), seen, strict=True):
            expected = self.twin.process(message)
            got = outcome, trades[done : after[0]]
            done = after[0]
            assert got == expected, (message, got, expected)
            assert after[1:] == self.touch(), (message, after[1:], self.touch())

    def touch(self):
        """Best bid, its lots, best ask, its lots, orders that rest: as ``process_watched`` notes them."""
        out = []
        for side, nobody in ((+1, NO_BID), (-1, NO_ASK)):
            price = self.twin.best(side)
            queue = self.twin.levels[side].get(price, ())
            out += [nobody if price is None else price, sum([order.lots for order in queue])]
        return [*out, len(self.twin.orders)]

    def compare(self):
        """All that the books hold: every queue in its order, every counter, and the invariants of the arrays."""
        assert self.queues() == {
            side: {price: self.twin.queue(side, price) for price in self.twin.prices(side)} for side in (+1, -1)
        }
        head, lots = self.head.tolist(), self.twin.lots
        assert head[OUTCOMES : OUTCOMES + len(Outcome)] == [self.twin.outcomes[o] for o in Outcome]
        counted = {
            "submitted": head[SUBMITTED],
            "filled": head[FILLED],
            "cancelled": head[CANCELLED],
            "rejected": head[REJECTED],
        }
        assert counted == dict(lots)
        assert head[RESTING] == self.twin.resting() == lots["submitted"] - sum(list(lots.values())[1:])
        assert (head[LIVE], head[PREVENTED]) == (len(self.twin.orders), self.twin.prevented)
        assert broken(*self.book) == 0

    def queues(self):
        """{side: {price: [(order, lots, owner)]}}, prices best first, read from the arrays."""
        orders, out = table(self.orders).tolist(), {+1: {}, -1: {}}
        for _, slot, _ in table(self.levels).tolist():
            queue = []
            while slot:
                number, price, lots, owner, side, behind, _ = orders[slot]
                queue.append((number, lots, owner))
                slot = behind
            if queue:
                out[side][price] = queue
        return {side: dict(sorted(levels.items(), key=lambda item: -side * item[0])) for side, levels in out.items()}

    def compare_views(self):
        """What is read of a book by walking it: level after level, depth, lots at a price, lots ahead of an order."""
        for side, best, nobody in ((+1, BEST_BID, NO_BID), (-1, BEST_ASK, NO_ASK)):
            levels, walked, price = self.twin.depth(side), [], self.head[best]
            while price != nobody:
                walked.append((price, lots_at(self.head, self.levels, price)))
                price = np.int64(next_level(self.head, self.levels, side, price))
            assert walked == levels
            for ticks in (0, 3):
                near = sum(lots for price, lots in levels if abs(price - levels[0][0]) <= ticks)
                assert depth(self.head, self.levels, side, ticks) == near
        assert find(self.orders, self.index, 2**62) == -1
        for number in self.twin.orders:
            slot = find(self.orders, self.index, number)
            assert ahead(self.levels, self.orders, slot) == self.twin.ahead(number)


def desk_table(desks):
    """{owner: desk} as the array that the kernels read."""
    out = np.full(max(desks, default=-1) + 1, -1, np.int32)
    for owner, desk in desks.items():
        out[owner] = desk
    return out


def agree(name, count, seed, chunk=400):
    """A mix of messages to both books; after each chunk of them all that the books hold is compared."""
    mix = MIXES[name]
    pair = Pair(mix, chunk)
    sent = messages(mix, count, seed)
    for start in range(0, count, chunk):
        pair.send(sent[start : start + chunk])
        pair.compare()
    pair.compare_views()
    return pair


def agree_in_one_batch(name, count, seed):
    """All messages at once leave what they leave one by one; a cleared book is a new one, and does so again."""
    one_by_one = agree(name, count, seed, chunk=count)
    pair = Pair(MIXES[name], count)
    new = pair.head.copy()
    for _ in range(2):
        outcomes = np.zeros(count, np.uint8)
        process(*pair.book, pair.desks, pair.trades, rows(messages(MIXES[name], count, seed)), outcomes)
        assert pair.queues() == one_by_one.queues()
        assert np.bincount(outcomes, minlength=len(Outcome)).tolist() == [one_by_one.twin.outcomes[o] for o in Outcome]
        assert pair.head[SUBMITTED:].tolist() == one_by_one.head[SUBMITTED:].tolist()
        clear(*pair.book)
        assert pair.head.tolist() == new.tolist() and broken(*pair.book) == 0 and pair.queues() == {+1: {}, -1: {}}


def agree_at_the_bounds():
    """Limit orders and amends of the largest prices and sizes, and of those one beyond."""
    for sign, beyond in itertools.product((+1, -1), (0, 1)):
        for kind, size in itertools.product((Message.LIMIT, Message.AMEND), (0, 1, MAX_LOTS, MAX_LOTS + 1)):
            pair = Pair(Mix(), 2)
            price = sign * MAX_TICKS
            rests = (Message.LIMIT, sign, 0, price, 5, 1, ANONYMOUS)
            bound = (kind, sign, 0, price + sign * beyond, size, 1 if kind == Message.AMEND else 2, ANONYMOUS)
            pair.send(np.array([rests, bound], MESSAGE))
            pair.compare()


def agree_quickly():
    """What tells most wrong books from the right one within a second or two, uncompiled; yields after each mix."""
    for count in (100, 1000):
        for number, (name, mix) in enumerate(MIXES.items()):
            agree(name, count, seed=number, chunk=50 if mix.levels < 1000 else 500)
            yield name
    agree_in_one_batch("plain", 500, seed=0)
    agree_at_the_bounds()
