"""A governed dealer in a market: what it is watched by, who answers, and its play."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments import quiet
from experiments.config import ExperimentConfig
from experiments.players import players
from marketsim.batch import MarketBatch
from marketsim.guardrails.case import Decision
from marketsim.guardrails.escalation import Escalation
from marketsim.guardrails.governor import Governor
from marketsim.types import BID

STEPS, MARKETS = 40, 20
PEOPLE = [{"name": "ann", "role": "risk"}, {"name": "bob", "role": "desk"}, {"name": "cyd", "role": "desk"}]
WATCH = ("requests", "hit_ratio", "spread", "volatility")


def desk(**limits) -> ExperimentConfig:
    tree = {
        "market": {
            "steps": STEPS,
            "inventory_limit": 20,
            "price": {"volatility": 0.5},
            "venue": {"half_spread": 0.2},
            "segments": [
                {
                    "sizes": [1, 2],
                    "rates": [0.4, 0.2],
                    "choice": {"kind": "logit", "intercept": -1.0, "sensitivity": 4.0},
                }
            ],
        },
        "dealers": [{"name": "maker", "policy": {"kind": "fixed", "markup": 0.4}, "limits": limits}],
    }
    return ExperimentConfig.model_validate(tree)


def escalation(**changes) -> Escalation:
    tree = {"watch": WATCH, "approvers": PEOPLE, "acknowledge_within": 5, "decide_within": 12, "if_silent": "hedge"}
    return Escalation.model_validate({**tree, "cool_off": 10, "probation": 8, **changes})


@cache
def calibrated():
    """Of the dealer in quiet episodes."""
    with TemporaryDirectory() as folder:
        return quiet.calibrate(desk(), players(desk(), Path(folder)), [0], WATCH, 0, Path(folder))


class People:
    """Answers at the steps at which somebody does: step -> a function of the book and the step."""

    def __init__(self):
        self.answers = {}

    def attend(self, book, step, drifted):
        self.answers.get(step, lambda book, step: None)(book, step)


class Played:
    """A governed batch whose dealer quotes ``markup`` on both sides and hedges what it is told."""

    def __init__(self, calibration, limits=None, operator=None, record=None, markets=MARKETS, first=0, **changes):
        self.log = []
        self.people = operator or People()
        self.batch = MarketBatch(desk(**(limits or {})), markets, 3, first, record=True)
        self.governor = Governor(
            self.batch, escalation(**changes), calibration, record or (lambda *row: self.log.append(row)), self.people
        )  # fmt: skip
        self.book, self.markets = self.governor.book, markets
        self.begin()

    def begin(self, scenario=None):
        self.batch.reset()
        self.governor.begin()
        self.scenario = scenario

    def step(self, hedge=0.0, markup=0.4):
        """One step; the inventory at its start, its result, and its requests won with the sign of what they did."""
        before = self.inventory.copy()
        if self.scenario is not None:
            self.scenario.before(self.batch, int(self.batch.state["step"]))
        self.governor.before()
        markups = np.full((self.markets, 1, 2, 1, 2), markup)
        step = self.batch.step_quotes(markups, np.broadcast_to(hedge, self.markets).reshape(-1, 1, 1).astype(float))
        self.governor.after(step)
        self.hedge, self.reasons = step.ledger["hedge"][:, 0].copy(), step.reasons[:, 0].copy()
        won = self.batch.requests[self.batch.requests["winner"] == 0]
        sign = np.where(won["side"] == BID, 1.0, -1.0)
        return before, won, sign

    def steps(self, n, **asked):
        for _ in range(n):
            self.step(**asked)

    def episode(self, scenario=None):
        self.begin(scenario)
        self.steps(STEPS)

    def losing(self, which=slice(None)):
        """Ten lots each, and the mid falls by 10 in some markets: a loss of about 100. Returns after the breach was seen."""
        self.step(hedge=10.0, markup=np.nan)
        fall = np.zeros(self.markets)
        fall[which] = -10.0
        self.batch.shock(fall)
        self.steps(2, markup=np.nan)

    def decide(self, option, who, role, case=1):
        version = self.book.cases[case - 1].version
        return self.book.decide(Decision(case, version, option, "because", who, role), self.governor.step)

    def let_go(self):
        """Two people of different roles resume every case that offers it."""
        for case in self.book.open:
            for who, role in (("ann", "risk"), ("bob", "desk")):
                if case.closed is None and "resume" in case.options:
                    assert self.decide("resume", who, role, case.id) == ""

    @property
    def inventory(self):
        return np.asarray(self.batch.state["inventory"])[:, 0, 0]

    @property
    def states(self):
        return self.book.state[:, 0]


LOSS = {"rolling_loss": {"hard": 60, "steps": 30, "on_breach": "widen"}}
HALF = np.arange(MARKETS) < MARKETS // 2
