"""A replay of a feed with own orders in it: ``FeedReplay``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from marketsim.feeds import execution, ladder
from marketsim.feeds.events import Grid
from marketsim.feeds.types import EVENT, FILL, OPEN_ORDER, REQUEST, Ask, Kind, Queue
from marketsim.types import Outcome
from marketsim.yaml_text import InputError

KINDS = {kind.name.lower(): int(kind) for kind in Ask if kind != Ask.CANCEL}
QUEUES = {queue.name.lower(): int(queue) for queue in Queue}
NO_EVENTS = np.zeros(0, EVENT)


class FeedReplay:
    """Replays ``chunks`` of ``EVENT`` and lets own orders take part, without moving the market (docs/feeds.md).

    ``tick``, ``lot``: price and size units of one. ``queue``: what the place in a queue is estimated by,
    ``risk_averse`` (only trades advance it) or ``power`` (so do cancels, by a power ``exponent`` of the lots ahead and
    behind). ``latency``: ns from the sending of a request to its arrival. ``maker_fee``, ``taker_fee``: share of the value
    traded, negative is a rebate. ``levels``: ticks of the ladder's window, a power of two. ``orders``: own orders that may
    rest, and requests that may be on their way. The clock begins with the first event. Raises InputError.
    """

    def __init__(
        self,
        chunks: Iterable[np.ndarray],
        tick: float,
        lot: float,
        queue: str = "risk_averse",
        exponent: float = 3.0,
        latency: int = 0,
        maker_fee: float = 0.0,
        taker_fee: float = 0.0,
        levels: int = ladder.LEVELS,
        orders: int = 64,
    ):
        if queue not in QUEUES:
            raise InputError(f"queue: got {queue!r}, allowed are {', '.join(QUEUES)}")
        if levels < 2 or levels & (levels - 1):
            raise InputError(f"levels: got {levels}, it must be a power of two")
        for name, value, least in (("latency", latency, 0), ("exponent", exponent, 0), ("orders", orders, 1)):
            if not value >= least:
                raise InputError(f"{name}: got {value}, it must be at least {least}")
        self.grid = Grid(tick, lot)
        self.maker_fee, self.taker_fee = maker_fee, taker_fee
        self._exponent = float(exponent)
        self._book, self._sizes = ladder.ladder(levels)
        self._orders, self._requests = np.zeros(orders, OPEN_ORDER), np.zeros(orders, REQUEST)
        self._fills = np.zeros(2 * (levels + orders), FILL)
        self._account = execution.account()
        self._chunks = iter(chunks)
        self._events, self._last_chunk, self._told = NO_EVENTS, False, -(2**62)
        self._next_chunk()
        first = int(self._events["time"][0]) if len(self._events) else 0
        self._account[[execution.CLOCK, execution.NEXT_ACT]] = first
        self._account[execution.LATENCY] = latency
        self._account[execution.QUEUE] = QUEUES[queue]
        self.elapse(0)

    # --- what one does ---

    def elapse(self, ns: int) -> np.ndarray:
        """Let ``ns`` pass; returns what own orders traded meanwhile, ``FILL`` (n,)."""
        if ns < 0:
            raise InputError(f"elapse: got {ns} ns, it must be 0 or more")
        until = self.time + int(ns)
        return self._run(lambda: execution.advance(*self._state, self._events, self._last_chunk, until))

    def submit(self, side: int, price: float | None, size: float, kind: str = "limit") -> int:
        """Send an order: ``side`` +1 buys, ``price`` in price units (None for ``market``), ``size`` in size units.

        ``kind``: ``limit``, ``post_only``, ``ioc``, ``market``. Returns its id. It arrives after the latency, also where
        that is 0 only as time goes on (``elapse(0)``); what becomes of it is counted in ``outcomes``. Raises InputError:
        an unknown kind, a price between two ticks, a size between two lots, too many requests on their way.
        """
        if kind not in KINDS:
            raise InputError(f"submit: got {kind!r}, allowed are {', '.join(KINDS)}")
        ticks = 0 if price is None else _whole(price, self.grid.tick, "price")
        lots = _whole(size, self.grid.lot, "size")
        order = execution.submit(
            self._account, self._requests, KINDS[kind], side if side in (1, -1) else 0, ticks, lots
        )
        if order < 0:
            raise InputError(f"submit: {len(self._requests)} requests are on their way, no more are allowed")
        return int(order)

    def cancel(self, order: int) -> None:
        """Ask for an order to be cancelled; where it is filled or gone when that arrives, ``unknown_order`` is counted."""
        if not execution.cancel(self._account, self._requests, order):
            raise InputError(f"cancel: {len(self._requests)} requests are on their way, no more are allowed")

    def play(
        self, strategy: Callable[..., Any], every: int, memory: np.ndarray, until: int | None = None
    ) -> np.ndarray:
        """Run a compiled strategy to the end of the feed, or to the time ``until`` (ns); returns all fills.

        ``strategy(account, book, sizes, orders, requests, memory)``, a function of numba, is asked at the first event's
        time and every ``every`` ns from then on; what it may call and read is in ``execution`` and ``ladder``.
        """
        if every < 1:
            raise InputError(f"play: every: got {every} ns, it must be at least 1")
        self._account[execution.NEXT_ACT] = max(self._account[execution.NEXT_ACT], self.time)

        def drive() -> int:
            goal = until if until is not None else self._end()
            return execution.drive(strategy, memory, every, *self._state, self._events, self._last_chunk, goal)

        return self._run(drive)

    # --- what one sees ---

    @property
    def time(self) -> int:
        """ns."""
        return int(self._account[execution.CLOCK])

    @property
    def over(self) -> bool:
        """Whether the feed has told all that it holds."""
        return self._last_chunk and self._account[execution.NEXT] == len(self._events)

    @property
    def position(self) -> float:
        """Size units, + = long."""
        return float(self._account[execution.POSITION]) * self.grid.lot

    @property
    def fees(self) -> float:
        """Paid so far, price units x size units; negative where rebates are larger."""
        made, taken = self._account[[execution.MADE, execution.TAKEN]].tolist()
        return (self.maker_fee * made + self.taker_fee * taken) * self.grid.tick * self.grid.lot

    @property
    def cash(self) -> float:
        """Price units x size units, fees paid."""
        return float(self._account[execution.CASH]) * self.grid.tick * self.grid.lot - self.fees

    @property
    def bid(self) -> float | None:
        """The best bid of the feed, None where there is none."""
        return None if self._book[ladder.BID] == ladder.NO_BID else float(self._book[ladder.BID]) * self.grid.tick

    @property
    def ask(self) -> float | None:
        return None if self._book[ladder.ASK] == ladder.NO_ASK else float(self._book[ladder.ASK]) * self.grid.tick

    def depth(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The best ``n`` levels of either side (bids, asks), float64 (up to n, 2): price, size; best first."""
        low, levels = int(self._book[ladder.LOW]), self._sizes.shape[1]
        ticks = np.arange(low, low + levels)
        sides = []
        for row, order in ((0, slice(None, None, -1)), (1, slice(None))):
            lots = self._sizes[row, ticks & (levels - 1)]
            found = np.flatnonzero(lots)[order][:n]
            sides.append(np.stack([ticks[found] * self.grid.tick, lots[found] * self.grid.lot], axis=1))
        return sides[0], sides[1]

    @property
    def open_orders(self) -> np.ndarray:
        """Own orders that rest, in order of arrival, ``OPEN_ORDER`` (n,): ticks, lots, and lots estimated ahead."""
        return self._orders[: self._account[execution.OPEN]].copy()

    @property
    def outcomes(self) -> dict[str, int]:
        """Requests that have arrived, by what became of them: ``accepted``, or why not."""
        counts = self._account[execution.OUTCOMES :].tolist()
        return {outcome.name.lower(): counts[outcome] for outcome in Outcome if counts[outcome]}

    @property
    def lost(self) -> dict[str, int]:
        """Of the feed's levels: told beyond the window, left behind by it, reached by an update of the other side."""
        names = {"beyond": ladder.BEYOND, "left": ladder.LEFT, "crossed": ladder.CROSSED}
        return {name: int(self._book[field]) for name, field in names.items()}

    # --- inside ---

    @property
    def _state(self) -> tuple[Any, ...]:
        return self._account, self._book, self._sizes, self._orders, self._requests, self._fills, self._exponent

    def _run(self, work: Callable[[], int]) -> np.ndarray:
        fills = []
        while (status := work()) != execution.DONE or self._account[execution.FILLED]:
            filled = self._account[execution.FILLED]
            if filled:
                fills.append(self._fills[:filled].copy())
                self._account[execution.FILLED] = 0
            if status == execution.CHUNK_OVER:
                self._next_chunk()
            elif status == execution.DONE:
                break
        return np.concatenate(fills) if fills else self._fills[:0].copy()

    def _next_chunk(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is not None and len(chunk):
            chunk = _checked(chunk, self._told)
            self._told = int(chunk["time"][-1])
        self._last_chunk = chunk is None
        self._events = NO_EVENTS if chunk is None else chunk
        self._account[execution.NEXT] = 0

    def _end(self) -> int:
        """How far a strategy may go: to the end of this chunk, once there is no other to what it still knows."""
        return self.time if self._last_chunk else execution.NEVER - 1


def _whole(value: float, unit: float, name: str) -> int:
    ratio = value / unit
    if not (abs(ratio) < 2**53 and abs(ratio - round(ratio)) <= 1e-4):
        raise InputError(f"{name}: got {value}, it must be a whole number of {unit:.12g}")
    return round(ratio)


def _checked(chunk: np.ndarray, last: int) -> np.ndarray:
    """A chunk as the kernels read it. Raises InputError: another dtype, times that run backwards, negative sizes."""
    if chunk.dtype != EVENT or chunk.ndim != 1:
        raise InputError(f"chunks: got {chunk.dtype} of shape {chunk.shape}, allowed are rows of feeds.types.EVENT")
    for name, bad in (
        ("time", np.diff(chunk["time"], prepend=last) < 0),
        ("size", chunk["size"] < 0),
        ("side", np.abs(chunk["side"]) > 1),
        ("kind", (chunk["kind"] < min(Kind)) | (chunk["kind"] > max(Kind))),
    ):
        if bad.any():
            event = int(np.argmax(bad))
            raise InputError(f"chunks: event {event}: {name}: got {chunk[name][event]}, {_MUST[name]}")
    return np.ascontiguousarray(chunk)


_MUST = {
    "time": "it must be at least the time before it",
    "size": "it must be 0 or more",
    "side": "it must be 1, -1 or 0",
    "kind": "it must be one of types.Kind",
}
