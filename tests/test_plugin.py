"""Policies of somebody else's: played in a process of their own, and withdrawn where they fail."""

import sys
import time

import numpy as np
import pytest

from agents.config import Desk
from agents.policy import Seat, build
from experiments import run
from experiments.config import load
from marketsim.batch import MarketBatch
from marketsim.document import InputError, parse
from marketsim.types import Reason

SOURCE = """
import os, sys, time
import numpy as np

class Middle:
    def __init__(self, facts):
        self.components = facts["components"]
        print("hello from the policy")
    def act(self, observation):
        return np.zeros((len(observation), self.components))

class Priced:
    def __init__(self, facts):
        self.shape = facts["quote_shape"]
    def quote(self, observation):
        return np.full((len(observation), *self.shape), 0.25), np.ones((len(observation), 1))

class Sleeper(Middle):
    def act(self, observation):
        time.sleep(60)

class Leaver(Middle):
    def act(self, observation):
        os._exit(3)

class Misshapen(Middle):
    def act(self, observation):
        return np.zeros((len(observation), 99))

class Meddler(Middle):
    def act(self, observation):
        import gc
        from marketsim.batch import MarketBatch
        for thing in gc.get_objects():
            if isinstance(thing, MarketBatch):
                thing.tables.dealers.flags.writeable = True
        return super().act(observation)

def broken(facts):
    raise RuntimeError("no luck")
"""
MARKET = {"steps": 5, "segments": [{"name": "clients", "rates": [0.5]}]}


def desk_of(name, **policy):
    policy = {"kind": "plugin", "factory": f"my_policies:{name}", **policy}
    return {"market": MARKET, "dealers": [{"name": "mine", "policy": policy}]}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """``plugin(name)``: a batch of three markets and the policy of that name, from a file of the user's."""
    (tmp_path / "my_policies.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)

    def make(name, **policy):
        desk = parse(Desk, load(desk_of(name, **policy), allow_plugins=True).document)
        batch = MarketBatch(desk, 3)
        return batch, batch.reset(), build(desk.dealers[0].policy, Seat(desk, 0))

    return make


def test_its_actions_are_played(plugin):
    batch, observation, policy = plugin("Middle")
    policy.reset(0, 0, 0, 3)
    action = policy.act(observation[:, 0])
    assert action.dtype == np.float32 and action.shape == (3, 3) and not action.any()
    assert "my_policies" not in sys.modules  # nothing of it was imported here


def test_its_quotes_are_played(plugin):
    _, observation, policy = plugin("Priced", native=True)
    markups, hedge = policy.quote(observation[:, 0])
    assert markups.shape == (3, 2, 1, 1) and (markups == 0.25).all() and (hedge == 1).all()


@pytest.mark.parametrize("name", ["Sleeper", "Leaver", "Misshapen"])
def test_what_fails_is_withdrawn_and_counted(plugin, name):
    batch, observation, policy = plugin(name, timeout=1.5)
    began = time.monotonic()
    for _ in range(2):
        action = policy.act(observation[:, 0])
        step = batch.step(action[:, None])
        assert (step.reasons & Reason.NON_FINITE).all() and not step.ledger["won"].any()
    assert time.monotonic() - began < 6  # the second answer was not waited for


def test_it_cannot_reach_the_limits(plugin):
    batch, observation, policy = plugin("Meddler")
    policy.act(observation[:, 0])
    assert not batch.tables.dealers.flags.writeable


def test_a_factory_that_fails_says_why(plugin):
    with pytest.raises(ValueError, match=r"dealers.mine.policy.factory: my_policies:broken does not start: .*no luck"):
        plugin("broken")
    with pytest.raises(ValueError, match="my_policies:absent does not start"):
        plugin("absent")


def test_nothing_is_imported_without_leave(tmp_path, monkeypatch):
    (tmp_path / "my_policies.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"dealers.mine.policy: .*--allow-plugins"):
        run(desk_of("Middle"))
    design = {"designs": {"other": {"dealers.mine.policy": {"kind": "plugin", "factory": "my_policies:Middle"}}}}
    with pytest.raises(InputError, match="designs.other: .*--allow-plugins"):
        run({"market": MARKET, "dealers": [{"name": "mine", "policy": "fixed"}]} | design)
    sweep = {"sweep": {"dealers.mine.policy": ["fixed", {"kind": "plugin", "factory": "my_policies:Middle"}]}}
    with pytest.raises(InputError, match="sweep: .*--allow-plugins"):
        run({"market": MARKET, "dealers": [{"name": "mine", "policy": "fixed"}]} | sweep)
    plain = {"market": MARKET, "dealers": [{"name": "mine", "policy": "fixed"}]}
    owned = {"dealers.mine.limits.position": {"hard": 5, "owner": "plugin"}}
    assert load(plain | {"designs": {"held": owned}}).designs  # a word is no policy
    assert not (tmp_path / "runs").exists()
