"""Named stress overlays: what may go wrong in a market while it is played, drawn over the market of an experiment.

An overlay is told of every step before the dealers act, and changes the market between steps: its rules, its
mid, what dealers see of it, what a rival quotes. The compiled step knows of none. Nothing here is random, so that an
episode is the same with and without the overlay until it begins, and meets the same clients wherever it leaves them
alone. Sizes of moves are in sd of a step's move of the market's own mid; docs/stress.md has the table.

    overlay = scenarios.overlay("volatility_x3+drought", config)
    observation = batch.reset()
    for t in range(batch.steps):
        overlay.before(batch, t)
        actions, quotes = ...
        step = batch.step(actions, overlay.quotes(batch, t, actions, quotes))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from marketsim.batch import MarketBatch
from marketsim.clients import Informed, Segment, TwoSided
from marketsim.config import Brownian, Gbm, MarketConfig, Ou, Regime
from marketsim.guardrails.envelope import HedgeLimit
from marketsim.quotes import markups_of
from marketsim.tables import Tables

Quotes = dict[int, tuple[np.ndarray, np.ndarray]]  # dealer -> markups (M, 2, segments, sizes), hedge (M, 1)


class DoesNotApply(ValueError):
    """The market has nothing that the overlay could change: one line that says what it lacks."""


@dataclass(frozen=True)
class Change:
    """From step ``first`` to before ``last`` the market follows ``rules`` of its configuration."""

    first: int
    last: int
    rules: Callable[[MarketConfig], MarketConfig]


@dataclass(frozen=True)
class Feed:
    """In these steps dealers see the mid ``lag`` steps late, or standing still, or wrong by ``offset`` price units.

    What they see in step 0 is always the mid.
    """

    first: int
    last: int
    lag: int = 0
    frozen: bool = False
    offset: float = 0.0


@dataclass(frozen=True)
class Undercut:
    """In these steps every dealer but ``victims`` quotes each cell ``tick`` reference markups below their best quote.

    Never below the mid, and never above what it would have quoted.
    """

    first: int
    last: int
    victims: tuple[int, ...]
    tick: float


@dataclass(frozen=True)
class Overlay:
    """What goes wrong, and when. ``sentence``: in words. ``shocks``: step -> price units that the mid moves in it.

    Its methods keep nothing but which rules are in force, begun anew at step 0: one batch at a time.
    """

    name: str
    sentence: str
    changes: tuple[Change, ...] = ()
    shocks: Mapping[int, float] = field(default_factory=dict)
    feeds: tuple[Feed, ...] = ()
    undercuts: tuple[Undercut, ...] = ()
    _in_force: list[tuple[Change, ...] | tuple[Feed, ...]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def before(self, batch: MarketBatch, t: int) -> None:
        """Step ``t`` of the batch is about to begin: it makes of the market what it is in this step."""
        if t == 0:
            self._in_force[:] = [(), ()]
        changes = tuple(change for change in self.changes if change.first <= t < change.last)
        feeds = tuple(feed for feed in self.feeds if feed.first <= t + 1 < feed.last)  # of what is seen after this step
        if changes != self._in_force[0]:
            config = batch.config
            for change in changes:
                config = change.rules(config)
            batch.change(config)
        if t in self.shocks:
            batch.shock(self.shocks[t])
        if feeds != self._in_force[1]:
            batch.set_feed(
                lag=sum(f.lag for f in feeds), frozen=any(f.frozen for f in feeds), offset=sum(f.offset for f in feeds)
            )
        self._in_force[:] = [changes, feeds]

    def quotes(self, batch: MarketBatch, t: int, actions: np.ndarray, quotes: Quotes) -> Quotes:
        """What the dealers ask for in step ``t``, as it reaches the market: the arguments of ``batch.step``."""
        for undercut in self.undercuts:
            if undercut.first <= t < undercut.last:
                quotes = _undercut(undercut, batch, actions, quotes)
        return quotes


def compose(*overlays: Overlay) -> Overlay:
    """All of them at once. Rules change in this order; shocks, lags and offsets add up."""
    shocks: dict[int, float] = {}
    for overlay in overlays:
        for t, amount in overlay.shocks.items():
            shocks[t] = shocks.get(t, 0.0) + amount
    return Overlay(
        "+".join(overlay.name for overlay in overlays),
        " ".join(overlay.sentence for overlay in overlays),
        sum((overlay.changes for overlay in overlays), ()),
        shocks,
        sum((overlay.feeds for overlay in overlays), ()),
        sum((overlay.undercuts for overlay in overlays), ()),
    )


def overlay(name: str, config: MarketConfig, **parameters: Any) -> Overlay:
    """The overlay of this name for a market, or several joined by ``+``; ``parameters``: of each of them.

    Raises DoesNotApply where the market lacks what it changes, ValueError where there is no such name.
    """
    parts = name.split("+")
    for part in parts:
        if part not in CATALOGUE:
            near = get_close_matches(part, CATALOGUE, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"no overlay is named {part!r}, allowed are {', '.join(NAMES)}{hint}")
    if len(parts) == 1:
        _value_is_known(config, name)
        return CATALOGUE[name](config, **parameters)
    return compose(*(overlay(part, config, **parameters) for part in parts))


def parameters(name: str) -> dict[str, float]:
    """The parameters of an overlay and their defaults."""
    _, *parts = inspect.signature(CATALOGUE[name]).parameters.values()
    return {part.name: part.default for part in parts}


# --- the mid ---------------------------------------------------------------------------------------


def crash_and_rebound(
    config: MarketConfig, begin: float = 1 / 3, size: float = 12.0, fall: int = 3, rebound: int = 12
) -> Overlay:
    """The mid falls by ``size`` sd in ``fall`` steps and climbs back in the ``rebound`` steps that follow."""
    first, move = _step(config, begin), size * _sd(config)
    shocks = {first + k: -move / fall for k in range(fall)}
    shocks |= {first + fall + k: move / rebound for k in range(rebound)}
    sentence = f"The mid falls by {size:g} sd in {fall} steps and climbs back in the next {rebound}."
    return Overlay("crash_and_rebound", sentence, shocks=shocks)


def volatility_x3(config: MarketConfig, begin: float = 1 / 3, times: float = 3.0) -> Overlay:
    """Every move of the mid is drawn with ``times`` the volatility."""

    def rules(config: MarketConfig) -> MarketConfig:
        value = config.market.value
        assert isinstance(value, Brownian | Gbm | Ou | Regime)
        if isinstance(value, Regime):
            louder: Any = tuple(times * v for v in value.volatility)
        else:
            louder = times * value.volatility
        return _value(config, volatility=louder)

    if config.market.price.kind == "replay":
        raise DoesNotApply("volatility_x3: a replayed price moves as its file does")
    sentence = f"Every move of the mid is drawn with {times:g} times the volatility."
    return Overlay("volatility_x3", sentence, (_price_change(config, begin, rules),))


def mean_reversion_breaks(config: MarketConfig, begin: float = 1 / 3) -> Overlay:
    """A price that used to return to its mean does so no longer."""

    def rules(config: MarketConfig) -> MarketConfig:
        return _value(config, reversion=0.0)

    price = config.market.value
    if not (isinstance(price, Ou) and price.reversion > 0):
        raise DoesNotApply("mean_reversion_breaks: the price does not revert, only kind ou with a reversion does")
    sentence = "The price no longer returns to its mean."
    return Overlay("mean_reversion_breaks", sentence, (_price_change(config, begin, rules),))


def jump_with_halt(config: MarketConfig, begin: float = 1 / 3, size: float = 10.0, halt: int = 8) -> Overlay:
    """The mid jumps up by ``size`` sd, and in the ``halt`` steps that follow there are no requests and no venue."""
    first = _step(config, begin)
    change = Change(first + 1, first + 1 + halt, lambda config: _venue_closed(_flow(config, 0.0)))
    sentence = f"The mid jumps up by {size:g} sd; in the next {halt} steps there are no requests and no venue."
    return Overlay("jump_with_halt", sentence, (change,), {first: size * _sd(config)})


# --- the clients -----------------------------------------------------------------------------------


def toxicity(config: MarketConfig, begin: float = 1 / 3, share: float = 0.6, accuracy: float = 0.8) -> Overlay:
    """``share`` of the clients of every segment know where the mid goes.

    Those of a segment that had none are right with ``accuracy`` and see as far as the best informed of the market.
    """
    _clients(config, "toxicity")
    if config.market.has_book:
        raise DoesNotApply("toxicity: nobody knows the coming mid of a book")
    ahead = int(Tables.of(config).market["ahead"][0])

    def informed(segment: Segment) -> Segment:
        own = segment.informed or Informed(share=0.0, accuracy=accuracy, lead=ahead)
        return segment.model_copy(update={"informed": own.model_copy(update={"share": max(own.share, share)})})

    change = _from(config, begin, lambda config: _segments(config, informed))
    return Overlay("toxicity", f"{share:.0%} of the clients of every segment know where the mid goes.", (change,))


def drought(config: MarketConfig, begin: float = 1 / 3, length: float = 1 / 3, share: float = 0.2) -> Overlay:
    """Only ``share`` of the requests come, for ``length`` of the episode."""
    _clients(config, "drought")
    change = _from(config, begin, lambda config: _flow(config, share), length)
    return Overlay("drought", f"Only {share:.0%} of the requests come, for {length:.0%} of the episode.", (change,))


def one_way_flow(config: MarketConfig, begin: float = 1 / 3, length: float = 1 / 3, share: float = 0.9) -> Overlay:
    """``share`` of the requests are to sell, for ``length`` of the episode; as many come as before."""
    _clients(config, "one_way_flow")
    at_most = np.inf if config.market.arrivals.kind == "poisson" else 1.0

    def sell(segment: Segment) -> Segment:
        total = [bid + ask for bid, ask in zip(segment.bid_rates, segment.ask_rates, strict=True)]
        bid = tuple(min(share * rate, at_most) for rate in total)
        ask = tuple(min(rate - sold, at_most) for rate, sold in zip(total, bid, strict=True))
        return segment.model_copy(update={"rates": TwoSided(bid=bid, ask=ask)})

    change = _from(config, begin, lambda config: _segments(config, sell), length)
    sentence = f"{share:.0%} of the requests are to sell, for {length:.0%} of the episode."
    return Overlay("one_way_flow", sentence, (change,))


# --- the rivals and the venue ----------------------------------------------------------------------


def rival_undercuts(config: MarketConfig, begin: float = 1 / 3, tick: float = 0.05) -> Overlay:
    """Every dealer that does not learn quotes each cell a tick below the learners' best quote, down to the mid.

    A tick is ``tick`` reference markups. Where nobody learns, the first dealer is undercut.
    """
    victims = tuple(getattr(config, "learners", ())) or (0,)  # the layer above says who learns
    if len(victims) == len(config.agents):
        raise DoesNotApply("rival_undercuts: there is no rival, every dealer of the market learns")
    sentence = f"Rivals quote a tick, {tick:g} reference markups, below the learners' best quote, down to the mid."
    undercut = Undercut(_step(config, begin), config.market.steps, victims, tick)
    return Overlay("rival_undercuts", sentence, undercuts=(undercut,))


def venue_closes(config: MarketConfig, begin: float = 1 / 3, length: float = 1 / 3) -> Overlay:
    """No hedge trades, for ``length`` of the episode."""
    change = _from(config, begin, _venue_closed, length)
    return Overlay("venue_closes", f"No hedge trades, for {length:.0%} of the episode.", (change,))


# --- what dealers see ------------------------------------------------------------------------------


def frozen_feed(config: MarketConfig, begin: float = 1 / 3, hold: int = 12) -> Overlay:
    """Dealers see the mid stand still for ``hold`` steps."""
    first = _step(config, begin)
    sentence = f"Dealers see the mid stand still for {hold} steps."
    return Overlay("frozen_feed", sentence, feeds=(Feed(first, first + hold, frozen=True),))


def fat_finger(config: MarketConfig, begin: float = 1 / 3, size: float = 20.0) -> Overlay:
    """In one step dealers see a mid that is ``size`` sd too high."""
    first = _step(config, begin)
    sentence = f"In one step dealers see a mid that is {size:g} sd too high."
    return Overlay("fat_finger", sentence, feeds=(Feed(first, first + 1, offset=size * _sd(config)),))


def latency(config: MarketConfig, begin: float = 1 / 3, delay: int = 2) -> Overlay:
    """Dealers see the mid of ``delay`` steps ago."""
    feed = Feed(_step(config, begin), config.market.steps, lag=delay)
    return Overlay("latency", f"Dealers see the mid of {delay} steps ago.", feeds=(feed,))


CATALOGUE: dict[str, Callable[..., Overlay]] = {
    build.__name__: build
    for build in (
        crash_and_rebound, volatility_x3, toxicity, rival_undercuts, drought, venue_closes,
        frozen_feed, fat_finger, jump_with_halt, one_way_flow, latency, mean_reversion_breaks,
    )
}  # fmt: skip
NAMES = tuple(CATALOGUE)


# --- how a market is changed -----------------------------------------------------------------------


def _step(config: MarketConfig, share: float) -> int:
    """The step at which this share of the episode is over."""
    return int(share * config.market.steps + 1e-9)


def _sd(config: MarketConfig) -> float:
    """The sd of a step's move in price units; 1 where the mid stands still."""
    return float(Tables.of(config).market["move_sd"][0]) or 1.0


def _from(
    config: MarketConfig, begin: float, rules: Callable[[MarketConfig], MarketConfig], length: float = 1.0
) -> Change:
    first = _step(config, begin)
    return Change(first, min(first + _step(config, length), config.market.steps), rules)


def _price_change(config: MarketConfig, begin: float, rules: Callable[[MarketConfig], MarketConfig]) -> Change:
    """New rules of the price are in force as many steps earlier as the price model runs ahead of the market."""
    ahead = int(Tables.of(config).market["ahead"][0])
    return Change(max(0, _step(config, begin) - ahead + 1), config.market.steps, rules)


def _market(config: MarketConfig, **parts: Any) -> MarketConfig:
    return config.model_copy(update={"market": config.market.model_copy(update=parts)})


def _value(config: MarketConfig, **parts: Any) -> MarketConfig:
    """Other figures of the model of the exogenous price, in a market with a book that of the value."""
    value, price = config.market.value.model_copy(update=parts), config.market.price
    return _market(config, price=price.model_copy(update={"value": value}) if config.market.has_book else value)


def _value_is_known(config: MarketConfig, name: str) -> None:
    moved = name in ("crash_and_rebound", "volatility_x3", "mean_reversion_breaks", "jump_with_halt")
    if moved and config.market.has_book and not {t.kind for t in config.market.traders} & {"value", "informed"}:
        raise DoesNotApply(f"{name}: no trader knows of the value, so that the mid of the book would not follow it")


def _clients(config: MarketConfig, name: str) -> None:
    if not config.market.segments:
        raise DoesNotApply(f"{name}: nobody requests quotes where the book is alone")


def _segments(config: MarketConfig, rules: Callable[[Segment], Segment]) -> MarketConfig:
    return _market(config, segments=tuple(rules(segment) for segment in config.market.segments))


def _flow(config: MarketConfig, share: float) -> MarketConfig:
    """A share of the requests of every cell."""

    def fewer(segment: Segment) -> Segment:
        bid, ask = (tuple(share * r for r in rates) for rates in (segment.bid_rates, segment.ask_rates))
        return segment.model_copy(update={"rates": TwoSided(bid=bid, ask=ask)})

    return _segments(config, fewer)


def _venue_closed(config: MarketConfig) -> MarketConfig:
    """A hedge limit of no lots for everyone."""
    dealers = []
    for dealer in config.dealers:
        limits = dealer.limits.model_copy(update={"hedge": HedgeLimit(hard=0.0)})
        dealers.append(dealer.model_copy(update={"limits": limits}))
    return config.model_copy(update={"dealers": tuple(dealers)})


def _undercut(undercut: Undercut, batch: MarketBatch, actions: np.ndarray, quotes: Quotes) -> Quotes:
    inventory = batch.state["inventory"]

    def asked(i: int) -> tuple[np.ndarray, np.ndarray]:
        if i in quotes:
            return quotes[i]
        return markups_of(batch.config, i, actions[:, i, : batch.action_widths[i]], inventory[:, i, 0])  # type: ignore[index]

    best = np.full((batch.markets, *batch.tables.quote_shape), np.nan)
    for i in undercut.victims:
        best = np.fmin(best, asked(i)[0])
    tick = np.zeros(batch.tables.quote_shape)
    tick.flat[batch.tables.cells["quote"]] = undercut.tick * np.abs(batch.tables.cells["reference"])
    below = np.maximum(best - tick, 0.0)
    undercutting = dict(quotes)
    for i in set(range(len(batch.agents))) - set(undercut.victims):
        markups, hedge = asked(i)
        undercutting[i] = np.where(below < markups, below, markups), hedge  # who does not quote a cell still does not
    return undercutting
