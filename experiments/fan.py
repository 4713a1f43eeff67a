"""The fan of P&L and inventory: how they are distributed at every step of an episode."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agents.config import Desk

LEVELS = (5, 25, 50, 75, 95)
MEMORY = 256_000_000  # bytes


class Fan:
    """P&L and inventory of every step and dealer, of as many episodes, the first ones, as fit into ``MEMORY``.

    Those of 20,000 episodes of five dealers and 96 steps do thrice over.
    """

    def __init__(self, desk: Desk, episodes: int):
        self._agents = desk.agents
        points = (desk.market.steps + 1) * len(desk.agents)
        kept = max(2, min(episodes, MEMORY // (2 * 4 * points)))
        self._paths = np.empty((2, desk.market.steps + 1, len(desk.agents), kept), dtype=np.float32)

    def add(self, first: int, step: int, pnl: np.ndarray, inventory: np.ndarray) -> None:
        """Where the episodes from number ``first`` on stand at ``step``, each (dealers, markets)."""
        kept = self._paths.shape[-1] - first
        if kept > 0:
            for values, path in zip((pnl, inventory), self._paths, strict=True):
                path[step, :, first : first + values.shape[1]] = values[:, :kept]

    def quantiles(self) -> pd.DataFrame:
        """A row a step and dealer."""
        _, steps, dealers, _ = self._paths.shape
        columns = {"step": np.repeat(np.arange(steps), dealers), "dealer": list(self._agents) * steps}
        for name, paths in zip(("pnl", "inventory"), self._paths, strict=True):
            columns[f"{name}_mean"] = paths.mean(axis=-1, dtype=float).ravel()
            paths.sort(axis=-1)
            for level in LEVELS:
                columns[f"{name}_{level:02d}"] = _quantile(paths, level / 100).astype(float).ravel()
        return pd.DataFrame(columns)


def _quantile(ascending: np.ndarray, level: float) -> np.ndarray:
    """The quantile along the last axis, linear between order statistics as numpy's."""
    place = level * (ascending.shape[-1] - 1)
    k = min(int(place), ascending.shape[-1] - 2)
    return ascending[..., k] + (place - k) * (ascending[..., k + 1] - ascending[..., k])
