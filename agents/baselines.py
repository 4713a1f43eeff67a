"""Dealers that know nothing: the same markups always, or anything at all."""

from __future__ import annotations

import numpy as np

from agents.config import FixedSpec, RandomSpec
from agents.policy import Seat
from agents.reading import Reading
from marketsim import rng
from marketsim.tables import Tables


class Fixed:
    """The same markups always, and a fixed fraction of the inventory hedged each step.

    ``spec.markup``: price units, one number, or one a cell: bids then asks, segment-major, as in a ladder action;
    default the reference markup of each cell.
    """

    native = True

    def __init__(self, spec: FixedSpec, seat: Seat):
        tables = Tables.of(seat.config)
        cells = tables.cells
        if isinstance(spec.markup, tuple):
            if len(spec.markup) != len(cells):
                raise ValueError(
                    f"dealers.{seat.dealer.name}.policy.markup: {len(spec.markup)} markups for {len(cells)} cells "
                    f"(side, segment, size), allowed are one or {len(cells)}"
                )
            markup = np.array(spec.markup)[cells["ladder"]]
        else:
            markup = cells["reference"] if spec.markup is None else np.full(len(cells), spec.markup)
        self._markups = np.full(tables.quote_shape, np.nan)
        self._markups.flat[cells["quote"]] = markup
        self._hedge = spec.hedge
        self._reading = Reading(seat, "inventory") if spec.hedge else None

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same markups (M, 2, segments, sizes) always; hedge (M, 1) in lots, which the engine makes whole."""
        markets = len(observation)
        markups = np.broadcast_to(self._markups, (markets, *self._markups.shape))
        if self._reading is None:
            return markups, np.zeros((markets, 1))
        return markups, -self._hedge * self._reading.inventory(observation)[:, None]


class Random:
    """Uniform actions over the whole action range, drawn by counters, so that a market's do not depend on its batch."""

    native = False

    def __init__(self, spec: RandomSpec, seat: Seat):
        self._components = int(Tables.of(seat.config).dealers[seat.agent]["width"])
        self._first = seat.agent * 65536
        self._episode: tuple[int, int, int] | None = None

    def reset(self, seed: int, episode: int, first_market: int, markets: int, step: int = 0) -> None:
        """An episode starts, or is taken up at a step: draws are keyed by both."""
        self._episode, self._step = (seed, episode, first_market), step

    def act(self, observation: np.ndarray) -> np.ndarray:
        """float32 (M, components) in [-1, 1]."""
        if self._episode is None:
            raise RuntimeError("reset() comes before the first action")
        uniforms = np.empty((len(observation), self._components))
        rng.draws(*self._episode, rng.POLICY, self._step, self._first, uniforms)
        self._step += 1
        return (2.0 * uniforms - 1.0).astype(np.float32)
