"""The drift detector against its slow twin, its promises and its streams."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drift_fixture import NAMES, quiet
from scipy.stats import chi2

from experiments.bench import drift as drift_bench
from experiments.bench import optimum_of_change
from experiments.config import load
from marketsim import MarketBatch, load_config
from marketsim.document import read
from marketsim.guardrails import calibration, drift, streams
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.detector import Detector
from tests.twin import drift as twin


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return calibration.fit(NAMES, quiet())


# --- the compiled detector -----------------------------------------------------------------------------


def test_the_detector_is_its_twin(fitted):
    """Values, gaps, infinities and drifts; alarms and restarts are met several times."""
    markets, every = 300, 150.0  # more than one block
    rng = np.random.default_rng(5)
    x = quiet(6, 240, markets)
    x[60:, 0, ::2] += 1.0
    x[100:, 1, 1::3] *= 3.0
    x[rng.random(x.shape) < 0.05] = np.nan
    x[70, 0, 5], x[80, 1, 7] = np.inf, -np.inf
    detector = Detector(fitted, markets, every)
    parameters = [
        {
            "centre": fitted.centre[s], "low": fitted.low[s], "high": fitted.high[s], "phi": list(fitted.autoregression[s]),
            "edges": list(fitted.edges[s]), "ratios": fitted.ratios[s].tolist(), "weights": fitted.weight[s].tolist(),
        }
        for s in range(3)
    ]  # fmt: skip
    watched = [0, 1, 5, 7, 255, 256, 299]
    slow = {m: twin.Market(parameters, every + drift.HEAD, drift.HEAD) for m in watched}
    alarms = 0
    for values in x:
        alarm = detector.update(values)
        for m in watched:
            raised, level, lead, component, since = slow[m].update(values[:, m].tolist())
            assert raised == alarm[m] and lead == detector.leading[m]
            assert level == pytest.approx(detector.level[m], rel=1e-10)
            if raised:
                alarms += 1
                assert (component, since) == (detector.component[m], detector.since[m])
    assert alarms > 10


def test_likelihood_ratios_are_those_of_the_formula(fitted):
    rng = np.random.default_rng(2)
    for s in range(3):
        counts = fitted.counts[s].astype(int).tolist()
        share = fitted.counts[s] / fitted.counts[s].sum()
        sounding = fitted.temper[s] > 0
        assert fitted.ratios[s] @ share == pytest.approx(np.where(sounding, 1.0, 0.0), abs=1e-12)
        assert fitted.weight[s].sum() == pytest.approx(1.0)
        for k in np.flatnonzero(sounding):
            b = int(rng.choice(np.flatnonzero(counts)))
            wanted = twin.likelihood_ratio(counts, b, drift.MEAN[k], drift.VARIANCE[k], fitted.temper[s, k])
            assert fitted.ratios[s, k, b] == pytest.approx(wanted, rel=1e-8)


def test_components_alone_alarm_as_often_as_their_twin(fitted):
    rng = np.random.default_rng(3)
    bins = np.searchsorted(fitted.edges[0], rng.normal(size=(600, 7)))
    bins[rng.random(bins.shape) < 0.2] = -1
    ratios = np.stack([calibration.likelihood_ratios(fitted.counts[0], np.full(drift.K, p)) for p in (1.0, 0.5)])
    alarms = np.zeros(ratios.shape[:2], dtype=np.int64)
    drift.try_components(ratios, bins, 30.0, np.zeros((*alarms.shape, 7)), alarms)
    for t, k in np.ndindex(alarms.shape):
        markets = [[None if b < 0 else b for b in column] for column in bins.T.tolist()]
        assert alarms[t, k] == sum(twin.alarms_alone(ratios[t, k], market, 30.0) for market in markets)
    assert (alarms > 20).all()


def test_a_stream_without_a_value_stays_where_it_was(fitted):
    detector = Detector(fitted, 4)
    for values in quiet(8, 30, 4):
        detector.update(values)
    before = detector.state.copy()
    detector.update(np.full((3, 4), np.nan))
    np.testing.assert_array_equal(detector.state[:, :, :], before)


def test_an_alarm_restarts_its_market_alone(fitted):
    detector = Detector(fitted, 3, 200.0)
    x = quiet(3, 200, 3)
    x[:, 0, 1] += 2.0
    while not detector.update(x[0])[1]:
        x = x[1:]
    assert detector.names[detector.leading[1]] == "level" and not detector.alarm[[0, 2]].any()
    assert detector.words(1).startswith("level is higher than in its calibration, for about ")
    assert detector.state[: drift.K, :, 1].sum(axis=0) == pytest.approx([drift.HEAD] * 3)
    assert detector.state[drift.LAG, 0, 1] != 0.0  # its past is still its past
    assert (detector.state[: drift.K, :, 0].sum(axis=0) != drift.HEAD).all()


def test_nonsense_in_the_state_is_an_alarm(fitted):
    detector = Detector(fitted, 2)
    detector.state[0, 0, 1] = np.nan
    assert detector.update(np.zeros((3, 2))).tolist() == [False, True]
    assert np.isfinite(detector.state).all()


def test_markets_do_not_know_each_other(fitted):
    x = quiet(4, 60, 300)
    many, few = Detector(fitted, 300), Detector(fitted, 2)
    for values in x:
        many.update(values)
        few.update(values[:, 270:272])
    np.testing.assert_array_equal(many.state[:, :, 270:272], few.state)


def test_bad_arguments_are_refused(fitted):
    with pytest.raises(ValueError, match="at least 1 and 100 steps"):
        Detector(fitted, 4, 5.0)
    with pytest.raises(ValueError, match=r"shape \(4, 3\), \(3, 4\) is needed"):
        Detector(fitted, 4).update(np.zeros((4, 3)))


# --- its promises ----------------------------------------------------------------------------------------


def test_the_optimum_is_the_exact_one():
    """The figures that the requirement names, at a run length of 10,000."""
    assert [optimum_of_change.mean_shift(size, 10_000.0) for size in (0.25, 0.5, 1.0)] == pytest.approx(
        [174.5, 54.7, 16.5], abs=0.06
    )


def test_the_run_length_of_a_cusum_is_that_of_its_simulation():
    """Of a variance of 1 against 4, at a threshold of 2."""
    z = np.random.default_rng(0).normal(size=(1000, 2000))
    cusum, steps, waiting = np.zeros(2000), np.zeros(2000), np.ones(2000, dtype=bool)
    for x in z:
        cusum = np.maximum(cusum + 0.375 * x * x - math.log(2.0), 0.0)
        steps += waiting
        waiting &= cusum < 2.0
    assert not waiting.any()
    exact = optimum_of_change.run_length(lambda x: chi2.cdf((x + math.log(2.0)) / 0.375, 1), 2.0)
    assert exact == pytest.approx(steps.mean(), abs=4 * steps.std() / 2000**0.5)
    assert optimum_of_change.variance_rise(4.0, 10_000.0) == pytest.approx(10.28, abs=0.02)


@pytest.mark.parametrize("draw", [drift_bench.gaussian, drift_bench.heavy])
def test_the_run_length_is_kept(draw):
    """At a promise of 500, over four calibrations of the least size; the bound is that of a Poisson count at 5 sd."""
    alarms, steps = 0, 0
    for seed in range(4):
        detector = Detector(drift_bench.calibrate(draw, seed), 200, 500.0)
        for x in draw(np.random.default_rng([seed, 9]), 1000, 200):
            alarms += int(detector.update(x[None]).sum())
            steps += 200
    assert alarms <= steps / 500 + 5 * math.sqrt(steps / 500)
    assert alarms > steps / 1500  # and it is not asleep


def test_streams_that_are_one_and_the_same_keep_the_run_length():
    """Averaging keeps the promise under any dependence: five copies raise what one raises."""
    alone = drift_bench.calibrate(drift_bench.gaussian, 0)
    many = {name: np.concatenate([getattr(alone, name)] * 5) for name in ("centre", "low", "high", "autoregression")}
    many |= {
        name: np.concatenate([getattr(alone, name)] * 5) for name in ("edges", "counts", "temper", "ratios", "weight")
    }
    copies = Calibration(tuple("abcde"), {}, **many)
    one, five = Detector(alone, 100, 300.0), Detector(copies, 100, 300.0)
    for x in np.random.default_rng(1).normal(size=(500, 100)):
        assert (one.update(x[None]) == five.update(np.repeat(x[None], 5, axis=0))).all()


@pytest.mark.parametrize(("shift", "sd", "best", "most"), [(1.0, 1.0, 16.5, 1.25), (0.0, 2.0, 10.28, 1.5)])
def test_what_should_be_seen_is_seen_in_time(shift, sd, best, most):
    reference = drift_bench.calibrate(drift_bench.gaussian, 1)
    late = drift_bench.delays(reference, shift, sd, 0, 3)
    assert late.mean() / best < most


# --- streams -------------------------------------------------------------------------------------------------


MARKET = {
    "market": {
        "steps": 30,
        "inventory_limit": 50,
        "liquidate": True,
        "price": {"kind": "brownian", "volatility": 0.5},
        "venue": {"half_spread": 0.1, "slope": 0.02},
        "arrivals": "poisson",
        "segments": [
            {"name": "one", "sizes": [1, 2], "rates": [0.5, 0.2], "choice": {"kind": "logit", "sensitivity": 2.0}},
            {
                "name": "two", "sizes": [1], "rates": [0.4], "panel": 1,
                "choice": {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 1.5}},
            },
        ],
    },
    "dealers": [{"name": "a"}, {"name": "b"}],
}  # fmt: skip
OWN = tuple(name for name in streams.NAMES if name not in ("inputs", *streams.GIVEN))


def test_streams_are_their_twin_over_two_episodes():
    config = load_config(MARKET)
    batch = MarketBatch(config, 5, seed=3, first_market=2, record=True)
    watched = streams.Streams(batch, "b", OWN)
    reference = {0: None, 1: None}
    for cell in batch.tables.cells:
        reference[int(cell["segment"])] = float(cell["reference"])
    rng = np.random.default_rng(1)
    for _ in range(2):
        batch.reset()
        watched.begin()
        episodes, values = [[] for _ in range(5)], []
        for _ in range(batch.steps):
            before = batch.state["mid"][:, 0].copy()
            step = batch.step(rng.uniform(-1, 1, (5, 2, max(batch.action_widths))).astype(np.float32))
            values.append(watched.update(step).copy())
            for m, episode in enumerate(episodes):
                mine = batch.requests[batch.requests["market"] == m + 2]
                episode.append(
                    {"before": before[m], "after": batch.state["mid"][m, 0]}
                    | {term: step.ledger[term][m, 1] for term in ("asked", "spread", "hedge", "hedge_cost")}
                    | {"requests": [{name: row[name].item() for name in row.dtype.names} for row in mine]}
                )
        for m, episode in enumerate(episodes):
            slow = twin.streams_of(episode, 1, ["one", "two"], reference)
            for s, name in enumerate(watched.names):
                if name != "trend":
                    np.testing.assert_allclose(
                        [v[s, m] for v in values], slow[name], rtol=1e-12, atol=1e-12, err_msg=name
                    )
    assert set(slow) == set(watched.names) - {"trend"}
    assert np.isfinite(np.array(values)).any(axis=(0, 2)).all()


def test_a_trend_is_counted_in_recent_moves():
    batch = MarketBatch(load_config(MARKET), 200, seed=1)
    watched = streams.Streams(batch, 0, ["trend", "volatility"])
    square = np.full(200, 0.25)
    for _ in range(3):
        batch.reset()
        watched.begin()
        for _ in range(batch.steps):
            before = batch.state["mid"][:, 0].copy()
            trend, size = watched.update(batch.step(None))
            move = batch.state["mid"][:, 0] - before
            np.testing.assert_allclose(trend, move / np.sqrt(square))
            np.testing.assert_allclose(size, np.abs(move))
            square += (move**2 - square) / 20


def test_inputs_are_the_distance_from_their_quiet_mean_and_the_agent_gives_its_own():
    batch = MarketBatch(load_config(MARKET), 4)
    observation = batch.reset()[:, 0]
    inputs = streams.Inputs(observation.mean(axis=0), np.where(np.arange(12) == 1, 0.0, 2.0))
    watched = streams.Streams(batch, 0, ["inputs", "entropy"], inputs)
    watched.begin()
    step = batch.step(None)
    with pytest.raises(ValueError, match="stream entropy is the agent's"):
        watched.update(step)
    values = watched.update(step, given={"entropy": np.arange(4.0)})
    wanted = (np.delete((step.observation[:, 0] - inputs.mean) / 2.0, 1, axis=1) ** 2).sum(axis=1) / 12
    np.testing.assert_allclose(values, [wanted, np.arange(4.0)])
    neutral = streams.Streams(batch, 0, ["inputs"])
    neutral.begin()
    np.testing.assert_allclose(neutral.update(step)[0], (step.observation[:, 0].astype(float) ** 2).mean(axis=1))


def test_bad_streams_are_refused():
    batch = MarketBatch(load_config(MARKET), 4)
    with pytest.raises(ValueError, match="^no stream is named 'hits', allowed are requests, hit_ratio"):
        streams.Streams(batch, 0, ["hits"])
    with pytest.raises(
        ValueError, match=r"^stream cover reads single requests: it needs MarketBatch\(..., record=True\)"
    ):
        streams.Streams(batch, 0, ["requests", "cover"])
    with pytest.raises(ValueError, match="each once"):
        streams.Streams(batch, 0, ["trend", "trend"])


# --- the bench -------------------------------------------------------------------------------------------------


def test_every_drift_of_the_file_loads_and_changes_the_market():
    document = read(drift_bench.FILE).tree
    base = load(document["experiment"]).base
    assert len(document["drifts"]) == 5
    for change in document["drifts"].values():
        drifted = load(document["experiment"], set=change).base
        assert drifted != base and drifted.market.steps == base.market.steps


def test_the_bench_sees_a_drift_of_the_simulator():
    """A small run of the committed drifts: the first rows hold a run length, then the share that was seen."""
    rows = drift_bench.simulator_rows(quiet_steps=20_000, drifts=20, markets=50, groups=1)
    run_length, share, median = rows[:3]
    assert (run_length.at_least, share.at_least, median.at_least) == (8_000, 95.0, 100.0)
    assert share.value == 100.0 and median.met
    assert [row.name.split(":")[0].strip() for row in rows[3:]] == list(read(drift_bench.FILE).tree["drifts"])


@pytest.mark.long
def test_the_bench_meets_what_is_asked():
    rows = drift_bench.measure()
    assert not [row for row in rows if row.met is False]
