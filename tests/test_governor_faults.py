"""Faults under a governor: a hook that fails, a full disk and a dead channel end in the safe state in time."""

from __future__ import annotations

import errno
import time

import numpy as np
import pytest
from governor_fixture import LOSS, MARKETS, STEPS, Played, calibrated, escalation

from experiments.desk.live import Live
from marketsim.guardrails.audit import Audit
from marketsim.guardrails.hook import Hook
from marketsim.guardrails.identity import Approver, Approvers
from marketsim.guardrails.states import State
from marketsim.scenarios import overlay
from marketsim.types import Reason


@pytest.fixture(scope="module")
def calibration():
    return calibrated()


def raises(case):
    raise RuntimeError("the desk is on fire")


def answers_nonsense(case):
    return "hedge"


@pytest.mark.parametrize(
    "hook", [raises, answers_nonsense, lambda case: time.sleep(30)], ids=["raises", "lies", "hangs"]
)
@pytest.mark.parametrize("if_silent, state", [("hedge", State.RESTRICTED), ("halt", State.HALTED)])
def test_a_hook_that_fails_fires_the_safe_default_in_that_step(calibration, hook, if_silent, state):
    changes = {"if_silent": if_silent, "hook_timeout": 0.05, "acknowledge_within": 500, "decide_within": 500}
    played = Played(calibration, operator=Hook(hook, 0.05), markets=1, **changes)
    played.step(hedge=8.0, markup=np.nan)
    changed = overlay("volatility_x3", played.batch.config, begin=0.0)
    while not played.book.open:
        if played.batch.state["step"] == STEPS:
            played.begin(changed)
        played.step(markup=np.nan)
    assert played.states[0] == State.WARN
    played.step(markup=-0.5)  # it is asked before this step executes
    assert played.states[0] == state and played.reasons[0] & Reason.ORDERED
    assert [body["case"] for kind, body in played.log if kind == "fault"] == [1]


def test_a_full_disk_halts_in_the_step_in_which_it_is_found(calibration):
    full = False

    def record(kind, body):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    played = Played(calibration, LOSS, record=record)
    played.losing(np.arange(MARKETS) == 7)
    full = True
    _, won, _ = played.step(markup=-0.5)  # one has to be restricted, which cannot be written
    assert np.all(played.states == State.HALTED) and not len(won)
    full = False
    played.let_go()
    assert np.all(played.states == State.PROBATION)


@pytest.mark.parametrize("pace", ["pause", "walk"])
def test_a_dead_channel_halts_in_that_step(calibration, tmp_path, pace):
    changes = {"pace": pace, "hook_timeout": 0.05}
    with Audit(tmp_path / "audit.jsonl") as audit:
        approvers = Approvers([Approver("ann", "risk"), Approver("bob", "desk"), Approver("cyd", "desk")])
        live = Live(tmp_path, escalation(**changes), approvers, audit, ["maker"], audit.head)
        played = Played(calibration, operator=live, record=audit.record, markets=2, **changes)
        played.steps(3)
        assert np.all(played.states == State.NORMAL)
        (tmp_path / "cases").rename(tmp_path / "gone")
        (tmp_path / "cases").write_text("a file is in the way")
        _, won, _ = played.step(markup=-0.5)
        assert np.all(played.states == State.HALTED) and not len(won)
        began = time.monotonic()
        played.steps(5)
        assert time.monotonic() - began < 2.0
        (tmp_path / "cases").unlink()
        played.steps(2)  # it tries again, and shows what is open
        assert {path.name for path in (tmp_path / "cases").glob("*.json")} == {"desk.json", "1.json", "2.json"}
        assert np.all(played.states == State.HALTED)  # which only people end
    faults = [line for line in (tmp_path / "audit.jsonl").read_text().splitlines() if '"kind":"fault"' in line]
    assert len(faults) == 1 and "nobody can be asked" in faults[0]
