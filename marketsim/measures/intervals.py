"""Intervals of figures and of their paired differences: BCa bootstrap over episodes and training seeds, one at a time
or simultaneous.

Episodes are resampled with replacement (many of them in groups of neighbours); every figure, dealer and design is
measured in the same resamples, so that a difference keeps the pairing of episodes that met the same clients. BCa:
Efron (1987, JASA 82:171).

Several training seeds are all measured on the same episodes: two crossed levels. A figure is the mean over the seeds of
each one's figure; the seeds' deviations enter every resample with a normal multiplier each (a wild bootstrap over
clusters, as Cameron, Gelbach and Miller 2008, Rev. Econ. Stat. 90:414), scaled to the unbiased variance of their
mean, and the interval is widened from the normal to Student's t with Satterthwaite's degrees of freedom, for the
seeds are few. One seed alone says nothing of the others: its interval is that of the policy it trained.

Simultaneous intervals hold all at once with 95%: every figure's BCa interval is taken at one common normal score, the
95% quantile over the resamples of the largest score of any figure (balanced sets by prepivoting: Beran 1988, JASA
83:679; the max-|t| method where figures are normal).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from scipy.stats import t as student

RESAMPLES = 4000
CONFIDENCE = 0.95
_CHUNK = 2_000_000  # weights held at once


class Measured(Protocol):
    """Episodes whose figures can be measured under weights: ``measures.figures.Sample``."""

    groups: int

    def under(self, weights: np.ndarray | None) -> np.ndarray: ...

    def without_each(self) -> np.ndarray: ...


class Resampled(NamedTuple):
    """Figures of one sample: as measured (F,), in every resample (B, F), and without each episode (n, F)."""

    value: np.ndarray
    replicates: np.ndarray
    without_each: np.ndarray


@dataclass(frozen=True)
class Contrast:
    """Figures, or differences of figures, ready for intervals.

    ``value`` (F,); ``replicates`` (B, F); ``acceleration`` (F,), of BCa; ``freedom`` (F,): degrees of freedom, inf
    where there is one training seed.
    """

    value: np.ndarray
    replicates: np.ndarray
    acceleration: np.ndarray
    freedom: np.ndarray

    def only(self, figures: Sequence[int]) -> Contrast:
        """Some of the figures."""
        picked = list(figures)
        parts = (self.value[picked], self.replicates[:, picked], self.acceleration[picked], self.freedom[picked])
        return Contrast(*parts)

    @staticmethod
    def joined(contrasts: Sequence[Contrast]) -> Contrast:
        """The figures of several as one family."""
        return Contrast(
            *(
                np.concatenate([getattr(c, name) for c in contrasts], axis=-1)
                for name in ("value", "replicates", "acceleration", "freedom")
            )
        )


class Intervals(NamedTuple):
    """``value``, ``low`` and ``high`` (F,); the bounds are NaN where a figure or a resample of it is not finite."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def resample(
    samples: Sequence[Measured], generator: np.random.Generator, resamples: int = RESAMPLES
) -> list[Resampled]:
    """The figures of samples of the same n episodes, in the same groups, in the same ``resamples``.

    A generator in the same state gives the same resamples: other samples can be measured in them later.
    """
    groups = samples[0].groups
    if any(sample.groups != groups for sample in samples):
        raise ValueError("samples that are resampled together must be of the same episodes")
    chunks: list[list[np.ndarray]] = [[] for _ in samples]
    for weights in _counts(groups, resamples, generator):
        for sample, parts in zip(samples, chunks, strict=True):
            parts.append(sample.under(weights))
    return [
        Resampled(sample.under(None)[0], np.concatenate(parts), sample.without_each())
        for sample, parts in zip(samples, chunks, strict=True)
    ]


def _counts(groups: int, resamples: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each group of episodes is in each resample, (b, groups) at a time."""
    rows = max(1, _CHUNK // groups)
    for start in range(0, resamples, rows):
        b = min(rows, resamples - start)
        drawn = generator.integers(groups, size=(b, groups)) + groups * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * groups).reshape(b, groups).astype(float)


def contrast(mine: Mapping[int, Resampled], other: Mapping[int, Resampled] | None = None) -> Contrast:
    """The figures of ``mine``, training seed -> its figures, less those of ``other`` where given.

    Where both have the same seeds, these are paired.
    """
    sides = [(mine, 1)] if other is None else [(mine, 1), (other, -1)]
    value, replicates, without_each = (
        sum(sign * np.mean([getattr(figures, name) for figures in side.values()], axis=0) for side, sign in sides)
        for name in ("value", "replicates", "without_each")
    )
    n = len(without_each)
    with np.errstate(divide="ignore", invalid="ignore"):  # a figure may be inf or NaN, and stays so
        influence = (without_each.mean(axis=0) - without_each) * np.sqrt((n - 1) / n)
        of_episodes, of_seeds, spent = replicates.var(axis=0), 0.0, np.zeros_like(value)
        for seeds, effects in _levels(sides):
            S = len(seeds)
            multipliers = np.stack([_multiplier(seed, len(replicates)) for seed in seeds], axis=1)
            replicates = replicates + multipliers @ (effects - effects.mean(axis=0)) / np.sqrt(S * (S - 1))
            variance = effects.var(axis=0, ddof=1) / S
            of_seeds, spent = of_seeds + variance, spent + variance**2 / (S - 1)
        skewness = (influence**3).sum(axis=0) / ((influence**2).sum(axis=0) + of_seeds) ** 1.5
        freedom = np.where(spent > 0, (of_episodes + of_seeds) ** 2 / spent, np.inf)
    return Contrast(value, replicates, np.nan_to_num(skewness / 6), freedom)


def _levels(sides: Sequence[tuple[Mapping[int, Resampled], int]]) -> list[tuple[list[int], np.ndarray]]:
    """The levels of training seeds: their numbers, and what each contributes (S, F); one level where all are paired."""
    levels = [(list(side), np.stack([sign * figures.value for figures in side.values()])) for side, sign in sides]
    if len(levels) == 2 and sorted(levels[0][0]) == sorted(levels[1][0]):
        (seeds, mine), (others, other) = levels
        levels = [(seeds, mine + other[[others.index(seed) for seed in seeds]])]
    return [level for level in levels if len(level[0]) > 1]


def intervals(contrast: Contrast, simultaneous: bool = False) -> Intervals:
    """95% intervals of the figures: each on its own, or ``simultaneous``: all of them at once."""
    score = _common_score(contrast.replicates) if simultaneous else ndtri((1 + CONFIDENCE) / 2)
    low, high = bca(contrast.value, contrast.replicates, contrast.acceleration, score)
    few = np.isfinite(contrast.freedom)
    wider = np.ones_like(contrast.value)
    wider[few] = student.ppf(ndtr(score), contrast.freedom[few]) / score
    return Intervals(
        contrast.value,
        contrast.value - wider * (contrast.value - low),
        contrast.value + wider * (high - contrast.value),
    )


def bca(
    value: np.ndarray, replicates: np.ndarray, acceleration: np.ndarray, score: float
) -> tuple[np.ndarray, np.ndarray]:
    """BCa bounds at -+ ``score`` standard deviations (Efron 1987, eq. 2.3 and 6.5).

    ``value`` (F,), ``replicates`` (B, F), ``acceleration`` (F,) -> low, high (F,).
    """
    B, F = replicates.shape
    below = ((replicates < value).sum(axis=0) + (replicates <= value).sum(axis=0)) / (2 * B)
    bias = ndtri(np.clip(below, 0.5 / B, 1 - 0.5 / B))
    bounds = np.full((2, F), np.nan)
    for row, z in enumerate((-score, score)):
        moved = bias + (bias + z) / np.maximum(1 - acceleration * (bias + z), 1e-9)
        for k in np.flatnonzero(np.isfinite(replicates).all(axis=0) & np.isfinite(value)):
            bounds[row, k] = np.quantile(replicates[:, k], ndtr(moved[k]))
    return bounds[0], bounds[1]


def _common_score(replicates: np.ndarray) -> float:
    """The normal score that the most extreme figure of a resample stays within in 95% of resamples."""
    varied = replicates[:, np.isfinite(replicates).all(axis=0) & (np.ptp(replicates, axis=0) > 0)]
    if not varied.shape[1]:
        return float(ndtri((1 + CONFIDENCE) / 2))
    scores = ndtri((rankdata(varied, axis=0) - 0.5) / len(varied))
    return float(np.quantile(np.abs(scores).max(axis=1), CONFIDENCE))


def _multiplier(seed: int, resamples: int) -> np.ndarray:
    """A training seed's normal multipliers: the same wherever the seed appears, which is what pairs it."""
    words = np.array([seed, 0x5EED], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words)).standard_normal(resamples)
