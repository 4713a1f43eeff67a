"""Mark-outs: what the trades with clients were worth some steps later, + = the dealer gains.

The mark-out of a lot bought at step t over h steps is S_{t+h} - S_t, of a lot sold its negative: the markup is not in
it, so it shows what the client knew. A trade whose horizon lies past the end of the episode is not marked.
"""

from __future__ import annotations

import numpy as np

HORIZONS = (1, 5, 20)


class Markouts:
    """Mark-outs summed over an episode while it is played, in memory of ``max(HORIZONS)`` steps.

    ``gain[h]``: sum of signed lots x mid move (price units x lots); ``lots[h]``: the lots that it is of; both
    (dealers, markets).
    """

    def __init__(self, dealers: int, markets: int):
        ring = max(HORIZONS)
        self.gain = {h: np.zeros((dealers, markets)) for h in HORIZONS}
        self.lots = {h: np.zeros((dealers, markets)) for h in HORIZONS}
        self._net = np.zeros((ring, dealers, markets))
        self._traded = np.zeros((ring, dealers, markets))
        self._mid = np.zeros((ring, markets))
        self._step = 0

    def add(self, mid: np.ndarray, bought: np.ndarray, sold: np.ndarray, next_mid: np.ndarray) -> None:
        """One step: lots ``bought`` and ``sold`` (dealers, markets) at ``mid``, which moves to ``next_mid`` (markets,)."""
        slot = self._step % len(self._mid)
        np.subtract(bought, sold, out=self._net[slot])
        np.add(bought, sold, out=self._traded[slot])
        self._mid[slot] = mid
        self._step += 1
        for h in HORIZONS:
            if self._step >= h:
                then = (self._step - h) % len(self._mid)
                self.gain[h] += self._net[then] * (next_mid - self._mid[then])
                self.lots[h] += self._traded[then]
