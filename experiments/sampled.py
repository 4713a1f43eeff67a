"""The sampled episodes: every step and every request of them, and what the book showed in the first few."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from marketsim.batch import MarketBatch, Step
from marketsim.quotes import markups_of
from marketsim.types import ASK, BID

BOOKS = 4  # of so many sampled episodes, what the book showed is kept
MOST_SHOWN = 100_000  # prints, and changes of the best quotes, in all of these


class Sampled:
    """The rows of the tables of sampled episodes, collected while a recording batch is played.

    Quotes and hedges of the steps are those a dealer asked for and those the guardrails let it trade; the markups are
    of the first segment's first size. Arrays given are (dealers, markets), the mid (markets,); the first ``count``
    markets of the batch are kept.
    """

    def __init__(self, batch: MarketBatch, count: int):
        self._batch, self._count = batch, count
        self._steps: list[dict[str, np.ndarray]] = []
        self._requests: list[pd.DataFrame] = []
        self._shown = _Shown(batch, min(count, BOOKS)) if batch.config.market.has_book else None

    def ask(
        self,
        mid: np.ndarray,
        inventory: np.ndarray,
        pnl: np.ndarray,
        actions: np.ndarray,
        quotes: Mapping[int, tuple[np.ndarray, np.ndarray]],
    ) -> None:
        """The state at a step's start, and what the dealers ask for: arguments of the batch's next step."""
        n = self._count
        if self._shown is not None and not self._steps:
            self._shown.look()  # how the episode opens
        mid, inventory, pnl = mid[:n], inventory[:, :n], pnl[:, :n]
        asked = np.empty((2, *inventory.shape))
        for i in range(len(inventory)):
            of_quotes = i in quotes
            asked[:, i] = quotes[i][0][:n, :, 0, 0].T if of_quotes else self._of_actions(i, actions[:n], inventory[i])
        self._state(mid, inventory, pnl, bid=asked[BID], ask=asked[ASK])

    def answer(self, step: Step, mid: np.ndarray) -> None:
        """What the step made of it; ``mid``: at its start."""
        self._steps[-1] |= {name: step.ledger[name].T[:, : self._count].copy() for name in ("hedge", "interventions")}
        if self._shown is not None:
            self._shown.look()
        requests = self._batch.requests
        table = pd.DataFrame(requests[requests["market"] < self._batch.first_market + self._count])
        winner = table["winner"].to_numpy()
        names = np.array([*self._batch.agents, None], dtype=object)  # -1, nobody, is the last
        market = table["market"].to_numpy()
        columns = {"episode": market, "mid": mid[market - self._batch.first_market], "winner_name": names[winner]}
        self._requests.append(table.assign(**columns))

    def end(self, mid: np.ndarray, inventory: np.ndarray, pnl: np.ndarray) -> None:
        """The state at the end of the episode."""
        n = self._count
        mid, inventory, pnl = mid[:n], inventory[:, :n], pnl[:, :n]
        nothing = np.full(inventory.shape, np.nan)
        self._state(mid, inventory, pnl, bid=nothing, ask=nothing)
        self._steps[-1] |= {"hedge": np.zeros(inventory.shape), "interventions": np.zeros(inventory.shape)}

    def steps(self) -> pd.DataFrame:
        """A row an episode, step and dealer."""
        N, M = len(self._batch.agents), self._count
        T = len(self._steps)
        number = self._batch.first_market + np.arange(M)
        keys = {
            "episode": np.repeat(number, T * N),
            "market": np.repeat(number, T * N),
            "step": np.tile(np.repeat(np.arange(T), N), M),
            "dealer": list(self._batch.agents) * (T * M),
        }
        names = ("mid", "inventory", "pnl", "hedge", "bid", "ask", "interventions")
        columns = {name: np.stack([s[name] for s in self._steps]).transpose(2, 0, 1).ravel() + 0.0 for name in names}
        return pd.DataFrame(keys | columns)

    def requests(self) -> pd.DataFrame:
        """A row a request."""
        table = pd.concat(self._requests, ignore_index=True)
        return table.sort_values(["episode", "step", "number"], ignore_index=True)

    def book(self) -> dict[str, pd.DataFrame]:
        """The tables of what the book showed, by name; none where there is no book."""
        return {} if self._shown is None else self._shown.tables()

    def _state(self, mid: np.ndarray, inventory: np.ndarray, pnl: np.ndarray, **quotes: np.ndarray) -> None:
        mids = np.broadcast_to(mid, inventory.shape)
        self._steps.append({"mid": mids, "inventory": inventory, "pnl": pnl, **quotes})

    def _of_actions(self, agent: int, actions: np.ndarray, inventory: np.ndarray) -> np.ndarray:
        """The first cell's markups (2, M); none where a component of the action is not finite."""
        action = actions[:, agent, : self._batch.action_widths[agent]]
        markups, _ = markups_of(self._batch.config, agent, action, inventory)
        return np.where(np.isfinite(action).all(axis=1), markups[:, :, 0, 0].T, np.nan)


class _Shown:
    """What the books of the first ``count`` markets showed: their prints, and each change of their best quotes.

    Both end with the last step before one of them would have more than ``MOST_SHOWN`` rows, or before a step of which
    the batch could not record everything.
    """

    def __init__(self, batch: MarketBatch, count: int):
        self._batch, self._count = batch, count
        self._tick, self._dt = batch.config.market.book.tick, batch.config.market.dt
        self._tables: dict[str, list[pd.DataFrame]] = {"best_quotes": [], "prints": []}
        self._last: list[tuple | None] = [None] * count
        self._room = dict.fromkeys(self._tables, MOST_SHOWN)
        self._full = False

    def look(self) -> None:
        """Keep what the last step showed."""
        if self._full:
            return
        try:
            tapes = self._batch.tapes[: self._count]
        except ValueError:  # more than the batch has room to record: a tape with holes would show what never was
            self._full = True
            return
        quotes = pd.concat([self._quotes(m, tape.quotes) for m, tape in enumerate(tapes)])
        prints = pd.concat([self._prints(m, tape.prints) for m, tape in enumerate(tapes)])
        for name, rows in (("best_quotes", quotes), ("prints", prints)):
            self._room[name] -= len(rows)
        self._full = min(self._room.values()) < 0
        if not self._full:
            self._tables["best_quotes"].append(quotes)
            self._tables["prints"].append(prints)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Sorted by episode and time."""
        return {
            name: pd.concat(rows, ignore_index=True).sort_values("episode", kind="stable", ignore_index=True)
            for name, rows in self._tables.items()
            if rows
        }

    def _quotes(self, m: int, quotes: np.ndarray) -> pd.DataFrame:
        """A step's log begins with how things stand: that is a change of nothing if they stood so before."""
        shown = [row[1:] for row in quotes.tolist()]
        if shown and shown[0] == self._last[m]:
            quotes = quotes[1:]
        self._last[m] = shown[-1] if shown else self._last[m]
        columns = {name: quotes[name] for name in ("bid", "bid_size", "ask", "ask_size")}
        columns |= {side: columns[side] * self._tick for side in ("bid", "ask")}
        return pd.DataFrame(self._keys(m, quotes["time"]) | columns)

    def _prints(self, m: int, prints: np.ndarray) -> pd.DataFrame:
        columns = {"price": prints["price"] * self._tick, "size": prints["size"], "aggressor": prints["side"]}
        return pd.DataFrame(self._keys(m, prints["time"]) | columns)

    def _keys(self, m: int, time: np.ndarray) -> dict[str, np.ndarray]:
        number = np.full(len(time), self._batch.first_market + m)
        return {"episode": number, "market": number, "time": time / self._dt}
