"""The array API: many markets stepping together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from marketsim import engine
from marketsim.book import step as in_book
from marketsim.book.play import open_books
from marketsim.buffers import Buffers
from marketsim.compiled import Direct
from marketsim.config import MarketConfig
from marketsim.tables import Tables
from marketsim.tape import Tape
from marketsim.types import (
    AHEAD,
    CASH,
    HISTORY,
    HISTORY_LENGTH,
    IMPACT,
    INVENTORY,
    LEDGER,
    MID,
    ORDERS,
    SEEN,
    Order,
    Price,
)

_step, _step_in_book = Direct(engine.step), Direct(in_book.step)


@dataclass(frozen=True, slots=True)
class Step:
    """What a step returns: views into the batch's buffers, valid until its next step.

    ``observation`` float32 (M, N, width); ``reward`` float64 (M, N); ``terminated``, ``truncated`` bool (M, N);
    ``ledger`` {term: float64 (M, N)}, see ``types.Ledger``; ``reasons`` uint32 (M, N), bits of
    ``types.Reason``: why the guardrails intervened; ``warnings``: past which soft levels the step began.
    """

    observation: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ledger: Mapping[str, np.ndarray]
    reasons: np.ndarray
    warnings: np.ndarray


class MarketBatch(Buffers):
    """``markets`` independent copies of a market, stepped together; every dealer is driven from outside.

    Market m of episode e is the same for every batch size, thread count and neighbour: its randomness is keyed
    by (seed, e, first_market + m). ``record`` keeps the requests of the last step in ``requests``.
    """

    def __init__(
        self,
        config: MarketConfig,
        markets: int,
        seed: int = 0,
        first_market: int = 0,
        threads: int = 1,
        record: bool = False,
    ):
        super().__init__(config, markets, seed, first_market, threads, record)
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        M, N = markets, len(self.agents)
        truncated = (np.zeros((M, N), dtype=bool), np.ones((M, N), dtype=bool))
        # what step returns: within the episode, and at its end
        self.results = tuple(
            Step(
                self._observation.transpose(2, 0, 1),
                self._reward.T,
                self._terminated.T,
                flag,
                {name: self._ledger[k].T for k, name in enumerate(LEDGER)},
                self._reasons.T,
                self._warnings.T,
            )
            for flag in truncated
        )

    # --- what there is to see ----------------------------------------------------------------------

    @property
    def observation_names(self) -> dict[str, tuple[str, ...]]:
        """The columns of each dealer's observation."""
        return {name: dealer.observation for name, dealer in zip(self.agents, self.config.dealer_of, strict=True)}

    @property
    def action_names(self) -> dict[str, tuple[str, ...]]:
        """The components of each dealer's action."""
        sides = ("bid", "ask")
        segments = self.config.market.segments
        of_kind = {
            "ladder": tuple(f"{side} {s.name} {size}" for side in sides for s in segments for size in s.sizes),
            "skew": ("half_spread", "skew"),
            "offsets": ("bid_offset", "ask_offset", "bid_size", "ask_size", "keep"),
        }
        return {
            name: (*of_kind[dealer.action.kind], "hedge")
            for name, dealer in zip(self.agents, self.config.dealer_of, strict=True)
        }

    @property
    def state(self) -> dict[str, np.ndarray | int]:
        """The state as views, instrument axis last where there is one.

        ``mid``, ``exogenous`` (M, 1) price units; ``inventory`` (M, N, 1) lots; ``cash`` (M, N) price units x lots;
        ``regime`` (M,) where the price has regimes; ``step``.
        """
        ring = int(self.tables.market["ahead"][0]) + 1
        row = AHEAD + self._step % ring
        state: dict[str, np.ndarray | int] = {
            "mid": self._market[MID][:, None],
            "exogenous": self._market[row][:, None],
            "inventory": self._dealer[INVENTORY].T[:, :, None],
            "cash": self._dealer[CASH].T,
            "step": self._step,
        }
        if self.tables.market["price"][0] == Price.REGIME:
            state["regime"] = self._market[row + ring]
        return state

    @property
    def requests(self) -> np.ndarray:
        """The requests of the last step, ``types.REQUEST`` rows ordered by (market, number)."""
        rows = self._log[: int(self._count[0])]
        return rows[np.lexsort((rows["number"], rows["market"]))]

    @property
    def tapes(self) -> list[Tape]:
        """What the books of a recording batch showed in the last step, a tape a market."""
        if self._book_of is None:
            raise RuntimeError("there is no book in this market")
        return [self._book_of.tape(m) for m in range(self.markets)]

    # --- stepping ----------------------------------------------------------------------------------

    def reset(self, episode: int | None = None) -> np.ndarray:
        """Start the next episode, or the one named; return its first observation, float32 (M, N, width)."""
        self.episode = self.episode + 1 if episode is None else episode
        if self.episode < 0:
            raise ValueError(f"an episode is numbered from 0, not {self.episode}")
        self._step = 0
        self._terminated[:] = False
        self._count[0] = 0
        self._use_own()
        t = self.tables
        self._params["misled"] = False
        self._limits_digest = self._digest_limits()
        for (lo, hi), (work, _, keys) in zip(self._chunks, self._scratch, strict=True):
            engine.reset(
                self._params, self._inputs[2], t.columns, t.wanted, t.regimes, t.path, self._key, self._market, self._dealer,
                self._observation, work, keys, self.seed, self.episode, self.first_market, lo, hi,
            )  # fmt: skip
            if self._books:
                arrays = self._books[:-1]
                open_books(*arrays, self._dealer, self._ledger, self._key, self._market[AHEAD].copy(), lo, hi)
                in_book.begin_episode(
                    self._params, self._inputs[2], t.columns, t.wanted, self._market, self._dealer, self._observation,
                    self._books, work, lo, hi,
                )  # fmt: skip
        return self.results[0].observation

    def step(self, actions: np.ndarray | None, quotes: Mapping | None = None) -> Step:
        """One step under actions float32 (M, N, width), padded to the widest dealer's.

        ``quotes`` {dealer index or name: (markups (M, 2, segments, sizes), hedge (M, 1))} drives some dealers in
        price units and lots instead; their rows of ``actions`` are not read. Stepping past the end is an error.
        """
        if actions is None:
            actions = self._idle
        elif actions.shape != self._idle.shape or actions.dtype != np.float32 or not actions.flags.carray:
            if np.shape(actions) != self._idle.shape:
                raise ValueError(f"actions have shape {np.shape(actions)}, {self._idle.shape} is needed")
            actions = np.array(actions, dtype=np.float32, order="C")  # writeable too: one signature
        if quotes or self._driven:
            self._drive(quotes)
        return self.advance(actions)

    def step_quotes(self, markups: np.ndarray, hedge: np.ndarray) -> Step:
        """One step with every dealer driven in prices: markups (M, N, 2, segments, sizes), hedge (M, N, 1)."""
        N = len(self.agents)
        shape = (self.markets, N, *self.tables.quote_shape)
        if np.shape(markups) != shape or np.shape(hedge) != (self.markets, N, 1):
            raise ValueError(
                f"markups {np.shape(markups)} and hedge {np.shape(hedge)}: {shape} and {(self.markets, N, 1)} are needed"
            )
        return self.step(None, {i: (markups[:, i], hedge[:, i]) for i in range(N)})

    def _drive(self, quotes: Mapping | None) -> None:
        if self._driven:
            self._slots.fill(-1)
        self._driven = bool(quotes)
        if not quotes:
            return
        if len(self._quotes) < len(quotes):
            self._quotes = np.zeros((len(quotes), *self._quotes.shape[1:]))
            self._hedges = np.zeros((len(quotes), self.markets))
        shape = (self.markets, *self.tables.quote_shape)
        for slot, (agent, (markups, hedge)) in enumerate(quotes.items()):
            i = self.agents.index(agent) if isinstance(agent, str) else int(agent)
            if np.shape(markups) != shape or np.size(hedge) != self.markets:
                raise ValueError(
                    f"dealer {self.agents[i]}: markups {np.shape(markups)} and hedge {np.shape(hedge)}: "
                    f"{shape} and {(self.markets, 1)} are needed"
                )
            self._quotes[slot] = np.reshape(markups, (self.markets, -1))
            self._hedges[slot] = np.reshape(hedge, -1)
            self._slots[i] = slot

    def advance(self, actions: np.ndarray) -> Step:
        """``step`` without its checks, for actions float32 (M, N, width) in C order, driving the same dealers in the
        same quotes as the step before: 0.3 us less, which one market behind dictionaries feels."""
        if self.episode < 0:
            raise RuntimeError("reset() comes before the first step")
        if self._step >= self.steps:
            raise RuntimeError(f"the episode ended after {self.steps} steps; reset() starts the next one")
        if self._pool is None:
            if self._recording:
                self._count[0] = 0
                if self._book_of:
                    self._book_of.forget()
            self._run(actions, 0)
        else:
            others = [self._pool.submit(self._run, actions, k) for k in range(1, self.threads)]
            self._run(actions, 0)
            for other in others:
                other.result()
        self._step += 1
        if self._step == self.steps:
            self._check_limits()
        if self._recording and self._count[0] > len(self._log):
            raise RuntimeError(
                f"{self._count[0]} requests in a step, more than the {len(self._log)} that were foreseen"
            )
        return self.results[self._step == self.steps]

    def _run(self, actions: np.ndarray, chunk: int) -> None:
        arguments = (*self._inputs, actions, self._quotes, self._hedges, *self._outputs[chunk], self._step)
        if self._books is None:
            _step.call(*arguments)
        else:
            _step_in_book.call(*arguments, self._books)

    # --- governing ---------------------------------------------------------------------------------

    def order(self, agent: int, orders: np.ndarray | int) -> None:
        """Hold a dealer to ``types.Order`` bits, one int or (M,), from the next step on: until changed, across resets."""
        self._dealer[ORDERS, agent] = np.asarray(orders) & int(~Order(0))

    def set_risk(self, agent: int | str, nu: float, kappa: float) -> None:
        """Charge a dealer kappa >= 0 for its loss since reset beyond nu, from the next step on (docs/market.md).

        Between episodes: the charges of one add up only under one risk state. Raises ValueError.
        """
        if not (math.isfinite(nu) and 0 <= kappa < math.inf):
            raise ValueError(f"nu must be finite and kappa at least 0, not {nu} and {kappa}")
        row = self._settings[self.agents.index(agent) if isinstance(agent, str) else agent]
        row["nu"], row["kappa"] = nu, kappa

    def set_feed(self, frozen: bool = False, lag: int = 0, offset: float = 0.0) -> None:
        """What dealers see of the mid from the next step's end on, until it is set again or reset.

        ``frozen``: what they saw last; ``lag``: the mid of so many steps ago, 20 at most; ``offset``: price units off.
        They quote around what they see; hedges, clients and the ledger know the mid.
        """
        if not 0 <= lag < HISTORY_LENGTH:
            raise ValueError(f"a feed is 0 to {HISTORY_LENGTH - 1} steps late, not {lag}")
        if not self._params["misled"][0]:
            if not (frozen or lag or offset):
                return
            self._market[SEEN : SEEN + HISTORY_LENGTH] = self._market[HISTORY : HISTORY + HISTORY_LENGTH]
            self._params["misled"] = True
        self._params["frozen"], self._params["lag"], self._params["offset"] = frozen, lag, offset

    # --- what an overlay does to the market between two steps --------------------------------------

    def change(self, config: MarketConfig) -> None:
        """Go on under the rules of another configuration, until the next change, reset or restore.

        Dealers, cells, steps, observations and the furthest lead must be those of the batch's own configuration, else
        ValueError. Observations and limits keep its scales, for nobody tells the dealers. A new price model rules the moves that
        are not drawn yet: those from step ``state["step"] + ahead - 1`` on. A snapshot does not keep the rules.
        """
        if self.episode < 0:
            raise RuntimeError("reset() comes before the first change")
        own, new = Tables.of(self.config), Tables.of(config)
        if (reason := own.differs(new)) is not None:
            raise ValueError(f"the market cannot change in mid-episode to one of other {reason}")
        self._check_limits()
        self._use(new.in_scales_of(own))
        self._limits_digest = self._digest_limits()
        self._count[0] = 0

    def shock(self, amount: float | np.ndarray) -> None:
        """Move the mid of the next step and of all later ones by ``amount`` price units, a scalar or (M,).

        It is booked as impact, which no price model reads and nobody foresees: F stays what it is without the shock.
        """
        self._market[IMPACT] += amount

    def __getstate__(self):
        """A copy gets buffers of its own, and views of those; the ledger and rewards of the last step stay behind."""
        arguments = (self.config, self.markets, self.seed, self.first_market, self.threads, self._recording)
        return arguments, self.snapshot()

    def __setstate__(self, state) -> None:
        arguments, snapshot = state
        MarketBatch.__init__(self, *arguments)
        self.restore(snapshot)
