"""The books of M markets and the traders around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from marketsim.book.config import Book, Trader
from marketsim.book.play import open_books, play_books, send_to
from marketsim.book.state import OUTCOMES, book_arrays, power_of_two
from marketsim.book.tables import block_table, book_table, roster_table
from marketsim.compiled import Direct
from marketsim.rng import market_keys
from marketsim.tape import PRINT, QUOTE, Tape
from marketsim.traders import state
from marketsim.types import LEDGER, MAX_TICKS, MESSAGE, NET, TRADE, Message, Outcome, SelfTrade, TimeInForce

_open_books, _play_books = Direct(open_books), Direct(play_books)
MAX_IN_MIND = 2**28  # orders: 2 GB


class BookMarkets:
    """``markets`` books with ``traders`` around them and ``dealers`` who trade in them: owners 0 to ``dealers`` - 1.

    ``log``: rows for the prints and for the quotes of each market, 0 = nothing is recorded. ``desks`` int32
    (owners,): see docs/book.md. Every array is (M, ...): ``arrays`` has them in the order in which ``book.play`` takes them.
    """

    def __init__(self, book: Book, traders: Sequence[Trader], dealers: int = 0, markets: int = 1, log: int = 0):
        self.book, self.traders, self.dealers, self.markets = book, tuple(traders), dealers, markets
        self.blocks = block_table(self.traders)
        self.roster, own = roster_table(self.traders, self.blocks, dealers)
        if own * markets > MAX_IN_MIND:
            raise ValueError(
                f"the traders of {markets} markets would keep {own * markets} orders in mind, at most {MAX_IN_MIND} are "
                "allowed: a higher cancel_rate makes them fewer"
            )
        self.parameters = book_table(book)
        owners = len(self.roster)
        self.desks = np.full(max(1, owners), -1, np.int32)
        M = markets
        books = book_arrays(M, book.levels, book.orders, SelfTrade[book.self_trade.upper()])
        self.head, self.levels, self.orders, self.index = (books[k] for k in ("head", "levels", "orders", "index"))
        self.trades = np.zeros((M, book.orders + 2), TRADE)
        self.clock = np.zeros((M, state.CLOCK), np.int64)
        self.agents = np.zeros((M, owners), state.AGENT)
        self.tree = np.zeros((M, 2 * power_of_two(max(2, owners))), state.NODE)
        self.own = np.zeros((M, own), np.int64)
        self.flight = np.zeros((M, book.in_flight + 1), state.FLIGHT)
        self.outbox = np.zeros((M, state.OUTBOX), MESSAGE)
        self.prints = np.zeros((M, log), PRINT)
        self.quotes = np.zeros((M, log), QUOTE)

        self.dealer = np.zeros((NET, dealers, M))
        self.ledger = np.zeros((len(LEDGER), dealers, M))
        self.key = np.zeros(M, np.uint64)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What the kernels of ``book.play`` take first, in their order."""
        return (
            *(self.parameters, self.blocks, self.roster, self.desks, self.head, self.levels, self.orders, self.index),
            *(self.trades, self.clock, self.agents, self.tree, self.own, self.flight, self.outbox),
            *(self.prints, self.quotes),
        )

    def reset(self, value: np.ndarray | float, seed: int = 0, episode: int = 0, first_market: int = 0) -> None:
        """Time 0 of an episode, after the warm-up; ``value``: F_0, price units, one or (M,)."""
        values = self._values(np.broadcast_to(np.asarray(value, float), self.markets))
        market_keys(seed, episode, first_market, self.key)
        self.dealer[:] = 0
        self.ledger[:] = 0
        _open_books.call(*self.arrays, self.dealer, self.ledger, self.key, values, 0, self.markets)

    def play(self, values: np.ndarray, dt: float, first: int = 0, last: int | None = None) -> np.ndarray:
        """Play steps ``first`` to ``last`` - 1 (default: all) of length ``dt``.

        ``values`` (steps + 1, M): F at the ends of the steps, price units; the mids there are returned, alike.
        """
        if values.ndim != 2 or values.shape[1] != self.markets:
            raise ValueError(f"values must be (steps + 1, {self.markets}), not {values.shape}")
        values = self._values(values)
        mids = np.full(values.shape, np.nan)
        last = len(values) - 1 if last is None else last
        _play_books.call(
            *(*self.arrays, self.dealer, self.ledger, self.key, values, mids, first, last, float(dt), 0, self.markets)
        )
        return mids

    def send(
        self, market: int, owner: int, kind: Message, side: int, price: int, size: int, order: int,
        tif: TimeInForce = TimeInForce.GTC, time: float = 0.0, latency: float = 0.0, mark: float = 0.0,
    ) -> int:  # fmt: skip
        """A dealer's message at ``time``, to arrive ``latency`` later: its ``Outcome``; ``play.IN_FLIGHT`` if it is on its
        way, ``play.LOST_MESSAGE`` if too many are. ``mark``: the mid against which its trades are booked, price units.
        """
        if not 0 <= owner < self.dealers:
            raise ValueError(f"owner {owner}: dealers 0 to {self.dealers - 1} may send")
        if not (latency >= 0 and np.isfinite(latency)):
            raise ValueError(f"latency {latency}: a time of at least 0 is allowed")
        if not 0 <= market < self.markets:
            raise ValueError(f"market {market} of {self.markets}")
        message = (int(field) for field in (kind, side, price, size, order, owner, tif))
        where = (self.dealer, self.ledger, float(mark), market, float(time), float(latency))
        return send_to(*self.arrays, *where, *message)

    def _values(self, values: np.ndarray) -> np.ndarray:
        """F as the kernels take it. ValueError where it is no price of the book."""
        values = np.array(values, float, order="C")  # a copy: numba has another type for arrays that are read-only
        if not (np.abs(values) < 0.5 * self.book.tick * MAX_TICKS).all():
            raise ValueError(f"a value must be a number below {0.5 * self.book.tick * MAX_TICKS:g} in size: 2^39 ticks")
        return values

    def snapshot(self) -> dict[str, np.ndarray]:
        """All that changes, as copies of plain arrays: records as their bytes, (M, bytes)."""
        return {name: _plain(getattr(self, name)).copy() for name in _STATE}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> None:
        """The markets as they were."""
        for name in _STATE:
            _plain(getattr(self, name))[:] = snapshot[name]

    def counts(self, market: int = 0) -> dict[str, int]:
        """Since reset: ``events`` of traders, ``requests`` that came to the book and, of those, how many by outcome
        (warm-up and opening included); ``lost``: messages that found no room in flight; ``held_back``: limit orders that
        a trader had no room to keep in mind; ``unrecorded``: rows that found no room in the log.
        """
        clock = self.clock[market]
        log = self.prints.shape[1]
        rows = {"events": state.EVENTS, "requests": state.REQUESTS, "lost": state.LOST, "held_back": state.HELD_BACK}
        counts = {name: int(clock[row]) for name, row in rows.items()}
        counts["unrecorded"] = int(sum(max(0, clock[row] - log) for row in (state.PRINTS, state.QUOTES)) if log else 0)
        return counts | {o.name.lower(): int(self.head[market, OUTCOMES + o]) for o in Outcome}

    def forget(self) -> None:
        """Begin the logs anew."""
        self.clock[:, [state.PRINTS, state.QUOTES]] = 0

    def tape(self, market: int = 0) -> Tape:
        """What was recorded of a market. ValueError if the log was too short."""
        prints, quotes = (int(self.clock[market, row]) for row in (state.PRINTS, state.QUOTES))
        room = self.prints.shape[1]
        if max(prints, quotes) > room:
            raise ValueError(f"{prints} prints and {quotes} quotes do not fit into a log of {room} rows")
        return Tape(self.quotes[market, :quotes].copy(), self.prints[market, :prints].copy(), tick=self.book.tick)


# all arrays but the parameters and what is written anew with every message
_STATE = (
    *("head", "levels", "orders", "index", "clock", "agents", "tree", "own", "flight", "prints", "quotes"),
    *("dealer", "ledger", "key"),
)


def _plain(array: np.ndarray) -> np.ndarray:
    """The array, or a view of the bytes of its records, which a checkpoint can hold."""
    return array if array.dtype.names is None else array.view(np.uint8).reshape(len(array), -1)


def simulate(
    book: Book,
    traders: Sequence[Trader],
    value: np.ndarray | float,
    steps: int,
    dt: float,
    seed: int = 0,
    episode: int = 0,
    market: int = 0,
) -> Tape:
    """The tape of a market of these traders alone, from time 0 to ``steps`` * ``dt``.

    ``value``: the exogenous value F, price units: a constant, or (steps + 1,). Deterministic in (seed, episode, market).
    """
    values = np.broadcast_to(np.asarray(value, float).reshape(-1, 1), (steps + 1, 1))
    rows = 1024
    while True:
        markets = BookMarkets(book, traders, log=rows)
        markets.reset(values[0], seed, episode, market)
        markets.play(values, dt)
        wanted = int(markets.clock[0, [state.PRINTS, state.QUOTES]].max())
        if wanted <= rows:
            return markets.tape()
        rows = wanted  # counted, so that the same market again fits
