"""What a learner's objective makes of its rewards: the charge on the tail, the prices of constraints, utility.

A constrained problem ``max E[R] subject to C_k <= d_k`` is solved by its dual: the learner maximises
``E[R] - sum of lambda_k C_k`` while every multiplier lambda_k follows the excess of ``C_k`` over ``d_k``, measured on fresh
episodes of the policy as it would be deployed. The learner itself sees rewards and knows none of this.

- CVaR: Rockafellar and Uryasev (2000, J. of Risk 2:21, eq. 4): CVaR = min over nu of nu + E[(L - nu)+]/(1 - level), least
  at nu = the level-quantile of the loss L. So lambda CVaR costs kappa = lambda/(1 - level) times the excess over nu,
  which the market charges step by step (docs/market.md, risk state).
- Multipliers: PID control of Stooke, Achiam and Abbeel (2020, ICML, alg. 2).
- Entropic: exponential utility is multiplicative (Howard and Matheson 1972, Management Science 18:356). With
  u_t = (1 - e^(-g r_t))/g and the discount e^(-g r_t), U_t = u_t + e^(-g r_t) U_{t+1} is (1 - e^(-g (r_t + ... + r_T)))/g.

docs/objectives.md says how it is used and what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agents.config import PID, CVaRConstrained, Entropic, Mean, MeanCVaR, Objective
from agents.episodes import COSTS, Totals
from marketsim.measures.tail import cvar, value_at_risk

CONFIDENCE = 1.0  # standard errors above a measured value: the bound that must be within the limit
LARGEST = 100.0  # multiplier, in units of the loss's standard deviation
EXPONENT = 30.0  # the largest -g r_t of a step under exponential utility


@dataclass(frozen=True)
class Estimate:
    """A mean or CVaR over episodes, and its standard error."""

    value: float
    se: float

    def bound(self, errors: float = CONFIDENCE) -> float:
        """The value plus so many standard errors."""
        return self.value + errors * self.se


def mean_of(values: np.ndarray) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def tail_of(losses: np.ndarray, level: float) -> tuple[float, Estimate]:
    """nu, the quantile of ``losses`` (n,), and their CVaR.

    The standard error is that of mean((L - nu)+)/(1 - level): nu minimises, its own error has no effect of first order
    (Trindade et al. 2007, J. Banking and Finance 31:3524).
    """
    nu = value_at_risk(losses, level)
    excess = np.maximum(losses - nu, 0.0)
    return nu, Estimate(cvar(losses, level), float(excess.std(ddof=1)) / (1 - level) / math.sqrt(len(losses)))


class Multiplier:
    """One dual variable, never negative, moved by PID control of an excess.

    The integral is kept between 0 and what makes the multiplier ``LARGEST``: it does not wind up while the constraint
    is slack or cannot be met.
    """

    def __init__(self, gains: PID):
        self.gains = gains
        self.value = self.integral = 0.0
        self.excess = math.nan  # of the last measurement

    def update(self, excess: float) -> float:
        """The multiplier after one more measurement; ``excess`` > 0 where the constraint is broken."""
        gains = self.gains
        rise = max(excess - self.excess, 0.0) if math.isfinite(self.excess) else 0.0
        self.integral = min(max(self.integral + gains.integral * excess, 0.0), LARGEST)
        value = self.integral + gains.proportional * excess + gains.derivative * rise
        self.value, self.excess = min(max(value, 0.0), LARGEST), excess
        return self.value


class Dual:
    """The risk state and the prices of one learner.

    ``nu``, ``kappa``: as the market charges them; ``prices``: of a unit of each cost; ``found``: the last measurement.
    """

    def __init__(self, objective: Objective):
        self.objective = objective
        self.nu = self.kappa = 0.0
        self.prices: dict[str, float] = {}
        self.found: dict[str, Estimate] = {}
        self.limits: dict[str, float] = {}
        if isinstance(objective, CVaRConstrained):
            self.limits["cvar"] = objective.limit
        if isinstance(objective, Mean | MeanCVaR | CVaRConstrained):
            self.limits |= {constraint.kind: constraint.limit for constraint in objective.constraints}
            self.multipliers = {name: Multiplier(objective.pid) for name in self.limits}

    @property
    def level(self) -> float | None:
        """Of the tail that is charged, None where none is."""
        return self.objective.level if isinstance(self.objective, MeanCVaR | CVaRConstrained) else None

    @property
    def measures(self) -> int:
        """Episodes that a measurement needs; 0: nothing is measured."""
        if isinstance(self.objective, Entropic) or (not self.limits and self.level is None):
            return 0
        return self.objective.episodes  # type: ignore[attr-defined]

    def measure(self, totals: Totals) -> dict[str, Estimate]:
        """The mean reward, the CVaR and the constrained costs of episodes (n,)."""
        found = {"mean": mean_of(totals.reward)}
        if self.level is not None:
            found["cvar"] = tail_of(totals.loss, self.level)[1]
        return found | {name: mean_of(getattr(totals, name)) for name in COSTS if name in self.limits}

    def within(self, found: Mapping[str, Estimate], errors: float = CONFIDENCE) -> bool:
        """Whether every constraint's value and so many standard errors are within its limit; a NaN is not."""
        return all(found[name].bound(errors) <= limit for name, limit in self.limits.items())

    def update(self, totals: Totals) -> None:
        """Take in fresh episodes (n,) of the policy: move nu to their quantile, and the multipliers.

        An excess is in units of the loss's standard deviation where it is a loss, of the limit where it is a cost;
        multipliers are money over those units, so that gains mean the same in every market.
        """
        self.found, money = self.measure(totals), float(totals.loss.std(ddof=1))
        for name, limit in self.limits.items():
            unit = money if name == "cvar" else limit
            excess = (self.found[name].bound() - limit) / unit if unit > 0 else 0.0
            self.prices[name] = self.multipliers[name].update(excess) * (money / unit if unit > 0 else 0.0)
        if self.level is not None:
            self.nu = tail_of(totals.loss, self.level)[0]
            weight = self.objective.weight if isinstance(self.objective, MeanCVaR) else self.prices["cvar"]
            self.kappa = weight / (1 - self.level)

    def credit(self, reward: np.ndarray, costs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | float]:
        """What a step counts for the learner, and what its future counts for after it.

        ``reward``: as the market gave it, the tail's charge included; ``costs`` of the same shape.
        """
        if isinstance(self.objective, Entropic):
            g = self.objective.risk_aversion
            exponent = np.minimum(-g * reward, EXPONENT)
            return -np.expm1(exponent) / g, np.exp(exponent)
        for name, cost in costs.items():
            if name in self.prices:
                reward = reward - self.prices[name] / (1 + self.kappa) * cost
        return reward, 1.0

    def figures(self) -> dict[str, float]:
        """Columns of training.parquet; NaN where the objective knows no such figure."""
        unknown = Estimate(math.nan, math.nan)
        tail = self.found.get("cvar", unknown)
        known = self.level is not None
        record = {
            "nu": self.nu if known else math.nan,
            "kappa": self.kappa if known else math.nan,
            "lambda": self.kappa * (1 - self.level) if self.level is not None else math.nan,
            "cvar": tail.value,
            "cvar_se": tail.se,
        }
        for name in COSTS:
            record |= {name: self.found.get(name, unknown).value, f"lambda_{name}": self.prices.get(name, math.nan)}
        return record

    # --- keeping and restoring ---

    def state(self) -> dict[str, np.ndarray]:
        """Everything that the next update depends on, and the last figures."""
        state = {"risk": np.array([self.nu, self.kappa])}
        for name, price in self.prices.items():
            m = self.multipliers[name]
            state[f"multiplier.{name}"] = np.array([m.value, m.integral, m.excess, price])
        return state | {f"found.{name}": np.array([e.value, e.se]) for name, e in self.found.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from such a state."""
        self.nu, self.kappa = state["risk"].tolist()
        for key, array in state.items():
            part, _, name = key.partition(".")
            if part == "multiplier":
                m = self.multipliers[name]
                m.value, m.integral, m.excess, self.prices[name] = array.tolist()
            elif part == "found":
                self.found[name] = Estimate(*array.tolist())


def uncharged(
    reward: np.ndarray, before: np.ndarray, after: np.ndarray, nu: np.ndarray, kappa: np.ndarray
) -> np.ndarray:
    """The reward (M, N) of a step without the tail's charge; ``before``, ``after``: the loss since reset."""
    return reward * (1 + kappa) + kappa * (np.maximum(after - nu, 0.0) - np.maximum(before - nu, 0.0))


def charged(reward: np.ndarray, before: np.ndarray, after: np.ndarray, nu: float, kappa: float) -> np.ndarray:
    """The reward of a step with the tail's charge, as the market makes it under this risk state: inverse of ``uncharged``."""
    return (reward - kappa * (np.maximum(after - nu, 0.0) - np.maximum(before - nu, 0.0))) / (1 + kappa)
