"""From a configuration to the arrays that the compiled step reads."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import lambertw

from marketsim import observe, rewards
from marketsim.actions import Offsets, Skew
from marketsim.clients import BestPrice, Logit
from marketsim.config import AnyVenue, BookPrice, BookVenue, MarketConfig, Ou, Regime, Replay, Venue
from marketsim.guardrails.envelope import Limits, SlippageLimit
from marketsim.types import (
    ASK,
    BID,
    CELL,
    DEALER,
    MARKET,
    UNLIMITED,
    Action,
    Arrivals,
    Choice,
    Hedge,
    OnBreach,
    Price,
    Reason,
)

_PLACE = ["segment", "side", "quote", "ladder", "size"]  # what makes a cell the same cell


@dataclass(frozen=True)
class Tables:
    """Read-only inputs of the step for one configuration; see ``types`` for the fields of the structured ones."""

    market: np.ndarray  # (1,) MARKET
    cells: np.ndarray  # (C,) CELL, in arrival order
    dealers: np.ndarray  # (N,) DEALER
    weights: np.ndarray  # (N, reward terms)
    columns: np.ndarray  # (N, catalogue): the column of each observation, -1 = not observed
    wanted: np.ndarray  # (catalogue,) bool: observed by anyone
    regimes: np.ndarray  # (R, 2 + R): drift dt, volatility sqrt(dt), cumulated transition row
    path: np.ndarray  # (n,): the replayed prices, else empty
    quote_shape: tuple[int, int, int]  # (2, segments, sizes)

    @staticmethod
    def of(config: MarketConfig) -> Tables:
        """The tables of a configuration; a replay's file is read once."""
        return _tables(config, _stamp(config))

    def differs(self, other: Tables) -> str | None:
        """In what the other tables differ that an episode cannot change, in words; None: in nothing."""
        for what, mine, others in (
            ("steps", self.market["steps"], other.market["steps"]),
            ("leads", self.market["ahead"], other.market["ahead"]),
            ("dealers", self.dealers[["action", "width"]], other.dealers[["action", "width"]]),
            ("cells", self.cells[_PLACE], other.cells[_PLACE]),
            ("observations", self.columns, other.columns),
            ("windows of the rolling loss", self.dealers["window"], other.dealers["window"]),
        ):
            if not np.array_equal(mine, others):
                return what
        return None

    def in_scales_of(self, own: Tables) -> Tables:
        """These tables with the scales of ``own``, by which dealers observe and limits in sd and reference markups hold."""
        market, cells, dealers = self.market.copy(), self.cells.copy(), self.dealers.copy()
        market["move_sd"] = own.market["move_sd"]
        for name in ("reference", "per_reference"):
            cells[name] = own.cells[name]
        for name in ("inventory_scale", "pnl_scale", "expected_requests", "nu", "jump"):
            dealers[name] = own.dealers[name]
        for array in (market, cells, dealers):
            array.flags.writeable = False
        return replace(self, market=market, cells=cells, dealers=dealers)


def _stamp(config: MarketConfig) -> tuple[int, ...]:
    """What changes when the replayed file does."""
    price = config.market.price
    if not isinstance(price, Replay) or not Path(price.file).exists():
        return ()
    status = Path(price.file).stat()
    return (status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _tables(config: MarketConfig, stamp: tuple[int, ...]) -> Tables:
    path = _path(config)
    cells = _cells(config)
    market = _market(config, cells, path)
    dealers = _dealers(config, market, cells)
    columns = _columns(config)
    tables = Tables(
        market=market,
        cells=cells,
        dealers=dealers,
        weights=_weights(config),
        columns=columns,
        wanted=np.asarray(np.any(columns >= 0, axis=0)),
        regimes=_regimes(config),
        path=path,
        quote_shape=(2, len(config.market.cells), max(len(s.sizes) for s in config.market.cells)),
    )
    for array in (tables.market, cells, dealers, tables.weights, tables.columns, tables.regimes, path):
        array.flags.writeable = False
    return tables


def _path(config: MarketConfig) -> np.ndarray:
    price = config.market.price
    if not isinstance(price, Replay):
        return np.zeros(0)
    from marketsim.readers import read_prices

    path = read_prices(price.file, time=price.time, price=price.price, bid=price.bid, ask=price.ask, every=price.every)
    needed = config.market.steps + _ahead(config)
    if len(path) < needed:
        raise ValueError(
            f"market.price.file: {price.file} holds {len(path)} prices, an episode of {config.market.steps} steps "
            f"needs {needed}"
        )
    return path


def _ahead(config: MarketConfig) -> int:
    return max([1] + [s.informed.lead for s in config.market.segments if s.informed])


def stationary(transition: np.ndarray) -> np.ndarray:
    """The stationary distribution of a Markov chain, the row eigenvector of eigenvalue 1."""
    n = len(transition)
    equations = np.vstack([transition.T - np.eye(n), np.ones(n)])
    return np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)[0]


def move_sd(config: MarketConfig, path: np.ndarray) -> float:
    """The standard deviation of a one-step move of the mid in price units; 0 where there is none. Of a book's mid it is
    what the file says, or that of the value."""
    price, dt = config.market.value, config.market.dt
    book = config.market.price
    if isinstance(book, BookPrice) and book.volatility is not None:
        return book.volatility * math.sqrt(dt)
    if isinstance(price, Replay):
        return price.volatility * math.sqrt(dt) if price.volatility is not None else float(np.std(np.diff(path)))
    if isinstance(price, Regime):
        weight = stationary(np.array(price.transition))
        return math.sqrt(float(weight @ np.square(price.volatility)) * dt)
    if price.kind == "gbm":
        return price.volatility * math.sqrt(dt) * price.mid
    if isinstance(price, Ou):
        return _ou_sd(price, dt)
    return price.volatility * math.sqrt(dt)


def _ou_sd(price: Ou, dt: float) -> float:
    """The standard deviation of a step's move from a known price."""
    k = price.reversion
    return price.volatility * math.sqrt(-math.expm1(-2.0 * k * dt) / (2.0 * k) if k > 0 else dt)


def _per_size(value, k: int) -> float:
    return float(value[k]) if isinstance(value, tuple) else float(value)


def _reference(choice: Logit | BestPrice, k: int) -> float:
    """The risk-neutral markup of one dealer; logit: the root of (b m - 1) e^(b m - 1) = e^(-a - 1)."""
    if isinstance(choice, Logit):
        a, b = _per_size(choice.intercept, k), _per_size(choice.sensitivity, k)
        return float((1.0 + lambertw(math.exp(-a - 1.0)).real) / b)
    reservation = choice.reservation
    if reservation.kind == "exponential":
        return 1.0 / reservation.rate
    return reservation.value if reservation.kind == "fixed" else math.nan


def _cells(config: MarketConfig) -> np.ndarray:
    market, dealers = config.market, len(config.agents)
    sizes = max(len(s.sizes) for s in market.cells)
    per_side = sum(len(s.sizes) for s in market.cells)
    scale = market.dt if market.arrivals.kind == "poisson" else 1.0
    cells = np.zeros(2 * per_side, CELL)
    at = first = 0
    for g, segment in enumerate(market.cells):
        n = len(segment.sizes)
        for side, rates in ((BID, segment.bid_rates), (ASK, segment.ask_rates)):
            for k in range(n):
                cell = cells[at]
                cell["segment"], cell["side"] = g, side
                cell["other_side"] = at + (n if side == BID else -n)
                cell["quote"] = (side * len(market.cells) + g) * sizes + k
                cell["ladder"] = side * per_side + first + k
                cell["panel"] = segment.panel or dealers
                cell["size"] = segment.sizes[k]
                cell["signed_size"] = segment.sizes[k] * (1 if side == BID else -1)
                cell["rate"] = rates[k] * scale
                _describe_choice(cell, segment.choice, k)
                if segment.informed:
                    cell["share"] = segment.informed.share
                    cell["accuracy"] = segment.informed.accuracy
                    cell["lead"] = segment.informed.lead
                if market.reference is not None:
                    cell["reference"] = _per_size(market.reference, int(cell["ladder"]))
                cell["per_reference"] = 1.0 / cell["reference"] if cell["reference"] != 0 else 0.0
                at += 1
        first += n
    cells["cumulative"] = np.cumsum(cells["rate"])
    cells["survival"] = np.exp(-cells["cumulative"])
    cells["survival_back"] = np.exp(cells["cumulative"] - cells["cumulative"][-1])
    return cells


def _describe_choice(cell, choice: Logit | BestPrice, k: int) -> None:
    cell["reference"] = _reference(choice, k)
    if isinstance(choice, Logit):
        cell["choice"] = Choice.LOGIT
        cell["intercept"] = _per_size(choice.intercept, k)
        cell["sensitivity"] = _per_size(choice.sensitivity, k)
        return
    cell["choice"] = Choice.BEST_PRICE
    reservation = choice.reservation
    cell["reservation_floor"] = {"none": UNLIMITED, "fixed": getattr(reservation, "value", 0.0), "exponential": 0.0}[
        reservation.kind
    ]
    cell["reservation_scale"] = 1.0 / reservation.rate if reservation.kind == "exponential" else 0.0


def _market(config: MarketConfig, cells: np.ndarray, path: np.ndarray) -> np.ndarray:
    m = config.market
    row = np.zeros(1, MARKET)
    value = m.value
    row["price"] = Price[value.kind.upper()]
    row["arrivals"] = Arrivals[m.arrivals.kind.upper()]
    row["steps"], row["ahead"], row["liquidate"] = m.steps, _ahead(config), m.liquidate
    row["informed"] = any(s.informed and s.informed.share > 0 for s in m.segments)
    row["panels"] = any(s.panel is not None and s.panel < len(config.agents) for s in m.segments)
    row["logit"] = any(isinstance(s.choice, Logit) for s in m.segments)
    row["best_price"] = any(isinstance(s.choice, BestPrice) for s in m.segments)
    row["hedged_in_book"] = isinstance(m.venue, BookVenue)
    row["tick"] = m.book.tick
    row["rival_markup"] = any("rival_markup" in d.observation for d in config.dealers)
    row["quotes_kept"] = any(term.kind in rewards.OF_QUOTES for d in config.dealers for term in d.reward)
    row["feed"] = any(d.limits.feed is not None for d in config.dealers)
    row["desk_position"] = math.floor(config.desk.position.hard) if config.desk else UNLIMITED
    row["dt"] = m.dt
    row["move_sd"] = move_sd(config, path)
    if not isinstance(value, Replay):
        row["mid"] = value.mid
    if value.kind in ("brownian", "gbm"):
        drift, volatility = value.drift, value.volatility
        row["drift"] = (drift - (0.5 * volatility**2 if value.kind == "gbm" else 0.0)) * m.dt
        row["volatility"] = volatility * math.sqrt(m.dt)
    if isinstance(value, Ou):
        mean = value.mid if value.mean is None else value.mean
        row["decay"] = math.exp(-value.reversion * m.dt)
        row["drift"] = -mean * math.expm1(-value.reversion * m.dt)
        row["volatility"] = _ou_sd(value, m.dt)
    if isinstance(m.venue, Venue):
        for key in ("half_spread", "slope", "impact", "fee"):
            row[key] = getattr(m.venue, key)
    else:
        row["fee"] = m.book.taker_fee
    row["intensity"], row["survival"] = cells["cumulative"][-1], cells["survival"][-1]
    return row


def _level(level: Any) -> float:
    return UNLIMITED if level is None else level


def _dealers(config: MarketConfig, market: np.ndarray, cells: np.ndarray) -> np.ndarray:
    rows = np.zeros(len(config.agents), DEALER)
    asked = float(np.sum(cells["rate"] * cells["panel"])) / len(rows)
    for row, dealer in zip(rows, config.dealer_of, strict=True):
        action, limits = dealer.action, dealer.limits
        if isinstance(action, Offsets):
            row["action"], row["hedge_column"] = Action.OFFSETS, 5
            row["markup_low"], row["markup_high"] = (ticks * config.market.book.tick for ticks in action.offset)
            row["size_low"], row["size_high"] = action.size
            row["latency"] = action.latency
        elif isinstance(action, Skew):
            row["action"], row["hedge_column"] = Action.SKEW, 2
            row["markup_low"], row["markup_high"] = action.half_spread
            row["skew_max"] = action.skew_max
        else:
            row["action"], row["hedge_column"] = Action.LADDER, len(cells)
            row["markup_low"], row["markup_high"] = action.markup
        row["width"] = row["hedge_column"] + 1
        if action.hedge == "fraction":
            row["hedge"] = Hedge.FRACTION
        else:
            row["hedge"], row["hedge_lots"] = Hedge.LOTS, action.hedge
        hard = _limits(row, limits, config, float(market["move_sd"][0]))
        row["desk"] = config.desk is not None and (config.desk.dealers is None or dealer.name in config.desk.dealers)
        row["ruin"] = _level(config.market.ruin)
        scale = hard if hard < UNLIMITED else 20.0
        row["inventory_scale"] = scale
        sd = float(market["move_sd"][0])
        row["pnl_scale"] = scale * (sd * math.sqrt(config.market.steps) if sd > 0 else 1.0)
        row["expected_requests"] = asked
        for term in dealer.reward:
            if term.kind == "tail_loss":
                row["tail_threshold"] = float(term.threshold or 0.0)
            if term.kind == "flow_target":
                row["flow_target"] = float(term.target or 0.0)
            if term.kind == "presence":
                row["within"] = float(term.within or 0.0)
            if term.kind == "sampled_inventory_penalty":
                row["every"] = term.every or 0
    return rows


_LASTING = {"loss": Reason.LOSS, "drawdown": Reason.DRAWDOWN}  # limits in force until reset, whatever they do
_STATE = {
    **_LASTING,
    "rolling_loss": Reason.ROLLING_LOSS,
    "time_at_limit": Reason.TIME_AT_LIMIT,
    "feed": Reason.FEED,
    "self_trade": Reason.SELF_TRADE,
    "repeated_execution": Reason.REPEATED_EXECUTION,
}


def _limits(row: np.void, limits: Limits, config: MarketConfig, sd: float) -> float:
    """Write a dealer's limits into its row; return its position limit in lots."""
    band, position, feed, hedge = limits.markup, limits.position, limits.feed, limits.hedge
    row["band_low"], row["band_high"] = (band.low, band.high) if band else (-UNLIMITED, UNLIMITED)
    for name in ("markup", "position", "hedge", "slippage", *_STATE):
        limit = getattr(limits, name)
        row[f"{name}_on_breach"] = OnBreach[limit.on_breach.upper()] if limit else OnBreach.CLIP
    for name in ("loss", "rolling_loss", "drawdown", "time_at_limit", "repeated_execution"):
        limit = getattr(limits, name)
        row[f"{name}_soft"], row[f"{name}_hard"] = _level(limit and limit.soft), _level(limit and limit.hard)
    for name in ("size", "worst_case", "hedge", "order_rate", "self_trade"):
        limit = getattr(limits, name)
        row[f"{name}_hard"] = _level(limit and limit.hard)
    hard = min(_level(position and position.hard), _level(config.market.inventory_limit))
    row["position_soft"] = _level(position and position.soft)
    row["position_hard"] = math.floor(hard) if hard < UNLIMITED else UNLIMITED  # inventory is in whole lots
    row["hedge_hard"] = math.floor(hedge.hard) if hedge else UNLIMITED
    row["window"] = limits.rolling_loss.steps if limits.rolling_loss else 0
    row["order_rate_steps"] = limits.order_rate.steps if limits.order_rate else 1
    row["repeated_execution_steps"] = limits.repeated_execution.steps if limits.repeated_execution else 0
    row["limit_level"] = _level(limits.time_at_limit and limits.time_at_limit.level)
    row["jump"] = feed.jump * sd if feed and feed.jump is not None else UNLIMITED
    row["stale"] = _level(feed and feed.frozen)
    row["low_price"] = feed.above if feed else -UNLIMITED
    row["slippage_lots"] = _slippage_lots(limits.slippage, config.market.venue)
    row["slippage_hard"] = _level(limits.slippage and limits.slippage.hard)
    row["widen"], row["pace"] = limits.widen, _level(limits.pace)
    row["lasting"] = sum(
        reason
        for name, reason in _STATE.items()
        if (limit := getattr(limits, name)) and (name in _LASTING or limit.on_breach == "halt")
    )
    return hard


def _slippage_lots(limit: SlippageLimit | None, venue: AnyVenue) -> float:
    """The most lots whose cost a lot, half_spread + slope h + fee, is within the limit; in a book the price is bounded."""
    if limit is None or not isinstance(venue, Venue):
        return UNLIMITED
    room = limit.hard - venue.half_spread - venue.fee
    if room < 0:
        return 0.0
    return math.floor(room / venue.slope + 1e-9) if venue.slope > 0 else UNLIMITED


def _weights(config: MarketConfig) -> np.ndarray:
    weights = np.zeros((len(config.agents), len(rewards.KINDS)))
    for row, dealer in zip(weights, config.dealer_of, strict=True):
        for term in dealer.reward:
            row[rewards.KINDS.index(term.kind)] = term.weight
    return weights


def _columns(config: MarketConfig) -> np.ndarray:
    columns = np.full((len(config.agents), len(observe.NAMES)), -1, dtype=np.int64)
    for row, dealer in zip(columns, config.dealer_of, strict=True):
        for column, name in enumerate(dealer.observation):
            row[observe.NAMES.index(name)] = column
    return columns


def _regimes(config: MarketConfig) -> np.ndarray:
    price, dt = config.market.value, config.market.dt
    if not isinstance(price, Regime):
        return np.zeros((0, 2))
    return np.column_stack(
        [
            np.array(price.drift) * dt,
            np.array(price.volatility) * math.sqrt(dt),
            np.cumsum(np.array(price.transition), axis=1),
        ]
    )
