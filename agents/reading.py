"""What a policy reads off its observation: the inventory in lots and the time that is left."""

from __future__ import annotations

import numpy as np

from agents.policy import Seat
from marketsim.tables import Tables


class Reading:
    """The columns of a dealer's observation that a policy needs.

    Raises ValueError, a sentence with the path of the key, where the dealer does not observe one of ``names``.
    """

    def __init__(self, seat: Seat, *names: str):
        seen = seat.dealer.observation
        for name in names:
            if name not in seen:
                raise ValueError(
                    f"dealers.{seat.dealer.name}.observation: policy {seat.dealer.policy.kind} needs {name!r}, "
                    f"it observes {', '.join(seen)}"
                )
        self._column = {name: seen.index(name) for name in names}
        self._steps = seat.config.market.steps
        self._scale = float(Tables.of(seat.config).dealers[seat.agent]["inventory_scale"])

    def inventory(self, observation: np.ndarray) -> np.ndarray:
        """(M, width) -> (M,) lots; whole, as float32 holds them up to 2^22."""
        return np.rint(observation[:, self._column["inventory"]].astype(np.float64) * self._scale)

    def steps_left(self, observation: np.ndarray) -> np.ndarray:
        """(M, width) -> (M,) steps to the end, float64 and whole."""
        return np.rint(observation[:, self._column["time_left"]].astype(np.float64) * self._steps)
