"""The market, and what the engine needs of a dealer: typed, bounded, with a sentence for every refusal.

``MarketConfig`` is the part of an experiment file that this package reads. The layers above subclass
these models and add their own keys; a file of theirs read here has those keys passed over.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from marketsim import observe, rewards
from marketsim.actions import ActionModel, Ladder, Offsets
from marketsim.book.config import Book, Traders
from marketsim.clients import ArrivalModel, BestPrice, ExponentialReservation, Segment
from marketsim.guardrails.envelope import DeskLimits, Limits
from marketsim.model import (
    NAME,
    Listed,
    Model,
    NonNegative,
    Positive,
    Probability,
    Real,
    as_tuple,
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


Value = Annotated[Brownian | Gbm | Ou | Regime, Field(discriminator="kind"), tagged("brownian")]


class BookPrice(Model):
    """The mid of the order book, which opens around ``value``: the exogenous price, which some traders know of.

    ``volatility`` per square root of time: by which observed moves of the mid are scaled; default: the value's.
    """

    kind: Literal["book"]
    value: Value = Brownian()
    volatility: Positive | None = None


Price = Annotated[Brownian | Gbm | Ou | Regime | Replay | BookPrice, Field(discriminator="kind"), tagged("brownian")]


# --- the market ------------------------------------------------------------------------------------


class Venue(Model):
    kind: Literal["curve"] = "curve"
    half_spread: NonNegative = 0.0
    slope: NonNegative = 0.0
    impact: Real = 0.0
    fee: NonNegative = 0.0


class BookVenue(Model):
    """The order book: hedges are market orders in it."""

    kind: Literal["book"]


AnyVenue = Annotated[Venue | BookVenue, Field(discriminator="kind"), tagged("curve")]


class Market(Model):
    """Requests by clients (``kind: dealer``), or the order book alone (``kind: book``).

    There is an order book where ``price`` is ``book``; hedges are traded in it where ``venue`` is ``book``, too.
    """

    kind: Literal["dealer", "book"] = "dealer"
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 96
    dt: Positive = 1.0
    horizon: Literal["final", "continuing"] = "final"
    inventory_limit: Annotated[float, Field(gt=0, le=1e12)] | None = None
    ruin: Positive | None = None
    liquidate: bool = False
    price: Price = Brownian()
    venue: AnyVenue = Venue()
    arrivals: Annotated[ArrivalModel, tagged("poisson")] = ArrivalModel()
    segments: Listed[Segment] = ()
    reference: Annotated[float | tuple[float, ...], BeforeValidator(as_tuple)] | None = None
    book: Book = Book()
    traders: Traders = ()

    @model_validator(mode="before")
    @classmethod
    def _book_alone(cls, tree: Any) -> Any:
        """``kind: book`` says where the price comes from and where hedges go."""
        if isinstance(tree, dict) and tree.get("kind") == "book":
            return {"price": {"kind": "book"}, "venue": {"kind": "book"}, **tree}
        return tree

    @model_validator(mode="after")
    def _book_fits(self):
        if self.kind == "book" and not (self.has_book and isinstance(self.venue, BookVenue)):
            raise ValueError("kind: book: price and venue are the book's, too")
        if self.kind == "book" and self.segments:
            raise ValueError(
                "kind: book has no segments: nobody requests quotes; kind: dealer serves clients beside a book"
            )
        if self.kind == "dealer" and not self.segments:
            raise ValueError("segments: at least one is needed")
        if self.has_book:
            if isinstance(self.venue, Venue) and self.venue.impact:
                raise ValueError(
                    "venue.impact: with price: book the mid is the book's, hedges at a curve do not move it"
                )
            if any(segment.informed for segment in self.segments):
                raise ValueError("informed clients know the coming price, which nobody does with price: book")
        elif isinstance(self.venue, BookVenue):
            raise ValueError("venue: book needs price: book")
        elif self.traders or self.book != Book():
            raise ValueError("book and traders need price: book")
        return self

    @property
    def has_book(self) -> bool:
        return isinstance(self.price, BookPrice)

    @property
    def value(self) -> Brownian | Gbm | Ou | Regime | Replay:
        """The model of the exogenous price F."""
        return self.price.value if isinstance(self.price, BookPrice) else self.price

    @property
    def cells(self) -> tuple[Segment, ...]:
        """The segments; where there are none, one that stands for the two sides of the book and never requests."""
        if self.segments:
            return self.segments
        decay = ExponentialReservation(rate=self.book.fill_decay or 1.0 / self.book.tick)
        return (Segment(name="book", rates=(0.0,), choice=BestPrice(reservation=decay)),)

    @model_validator(mode="after")
    def _flow_is_possible(self):
        if len(self.segments) > 64:
            raise ValueError(f"at most 64 segments are allowed, not {len(self.segments)}")
        names = [s.name for s in self.segments]
        if len(set(names)) != len(names):
            raise ValueError(f"two segments are named {next(n for n in names if names.count(n) > 1)!r}")
        rates = [r for s in self.cells for r in s.bid_rates + s.ask_rates]
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


_NAMED = {"default": observe.DEFAULT, "book": observe.DEFAULT + observe.OF_THE_BOOK}


def _observation(value: Any) -> Any:
    return _NAMED[value] if isinstance(value, str) and value in _NAMED else as_tuple(value)


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


def _in_the_book(dealer: Any, alone: bool) -> Any:
    if not isinstance(dealer, dict):
        return dealer
    if alone and "action" not in dealer:
        dealer = {**dealer, "action": {"kind": "offsets"}}
    action = dealer.get("action")
    kind = action.get("kind") if isinstance(action, dict) else action
    return {"observation": "book", **dealer} if kind == "offsets" else dealer


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

    @model_validator(mode="before")
    @classmethod
    def _quotes_in_the_book(cls, tree: Any) -> Any:
        """What a dealer does and sees by default where it quotes in the book."""
        if not isinstance(tree, dict) or not isinstance(tree.get("dealers"), (list, tuple)):
            return tree
        market = tree.get("market")
        alone = isinstance(market, dict) and market.get("kind") == "book"
        return {**tree, "dealers": [_in_the_book(dealer, alone) for dealer in tree["dealers"]]}

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
        for dealer in self.dealers:
            if isinstance(dealer.action, Offsets) and not self.market.has_book:
                raise ValueError(f"dealers.{dealer.name}.action: offsets are quoted in a book, price: book is needed")
            if isinstance(dealer.action, Offsets) and dealer.action.latency >= self.market.dt:
                raise ValueError(
                    f"dealers.{dealer.name}.action.latency: {dealer.action.latency:g} must be below market.dt {self.market.dt:g}"
                )
            if self.market.kind == "book" and not isinstance(dealer.action, Offsets):
                raise ValueError(
                    f"dealers.{dealer.name}.action: kind: book is quoted by offsets, not {dealer.action.kind}"
                )
        if self.desk is not None:
            quoting = {isinstance(d.action, Offsets) for d in self.dealers if d.name in (self.desk.dealers or names)}
            if len(quoting) > 1:
                raise ValueError("desk.dealers: who quotes in the book and who serves clients share no position limit")
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
