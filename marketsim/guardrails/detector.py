"""The friendly face of ``drift``: one dealer's detector, its state and its last answer."""

from __future__ import annotations

import numpy as np

from marketsim.compiled import Direct
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.drift import HEAD, MEAN, ROWS, VARIANCE, start, update

_update = Direct(update)


class Detector:
    """The drift detector of one dealer in M markets; its state carries over from one episode to the next.

    ``false_alarm_every``: the mean number of quiet steps between false alarms, at least. ``calibration``: what
    ``calibration.fit`` returned. After an ``update``: ``alarm`` bool (M,), ``level`` (M,), ``share`` (S, M) of which
    ``level`` is the mean, ``leading`` (M,) index of the stream that contributes most; where there is an alarm also
    ``component`` (M,) index of its largest component and ``since`` (M,) values since it began to rise. All are
    overwritten by the next.
    """

    def __init__(self, calibration: Calibration, markets: int, false_alarm_every: float = 10_000.0):
        if markets < 1 or not 100.0 <= false_alarm_every < np.inf:
            raise ValueError(
                f"markets and false_alarm_every: got {markets} and {false_alarm_every}, allowed are at least 1 and 100 steps"
            )
        self.names, self.markets = calibration.names, markets
        self.threshold = float(false_alarm_every) + HEAD
        S = len(self.names)
        self.state = np.zeros((ROWS, S, markets))
        self.share, self.level = np.zeros((S, markets)), np.zeros(markets)
        self.alarm, self.leading = np.zeros(markets, dtype=bool), np.zeros(markets, dtype=np.int64)
        self.component, self.since = np.zeros(markets, dtype=np.int64), np.zeros(markets)
        self._bins = np.zeros(markets, dtype=np.int64)
        c = calibration
        self._calibration = (c.centre, c.low, c.high, c.autoregression, c.edges, c.ratios, c.weight, self.threshold)
        start(c.weight, self.state)

    def update(self, x: np.ndarray) -> np.ndarray:
        """Take in a step: ``x`` float64 (S, M), NaN where a stream has nothing to say. Returns ``alarm``."""
        if x.shape != self.share.shape or x.dtype != np.float64 or not x.flags.carray:
            if np.shape(x) != self.share.shape:
                raise ValueError(f"the streams have shape {np.shape(x)}, {self.share.shape} is needed")
            x = np.array(x, dtype=np.float64, order="C")
        _update.call(
            *self._calibration, self.state, x, self._bins, self.share, self.level, self.alarm, self.leading,
            self.component, self.since,
        )  # fmt: skip
        return self.alarm

    def words(self, market: int) -> str:
        """What an alarm of a market says: its leading stream, which way it went and for how long."""
        k = self.component[market]
        if VARIANCE[k] != 1.0:
            went = "more dispersed" if VARIANCE[k] > 1.0 else "less dispersed"
        else:
            went = "higher" if MEAN[k] > 0.0 else "lower"
        return f"{self.names[self.leading[market]]} is {went} than in its calibration, for about {self.since[market]:.0f} values"
