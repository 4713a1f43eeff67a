"""The clients of a market as an experiment file has them: segments, how often they ask and whom they choose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from marketsim.model import NAME, Listed, Model, NonNegative, Positive, Probability, Real, as_tuple, tagged
from marketsim.types import MAX_DEALERS


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
