"""Three unlike streams in quiet episodes."""

from __future__ import annotations

import numpy as np

from experiments.bench import drift as drift_bench


def quiet(seed: int = 0, steps: int = 1000, markets: int = 12) -> np.ndarray:
    """Three unlike streams: normal, autoregressive with fat tails, a count that is missing half of the time."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(0.7, (steps, markets)).astype(float)
    count[rng.random((steps, markets)) < 0.15] = np.nan
    return np.stack([rng.normal(size=(steps, markets)), drift_bench.heavy(rng, steps, markets), count], axis=1)


NAMES = ("level", "fat", "count")
