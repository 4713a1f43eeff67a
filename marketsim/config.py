"""The market, and what the engine needs of a dealer: typed, bounded, with a sentence for every refusal.

``MarketConfig`` is the part of an experiment file that this package reads. The layers above subclass
these models and add their own keys; a file of theirs read here has those keys passed over.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from marketsim import observe, rewards
from marketsim.guardrails.envelope import DeskLimits, Limits
from marketsim.model import (
    NAME,
    Listed,
    Model,
    NonNegative,
    Pair,
    Positive,
    Probability,
    Real,
    as_tuple,
    ordered,
    tagged,
)
from marketsim.types import MAX_DEALERS

# --- price -----------------------------------------------------------------------------------------


class Brownian(Model):
    kind: Literal["brownian"] = "brownian"
    mid: Real = 100.0
    volatility: NonNegative = 1.0
    drift: Real = 0.0


class Gbm(Model):
    kind: Literal["gbm"]
    mid: Positive = 100.0
    volatility: NonNegative = 0.01
    drift: Real = 0.0


class Ou(Model):
    """Pulled towards ``mean`` (default: ``mid``) at the rate ``reversion`` per unit of time."""

    kind: Literal["ou"]
    mid: Real = 100.0
    mean: Real | None = None
    reversion: NonNegative = 0.1
    volatility: NonNegative = 1.0


class Regime(Model):
    kind: Literal["regime"]
    mid: Real = 100.0
    transition: Listed[Listed[Probability]]
    drift: Listed[Real]
    volatility: Listed[NonNegative]

    @model_validator(mode="after")
    def _shapes_agree(self):
        n = len(self.volatility)
        if not 1 <= n <= 16:
            raise ValueError(f"1 to 16 regimes are allowed, not {n}")
        if len(self.drift) != n or len(self.transition) != n or any(len(row) != n for row in self.transition):
            raise ValueError(f"drift, volatility and the rows of transition must agree: {n} regimes by volatility")
        for i, row in enumerate(self.transition):
            if abs(sum(row) - 1) > 1e-9:
                raise ValueError(f"row {i} of transition sums to {sum(row):g}, it must sum to 1")
        return self


class Replay(Model):
    """A real market's mid. ``every``: the file's time units a step; default: one row a step."""

    kind: Literal["replay"]
    file: str
    time: str | None = None
    price: str | None = None
    bid: str | None = None
    ask: str | None = None
    every: Positive | None = None
    volatility: Positive | None = None


Price = Annotated[Brownian | Gbm | Ou | Regime | Replay, Field(discriminator="kind"), tagged("brownian")]


# --- clients ---------------------------------------------------------------------------------------


class NoReservation(Model):
    kind: Literal["none"]


class FixedReservation(Model):
    kind: Literal["fixed"]
    value: Real


class ExponentialReservation(Model):
    kind: Literal["exponential"] = "exponential"
    rate: Positive = 1.0


Reservation = Annotated[
    NoReservation | FixedReservation | ExponentialReservation, Field(discriminator="kind"), tagged("exponential")
]
PerSize = Annotated[float | tuple[float, ...], BeforeValidator(as_tuple)]


class Logit(Model):
    kind: Literal["logit"]
    intercept: PerSize = 0.0
    sensitivity: PerSize = 1.0


class BestPrice(Model):
    kind: Literal["best_price"] = "best_price"
    reservation: Reservation = ExponentialReservation()


ChoiceModel = Annotated[Logit | BestPrice, Field(discriminator="kind"), tagged("best_price")]


class Informed(Model):
    share: Probability
    accuracy: Probability = 1.0
    lead: Annotated[int, Field(ge=1, le=1000)] = 1


class TwoSided(Model):
    bid: Listed[NonNegative]
    ask: Listed[NonNegative]


class Segment(Model):
    name: Annotated[str, Field(pattern=NAME)] = "clients"
    sizes: Listed[Annotated[int, Field(ge=1, le=1_000_000)]] = (1,)
    rates: Annotated[tuple[NonNegative, ...] | TwoSided, BeforeValidator(as_tuple)]
    panel: Annotated[int, Field(ge=1, le=MAX_DEALERS)] | None = None
    choice: ChoiceModel = BestPrice()
    informed: Informed | None = None

    @model_validator(mode="after")
    def _lengths_agree(self):
        n = len(self.sizes)
        if not 1 <= n <= 64:
            raise ValueError(f"1 to 64 sizes are allowed, not {n}")
        if len(set(self.sizes)) != n:
            raise ValueError("sizes must differ from one another")
        for side, rates in (("bid", self.bid_rates), ("ask", self.ask_rates)):
            if len(rates) != n:
                raise ValueError(f"{len(rates)} {side} rates for {n} sizes: one rate a size is needed")
        if isinstance(self.choice, Logit):
            for key in ("intercept", "sensitivity"):
                value = getattr(self.choice, key)
                if isinstance(value, tuple) and len(value) != n:
                    raise ValueError(f"choice.{key} has {len(value)} entries for {n} sizes")
                if key == "sensitivity" and min(value if isinstance(value, tuple) else (value,)) <= 0:
                    raise ValueError("choice.sensitivity must be above 0: clients prefer a lower markup")
        return self

    @property
    def bid_rates(self) -> tuple[float, ...]:
        return self.rates.bid if isinstance(self.rates, TwoSided) else self.rates

    @property
    def ask_rates(self) -> tuple[float, ...]:
        return self.rates.ask if isinstance(self.rates, TwoSided) else self.rates


class ArrivalModel(Model):
    kind: Literal["at_most_one", "bernoulli", "poisson"] = "poisson"


class Venue(Model):
    kind: Literal["curve"] = "curve"
    half_spread: NonNegative = 0.0
    slope: NonNegative = 0.0
    impact: Real = 0.0
    fee: NonNegative = 0.0


class Market(Model):
    kind: Literal["dealer"] = "dealer"
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 96
    dt: Positive = 1.0
    horizon: Literal["final", "continuing"] = "final"
    inventory_limit: Annotated[float, Field(gt=0, le=1e12)] | None = None
    ruin: Positive | None = None
    liquidate: bool = False
    price: Price = Brownian()
    venue: Annotated[Venue, tagged("curve")] = Venue()
    arrivals: Annotated[ArrivalModel, tagged("poisson")] = ArrivalModel()
    segments: Listed[Segment]
    reference: Annotated[float | tuple[float, ...], BeforeValidator(as_tuple)] | None = None

    @model_validator(mode="after")
    def _flow_is_possible(self):
        if not 1 <= len(self.segments) <= 64:
            raise ValueError(f"1 to 64 segments are needed, not {len(self.segments)}")
        names = [s.name for s in self.segments]
        if len(set(names)) != len(names):
            raise ValueError(f"two segments are named {next(n for n in names if names.count(n) > 1)!r}")
        rates = [r for s in self.segments for r in s.bid_rates + s.ask_rates]
        total = sum(rates)
        if self.arrivals.kind == "at_most_one" and total > 1 + 1e-12:
            raise ValueError(f"at_most_one: the rates are probabilities and sum to {total:g} over all cells, above 1")
        if self.arrivals.kind == "bernoulli" and max(rates) > 1:
            raise ValueError(f"bernoulli: rates are probabilities a step, {max(rates):g} is above 1")
        if self.arrivals.kind == "poisson" and total * self.dt > 500:
            raise ValueError(f"poisson: {total * self.dt:g} requests a step; at most 500 are allowed")
        if isinstance(self.reference, tuple) and len(self.reference) != len(rates):
            raise ValueError(f"reference has {len(self.reference)} entries for {len(rates)} cells")
        return self


# --- dealers ---------------------------------------------------------------------------------------


HedgeRule = Literal["fraction"] | Annotated[float, Field(ge=0, le=1e9)]


class Ladder(Model):
    """Markups of all cells, bids then asks, segment-major, then the hedge."""

    kind: Literal["ladder"] = "ladder"
    markup: Pair = (0.0, 2.0)
    hedge: HedgeRule = "fraction"
    _range = field_validator("markup")(ordered)


class Skew(Model):
    """Half-spread, skew, hedge: bid = half + skew, ask = half - skew."""

    kind: Literal["skew"]
    half_spread: Pair = (0.0, 2.0)
    skew_max: NonNegative = 1.0
    hedge: HedgeRule = "fraction"
    _range = field_validator("half_spread")(ordered)


ActionModel = Annotated[Ladder | Skew, Field(discriminator="kind"), tagged("ladder")]


class Reward(Model):
    """One term of a reward: ``pnl``, or ``{kind: inventory_penalty, weight: 0.01}``."""

    kind: rewards.Kind
    weight: Real = 1.0
    threshold: Real | None = None
    target: Probability | None = None
    every: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    within: Real | None = None

    @model_validator(mode="after")
    def _parameters(self):
        wanted = rewards.PARAMETERS.get(self.kind)
        for key in rewards.PARAMETERS.values():
            given = getattr(self, key) is not None
            if given != (key == wanted):
                raise ValueError(f"{self.kind} needs {key}" if not given else f"{self.kind} takes no {key}")
        return self


RewardTerm = Annotated[Reward, tagged()]


def _observation(value: Any) -> Any:
    return observe.DEFAULT if value == "default" else as_tuple(value)


class Dealer(Model):
    """What the engine needs of a dealer."""

    PASSED_OVER: ClassVar[frozenset[str]] = frozenset({"policy", "objective"})

    name: Annotated[str, Field(pattern=NAME)] = "dealer"
    count: Annotated[int, Field(ge=1, le=MAX_DEALERS)] = 1
    observation: Annotated[tuple[observe.Name, ...], BeforeValidator(_observation)] = observe.DEFAULT
    action: ActionModel = Ladder()
    reward: Listed[RewardTerm] = (Reward(kind="pnl"),)
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _lists(self):
        if not self.observation or len(set(self.observation)) != len(self.observation):
            raise ValueError("observation: at least one name, each once")
        kinds = [term.kind for term in self.reward]
        if not kinds or len(set(kinds)) != len(kinds):
            raise ValueError("reward: at least one term, each once")
        return self

    @property
    def agents(self) -> tuple[str, ...]:
        """The names of its ``count`` dealers in the market."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}_{k}" for k in range(self.count))


class MarketConfig(Model):
    """The market and its dealers, as the engine reads them."""

    PASSED_OVER: ClassVar[frozenset[str]] = frozenset(
        {"train", "evaluate", "true_objective", "designs", "sweep", "escalation", "description"}
    )

    name: Annotated[str, Field(pattern=NAME)] = "experiment"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    units: dict[str, str] = {}
    market: Market
    dealers: Listed[Dealer]
    desk: DeskLimits | None = None
    _document: Any = PrivateAttr(default=None)  # what it was read from: the layers above find their keys there

    @model_validator(mode="after")
    def _dealers_fit(self):
        agents = [agent for dealer in self.dealers for agent in dealer.agents]
        if not agents:
            raise ValueError("dealers: at least one is needed")
        if len(agents) > MAX_DEALERS:
            raise ValueError(f"dealers: {len(agents)} in all, at most {MAX_DEALERS} are allowed")
        if len(set(agents)) != len(agents):
            raise ValueError(f"dealers: two are named {next(a for a in agents if agents.count(a) > 1)!r}")
        names = [dealer.name for dealer in self.dealers]
        if len(set(names)) != len(names):
            raise ValueError(f"dealers: two are named {next(n for n in names if names.count(n) > 1)!r}")
        for segment in self.market.segments:
            path = f"market.segments.{segment.name}"
            if segment.panel is not None and segment.panel > len(agents):
                raise ValueError(f"{path}: a panel of {segment.panel} among {len(agents)} dealers")
            if (
                self.market.reference is None
                and getattr(getattr(segment.choice, "reservation", None), "kind", "") == "none"
            ):
                raise ValueError(f"{path}: with reservation none, market.reference must be given")
        for name in (self.desk.dealers if self.desk else None) or ():
            if name not in names:
                raise ValueError(f"desk.dealers: there is no dealer {name!r}, allowed are {', '.join(names)}")
        for dealer in self.dealers:
            position = dealer.limits.position
            if position and math.isfinite(position.hard) and self.market.inventory_limit:
                if position.hard > self.market.inventory_limit:
                    raise ValueError(
                        f"dealers.{dealer.name}.limits.position: the hard level {position.hard:g} is above "
                        f"market.inventory_limit {self.market.inventory_limit:g}"
                    )
        return self

    def __hash__(self) -> int:
        return hash((self.market, self.dealers, self.desk))

    @property
    def agents(self) -> tuple[str, ...]:
        """The dealers of the market in order: names as in the file, numbered where ``count`` is above 1."""
        return tuple(agent for dealer in self.dealers for agent in dealer.agents)

    @property
    def dealer_of(self) -> tuple[Dealer, ...]:
        """The block of the file behind each agent."""
        return tuple(dealer for dealer in self.dealers for _ in dealer.agents)
