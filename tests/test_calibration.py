"""Calibrations of drift streams: what whitening finds, what is refused, what is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drift_fixture import NAMES, quiet

from experiments.bench import drift as drift_bench
from marketsim.guardrails import calibration, drift
from marketsim.guardrails.calibration import Calibration, CalibrationError


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return calibration.fit(NAMES, quiet())


def test_whitening_finds_the_autoregression(fitted):
    assert fitted.autoregression[1, 0] == pytest.approx(0.5, abs=0.03)
    assert not fitted.autoregression[0].any() and not fitted.autoregression[2].any()
    x = quiet()[:, 1]
    kept = calibration.whiten(x - fitted.centre[1], fitted.autoregression[1])
    np.testing.assert_allclose(
        kept[1:], (x - fitted.centre[1])[1:] - fitted.autoregression[1, 0] * (x - fitted.centre[1])[:-1]
    )


def test_tied_values_share_a_bin_and_every_sample_has_one():
    values = np.random.default_rng(0).poisson(0.7, 20_000).astype(float)
    edges, counts = calibration.bins_of(values)
    assert counts.sum() == 20_000 and (counts > 0).sum() == len(np.unique(values))
    assert (edges[:3] == [0.5, 1.5, 2.5]).all()
    score = calibration.scores(counts)
    assert (score * counts).sum() == pytest.approx(0.0, abs=1e-8) and (np.diff(score[counts > 0]) > 0).all()


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda x: x.__setitem__((slice(500, None), 0), x[500:, 0] * 2.0), "mean square"),  # half of the time
        (lambda x: x.__setitem__((slice(750, None), 0), x[750:, 0] + 0.5), "mean"),
        (lambda x: x.__setitem__((slice(None), 0, 3), x[:, 0, 3] * 2.0), "markets"),  # one market in twelve
    ],
)
def test_contaminated_calibration_is_refused(spoil, part):
    x = quiet()
    spoil(x)
    with pytest.raises(
        CalibrationError, match="^stream level: the quiet sample is not one market: .* standard errors"
    ) as caught:
        calibration.fit(NAMES, x)
    assert part in str(caught.value)


def test_clean_calibration_is_accepted():
    for seed in range(1, 13):
        calibration.fit(NAMES[:1], np.random.default_rng(seed).normal(size=(1000, 1, 10)))


def test_too_few_samples_are_refused_and_silent_streams_are_dropped_and_said():
    x = quiet()
    with pytest.raises(CalibrationError, match="^stream level: 8400 quiet samples, at least 10000 are needed"):
        calibration.fit(NAMES, x[:700])
    x[:, 1], x[:, 2] = 0.25, np.nan
    kept = calibration.fit(NAMES, x)
    assert kept.names == ("level",) and kept.rows(("count", "level")).tolist() == [1]
    with pytest.raises(CalibrationError, match="^stream level: is calibrated, but not among count, fat$"):
        kept.rows(("count", "fat"))
    assert kept.dropped == {"fat": "was 0.25 throughout", "count": "never had a value"}
    with pytest.raises(CalibrationError, match="^no stream is left to watch: fat was 0.25 throughout; count never had"):
        calibration.fit(NAMES[1:], x[:, 1:])


def test_dependence_that_whitening_leaves_tempers_the_components_it_resembles():
    """Storms: the size of a value depends on the size of the last ones, its sign on nothing."""
    rng = np.random.default_rng(0)
    sizes = np.exp(0.5 * drift_bench.lfilter([1.0], [1.0, -0.95], rng.normal(size=(4000, 10)), axis=0))
    x = (sizes * rng.normal(size=(4000, 10)))[:, None]
    stormy = calibration.fit(["x"], x)
    rising = drift.VARIANCE > 1.0
    assert (stormy.temper[0, rising] < 0.5).all()
    assert (stormy.temper[0, np.abs(drift.MEAN) == 0.25] == 1.0).all()
    assert (stormy.weight[0] > 0).tolist() == (stormy.temper[0] > 0).tolist()


def test_a_calibration_comes_back_from_its_state(fitted):
    arrays, document = fitted.state()
    again = Calibration.of({k: v.copy() for k, v in arrays.items()}, json.loads(json.dumps(document)))
    assert again.names == fitted.names and again.dropped == fitted.dropped
    for name in ("centre", "low", "high", "autoregression", "edges", "counts", "temper", "ratios", "weight"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
    with pytest.raises(CalibrationError, match="^version: got 7"):
        Calibration.of(arrays, document | {"version": 7})
    with pytest.raises(CalibrationError, match="^edges: they must ascend"):
        Calibration.of(arrays | {"edges": arrays["edges"][:, ::-1]}, document)
    with pytest.raises(CalibrationError, match="^counts: fewer than 10000"):
        Calibration.of(arrays | {"counts": arrays["counts"] / 2}, document)
    with pytest.raises(CalibrationError, match=r"^edges: got nothing, \(3, 1023\) is needed"):
        Calibration.of({k: v for k, v in arrays.items() if k != "edges"}, document)
