"""How well the drift detector keeps its run length, how late it sees what it should, and what it costs.

Everything is measured at one promise, a false alarm in 10,000 steps at most, and with the least calibration that is
allowed where the distribution is known. See docs/drift.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.stats import chi2

from agents.cast import Cast
from agents.policy import Seat, build
from experiments import progress
from experiments.bench.optimum_of_change import mean_shift, variance_rise
from experiments.bench.rows import Row, alternate
from experiments.config import ExperimentConfig, load
from marketsim.batch import MarketBatch
from marketsim.document import read
from marketsim.guardrails import calibration, streams
from marketsim.guardrails.calibration import Calibration
from marketsim.guardrails.detector import Detector

EVERY = 10_000.0  # the promise: steps between false alarms
REFERENCES = 8  # calibrations over which the figures of known distributions are taken
MEANS = (0.25, 0.5, 1.0, 1.5)  # sd
VARIANCES = (1.7, 2.0, 3.0, 4.0, 6.0)
CHANGES = 1000  # simulated of each size under each calibration
CALIBRATION_STEPS, QUIET_STEPS = 300_000, 10**6  # of the simulator
DRIFTS = 200
WITHIN = 500  # steps after which a drift counts as missed

FILE = Path(__file__).with_name("drifts.yaml")
WATCHED: tuple[streams.Name, ...] = (
    "requests", "hit_ratio", "cover", "markout_1", "markout_5", "segment_flow_1", "segment_flow_5", "volatility", "trend",
    "spread",
)  # fmt: skip

Draw = Callable[[np.random.Generator, int, int], np.ndarray]  # (steps, markets) quiet values


def measure() -> list[Row]:
    normal = [calibrate(gaussian, seed) for seed in range(REFERENCES)]
    return [
        *delay_rows(normal),
        *run_length_rows(normal),
        *simulator_rows(),
        *storm_rows(),
        *time_rows(normal[0]),
        *river_rows(),
    ]


# --- one stream of a known distribution --------------------------------------------------------------


def gaussian(rng: np.random.Generator, steps: int, markets: int) -> np.ndarray:
    return rng.normal(size=(steps, markets))


def heavy(rng: np.random.Generator, steps: int, markets: int) -> np.ndarray:
    """Student t with 3 degrees of freedom, through an autoregression of .5."""
    return lfilter([1.0], [1.0, -0.5], rng.standard_t(3, size=(steps + 100, markets)), axis=0)[100:]


def fat(rng: np.random.Generator, steps: int, markets: int) -> np.ndarray:
    """Student t with 3 degrees of freedom, of variance 1."""
    return rng.standard_t(3, size=(steps, markets)) / 3**0.5


def calibrate(draw: Draw, seed: int) -> Calibration:
    return calibration.fit(["stream"], draw(np.random.default_rng([seed, 0]), calibration.SAMPLES // 10, 10)[:, None])


def delay_rows(references: list[Calibration]) -> list[Row]:
    """Mean delay of a change that falls on a restart, over the optimum's; and after 500 quiet steps."""
    changes = [(f"mean shift {size} sd", mean_shift(size, EVERY), size, 1.0, (1.4, 1.25)) for size in MEANS]
    changes += [(f"variance x{v}", variance_rise(v, EVERY), 0.0, v**0.5, (1.6, 1.4)) for v in VARIANCES]
    rows = []
    for name, best, shift, sd, bounds in changes:
        late, later = (
            np.concatenate([delays(c, (-1) ** k * shift, sd, quiet, k) for k, c in enumerate(references)])
            for quiet in (0, 500)
        )
        mean, error = _mean(late)
        rows.append(
            Row(f"{name}: delay {mean:.1f} +- {error:.1f}, optimum {best:.1f}", mean / best, "x optimum", *bounds)
        )
        rows.append(Row("  after 500 quiet steps", later.mean() / best, "x optimum"))
    return rows


def delays(reference: Calibration, shift: float, sd: float, quiet: int, seed: int) -> np.ndarray:
    """Steps from the change to the first alarm in CHANGES markets; those that raise one before are left out."""
    rng = np.random.default_rng([seed, 1])
    detector = Detector(reference, CHANGES, EVERY)
    sound = np.ones(CHANGES, dtype=bool)
    for _ in range(quiet):
        sound &= ~detector.update(rng.normal(size=(1, CHANGES)))
    late = np.zeros(CHANGES)
    waiting = sound.copy()
    while waiting.any():
        late += waiting
        waiting &= ~detector.update(rng.normal(shift, sd, size=(1, CHANGES)))
    return late[sound]


def run_length_rows(normal: list[Calibration]) -> list[Row]:
    fitted = [calibrate(heavy, seed) for seed in range(REFERENCES)]
    alarms, steps = _false_alarms(normal, fat)
    return [
        _run_length_row("normal", *_false_alarms(normal, gaussian)),
        _run_length_row("t(3) with AR(.5), whitened", *_false_alarms(fitted, heavy)),
        Row("  calibrated on normal values, run on t(3) of the same variance", steps / alarms, "steps"),
    ]


def _false_alarms(references: list[Calibration], draw: Draw, markets: int = 50, steps: int = 10_000) -> tuple[int, int]:
    alarms = 0
    for seed, reference in enumerate(references):
        rng = np.random.default_rng([seed, 2])
        detector = Detector(reference, markets, EVERY)
        alarms += sum(int(detector.update(x[None]).sum()) for x in draw(rng, steps, markets))
    return alarms, len(references) * markets * steps


def _run_length_row(name: str, alarms: int, steps: int) -> Row:
    """With the exact 95% interval of a Poisson count."""
    low = steps / (chi2.ppf(0.975, 2 * alarms + 2) / 2)
    high = steps / (chi2.ppf(0.025, 2 * alarms) / 2) if alarms else np.inf
    text = f"run length, {name}: {alarms} alarms, 95% in {low:,.0f} to {high:,.0f}"
    return Row(text, steps / max(alarms, 1), "steps", 8_000, 9_000)


def _mean(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1) / len(x) ** 0.5)


# --- the simulator -----------------------------------------------------------------------------------


class Watched:
    """The first dealer of many markets, watched step by step, from episode to episode; every dealer's policy is frozen."""

    def __init__(self, desk: ExperimentConfig, markets: int, seed: int):
        self._take(desk, MarketBatch(desk, markets, seed, record=True))
        self.streams = streams.Streams(self.batch, 0, WATCHED)
        self._observation: np.ndarray | None = None

    def _take(self, desk: ExperimentConfig, batch: MarketBatch) -> None:
        self.batch = batch
        self._cast = Cast(desk, {i: build(d.policy, Seat(desk, i)) for i, d in enumerate(desk.dealer_of)})
        self._actions = np.zeros((batch.markets, len(batch.agents), max(batch.action_widths)), np.float32)

    def become(self, desk: ExperimentConfig) -> None:
        """From here on the same markets follow other rules."""
        batch = MarketBatch(desk, self.batch.markets, self.batch.seed, record=True)
        self._observation = batch.restore(self.batch.snapshot())
        self._take(desk, batch)
        self.streams.batch = batch

    def values(self, steps: int) -> Iterator[np.ndarray]:
        """The streams' values (streams, markets) of the next steps."""
        for _ in range(steps):
            if self._observation is None or self.batch.state["step"] == self.batch.steps:
                self._observation = self.batch.reset()
                self._cast.reset(self.batch.seed, self.batch.episode, 0, self.batch.markets)
                self.streams.begin()
            step = self.batch.step(self._actions, self._cast.play(self._observation, self._actions))
            self._observation = step.observation
            yield self.streams.update(step)


def simulator_rows(
    quiet_steps: int = QUIET_STEPS, drifts: int = DRIFTS, markets: int = 100, groups: int = 4
) -> list[Row]:
    """The run length on quiet episodes, and the delays of ``drifts`` drifts, which fall into ``groups`` parts of an episode."""
    document = read(FILE).tree
    changes: Mapping[str, Mapping[str, Any]] = document["drifts"]
    desk = load(document["experiment"]).base
    reference = quiet_calibration(desk, markets)
    rows = [
        _run_length_row(
            "the simulator's quiet episodes", _simulated_alarms(desk, reference, quiet_steps, markets), quiet_steps
        )
    ]
    late = {}
    for number, (name, change) in enumerate(changes.items()):
        drifted = load(document["experiment"], set=change).base
        late[name] = drift_delays(reference, desk, drifted, 100 * number, drifts // len(changes), groups)
    everything = np.concatenate(list(late.values()))
    seen = 100 * float(np.isfinite(everything).mean())
    rows += [
        Row(f"{len(everything)} drifts of {FILE.name}: escalated within {WITHIN} steps", seen, "%", 95.0, 99.0),
        Row("  median delay", float(np.median(everything)), "steps late", 100.0, 60.0),
    ]
    for name, each in late.items():
        share = 100 * np.isfinite(each).mean()
        rows.append(Row(f"  {name}: {share:.0f}% escalated, median delay", float(np.median(each)), "steps late"))
    return rows


def storm_rows(quiet_steps: int = QUIET_STEPS // 2, markets: int = 100) -> list[Row]:
    """The run length in a market whose quiet has storms that no whitening takes out, and what tempering does for it."""
    frozen = {"dealers.learner.policy": {"kind": "avellaneda_stoikov", "risk_aversion": 0.01}}
    desk = load("quickstart", set=frozen).base
    tempered = quiet_calibration(desk, markets)
    arrays, document = tempered.state()
    untempered = Calibration.of(arrays | {"temper": np.ones_like(tempered.temper)}, document)
    rows = []
    for name, reference in (("quickstart's quiet episodes, with storms", tempered), ("without tempering", untempered)):
        alarms = _simulated_alarms(desk, reference, quiet_steps, markets)
        rows.append(Row(f"  run length, {name}: {alarms} alarms", quiet_steps / max(alarms, 1), "steps"))
    stormier = load("quickstart", set=frozen | {"market.price.volatility": [1.0, 3.0]}).base
    late = drift_delays(tempered, desk, stormier, 900, 40, 4)
    share = 100 * np.isfinite(late).mean()
    name = f"  calm and storm twice as volatile: {share:.0f}% escalated, median delay"
    return [*rows, Row(name, float(np.median(late)), "steps late")]


def quiet_calibration(desk: ExperimentConfig, markets: int) -> Calibration:
    watched = Watched(desk, markets, seed=1)
    values = np.stack([x.copy() for x in watched.values(CALIBRATION_STEPS // markets)])
    return calibration.fit(watched.streams.names, values)


def _simulated_alarms(desk: ExperimentConfig, reference: Calibration, steps: int, markets: int) -> int:
    """False alarms in ``steps`` quiet market steps that the calibration has not seen."""
    detector = Detector(reference, markets, EVERY)
    alarms = 0
    with progress.task("quiet episodes", steps, "steps") as advance:
        for t, x in enumerate(Watched(desk, markets, seed=2).values(steps // markets), 1):
            alarms += int(detector.update(x).sum())
            advance(t * markets, f"{alarms} false alarms")
    return alarms


def drift_delays(
    reference: Calibration, desk: ExperimentConfig, drifted: ExperimentConfig, seed: int, count: int, groups: int
) -> np.ndarray:
    """Steps to the first alarm after the change, inf where there is none WITHIN, of ``count`` markets in ``groups``.

    The change comes after five quiet episodes, for each group in another part of the sixth.
    """
    late = np.full((groups, count // groups), np.inf)
    for group, out in enumerate(late):
        watched = Watched(desk, len(out), seed=1000 + seed + group)
        detector = Detector(reference, len(out), EVERY)
        for x in watched.values(5 * desk.market.steps + group * desk.market.steps // groups):
            detector.update(x)
        watched.become(drifted)
        for t, x in enumerate(watched.values(WITHIN), 1):
            out[detector.update(x) & np.isinf(out)] = t
    return late.ravel()


# --- what it costs, and what else there is -----------------------------------------------------------


def time_rows(reference: Calibration, markets: int = 256, updates: int = 200) -> list[Row]:
    rng = np.random.default_rng(0)
    rows = []
    for M, bounds in ((markets, (1000.0, 100.0)), (1, (None, None))):
        detector = Detector(reference, M, EVERY)
        x = rng.normal(size=(updates, 1, M))

        def work(detector=detector, x=x) -> None:
            for values in x:
                detector.update(values)

        (taken,) = alternate(30, work)
        name = (
            f"one update of one stream, {M} markets at once" if M > 1 else "  the call, with one stream of one market"
        )
        rows.append(Row(name, 1e9 * taken.best / (updates * M), "ns", *bounds))
    return rows


def river_rows() -> list[Row]:
    """What river's detectors make of the same stream, at their defaults."""
    if not find_spec("river"):
        return [Row("river: not installed (pip install 'dealer-marketsim[bench]')", None, "steps")]
    from river import drift as river

    rng = np.random.default_rng(0)
    rows = []
    for name, make in (("ADWIN", river.ADWIN), ("PageHinkley", river.PageHinkley)):
        detector, alarms, steps = make(), 0, 100_000
        for x in rng.normal(size=steps):
            detector.update(x)
            if detector.drift_detected:
                alarms += 1
                detector = make()
        rows.append(Row(f"  river {name}: run length on normal values", steps / max(alarms, 1), "steps"))
        for change, shift, sd in (("mean shift 1 sd", 1.0, 1.0), ("variance x4", 0.0, 2.0)):
            late = [_river_delay(make(), rng, shift, sd) for _ in range(50)]
            rows.append(Row(f"  river {name}: {change}, median delay (missed: 2,000)", float(np.median(late)), "steps"))
    return rows


def _river_delay(detector: Any, rng: np.random.Generator, shift: float, sd: float, limit: int = 2_000) -> int:
    for x in rng.normal(size=500):
        detector.update(x)
    for t, x in enumerate(rng.normal(shift, sd, size=limit), 1):
        detector.update(x)
        if detector.drift_detected:
            return t
    return limit
