"""What a batch consists of: the arrays that the compiled step reads and writes, laid out, checked, kept and restored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from marketsim.book.market import BookMarkets
from marketsim.book.rows import Books
from marketsim.config import MarketConfig
from marketsim.scratch import scratch
from marketsim.tables import Tables
from marketsim.types import AHEAD, LEDGER, LIMITS, LOSSES, REQUEST

_FEED = ("misled", "frozen", "lag", "offset")
_STATE = ("key", "market", "dealer", "observation", "terminated")  # what a snapshot copies whole
BOOK_LOG = 4096  # trades, and changes of the best quotes, that are recorded of a market in a step


def _books(config: MarketConfig, markets: int, log: int) -> BookMarkets:
    """The books of a batch: the dealers of the desk are one desk to their self-trade prevention."""
    market, desk = config.market, config.desk
    books = BookMarkets(market.book, market.traders, dealers=len(config.agents), markets=markets, log=log)
    if desk is not None:
        for i, dealer in enumerate(config.dealer_of):
            books.desks[i] = 0 if desk.dealers is None or dealer.name in desk.dealers else -1
    return books


class Buffers:
    """The arrays of M markets and N dealers, dealer-major and markets last; ``MarketBatch`` steps them.

    Nothing here moves a market. An array that the step needs is made in ``__init__``, takes its place among the
    step's arguments in ``_use`` and, if the next step depends on it, in ``snapshot``.
    """

    def __init__(self, config: MarketConfig, markets: int, seed: int, first_market: int, threads: int, record: bool):
        if markets < 1 or threads < 1:
            raise ValueError(f"markets and threads must be at least 1, not {markets} and {threads}")
        self.config = config
        self.tables = tables = Tables.of(config)
        self.agents = config.agents
        self.markets, self.seed, self.first_market, self.threads = markets, seed, first_market, threads
        self.steps = config.market.steps
        self.episode = -1
        self._step = 0
        M, N = markets, len(self.agents)
        self.widths = tuple(len(d.observation) for d in config.dealer_of)
        self.action_widths = tuple(int(w) for w in tables.dealers["width"])
        ring = int(tables.market["ahead"][0]) + 1
        self._market = np.zeros((AHEAD + 2 * ring, M))
        self._dealer = np.zeros((LOSSES + int(tables.dealers["window"].max()), N, M))
        # its own, for a run changes how the feed is, and the risk state
        self._params, self._settings = tables.market.copy(), tables.dealers.copy()
        self._limits_digest = self._digest_limits()
        self._key = np.zeros(M, dtype=np.uint64)
        self._observation = np.zeros((N, max(self.widths), M), dtype=np.float32)  # transposed views go outside
        self._ledger = np.zeros((len(LEDGER), N, M))
        self._reward = np.zeros((N, M))
        self._terminated = np.zeros((N, M), dtype=bool)
        self._reasons = np.zeros((N, M), dtype=np.uint32)
        self._warnings = np.zeros((N, M), dtype=np.uint32)
        self._slots = np.full(N, -1, dtype=np.int64)  # where a price-driven dealer's quotes stand, -1: it acts
        self._driven = False
        self._quotes = np.zeros((0, M, int(np.prod(tables.quote_shape))))
        self._hedges = np.zeros((0, M))
        self._idle = np.zeros((M, N, max(self.action_widths)), dtype=np.float32)
        self._scratch = [scratch(N, M) for _ in range(threads)]
        bounds = np.linspace(0, M, threads + 1).astype(int)
        self._chunks = [(int(lo), int(hi)) for lo, hi in zip(bounds[:-1], bounds[1:], strict=True)]
        self._recording = record
        self._book_of = _books(config, M, BOOK_LOG if record else 0) if config.market.has_book else None
        flow = np.zeros(M)
        self._books = Books._make((*self._book_of.arrays, flow)) if self._book_of else None
        self._count = np.zeros(1, dtype=np.int64)
        self._use(tables)

    # --- the step's arguments ----------------------------------------------------------------------

    def _use(self, tables: Tables) -> None:
        """Lay out the compiled step's arguments, but for actions, quotes, hedges and the step, in its order."""
        feed = [self._params[name][0] for name in _FEED]
        risk = self.risk
        self.tables, self._params, self._settings = tables, tables.market.copy(), tables.dealers.copy()
        for name, value in zip(_FEED, feed, strict=True):
            self._params[name] = value
        self._settings["nu"], self._settings["kappa"] = risk.T
        dealers = self._settings.view()
        dealers.flags.writeable = False  # the signature that the step is compiled for
        self._log = np.zeros(self._log_size(), dtype=REQUEST)
        self._inputs = (
            *(self._params, tables.cells, dealers, tables.weights, tables.columns, tables.wanted),
            *(tables.regimes, tables.path, self._slots, self._key, self._market, self._dealer),
        )
        written = (
            self._observation,
            self._ledger,
            self._reward,
            self._terminated,
            self._reasons,
            self._warnings,
            self._log,
            self._count,
        )
        self._outputs = [
            (*written, *scratch, self.first_market, lo, hi)
            for scratch, (lo, hi) in zip(self._scratch, self._chunks, strict=True)
        ]

    def _use_own(self) -> None:
        """Undo a change of the rules."""
        own = Tables.of(self.config)
        if self.tables is not own:
            self._use(own)

    def _log_size(self) -> int:
        if not self._recording:
            return 0
        if self.threads > 1:
            raise ValueError("requests are recorded on one thread: threads=1")
        mean = float(self.tables.market["intensity"][0])
        return int(self.markets * (mean + 12 * np.sqrt(mean) + 40))

    # --- the risk state; whether the limits are whole ----------------------------------------------

    @property
    def risk(self) -> np.ndarray:
        """The risk state (N, 2) of the dealers: nu in price units x lots, kappa; both 0 until ``set_risk``."""
        return np.column_stack([self._settings["nu"], self._settings["kappa"]])

    def _check_limits(self) -> None:
        if self._digest_limits() != self._limits_digest:
            raise RuntimeError("the limits are not those that the episode began with: somebody wrote into their table")

    def _digest_limits(self) -> bytes:
        """Of every limit, the desk's too, which nobody changes during an episode."""
        levels = [self._settings[name] for name, _ in LIMITS] + [self._params["desk_position"]]
        return hashlib.sha256(b"".join(level.tobytes() for level in levels)).digest()

    # --- keeping and restoring ---------------------------------------------------------------------

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, as plain arrays."""
        return {
            "counters": np.array([self.seed, self.episode, self.first_market, self._step], dtype=np.int64),
            "feed": np.array([self._params[name][0] for name in _FEED], dtype=np.float64),
            **{name: getattr(self, f"_{name}").copy() for name in _STATE},
            **self._books_kept(),
            "risk": self.risk,
        }

    def _books_kept(self) -> dict[str, np.ndarray]:
        if self._book_of is None or self._books is None:
            return {}
        kept = self._book_of.snapshot() | {"flow": self._books.flow.copy()}
        return {f"book.{name}": array for name, array in kept.items()}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> np.ndarray:
        """Continue from a snapshot of a batch of the same configuration and size; return its observation."""
        for name in _STATE:
            mine = getattr(self, f"_{name}")
            if mine.shape != snapshot[name].shape:
                raise ValueError(f"the snapshot's {name} is {snapshot[name].shape}, this batch needs {mine.shape}")
        self._use_own()
        for name in _STATE:
            getattr(self, f"_{name}")[...] = snapshot[name]
        if self._book_of and self._books:
            kept = {name.removeprefix("book."): array for name, array in snapshot.items() if name.startswith("book.")}
            self._books.flow[:] = kept.pop("flow")
            self._book_of.restore(kept)
        for name, value in zip(_FEED, snapshot["feed"], strict=True):
            self._params[name] = value
        self._settings["nu"], self._settings["kappa"] = snapshot["risk"].T
        self.seed, self.episode, first_market, self._step = (int(x) for x in snapshot["counters"])
        self._limits_digest = self._digest_limits()
        if first_market != self.first_market:
            raise ValueError(f"the snapshot begins at market {first_market}, this batch at {self.first_market}")
        return self._observation.transpose(2, 0, 1)
