"""How fast the matching engine takes messages, and the memory of one book.

The messages are drawn beforehand, in turn with the engine itself, so that cancels name orders that rest: 60% limit orders near a
moving mid, 30% cancels, 10% market orders, of six owners; 20 to 100 orders rest, 40 as a rule. All trades are logged, self-trades prevented.
"""

from __future__ import annotations

import numpy as np

from experiments import progress
from experiments.bench.engine import ELEMENTS, reference_kernel
from experiments.bench.rows import Row, alternate, rates
from marketsim.book.matching import process
from marketsim.book.state import LIVE, TRADES, book_arrays, trade_log
from marketsim.types import ANONYMOUS, MESSAGE, Message

MESSAGES = 200_000
REPEATS = 40
LEVELS, ORDERS = 4_096, 16_384
NO_DESKS = np.zeros(0, np.int32)
MIX = {Message.LIMIT: 0.6, Message.CANCEL: 0.3, Message.MARKET: 0.1}
OWNERS = 6
FEW, MANY = 20, 100  # orders that rest


def rows() -> list[Row]:
    """Messages a second, with a reference kernel in turn; and megabytes."""
    with progress.if_slow("compiling the matching engine, once ..."):
        Flow(draw(1))()
    with progress.if_slow(f"drawing {MESSAGES:,} messages ..."):
        flow = Flow(draw(MESSAGES))
    x = np.random.default_rng(0).random(ELEMENTS)
    taken, reference = alternate(REPEATS, flow, lambda: reference_kernel(x))
    elements = (taken.best / MESSAGES) / (reference.best / ELEMENTS)
    name = f"{MESSAGES:,} mixed messages to one book, owners and trade log"
    memory = sum(array.nbytes for array in book_arrays(1, LEVELS, ORDERS).values())
    return [
        *rates(name, taken, MESSAGES, "messages/s", 20e6, 40e6),
        Row("  a message in elements of the reference kernel", elements, "x"),
        Row("  trades a message", float(flow.book["head"][TRADES] / MESSAGES), ""),
        Row(f"one book of {LEVELS:,} levels and {ORDERS:,} orders", memory / 1e6, "MB", 2.0),
    ]


class Flow:
    """The same messages to an empty book, again and again: what is timed."""

    def __init__(self, messages: np.ndarray):
        self.messages = messages
        self.empty = {name: rows[0] for name, rows in book_arrays(1, LEVELS, ORDERS).items()}
        self.book = {name: array.copy() for name, array in self.empty.items()}
        self.trades, self.outcomes = trade_log(0, len(messages)), np.zeros(len(messages), np.uint8)

    def __call__(self) -> None:
        for name in ("head", "levels", "index"):
            self.book[name][:] = self.empty[name]
        process(*self.book.values(), NO_DESKS, self.trades, self.messages, self.outcomes)


def draw(messages: int) -> np.ndarray:
    """The flow. The more orders rest, the more limit orders trade and the larger market orders are."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(MIX), messages, p=list(MIX.values()))
    u = rng.random((messages, 4))
    mid = np.cumsum(rng.uniform(-0.1, 0.1, messages))
    drawn = np.zeros(messages, MESSAGE)
    drawn["kind"], drawn["order"] = kinds, np.arange(messages)
    drawn["side"], drawn["owner"] = rng.choice([-1, 1], messages), rng.integers(0, OWNERS, messages)

    arrays = {name: rows[0] for name, rows in book_arrays(1, LEVELS, 2 * MANY).items()}
    head, orders, index = arrays["head"], arrays["orders"], arrays["index"]
    trades, outcome = trade_log(2 * MANY, 1), np.zeros(1, np.uint8)
    for k in range(messages):
        message, live = drawn[k], head[LIVE]
        if kinds[k] == Message.CANCEL:
            slots = index[index != 0]
            if live:
                message["order"], message["owner"] = orders["order"][slots[int(u[k, 0] * live)]], ANONYMOUS
        elif kinds[k] == Message.MARKET:
            message["size"] = 1 + u[k, 0] * (20 if live > 2 * FEW else 6)
        else:
            crosses = u[k, 1] < (live - 1.5 * FEW) / (MANY - FEW)
            distance = -2 if crosses else 1 - 4 * np.log(u[k, 2])
            message["price"] = round(mid[k]) - message["side"] * int(distance)
            message["size"] = 1 + u[k, 0] * 10
        head[TRADES] = 0
        process(*arrays.values(), NO_DESKS, trades, drawn[k : k + 1], outcome)
    return drawn
