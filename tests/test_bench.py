"""The benchmarks measure what they say: rows against their bounds, the work that is timed, the same market for both."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest

import marketsim
from agents.config import Desk
from agents.trainer import Trainer
from experiments import bench as bench_package
from experiments.bench import bench, engine, limits, search, start
from experiments.bench import train as train_bench
from experiments.bench.play import EPISODES, Play
from experiments.bench.rows import Row, Times, alternate, print_table, rates
from marketsim import InputError, observe

DESK = Desk.model_validate(
    {
        "market": {
            "steps": 6,
            "inventory_limit": 3,
            "price": {"kind": "brownian", "volatility": 0.1},
            "arrivals": "at_most_one",
            "segments": [{"rates": [0.4], "choice": {"kind": "logit", "intercept": -1.0, "sensitivity": 4.0}}],
        },
        "dealers": [
            {
                "name": "learner",
                "observation": ["time_left", "inventory"],
                "policy": {"kind": "ppo", "hidden": [8], "epochs": 2, "minibatches": 2},
                "reward": ["pnl", {"kind": "inventory_penalty", "weight": 0.05}],
            }
        ],
    }
)


# --- rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "met", "aim_met"),
    [
        (Row("a", 8e6, "steps/s", 8e6, 18e6), True, False),
        (Row("a", 7.9e6, "steps/s", 8e6, 18e6), False, False),
        (Row("a", 19e6, "steps/s", 8e6, 18e6), True, True),
        (Row("a", 0.4, "s", 0.5), True, None),  # of seconds less is better
        (Row("a", 0.6, "s", 0.5), False, None),
        (Row("a", 3.0, "x"), None, None),
        (Row("not measured", None, "x", 1.7, 1.9), None, None),
    ],
)
def test_a_figure_is_held_against_its_bounds(row, met, aim_met):
    assert row.met is met and row.aim_met is aim_met


def test_works_are_timed_in_turn_and_the_first_turn_is_not_counted():
    called = []
    first, second = alternate(3, lambda: called.append("a"), lambda: (called.append("b"), time.sleep(0.01)))
    assert "".join(called) == "abababab"
    assert len(first.seconds) == len(second.seconds) == 3
    assert min(second.seconds) >= 0.01 and second.share < 0.9  # asleep it uses no processor
    assert second.best <= second.median


def test_rates_are_the_best_and_what_explains_it():
    best, median, share = rates("work", Times((0.5, 0.25, 1.0), 0.4), 100, "steps/s", 300.0, 500.0)
    assert (best.value, best.met, best.aim_met) == (400.0, True, False)
    assert (median.value, median.met) == (200.0, None)
    assert share.value == pytest.approx(40.0)


def test_json_is_the_object_of_the_documentation(monkeypatch, capsys):
    monkeypatch.setitem(bench_package._PARTS, "engine", "test_bench")
    monkeypatch.setattr(sys.modules[__name__], "measure", lambda: [Row("a", 2.0, "x", 1.7, 1.9)], raising=False)
    bench("engine", json=True)
    out, err = capsys.readouterr()
    wanted = {"name": "a", "value": 2.0, "unit": "x", "at_least": 1.7, "aim": 1.9, "met": True}
    assert json.loads(out) == {"rows": [wanted]}
    assert err.startswith("measuring on ")


def test_the_table_says_what_was_reached(capsys):
    rows = [
        Row("fast", 13.1e6, "steps/s", 8e6, 18e6), Row("faster", 20e6, "steps/s", 8e6, 18e6),
        Row("slow", 0.9, "x", 1.7, 1.9), Row("explains", 42.0, "%"),
    ]  # fmt: skip
    print_table("engine", "a processor", rows)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fast", "13.1M", "steps/s", "8M", "18M", "yes"] in lines
    assert ["faster", "20M", "steps/s", "8M", "18M", "aim"] in lines
    assert ["slow", "0.9", "x", "1.7", "1.9", "no"] in lines
    assert ["explains", "42", "%"] in lines


def test_an_unknown_benchmark_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"^bench: got 'speed', allowed are engine, book, train, start, audit, drift$"):
        bench("speed")


# --- the engine --------------------------------------------------------------------------------------


def test_the_markets_are_those_that_are_asked_for():
    requests = {
        workload.name: float(marketsim.MarketBatch(workload.config, 1).tables.market["intensity"][0])
        for workload in engine.workloads()
    }
    assert list(requests.values()) == pytest.approx([1.0, 1.0, 2.0])
    dealers, cells = zip(
        *((len(w.config.agents), sum(len(s.sizes) for s in w.config.market.segments)) for w in engine.workloads()),
        strict=True,
    )
    assert dealers == (4, 1, 4) and cells == (1, 1, 15)
    assert all(
        w.config.market.steps == 96 and w.config.dealer_of[0].observation == observe.DEFAULT for w in engine.workloads()
    )


def test_a_repeat_plays_whole_episodes_with_trades_in_them():
    play = Play(engine.workloads()[0].config, markets=50)
    play()
    batch = play.batch
    assert batch.state["step"] == 96 and batch.episode == EPISODES - 1
    assert play.steps == EPISODES * 96 * 50
    assert np.abs(batch.state["inventory"]).max() > 0 and np.abs(batch.state["cash"]).min() > 0


def test_the_reference_kernel_computes():
    x = np.array([0.0, 1.0])
    assert engine.reference_kernel(x) == pytest.approx(np.sqrt(0.1) + np.sqrt(1.4) / 2)


def test_the_engine_is_measured(monkeypatch):
    for name, value in {"REPEATS": 2, "MARKETS": 3, "MANY_MARKETS": 5, "ENV_EPISODES": 1}.items():
        monkeypatch.setattr(engine, name, value)
    monkeypatch.setattr(limits, "MARKETS", 3)
    monkeypatch.setattr(limits, "REPEATS", 2)
    rows = engine.measure()
    asked = [(row.at_least, row.aim) for row in rows if row.at_least]
    assert asked == [(8e6, 18e6), (12e6, 25e6), (4e6, 8e6), (30.0, None), (100e3, 130e3), (1.7, 1.9)]
    rates = [
        row for row in rows if row.value is not None and "limits" not in row.name and "their share" not in row.name
    ]
    assert rates and all(row.value > 0 for row in rates)


# --- training ----------------------------------------------------------------------------------------


def test_both_learners_get_the_settings_of_the_comparison():
    spec = train_bench.with_policy(DESK, train_bench.SETTINGS).dealers[0].policy
    assert (spec.hidden, spec.activation, spec.epochs, spec.minibatches) == ((64, 64), "tanh", 4, 8)
    assert spec.rollout == 128 and spec.learning_rate == DESK.dealers[0].policy.learning_rate


class _Steps:
    """A learner that does nothing, and a policy: by default one that is passive."""

    steps, native, markup = 0, False, 1.0

    def update(self):
        self.steps += 100
        if self.steps == 300:
            self.markup = -0.2  # of its range: what is near the optimum

    def act(self, observation):
        return np.tile(np.float32([self.markup, self.markup, -1.0]), (len(observation), 1))


def test_the_clock_stops_where_the_policy_is_good_enough(monkeypatch):
    learner = _Steps()
    worth = {1.0: 0.1, -0.2: 0.96}
    monkeypatch.setattr(train_bench, "worth", lambda desk: lambda policy: worth[policy.markup] * best)
    best = train_bench.optimal.solve(DESK).optimal
    seconds, share = train_bench.seconds_to(DESK, learner, learner, 1_000, "test")
    assert learner.steps == 300 and share == pytest.approx(0.96) and 0 < seconds < 1
    learner = _Steps()
    _, share = train_bench.seconds_to(DESK, learner, learner, 200, "test")
    assert learner.steps == 200 and share == pytest.approx(0.1)


def test_worth_is_the_exact_value_of_what_the_learner_does():
    from agents.policy import Seat, build

    value = train_bench.worth(DESK)
    trainer = Trainer(DESK, 0, 16, 16 * 6)
    mean = value(train_bench.Mean(trainer.policies[0]))
    solution = train_bench.optimal.solve(DESK)
    spec = type("Spec", (), {"max_inventory": None, "kind": "optimal"})()
    assert value(build(spec, Seat(DESK, 0))) == pytest.approx(solution.optimal, rel=1e-9)
    assert mean < solution.optimal


def test_without_stable_baselines_the_rows_say_so(monkeypatch):
    monkeypatch.setattr(train_bench, "find_spec", lambda name: None)
    for name, value in {"MARKETS": 8, "ROLLOUT": 16, "UPDATES": 1, "SHARE": 2.0}.items():
        monkeypatch.setattr(train_bench, name, value)
    monkeypatch.setattr(limits, "MARKETS", 3)
    monkeypatch.setattr(limits, "REPEATS", 2)
    short = DESK.model_copy(update={"train": type("Train", (), {"steps": 100, "markets": 8})})
    rows = train_bench._throughput(train_bench.with_policy(DESK, train_bench.SETTINGS)) + train_bench._to_the_optimum(
        short
    )
    missing = [row for row in rows if row.value is None]
    assert [row.met for row in missing] == [None, None]
    assert all("not installed" in row.name for row in missing)


def test_stable_baselines_meets_the_same_market():
    pytest.importorskip("stable_baselines3")
    from experiments.bench.stable_baselines import Baseline, MarketVecEnv

    env = MarketVecEnv(DESK, 4, 9)
    batch = marketsim.MarketBatch(DESK, 4, 9)
    actions = np.random.default_rng(1).uniform(-1, 1, (4, 3)).astype(np.float32)
    np.testing.assert_array_equal(env.reset(), batch.reset()[:, 0])
    for t in range(6):
        observation, reward, done, infos = env.step(actions)
        step = batch.step(actions[:, None])
        np.testing.assert_array_equal(reward, step.reward[:, 0])
        if t < 5:
            np.testing.assert_array_equal(observation, step.observation[:, 0])
            assert not done.any()
    assert done.all() and not any(info["TimeLimit.truncated"] for info in infos)  # worth nothing after the horizon
    np.testing.assert_array_equal(infos[2]["terminal_observation"], step.observation[2, 0])
    np.testing.assert_array_equal(observation, batch.reset()[:, 0])
    learner = Baseline(DESK, 4, 0)
    learner.update()
    assert learner.steps == 4 * 6
    assert np.abs(learner.act(np.zeros((5, 2), np.float32))).max() <= 1.0


def test_the_search_is_of_twenty_trials_and_its_table_holds_them():
    table = json.loads(search.TABLE.read_text())
    drawn = search.trials()
    assert drawn == search.trials() and drawn[0] == {} and len(drawn) == 21
    assert [trial["settings"] for trial in table["trials"]] == drawn
    assert search.best() in drawn
    assert all(
        trial["share"] <= max(t["share"] for t in table["trials"] if t["settings"] == search.best())
        for trial in table["trials"]
    )


# --- starting ----------------------------------------------------------------------------------------


def test_a_run_that_cannot_start_is_said(monkeypatch, tmp_path):
    code = "import sys; print('desk.yaml: no', file=sys.stderr); sys.exit(2)"
    monkeypatch.setattr(start, "COMMAND", [sys.executable, "-c", code])
    with pytest.raises(InputError, match=r"^bench start: the run ended before its first update: desk.yaml: no$"):
        start.first_update(tmp_path)


def test_the_clock_of_a_start_stops_at_the_first_update(monkeypatch, tmp_path):
    code = "import os, sys, time; print(os.environ['NUMBA_CACHE_DIR'], file=sys.stderr, flush=True); time.sleep(0.3)\n"
    code += "print('training base/8: 1 of 1', file=sys.stderr, flush=True); time.sleep(60)"
    monkeypatch.setattr(start, "COMMAND", [sys.executable, "-c", code])
    assert 0.3 < start.first_update(tmp_path) < 30
