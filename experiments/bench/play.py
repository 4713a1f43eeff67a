"""A batch that plays by itself: what is timed when the market is."""

from __future__ import annotations

import numpy as np

from marketsim import MarketBatch, MarketConfig

EPISODES = 1  # of a repeat: short, so that some repeats are not interrupted


class Play:
    """Whole episodes of a batch under actions that are drawn beforehand."""

    def __init__(self, config: MarketConfig, markets: int, threads: int = 1):
        self.batch = MarketBatch(config, markets, threads=threads)
        shape = (8, markets, len(self.batch.agents), max(self.batch.action_widths))
        self.actions = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)

    @property
    def steps(self) -> int:
        """Market steps of a call."""
        return EPISODES * self.batch.steps * self.batch.markets

    def __call__(self) -> None:
        for _ in range(EPISODES):
            self.batch.reset()
            for t in range(self.batch.steps):
                self.batch.step(self.actions[t % len(self.actions)])
