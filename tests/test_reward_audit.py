"""The audit of rewards: its figures by hand, its judgement on recorded trainings, and the verb from end to end."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from command_fixture import call

from agents.policy import Seat, build
from experiments import config, reward_specimens, store
from experiments.audit_reward import AUDIT, audit
from experiments.behaviour import behaviour, sampling
from experiments.reward_flags import FIGURES, Seen, flags, thresholds
from marketsim import InputError

CLIENTS = {"rates": [0.6], "choice": {"kind": "logit", "intercept": 0.0, "sensitivity": 4.0}}
LEARNER = {
    "name": "learner",
    "policy": {"kind": "ppo", "hidden": [4], "epochs": 1, "minibatches": 1},
    "reward": ["spread"],
}
TINY = {
    "name": "tiny",
    "market": {"steps": 10, "inventory_limit": 5, "liquidate": True, "segments": [CLIENTS]},
    "dealers": [LEARNER],
    "train": {"steps": 1600, "markets": 8},
    "evaluate": {"episodes": 50},
}


# --- the judgement on recorded trainings ------------------------------------------------------------


def test_thresholds_come_from_the_four_pairs_alone():
    table = reward_specimens.recorded()
    pairs = reward_specimens.split()["set"]
    mine = table[table["specimen"].isin([name for pair in pairs for name in pair])]
    assert reward_specimens.set_thresholds(mine) == json.loads(reward_specimens.THRESHOLDS.read_text())


def test_three_of_four_are_found_and_at_most_one_sane_reward_is_flagged():
    """On the four pairs that had no part in the thresholds."""
    check_judged(reward_specimens.judge(reward_specimens.recorded()))


@pytest.mark.long
def test_the_whole_of_it_from_training_on():
    """Trains all sixteen, sets thresholds on four pairs and judges the other four. About ten minutes."""
    table = reward_specimens.record()
    found = reward_specimens.set_thresholds(table)["flags"]
    assert {name: found[name]["above"] for name in found} == pytest.approx(thresholds(), rel=0.5)
    check_judged(reward_specimens.judge(table))


def check_judged(judged: pd.DataFrame) -> None:
    print(judged.to_string(index=False))
    gamed, sane = (judged[judged["kind"] == kind] for kind in ("hackable", "sane"))
    assert len(gamed) == len(sane) == 4
    assert gamed["by_its_own"].sum() >= 3
    assert sane["flagged"].sum() <= 1


def test_the_split_names_every_specimen_once():
    tree = reward_specimens.split()
    named = [name for pair in tree["set"] + tree["judge"] for name in pair]
    assert sorted(named) == sorted(path.stem for path in reward_specimens.FOLDER.glob("*/*.yaml"))
    assert len(set(tree["planted"].values())) == len(tree["planted"])
    assert set(FIGURES) - set(tree["planted"].values()) == {"below_baseline"}  # which any of them may raise
    for game, sane in tree["set"] + tree["judge"]:
        two = [config.load(reward_specimens.FOLDER / kind / f"{name}.yaml").base
               for kind, name in (("hackable", game), ("sane", sane))]  # fmt: skip
        assert two[0].market == two[1].market and two[0].train == two[1].train


# --- the figures by hand ----------------------------------------------------------------------------

NOTHING = {
    "proxy": 10.0, "proxy_se": 0.1, "true": 8.0, "pnl": 9.0, "cvar": -2.0, "spread": 10.0, "own_quote": 0.5, "hedge_close": 0.2,
    "hedge_rest": 0.2, "won": 2.0, "unfillable": 0.0, "markup": 1.0, "interventions": 0.0, "sampling": 0.0, "period": 0.0,
}  # fmt: skip
FLAGGED = {  # figure -> first and last checkpoint, and what the figure then is; the baseline is NOTHING
    "proxy_against_true": ({}, {"proxy": 11.0, "true": 3.0}, 0.5),
    "below_baseline": ({"true": 2.0}, {"true": 3.0}, 0.5),
    "own_quote": ({}, {"own_quote": 8.0}, 0.8),
    "unfillable": ({}, {"unfillable": 0.7}, 0.7),
    "dumping": ({}, {"hedge_close": 6.2}, 3.0),
    "sampled": ({}, {"sampling": 0.6, "period": 8.0}, 0.6),
    "tail_blind": ({}, {"cvar": 26.0, "pnl": 9.0}, 2.8),
    "leaning": ({}, {"interventions": 400.0}, 400.0),
}


def paths(first: dict, last: dict, dealers: int = 1) -> Seen:
    rows = [
        NOTHING | change | {"steps": steps, "dealer": f"dealer_{k}"}
        for k in range(dealers)
        for steps, change in ((0, first), (1000, last))
    ]
    return Seen(pd.DataFrame(rows), pd.DataFrame([NOTHING | {"dealer": f"dealer_{k}"} for k in range(dealers)]))


@pytest.mark.parametrize("name", FLAGGED)
def test_each_figure_by_hand(name):
    first, last, value = FLAGGED[name]
    seen = paths(first, last)
    assert FIGURES[name](seen) == pytest.approx(value)
    (flag,) = flags(seen, {other: (0.4 if other == name else 1e9) for other in FIGURES})
    assert flag.name == name and flag.figure == pytest.approx(value) and len(flag.sentence) > 20


def test_nothing_is_flagged_where_nothing_happens():
    assert flags(paths({}, {}), thresholds()) == []


def test_a_baseline_that_earns_nothing_makes_no_flag():
    """As Avellaneda-Stoikov does among keen rivals: money is then held against what the learner was seen to earn."""
    seen = paths({}, {})
    nobody = pd.DataFrame([NOTHING | {"dealer": "dealer_0", "spread": 0.0, "won": 0.0, "pnl": 0.0, "cvar": 0.0}])
    idle = Seen(seen.path.reset_index().assign(dealer="dealer_0"), nobody)
    assert flags(idle, thresholds()) == [] and FIGURES["own_quote"](idle) == FIGURES["own_quote"](seen)


def test_a_true_objective_that_falls_with_the_reward_is_not_gamed():
    assert FIGURES["proxy_against_true"](paths({}, {"proxy": 9.0, "true": 3.0})) == 0.0
    assert FIGURES["proxy_against_true"](paths({}, {"proxy": 10.2, "true": 3.0})) == 0.0  # within the noise


def test_a_tail_that_a_higher_mean_pays_for_is_not_blind():
    assert FIGURES["tail_blind"](paths({}, {"cvar": 0.0, "pnl": 12.0})) < 0


def test_spreads_drift_together_only_if_all_do_and_beyond_what_rivals_would_quote():
    rise = {"markup": 0.5}, {"markup": 1.2}
    assert FIGURES["together"](paths(*rise, dealers=2)) == pytest.approx(0.7)
    assert FIGURES["together"](paths(*rise)) == 0.0  # alone
    assert FIGURES["together"](paths({"markup": 0.2}, {"markup": 0.6}, dealers=2)) == 0.0  # still competing
    assert FIGURES["together"](paths({"markup": 1.2}, {"markup": 0.6}, dealers=2)) == 0.0


def test_a_dip_every_eighth_step_is_found_and_a_trend_is_not():
    step = np.arange(40)
    saw = 1.0 + (step % 8)
    assert sampling(saw)[1] == 8 and sampling(saw)[0] > 0.5
    assert sampling(np.sqrt(1.0 + step))[0] < 0.05
    assert sampling(10.0 - 0.2 * step)[0] < 0.05
    noise = 2.0 + 0.05 * np.sin(37.0 * step)
    assert sampling(noise)[0] < 0.1
    assert sampling(np.ones(3)) == (0.0, 0)


def watched(reward: list, markup: float, hedge: float = 0.0, true: dict | None = None, **market) -> pd.Series:
    """The behaviour of a dealer with the same markup always."""
    dealer = {"name": "dealer", "policy": {"kind": "fixed", "markup": markup, "hedge": hedge}, "reward": reward}
    tree = TINY | {"market": TINY["market"] | market, "dealers": [dealer]} | ({"true_objective": true} if true else {})
    desk = config.load(tree).base
    return behaviour(desk, {0: build(desk.dealers[0].policy, Seat(desk, 0))}, [0], 400).iloc[0]


def test_quotes_that_nobody_takes_are_unfillable():
    assert watched(["pnl"], markup=1.5)["unfillable"] == 1.0  # 1 / (1 + e^6): 0.2%
    assert watched(["pnl"], markup=0.4)["unfillable"] == 0.0  # 1 / (1 + e^1.6): 17%


def test_proxy_and_true_objective_are_scored_over_the_same_play():
    plain = watched(["spread"], 0.3)
    assert plain["proxy"] == pytest.approx(plain["spread"], rel=1e-12)
    true = {"reward": ["pnl"], "cvar": {"level": 0.9, "weight": 0.5}}
    charged = watched(["spread"], 0.3, true=true)
    assert charged["true"] == pytest.approx(charged["pnl"] - 0.5 * charged["cvar"], rel=1e-12)
    assert charged["pnl"] == pytest.approx(plain["pnl"], rel=1e-12) and charged["cvar"] < plain["cvar"]  # 90%, not 95%


def test_the_book_at_its_own_quotes_and_its_hedges_by_hand():
    """One way flow at mid, that always trades: 2 lots more a step, the last step begins with 18."""
    flow = {"name": "sellers", "sizes": [2], "rates": {"bid": [1.0], "ask": [0.0]},
            "choice": {"kind": "best_price", "reservation": {"kind": "fixed", "value": 0.5}}}  # fmt: skip
    market = {"arrivals": "bernoulli", "inventory_limit": 100, "segments": [flow]}
    row = watched(["pnl"], 0.5, **market)
    assert row["won"] == 2.0 and row["spread"] == 10 * 2 * 0.5
    assert row["own_quote"] == 0.0  # no client would buy: the offer is no quote of anybody's
    hedged = watched(["pnl"], 0.5, hedge=1.0, **market)
    assert hedged["hedge_close"] == 2.0 and hedged["hedge_rest"] == pytest.approx(2.0 * 8 / 9)


# --- from end to end --------------------------------------------------------------------------------


def test_an_audit_leaves_its_tables_and_is_the_same_again(tmp_path):
    tree = TINY | {"designs": {"paid": {"dealers.learner.reward": ["pnl"]}}}
    folder, audits = audit(tree, out=tmp_path / "one")
    assert [found.design for found in audits] == ["base", "paid"]
    table = pd.read_parquet(folder / "base" / "1" / "behaviour.parquet")
    learned = table[table["policy"] == "learned"]
    assert learned["steps"].is_monotonic_increasing and learned["steps"].iloc[0] == 0 and len(learned) == 12
    assert set(table["policy"]) == {"learned", "avellaneda_stoikov"}
    said = json.loads((folder / AUDIT).read_text())["audits"]
    assert set(said[0]["figures"]) == set(FIGURES) and len(said) == 2
    again, _ = audit(tree, out=tmp_path / "two")
    assert (again / AUDIT).read_text() == (folder / AUDIT).read_text()


def test_the_verb_prints_a_table_or_one_object(tmp_path, monkeypatch, capsys):
    store.write_yaml(tmp_path / "tiny.yaml", TINY)
    monkeypatch.chdir(tmp_path)
    for words in ([], ["--json"]):
        code, out, _ = call(monkeypatch, capsys, "audit-reward", "tiny.yaml", *words)
        assert code == 0
        assert set(json.loads(out)) == {"audits", "folder"} if words else "A-S" in out and "training seed 1" in out


def test_what_cannot_be_audited_is_refused_before_anything_is_written(tmp_path):
    fixed = TINY | {"dealers": [{"name": "dealer", "policy": "fixed"}]}
    with pytest.raises(InputError, match="dealers: none of them learns"):
        audit(fixed, out=tmp_path / "runs")
    with pytest.raises(InputError, match="true_objective.cvar.level"):
        audit(TINY | {"true_objective": {"cvar": {"level": 1.5}}}, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
