"""Calibration of the drift detector: what the streams of a frozen policy look like while nothing has changed.

Fitted once, on quiet episodes, and kept beside the policy. A calibration that already contains a drift would hide it for
good, so the quiet sample is held against itself first, and refused with the stream and the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.stats import norm

from marketsim.guardrails import drift
from marketsim.guardrails.drift import BINS, LAGS

SAMPLES = 10_000  # the least of a stream
VERSION = 1

_SMALLEST = 2  # samples in each outermost bin: of the sample's very ends little is known
_REACH = 10.0  # what is remembered for whitening is kept within this many times the quiet range, so that inf is too
_PARTS = 8  # that the sample is held against itself in
_SIGMAS, _SHIFT = 5.0, 0.1  # a part is another market if it is off by so many standard errors, and by so much
_TEMPERS = (1.0, 0.8, 0.6, 0.45)
# A component is tried at the thresholds that promise so many alarms on its own quiet sample; chance may add some sd.
_FEW, _COUNTED, _CHANCE = 20, 200, 1.5
_KEPT = ("centre", "low", "high", "autoregression", "edges", "counts", "temper")  # the rest follows from these


class CalibrationError(ValueError):
    """A quiet sample that a detector cannot be calibrated on; the message names the stream and the figure."""


@dataclass(frozen=True)
class Calibration:
    """Of S streams, in the order of ``names``; the arrays are those that ``drift.update`` takes.

    ``counts`` (S, BINS): quiet residuals in each bin. ``temper`` (S, K): the power that the likelihood ratios are raised
    to, below 1 where quiet residuals still depend on each other. ``dropped``: stream -> why it is not watched.
    """

    names: tuple[str, ...]
    dropped: Mapping[str, str]
    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray
    autoregression: np.ndarray
    edges: np.ndarray
    counts: np.ndarray
    temper: np.ndarray
    ratios: np.ndarray
    weight: np.ndarray

    def rows(self, names: Sequence[str]) -> np.ndarray:
        """Where its streams stand among ``names``, those of ``Streams``: ``detector.update(values[rows])``."""
        missing = [name for name in self.names if name not in names]
        if missing:
            raise CalibrationError(f"stream {missing[0]}: is calibrated, but not among {', '.join(names)}")
        return np.array([list(names).index(name) for name in self.names])

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and a JSON document, from which ``of`` makes the same calibration."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name in _KEPT}
        return arrays, {"version": VERSION, "names": list(self.names), "dropped": dict(self.dropped)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> Calibration:
        """Raises CalibrationError where arrays and document are not those of a calibration of this version."""
        if document.get("version") != VERSION:
            raise CalibrationError(f"version: got {document.get('version')!r}, this version reads {VERSION}")
        names = tuple(document["names"])
        S = len(names)
        shapes = {"autoregression": (S, LAGS), "temper": (S, drift.K), "edges": (S, BINS - 1), "counts": (S, BINS)}
        kept = {}
        for name in _KEPT:
            wanted = shapes.get(name, (S,))
            if name not in arrays or arrays[name].shape != wanted:
                found = arrays[name].shape if name in arrays else "nothing"
                raise CalibrationError(f"{name}: got {found}, {wanted} is needed for {S} streams")
            kept[name] = np.ascontiguousarray(arrays[name], dtype=np.float64)
            if np.isnan(kept[name]).any():
                raise CalibrationError(f"{name}: holds a NaN, the calibration is damaged")
        if (kept["counts"] < 0).any() or (kept["counts"].sum(axis=1) < SAMPLES).any():
            raise CalibrationError(f"counts: fewer than {SAMPLES} quiet samples, the calibration is damaged")
        if (kept["edges"][:, 1:] < kept["edges"][:, :-1]).any():
            raise CalibrationError("edges: they must ascend, the calibration is damaged")
        return cls(names, dict(document["dropped"]), **kept, **_weighing(kept["counts"], kept["temper"]))


def fit(names: Sequence[str], samples: np.ndarray) -> Calibration:
    """Calibrate on quiet ``samples`` (steps, streams, markets) of the frozen policy, in order of time, NaN = no value.

    A stream that never spoke or never changed is dropped, and said to be. Raises CalibrationError where a stream has
    fewer than ``SAMPLES`` values, where a part of the sample is not like the rest, or where nothing is left to watch.
    """
    dropped, kept = {}, []
    for s, name in enumerate(names):
        x = np.asarray(samples[:, s], dtype=np.float64)
        why = _silent(x)
        if why:
            dropped[name] = why
        else:
            kept.append((name, _fit_stream(name, x)))
    if not kept:
        raise CalibrationError("no stream is left to watch: " + "; ".join(f"{n} {why}" for n, why in dropped.items()))
    parts = {key: np.stack([part[key] for _, part in kept]) for key in kept[0][1]}
    return Calibration(tuple(n for n, _ in kept), dropped, **parts, **_weighing(parts["counts"], parts["temper"]))


def _silent(x: np.ndarray) -> str:
    values = x[np.isfinite(x)]
    if not len(values):
        return "never had a value"
    if values.max() - values.min() <= 1e-12 * np.abs(values).max():  # sums of one markup differ in their last digit
        return f"was {values[0]:.6g} throughout"
    return ""


def _fit_stream(name: str, x: np.ndarray) -> dict[str, np.ndarray]:
    finite = np.isfinite(x)
    count = int(finite.sum())
    if count < SAMPLES:
        raise CalibrationError(
            f"stream {name}: {count} quiet samples, at least {SAMPLES} are needed; play more episodes"
        )
    x = np.where(finite, x, np.nan)
    centre = np.nanmean(x)
    coefficients = autoregress(x - centre)
    residuals = whiten(x - centre, coefficients)
    edges, counts = bins_of(residuals[np.isfinite(residuals)])
    index = np.searchsorted(edges, residuals)
    hold_against_itself(name, np.where(finite, scores(counts)[index], np.nan))
    reach = _REACH * np.nanmax(np.abs(x - centre))
    stream = {
        "centre": centre, "low": centre - reach, "high": centre + reach, "autoregression": coefficients,
        "edges": edges, "counts": counts,
    }  # fmt: skip
    powers = temper(counts, np.where(finite, index, -1))
    if not powers.any():
        raise CalibrationError(
            f"stream {name}: its quiet values depend on each other so much that no component keeps its run length on the "
            f"{count} quiet samples themselves, or the sample holds a drift"
        )
    return stream | {"temper": powers}


# --- whitening ---------------------------------------------------------------------------------------


def _chains(x: np.ndarray) -> list[np.ndarray]:
    """The values of each market in order, without the NaN between them: a stream's own time."""
    return [column[np.isfinite(column)] for column in x.T]


def autoregress(x: np.ndarray) -> np.ndarray:
    """Coefficients (LAGS,) of centred x (steps, markets): Yule-Walker, the order by the criterion of Schwarz (1978)."""
    chains = _chains(x)
    n = sum(len(c) for c in chains)
    covariance = np.array(
        [sum(float(c[lag:] @ c[: len(c) - lag]) for c in chains if len(c) > lag) / n for lag in range(LAGS + 1)]
    )
    best, chosen = n * np.log(covariance[0]), np.zeros(LAGS)
    for order in range(1, LAGS + 1):
        phi = solve_toeplitz(covariance[:order], covariance[1 : order + 1])
        variance = covariance[0] - phi @ covariance[1 : order + 1]
        if variance <= 1e-12 * covariance[0]:
            break
        criterion = n * np.log(variance) + order * np.log(n)
        if criterion < best:
            best, chosen = criterion, np.concatenate([phi, np.zeros(LAGS - order)])
    return chosen


def whiten(x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Residuals of centred x (steps, markets), NaN where x is; before its first value a stream was at its centre."""
    out = np.full(x.shape, np.nan)
    for m, column in enumerate(x.T):
        seen = np.flatnonzero(np.isfinite(column))
        values = column[seen]
        past = np.concatenate([np.zeros(LAGS), values])
        residual = values.copy()
        for lag in range(1, LAGS + 1):
            residual -= coefficients[lag - 1] * past[LAGS - lag : len(past) - lag]
        out[seen, m] = residual
    return out


# --- ranks -------------------------------------------------------------------------------------------


def bins_of(residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``edges`` (BINS - 1,) and ``counts`` (BINS,) of a sample: equal steps of log tail share, tied values together.

    An edge stands midway between two values. The outermost bins hold the ``_SMALLEST`` values at each end and take what
    lies beyond them.
    """
    values, ties = np.unique(residuals, return_counts=True)
    n = len(residuals)
    rank = (np.cumsum(ties) - ties / 2.0) / n
    depth = np.log(np.maximum(np.minimum(rank, 1.0 - rank), _SMALLEST / n) / 0.5)
    width = 2.0 * np.log(n / (2.0 * _SMALLEST)) / (BINS - 4)
    cell = np.floor(np.where(rank < 0.5, depth, -depth) / width)
    first = np.flatnonzero(np.diff(cell)) + 1  # values that begin a bin
    edges, counts = np.full(BINS - 1, np.inf), np.zeros(BINS)
    edges[: len(first)] = (values[first - 1] + values[first]) / 2.0
    counts[: len(first) + 1] = np.add.reduceat(ties, np.concatenate([[0], first]))
    return edges, counts


def _bounds(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal scores between which each bin lies, and its share of the sample."""
    rank = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    z = norm.ppf(np.clip(rank, 0.0, 1.0))
    return z[:-1], z[1:], counts / counts.sum()


def scores(counts: np.ndarray) -> np.ndarray:
    """The mean normal score of each bin (BINS,): E[Z | a < Z < b] = (phi(a) - phi(b)) / P(bin)."""
    a, b, share = _bounds(counts)
    return np.divide(norm.pdf(a) - norm.pdf(b), share, out=np.zeros(len(share)), where=share > 0)


def likelihood_ratios(counts: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """P_k(bin) / P_0(bin) to the component's power, (K, BINS), scaled to mean 1 over the sample; 0 at power 0."""
    a, b, share = _bounds(counts)
    ratios = np.zeros((drift.K, len(share)))
    for k in np.flatnonzero(powers):
        sd = np.sqrt(drift.VARIANCE[k])
        mass = _between((a - drift.MEAN[k]) / sd, (b - drift.MEAN[k]) / sd)
        raw = np.divide(mass, share, out=np.zeros(len(share)), where=share > 0) ** powers[k]
        ratios[k] = raw / (raw @ share)
    return ratios


def _weighing(counts: np.ndarray, powers: np.ndarray) -> dict[str, np.ndarray]:
    """``ratios`` (S, K, BINS), and ``weight`` (S, K): the silent components' goes to the others of their stream."""
    weight = np.where(powers > 0, drift.WEIGHT, 0.0)
    ratios = np.stack([likelihood_ratios(c, p) for c, p in zip(counts, powers, strict=True)])
    return {"ratios": ratios, "weight": weight / weight.sum(axis=1, keepdims=True)}


def _between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """P(a < Z < b), accurate in both tails."""
    return np.where(a > 0.0, norm.sf(a) - norm.sf(b), norm.cdf(b) - norm.cdf(a))


# --- the sample held against itself ------------------------------------------------------------------


def hold_against_itself(name: str, score: np.ndarray) -> None:
    """Raise CalibrationError where a part of the scores (steps, markets) has another mean or spread than the rest.

    Parts: eighths of the time; groups of markets. A part's standard error comes from its own pieces, so that what
    dependence is left between steps counts.
    """
    steps, markets = score.shape
    per_market = np.isfinite(score).sum() / markets
    groups = int(min(markets, max(_PARTS, markets * per_market // 500)))
    pieces = min(steps, _PARTS * _PARTS)
    row, column = np.arange(steps) * pieces // steps, np.arange(markets) * groups // markets
    cell = (row[:, None] * groups + column).ravel()
    value = score.ravel()
    seen = np.isfinite(value)
    number = np.bincount(cell[seen], minlength=pieces * groups).reshape(pieces, groups)
    for what, moment in (("mean", value), ("mean square", value * value)):
        total = np.bincount(cell[seen], moment[seen], minlength=pieces * groups).reshape(pieces, groups)
        by_time = [a.reshape(_PARTS, -1) for a in (total, number)] if pieces == _PARTS * _PARTS else None
        for split, parts in (("time", by_time), ("markets", (total.T, number.T))):
            if parts is not None and len(parts[0]) > 1 and parts[0].shape[1] > 1:
                _compare_parts(name, what, split, *parts)


def _compare_parts(name: str, what: str, split: str, total: np.ndarray, number: np.ndarray) -> None:
    """``total`` and ``number`` (parts, pieces) of a moment."""
    n = number.sum(axis=1)
    if n.min() < 50:
        return
    mean = total.sum(axis=1) / n
    rest = (total.sum() - total.sum(axis=1)) / (n.sum() - n)
    pieces = number.shape[1]
    noise = (
        ((total - mean[:, None] * number) ** 2).sum() / n.sum() * pieces / (pieces - 1)
    )  # a sample's, dependence counted
    off = mean - rest
    sigmas = np.abs(off) / np.sqrt(noise / n + noise / (n.sum() - n))
    bad = np.flatnonzero((sigmas > _SIGMAS) & (np.abs(off) > _SHIFT))
    if len(bad):
        worst = bad[np.argmax(sigmas[bad])]
        raise CalibrationError(
            f"stream {name}: the quiet sample is not one market: the {what} of its scores in part {worst + 1} of {len(n)} "
            f"({split}) is {mean[worst]:+.2f}, elsewhere {rest[worst]:+.2f}, {sigmas[worst]:.0f} standard errors apart"
        )


def temper(counts: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The largest temper of each component (K,) at which it treats the quiet sample as if its values were independent.

    ``index`` (steps, markets): the bin of each residual, -1 for none. Each component is tried alone. At threshold c it may
    raise one alarm in c values; and, at a lower threshold, where there are more to count, no more than on the same values
    in random order. Dependence that whitening leaves breaks both, most for the components that it resembles; a power
    below 1 takes the same evidence for less. 0 where none helps: the component is silent.
    """
    values = int((index >= 0).sum())
    ratios = np.stack([likelihood_ratios(counts, np.full(drift.K, power)) for power in _TEMPERS])

    def alarms(bins: np.ndarray, promised: float) -> np.ndarray:
        raised = np.zeros(ratios.shape[:2], dtype=np.int64)
        drift.try_components(ratios, bins, values / promised, np.zeros((*raised.shape, bins.shape[1])), raised)
        return raised

    shuffled = np.random.default_rng(0).permutation(index.ravel()).reshape(index.shape)
    independent = alarms(shuffled, _COUNTED)
    kept = (alarms(index, _FEW) <= _FEW + _CHANCE * _FEW**0.5) & (
        alarms(index, _COUNTED) <= independent + _CHANCE * independent**0.5
    )
    return np.where(kept.any(axis=0), np.array(_TEMPERS)[np.argmax(kept, axis=0)], 0.0)
