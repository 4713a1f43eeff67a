"""What an episode's path of P&L and inventory was like on the way: drawdown, worst loss, inventory and its half-life."""

from __future__ import annotations

import numpy as np


class Paths:
    """Measures of the paths of P&L and inventory, kept up while they are played; all arrays (dealers, markets).

    ``drawdown``: largest fall of the P&L from an earlier peak, the start at 0 included; ``worst_loss``: largest loss
    since the start, at least 0; ``max_inventory``: largest abs(q) at the steps' boundaries; ``square`` and
    ``product``: sums of q_t^2 and q_t q_{t+1}, for ``half_life``.
    """

    def __init__(self, dealers: int, markets: int):
        self.peak, self.drawdown, self.worst_loss, self.max_inventory, self.square, self.product, self._held = np.zeros(
            (7, dealers, markets)
        )

    def add(self, pnl: np.ndarray, inventory: np.ndarray, last: bool = False) -> None:
        """The P&L since the start and the inventory after another step.

        The last step's pair is left out of the half-life: what is liquidated there was not worked off.
        """
        np.maximum(self.peak, pnl, out=self.peak)
        np.maximum(self.drawdown, self.peak - pnl, out=self.drawdown)
        np.maximum(self.worst_loss, 0.0 - pnl, out=self.worst_loss)
        np.maximum(self.max_inventory, np.abs(inventory), out=self.max_inventory)
        if not last:
            self.square += self._held * self._held
            self.product += self._held * inventory
        self._held[...] = inventory


def half_life(product: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Steps in which half of an inventory is gone: log(1/2) / log(rho), rho = sum q_t q_{t+1} / sum q_t^2.

    rho is the least-squares estimate of the AR(1) q_{t+1} = rho q_t + e, without a constant: the inventory that
    the dealer returns to is none. As Madhavan and Smidt (1993, J. Finance 48:1595) and Hansch, Naik and Viswanathan
    (1998, J. Finance 53:1623) measure the inventories of dealers. 0 where it does not last a step (rho <= 0), inf where
    it is not worked off (rho >= 1), NaN where there never was one.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = np.asarray(product, dtype=float) / square
        return np.where(np.isnan(rho), np.nan, np.where(rho >= 1, np.inf, np.log(0.5) / np.log(np.clip(rho, 0.0, 1.0))))
