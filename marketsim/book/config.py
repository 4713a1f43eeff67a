"""The book and the traders around it, as an experiment file gives them: ``market.book`` and ``market.traders``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from marketsim.model import NAME, Listed, Model, NonNegative, Positive, Probability, Real, tagged
from marketsim.types import MAX_LOTS

Lots = Annotated[int, Field(ge=1, le=MAX_LOTS)]
Rate = Annotated[float, Field(ge=0, le=1e9)]  # a unit of time
Ticks = Annotated[float, Field(ge=0, le=1e9)]


class Opening(Model):
    """Anonymous orders that stand in the book at reset: ``lots`` at each of ``levels`` prices on either side."""

    levels: Annotated[int, Field(ge=0, le=10_000)] = 10
    lots: Lots = 10


class Book(Model):
    """The limit-order book: docs/book.md.

    ``fill_decay``: k of the rate A e^(-k x) at which orders x from the mid fill, a price unit; it gives the reference markup
    1/k of a dealer in a market without clients. Default: one tick.
    """

    tick: Annotated[float, Field(ge=1e-9, le=1e9)] = 0.01
    levels: Annotated[int, Field(ge=2, le=2**20)] = 4096
    orders: Annotated[int, Field(ge=2, le=2**22)] = 16_384
    self_trade: Literal["allow", "cancel_resting", "cancel_incoming", "cancel_both"] = "cancel_resting"
    maker_fee: Real = 0.0
    taker_fee: Real = 0.0
    opening: Opening = Opening()
    warm_up: NonNegative = 0.0
    in_flight: Annotated[int, Field(ge=1, le=2**20)] = 1024
    fill_decay: Positive | None = None

    @model_validator(mode="after")
    def _the_opening_fits(self):
        if 2 * self.opening.levels + 1 > self.levels:
            raise ValueError(
                f"opening.levels {self.opening.levels} on either side do not fit into {self.levels} levels"
            )
        if 2 * self.opening.levels > self.orders:
            raise ValueError(f"opening.levels {self.opening.levels} on either side are more than {self.orders} orders")
        return self


# --- traders ---------------------------------------------------------------------------------------


class Geometric(Model):
    """Sizes of 1, 2, ... lots: each a further one with the same probability."""

    mean: Annotated[float, Field(ge=1, le=1e6)]


class LogNormal(Model):
    """A latency of ``median`` * e^(``sigma`` z)."""

    median: Positive
    sigma: Annotated[float, Field(ge=0, le=10)]


class _Traders(Model):
    """``count`` traders of a kind. Rates a unit of time, distances in ticks, sizes in lots, latencies in units of time.

    ``cancel_rate``: at which each of their resting orders is cancelled; 0: never.
    """

    name: Annotated[str, Field(pattern=NAME)] | None = None
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    size: Lots | Geometric = 1
    latency: NonNegative | LogNormal = 0.0


class ZeroIntelligence(_Traders):
    """The Santa Fe model: ``limit_rate`` at each price of the ``band`` and side, ``market_rate`` of both sides together."""

    kind: Literal["zero_intelligence"]
    limit_rate: Rate = 0.0
    market_rate: Rate = 0.0
    cancel_rate: Rate = 0.0
    band: Annotated[int, Field(ge=1, le=2**20)] = 20

    @property
    def rate(self) -> float:
        """Orders a unit of time."""
        return self.market_rate + 2 * self.band * self.limit_rate


class Hawkes(_Traders):
    """Orders that call forth others: ``rate`` a unit of time of themselves, and each ``excitation`` = [of its own side,
    of the other] more on average, after times of mean 1/``decay``.
    """

    kind: Literal["hawkes"]
    rate: Rate
    excitation: Listed[Annotated[float, Field(ge=0, lt=1)]] = (0.5, 0.2)
    decay: Positive = 1.0
    market_share: Probability = 0.5
    cancel_rate: Rate = 0.0
    band: Annotated[int, Field(ge=1, le=2**20)] = 20

    @model_validator(mode="after")
    def _stationary(self):
        if len(self.excitation) != 2:
            raise ValueError(f"excitation: [own side, other side] is allowed, not {len(self.excitation)} figures")
        if sum(self.excitation) >= 1:
            raise ValueError(
                f"excitation sums to {sum(self.excitation):g}: an order must call forth less than 1 other on average"
            )
        return self


class Momentum(_Traders):
    """``fast``, ``slow``: times over which the mid is averaged."""

    kind: Literal["momentum"]
    rate: Rate
    fast: Positive = 1.0
    slow: Positive = 5.0
    threshold: Ticks = 0.0
    position: Lots | None = None

    @model_validator(mode="after")
    def _ordered(self):
        if self.fast >= self.slow:
            raise ValueError(f"fast {self.fast:g} must be below slow {self.slow:g}")
        return self


class Value(_Traders):
    """``noise``: sd of what it sees of the value, in ticks; ``threshold``: ticks that it wants to earn."""

    kind: Literal["value"]
    rate: Rate
    noise: Ticks = 0.0
    threshold: Ticks = 0.0
    cancel_rate: Rate = 0.0
    position: Lots | None = None


class InformedTrader(_Traders):
    """``threshold``: ticks that it wants to earn at least."""

    kind: Literal["informed"]
    rate: Rate
    threshold: Ticks = 0.0
    position: Lots | None = None


class Maker(_Traders):
    """``rate``: at which it looks at its quotes; ``skew``: ticks that they move for a lot of inventory."""

    kind: Literal["maker"]
    rate: Rate
    half_spread: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    skew: Ticks = 0.0
    position: Lots | None = None


Trader = Annotated[
    ZeroIntelligence | Hawkes | Momentum | Value | InformedTrader | Maker, Field(discriminator="kind"), tagged()
]

MAX_TRADERS = 500_000  # with the dealers below 2^20 owners


def _fit(traders: tuple[Trader, ...]) -> tuple[Trader, ...]:
    names = [trader.name for trader in traders if trader.name]
    if len(set(names)) != len(names):
        raise ValueError(f"two are named {next(name for name in names if names.count(name) > 1)!r}")
    if sum(trader.count for trader in traders) > MAX_TRADERS:
        raise ValueError(f"{sum(trader.count for trader in traders)} in all, at most {MAX_TRADERS} are allowed")
    return traders


Traders = Annotated[Listed[Trader], AfterValidator(_fit)]
