"""The drill: every control holds on a whole market, on a bare one, and a control that was broken is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_fixture import call
from test_governance import GOVERNED

from experiments import drill
from experiments.drills import limits, people
from experiments.drills.stand import Stand
from marketsim.batch import MarketBatch
from marketsim.guardrails import cases, governor, identity
from marketsim.guardrails.audit import Verdict
from marketsim.guardrails.detector import Detector
from marketsim.types import Order

FULL = {
    "market": {
        "steps": 48,
        "inventory_limit": 20,
        "price": {"kind": "gbm", "volatility": 0.003},
        "venue": {"half_spread": 0.2, "slope": 0.02, "fee": 0.01},
        "segments": [
            {"name": "fast", "sizes": [1, 3], "rates": [0.4, 0.2], "choice": {"kind": "logit", "sensitivity": 4.0}},
            {"name": "slow", "rates": [0.1], "panel": 2, "choice": {"kind": "logit", "sensitivity": 2.0}},
        ],
    },
    "dealers": [
        {
            "name": "maker",
            "policy": {"kind": "ppo"},
            "limits": {
                "markup": {"low": -0.2, "high": 1.0, "on_breach": "reject"},
                "size": {"hard": 2},
                "position": {"soft": 8, "hard": 12, "on_breach": "reduce_only"},
                "worst_case": {"hard": 14},
                "loss": {"soft": 20, "hard": 30, "on_breach": "halt"},
                "drawdown": {"hard": 25, "on_breach": "reduce_only"},
                "rolling_loss": {"hard": 15, "steps": 4, "on_breach": "widen"},
                "feed": {"jump": 6, "frozen": 3},
                "time_at_limit": {"hard": 6, "level": 10},
                "hedge": {"hard": 4, "on_breach": "reject"},
                "slippage": {"hard": 0.3},
                "reference_distance": {"soft": 2.0},
                "critic_error": {"soft": 2.0},
            },
        },
        {"name": "rival", "count": 2, "policy": {"kind": "fixed", "markup": 0.4}},
    ],
    "desk": {"dealers": ["maker", "rival"], "position": {"hard": 15}},
    "escalation": {"approvers": [{"name": "ann", "role": "risk"}, {"name": "bob", "role": "desk"}], "if_silent": "flatten",
                   "watch": ["requests", "hit_ratio", "volatility", "critic_error"]},
}  # fmt: skip
BARE = {
    "market": {"segments": [{"rates": [0.3], "choice": {"kind": "best_price", "reservation": {"kind": "exponential", "rate": 2.0}}}]},
    "dealers": [{"name": "maker", "policy": {"kind": "fixed"}}],
}  # fmt: skip


@pytest.mark.parametrize("experiment", [FULL, BARE], ids=["all limits", "none"])
def test_every_control_holds(experiment):
    done = drill.drill(experiment)
    assert {tried.control: tried.happened for tried in done if not tried.passed} == {}
    assert len(done) == len(limits.CONTROLS) + len(people.CONTROLS) == 29
    configured = [tried for tried in done if "(as configured)" in tried.happened]
    assert len(configured) == (15 if experiment is FULL else 0)  # the feed is tried three ways
    assert all(tried.rule and "complian" not in tried.rule for tried in done)


@pytest.fixture(scope="module")
def stand() -> Stand:
    from experiments import config

    return Stand(config.load(FULL).base)


CONTROLS = {control.name: control for control in (*limits.CONTROLS, *people.CONTROLS)}


def without(order):
    """The engine forgets this order."""
    held = MarketBatch.order
    return lambda batch, agent, orders: held(batch, agent, np.asarray(orders) & ~int(order))


def lenient(name, value):
    """A limit that is looser than it was asked to be."""
    config = Stand.config

    def broken(stand, limits, *arguments):
        return config(
            stand,
            {k: v | {name: value} if isinstance(v, dict) and name in v else v for k, v in limits.items()},
            *arguments,
        )

    return broken


def believe(approvers, answer, head=None):
    """Whoever says so is an approver."""
    fields = {name: answer.get(name) for name in (*identity.SIGNED, "signature")}
    return identity.Signed(**fields, person=answer["who"], authenticated=True)


BREAKS = {
    "request size": (Stand, "config", lenient("hard", 100.0)),
    "hedge size": (Stand, "config", lenient("hard", 100.0)),
    "position": (Stand, "config", lenient("hard", 19.0)),
    "worst-case position": (Stand, "config", lenient("hard", 40.0)),
    "loss": (Stand, "config", lenient("hard", 1e9)),
    "drawdown": (Stand, "config", lenient("hard", 1e9)),
    "rolling loss": (Stand, "config", lenient("hard", 1e9)),
    "slippage": (Stand, "config", lenient("hard", 1.0)),
    "markup band": (Stand, "config", lenient("low", -50.0)),
    "time at limit": (Stand, "config", lenient("level", 50.0)),
    "fat finger": (MarketBatch, "set_feed", lambda batch, **feed: None),
    "frozen feed": (MarketBatch, "set_feed", lambda batch, **feed: None),
    "bad price": (MarketBatch, "set_feed", lambda batch, **feed: None),
    "orders": (MarketBatch, "order", without(Order.WIDEN)),
    "kill switch": (MarketBatch, "order", without(Order.NO_QUOTES)),
    "restricted on a breach": (MarketBatch, "order", without(Order.REDUCE_ONLY)),
    "probation": (MarketBatch, "order", without(Order.QUARTER)),
    "full disk": (MarketBatch, "order", without(Order.NO_QUOTES)),
    "dead channel": (cases.CaseBook, "fault", lambda book, *arguments: None),
    "hook that fails": (cases.CaseBook, "fault", lambda book, *arguments: None),
    "the agent's own figures": (governor, "passed", lambda levels, supplied, markets: np.zeros(markets, np.uint32)),
    "deadlines": (cases.CaseBook, "_miss", lambda book, case, step: None),
    "four eyes": (cases, "why_not", lambda *arguments: ""),
    "late and stale decisions": (cases, "why_not", lambda *arguments: ""),
    "identity": (identity.Approvers, "check", believe),
    "audit file": (people, "verify", lambda path, head: Verdict(True, True, 0, head, "")),
    "drift alarm": (Detector, "update", lambda detector, x: detector.alarm),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_control_that_was_broken_is_found(name, stand, monkeypatch):
    stand.calibration  # noqa: B018  made before anything is broken
    assert drill._try(CONTROLS[name], stand).passed
    monkeypatch.setattr(*BREAKS[name])
    tried = drill._try(CONTROLS[name], stand)
    assert not tried.passed and "it broke" not in tried.happened, tried.happened


def test_as_typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gov.yaml").write_text(GOVERNED)
    monkeypatch.setattr(people, "CONTROLS", people.CONTROLS[:1])
    monkeypatch.setattr(limits, "CONTROLS", limits.CONTROLS[:2])
    code, out, _ = call(monkeypatch, capsys, "drill", "gov.yaml")
    assert code == 0 and "3 of 3 controls held" in out and drill.NOTE in " ".join(out.split())
    code, out, _ = call(monkeypatch, capsys, "drill", "gov.yaml", "--json")
    tree = json.loads(out)
    assert code == 0 and tree["passed"] and tree["controls"][0]["control"] == "request size"
    monkeypatch.setattr(MarketBatch, "order", lambda batch, agent, orders: None)
    code, out, _ = call(monkeypatch, capsys, "drill", "gov.yaml")
    assert code == 1 and "2 of 3 controls held; not: kill switch" in out
    assert list(tmp_path.iterdir()) == [tmp_path / "gov.yaml"]
