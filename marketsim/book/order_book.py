"""The friendly face of the matching engine: one book, its accounts, and what one asks of it. The rules: docs/book.md.

Prices are whole ticks and sizes whole lots everywhere; ``tick`` turns ticks into price units where cash is counted.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from marketsim.book.index import slot_of
from marketsim.book.matching import AMEND, enter
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
from marketsim.compiled import Direct, kernel
from marketsim.types import ANONYMOUS, MESSAGE, TRADE, Message, Outcome, SelfTrade, TimeInForce

MAX_LEVELS = MAX_ORDERS = 2**24
MAX_DESKED = 2**20  # owners that may have a desk: 0 to this, exclusive
_SIDES: dict[Any, int] = {1: 1, -1: -1, "buy": 1, "sell": -1}
_BOOK = ("head", "levels", "orders", "index")
_ROWS = 5  # of either side, shown by repr

OPEN = np.dtype([("order", "i8"), ("owner", "i4"), ("side", "i4"), ("price", "i8"), ("size", "i8")])
DEPTH = np.dtype([("price", "i8"), ("lots", "i8"), ("orders", "i8")])
ACCOUNT = np.dtype([("owner", "i8"), ("lots", "i8"), ("cash", "f8"), ("fees", "f8")])


class Account(NamedTuple):
    """What an owner's trades come to."""

    lots: int  # + = long
    cash: float  # price units x lots, fees paid; + = received
    fees: float  # price units; + = paid


class OrderRejected(Exception):
    """An order was not accepted, and the book is as it was; ``outcome`` says why."""

    def __init__(self, outcome: Outcome, order: int):
        super().__init__(f"order {order}: {outcome.name}")
        self.outcome = outcome


class OrderBook:
    """One limit-order book.

    ``tick``: price units a tick. ``levels``: consecutive ticks that the resting orders may span; ``orders``: how many may
    rest. ``maker_fee``, ``taker_fee``: price units a lot traded, negative = a rebate. ``self_trade``: "allow",
    "cancel_resting", "cancel_incoming" or "cancel_both", by owner, and by desk where ``desks`` ({owner: desk}) names one.

    ``outcomes`` and ``trades`` are those of the last call that sent messages.
    """

    def __init__(
        self,
        *,
        tick: float = 1.0,
        levels: int = 4096,
        orders: int = 16384,
        maker_fee: float = 0.0,
        taker_fee: float = 0.0,
        self_trade: str = "cancel_resting",
        desks: Mapping[int, int] | None = None,
    ):
        self.tick = _finite("tick", tick)
        if self.tick <= 0:
            raise ValueError(f"tick: got {tick!r}, must be above 0")
        self.maker_fee, self.taker_fee = _finite("maker_fee", maker_fee), _finite("taker_fee", taker_fee)
        policies = {policy.name.lower(): policy for policy in SelfTrade}
        if self_trade not in policies:
            raise ValueError(f"self_trade: got {self_trade!r}, allowed are {', '.join(policies)}")
        arrays = book_arrays(
            1,
            _whole("levels", levels, 1, MAX_LEVELS),
            _whole("orders", orders, 1, MAX_ORDERS),
            policies[self_trade],
        )
        self._book = {name: arrays[name][0] for name in _BOOK}
        self._desks = _desks(desks or {})
        self._accounts = np.zeros(0, ACCOUNT)
        self._next_order = 0
        self.outcomes = np.zeros(0, np.uint8)
        self.trades = np.zeros(0, TRADE)

    # --- sending ----------------------------------------------------------------------------------

    def process(self, messages: np.ndarray) -> np.ndarray:
        """Send messages (``types.MESSAGE``, one-dimensional), one after another; their trades, in order.

        What became of each message stands in ``outcomes``. Raises ValueError for another dtype or shape.
        """
        if not isinstance(messages, np.ndarray) or messages.dtype != MESSAGE:
            got = messages.dtype if isinstance(messages, np.ndarray) else type(messages).__name__
            raise ValueError(f"messages: got {got}, allowed is an array of marketsim.types.MESSAGE")
        if messages.ndim != 1:
            raise ValueError(f"messages: got the shape {messages.shape}, allowed is one dimension")
        messages = np.require(messages, requirements=["C", "A", "W"])  # one signature: compiled once
        head = self._book["head"]
        trades = trade_log(int(head[LIVE]), len(messages))
        bought, outcomes = np.zeros(len(trades), np.int8), np.zeros(len(messages), np.uint8)
        head[TRADES] = 0
        _SEND.call(*self._book.values(), self._desks, trades, messages, outcomes, bought)
        count = int(head[TRADES])
        self.outcomes, self.trades = outcomes, trades[:count].copy()
        self._book_keeping(self.trades, bought[:count].astype(np.int64))
        accepted = messages["order"][outcomes == Outcome.ACCEPTED]
        self._next_order = max(self._next_order, int(accepted.max(initial=-1)) + 1)
        return self.trades

    def limit(self, side: int | str, price: float, size: int, *, owner: int = ANONYMOUS, tif: str = "gtc") -> int:
        """A limit order at ``price`` ticks; its id. ``side``: "buy" or +1, "sell" or -1. Raises OrderRejected."""
        order = self._next_order
        tifs = {each.name.lower(): each for each in TimeInForce}
        if tif not in tifs:
            raise ValueError(f"tif: got {tif!r}, allowed are {', '.join(tifs)}")
        self._send(Message.LIMIT, order, side=_side(side), price=price, size=size, owner=owner, tif=tifs[tif])
        return order

    def market(self, side: int | str, size: int, *, owner: int = ANONYMOUS) -> int:
        """A market order; its id. What the other side cannot fill is cancelled. Raises OrderRejected."""
        order = self._next_order
        self._send(Message.MARKET, order, side=_side(side), size=size, owner=owner)
        return order

    def cancel(self, order: int, *, owner: int = ANONYMOUS) -> None:
        """Take what is left of an order out of the book. Raises OrderRejected."""
        self._send(Message.CANCEL, order, owner=owner)

    def amend(self, order: int, price: float, size: int, *, owner: int = ANONYMOUS) -> None:
        """Give an order another price, or other lots to be left open. Raises OrderRejected."""
        self._send(Message.AMEND, order, price=price, size=size, owner=owner)

    def _send(
        self, kind: Message, order: int, side: int = 0, price: float = 0, size: int = 0, owner: int = -1, tif: int = 0
    ) -> None:
        message = np.zeros(1, MESSAGE)
        message["kind"], message["side"], message["tif"] = kind, side, tif
        for field, value in (("order", order), ("price", price), ("size", size), ("owner", owner)):
            bounds = np.iinfo(MESSAGE[field])
            message[field] = _whole(field, value, bounds.min, bounds.max)
        self.process(message)
        if self.outcomes[0] != Outcome.ACCEPTED:
            raise OrderRejected(Outcome(int(self.outcomes[0])), order)

    # --- asking -----------------------------------------------------------------------------------

    @property
    def best_bid(self) -> int | None:
        """Ticks, or None where nobody bids."""
        return None if self._empty(1) else int(self._book["head"][BEST_BID])

    @property
    def best_ask(self) -> int | None:
        return None if self._empty(-1) else int(self._book["head"][BEST_ASK])

    @property
    def mid(self) -> float | None:
        """Ticks, or None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else (bid + ask) / 2

    @property
    def spread(self) -> int | None:
        """Ticks, or None where a side is empty."""
        bid, ask = self.best_bid, self.best_ask
        return None if bid is None or ask is None else ask - bid

    def depth(self, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The best ``n`` prices of bids and of asks, the best first: rows of price (ticks), lots, orders."""
        return self._side_depth(1, n), self._side_depth(-1, n)

    def queue_ahead(self, order: int) -> int:
        """Lots at its price that trade before an order. Raises OrderRejected if it does not rest."""
        orders = self._book["orders"]
        slots = self._slots()
        (places,) = np.nonzero(orders["order"][slots] == order)
        if not len(places):
            raise OrderRejected(Outcome.UNKNOWN_ORDER, order)
        lots, before = 0, orders["prev"][slots[places[0]]]
        while before:
            lots += int(orders["size"][before])
            before = orders["prev"][before]
        return lots

    def open_orders(self, owner: int | None = None) -> np.ndarray:
        """What rests, of one owner or of all, by id: rows of order, owner, side, price (ticks), size (open lots)."""
        rows = self._book["orders"][self._slots()]
        if owner is not None:
            rows = rows[rows["owner"] == owner]
        found = np.zeros(len(rows), OPEN)
        for field in OPEN.names or ():
            found[field] = rows[field]
        return np.sort(found, order="order")

    @property
    def counts(self) -> dict[str, int]:
        """Messages by outcome, times that a self-trade was prevented, and lots: submitted = filled + cancelled + resting
        + rejected. Since the book is new."""
        head = self._book["head"]
        lots = {
            "submitted": SUBMITTED,
            "filled": FILLED,
            "cancelled": CANCELLED,
            "resting": RESTING,
            "rejected": REJECTED,
            "self_trades_prevented": PREVENTED,
        }
        by_outcome = {outcome.name.lower(): int(head[OUTCOMES + outcome]) for outcome in Outcome}
        return by_outcome | {name: int(head[row]) for name, row in lots.items()}

    @property
    def accounts(self) -> dict[int, Account]:
        """What the trades since the book is new come to, by owner; all that are anonymous are one, -1.

        Over all owners lots sum to 0 and cash to minus the fees. Exact while price * lots stays below 2^53 ticks x lots.
        """
        return {
            int(row["owner"]): Account(int(row["lots"]), float(row["cash"]), float(row["fees"]))
            for row in self._accounts
        }

    # --- keeping ----------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, np.ndarray]:
        """All that the book is, as plain arrays; its settings are the constructor's."""
        arrays = self._book | {"accounts": self._accounts, "next_order": np.array(self._next_order)}
        return {name: array.copy() for name, array in arrays.items()}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> None:
        """Go back to a snapshot, of this book or of one made with the same ``levels`` and ``orders``."""
        expected = self.snapshot()
        if set(snapshot) != set(expected):
            raise ValueError(f"snapshot: got {sorted(snapshot)}, allowed is {sorted(expected)}")
        for name, mine in expected.items():
            theirs = snapshot[name]
            if theirs.dtype != mine.dtype or (name != "accounts" and theirs.shape != mine.shape):
                raise ValueError(f"snapshot: {name} is that of a book with other levels or orders")
        for name, array in self._book.items():
            array[:] = snapshot[name]
        self._accounts = snapshot["accounts"].copy()
        self._next_order = int(snapshot["next_order"])

    def __repr__(self) -> str:
        bids, asks = self.depth(_ROWS)
        head = self._book["head"]
        lines = [f"OrderBook: {head[LIVE]} orders, {head[RESTING]} lots; price in ticks, lots (orders)"]
        lines += [f"  ask {row['price']:>12} {row['lots']:>10} ({row['orders']})" for row in asks[::-1]]
        lines += [f"  bid {row['price']:>12} {row['lots']:>10} ({row['orders']})" for row in bids]
        return "\n".join(lines)

    def _empty(self, side: int) -> bool:
        head = self._book["head"]
        return head[BEST_BID] == NO_BID if side > 0 else head[BEST_ASK] == NO_ASK

    def _slots(self) -> np.ndarray:
        """The slots of all orders that rest."""
        index = self._book["index"]
        return index[index != 0]

    def _side_depth(self, side: int, n: int) -> np.ndarray:
        rows = self._book["orders"][self._slots()]
        rows = rows[rows["side"] == side]
        prices, level, orders = np.unique(rows["price"] * -side, return_inverse=True, return_counts=True)
        depth = np.zeros(len(prices), DEPTH)
        depth["price"], depth["orders"] = prices * -side, orders
        np.add.at(depth["lots"], level, rows["size"])
        return depth[: _whole("n", n, 0, MAX_LEVELS)]

    def _book_keeping(self, trades: np.ndarray, taker_side: np.ndarray) -> None:
        """Add trades to the accounts; ``taker_side`` is +1 where the taker bought."""
        if not len(trades):
            return
        owner = np.maximum(np.concatenate([trades["maker_owner"], trades["taker_owner"]]), ANONYMOUS)
        lots = np.concatenate([-taker_side, taker_side]) * np.tile(trades["size"], 2)
        fees = np.concatenate([self.maker_fee * trades["size"], self.taker_fee * trades["size"]])
        cash = -lots * (np.tile(trades["price"], 2) * self.tick) - fees

        old = self._accounts
        owners, place = np.unique(np.concatenate([old["owner"], owner]), return_inverse=True)
        self._accounts = np.zeros(len(owners), ACCOUNT)
        self._accounts["owner"] = owners
        for field, added in (("lots", lots), ("cash", cash), ("fees", fees)):
            np.add.at(self._accounts[field], place, np.concatenate([old[field], added]))


@kernel
def _process(head, levels, orders, index, desks, trades, messages, outcomes, taker_sides):
    """As ``matching.process``, and the side of each trade's taker, which an amend does not carry."""
    for i in range(messages.shape[0]):
        m = messages[i]
        side = m.side
        if m.kind == AMEND:
            side = orders[slot_of(orders, index, m.order)].side
        first = head[TRADES]
        outcomes[i] = enter(
            head, levels, orders, index, desks, trades, m.kind, m.side, m.price, m.size, m.order, m.owner, m.tif
        )
        taker_sides[first : head[TRADES]] = side


_SEND = Direct(_process)


def _finite(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise ValueError(f"{name}: got {value!r}, allowed is a finite number")
    return float(value)


def _whole(name: str, value: float, low: int, high: int) -> int:
    """A whole number, also where it comes as a float."""
    if isinstance(value, float | np.floating) and value.is_integer():
        value = int(value)
    try:
        whole = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{name}: got {value!r}, allowed is a whole number") from None
    if not low <= whole <= high:
        raise ValueError(f"{name}: got {whole}, allowed is {low} to {high}")
    return whole


def _side(side: int | str) -> int:
    if not isinstance(side, Hashable) or side not in _SIDES:
        raise ValueError(f'side: got {side!r}, allowed are "buy" or 1, "sell" or -1')
    return _SIDES[side]


def _desks(desks: Mapping[int, int]) -> np.ndarray:
    """Owner -> desk as an array; -1 where an owner is a desk of its own."""
    table = {
        _whole("desks: owner", k, 0, MAX_DESKED - 1): _whole("desks: desk", v, 0, 2**31 - 1) for k, v in desks.items()
    }
    array = np.full(max(table, default=-1) + 1, -1, np.int32)
    for owner, desk in table.items():
        array[owner] = desk
    return array
