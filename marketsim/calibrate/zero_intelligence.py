"""Rates of orders that come without a purpose (Smith, Farmer, Gillemot and Krishnamurthy 2003, Quant. Finance 3:481).

Limit orders come at one rate for each price and side, market orders at one for each side, and each resting order is
cancelled at one. A tape of best quotes shows all market orders, limit orders at the best price or between the quotes
(of a side at as many prices as the spread has ticks), and cancellations at the best price. Each rate is what was
counted over the time, or the prices times time, or the lots times time, in which it could be: maximum likelihood
where every change has its own row. In a tape that was sampled, what came and went between two rows is not seen:
limit and cancellation rates are then too low.

Messages show the orders themselves: limit orders are counted at all prices from the best of the other side to the one
that 60% of them do not go beyond (as Farmer, Patelli and Zovko 2005, PNAS 102:2254, measure the rate), and each order
that is seen to come is followed until it is cancelled, traded, or the messages end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marketsim.calibrate.estimate import Estimate, rate
from marketsim.calibrate.market_orders import market_orders, shown, span, stood
from marketsim.feeds.lobster import Type
from marketsim.tape import Tape
from marketsim.yaml_text import InputError

_SHARE = 0.6  # of the limit orders


@dataclass(frozen=True)
class ZeroIntelligence:
    """``limit_rate``: orders per unit of time, tick and side; ``market_rate``: orders per unit of time and side;
    ``cancel_rate``: per unit of time and lot, so per order where orders leave whole. ``limit_size``, ``market_size``:
    mean lots of an order. ``band``: ticks from the other side's best price within which limit orders were counted,
    None: those at the best price and inside the spread.
    """

    limit_rate: Estimate
    market_rate: Estimate
    cancel_rate: Estimate
    limit_size: Estimate
    market_size: Estimate
    band: int | None = None


def zero_intelligence(tape: Tape) -> ZeroIntelligence:
    """The rates of a tape. Raises InputError where no market order, no limit order or no cancellation is seen."""
    orders = market_orders(tape)
    time = tape.prints["time"]
    prints = tape.prints[(time > tape.quotes["time"][0]) & (time <= tape.quotes["time"][-1])]
    both, held = shown(tape), stood(tape)
    limits, cancels, offered = [], [], 0.0
    for side in ("bid", "ask"):
        came, left = _changes(tape, prints, side)
        limits.append(came[both[:-1] & (came > 0)])
        cancels.append(left[both[:-1] & (left > 0)])
        offered += float(held @ tape.quotes[f"{side}_size"])
    came, left = np.concatenate(limits), np.concatenate(cancels)
    for name, events in (("limit order", came), ("cancellation", left)):
        if not len(events):
            raise InputError(f"zero_intelligence: the quotes show no {name}")
    prices = 2 * float(held @ (tape.quotes["ask"] - tape.quotes["bid"]))
    return ZeroIntelligence(
        rate(len(came), prices),
        rate(len(orders.time), 2 * float(held.sum())),
        Estimate(float(left.sum()) / offered, math.sqrt(float(left @ left)) / offered, len(left)),
        _mean(came),
        _mean(orders.size),
    )


def of_messages(tape: Tape, messages: np.ndarray) -> ZeroIntelligence:
    """The rates from LOBSTER's ``messages`` (``feeds.lobster.ROW``) beside their tape. Raises InputError as above."""
    orders = market_orders(tape)
    begin, end = span(tape)
    came, row = _limit_orders(tape, messages)
    deleted, lifetime = _lifetimes(messages, end)
    for name, count in (("limit order", len(came)), ("cancellation of one that was seen to come", deleted)):
        if not count:
            raise InputError(f"zero_intelligence: the messages show no {name}")
    far = np.where(came["side"] > 0, tape.quotes["ask"][row] - came["price"], came["price"] - tape.quotes["bid"][row])
    band = max(int(np.quantile(far, _SHARE)), 1)
    counted = came["size"][(far >= 1) & (far <= band)]
    return ZeroIntelligence(
        rate(len(counted), 2 * band * float(stood(tape).sum())),
        rate(len(orders.time), 2 * float(stood(tape).sum())),
        rate(deleted, lifetime),
        _mean(counted),
        _mean(orders.size),
        band,
    )


def _limit_orders(tape: Tape, messages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those that came while the tape had two sides, and the rows of the quotes before them."""
    came = messages[messages["type"] == Type.NEW]
    row = np.searchsorted(tape.quotes["time"], came["time"] / 1e9, side="left") - 1
    kept = (row >= 0) & shown(tape)[row]
    return came[kept], row[kept]


def _lifetimes(messages: np.ndarray, end: float) -> tuple[int, float]:
    """How many of the orders that came were cancelled, and how long all of them rested, s."""
    resting: dict[int, tuple[int, int]] = {}  # order -> since when, lots
    deleted, lifetime = 0, 0
    for time, kind, _, order, lots, _ in messages.tolist():
        if kind == Type.NEW:
            resting[order] = (time, lots)
        elif order in resting and kind in (Type.LESS, Type.DELETE, Type.EXECUTION):
            since, left = resting.pop(order)
            if kind != Type.DELETE and left > lots:
                resting[order] = (since, left - lots)
            else:
                deleted += kind != Type.EXECUTION
                lifetime += time - since
    lifetime += sum(max(round(end * 1e9) - since, 0) for since, _ in resting.values())
    return deleted, lifetime / 1e9


def _changes(tape: Tape, prints: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Lots of limit orders that came (n - 1,) and that were cancelled (n - 1,) at the best price from row to row.

    What traded at a price is neither. A print at the time of a row is a part of what the row tells.
    """
    toward = 1 if side == "bid" else -1
    quotes = tape.quotes
    price, size = quotes[side], quotes[f"{side}_size"]
    hits = prints[prints["side"] == -toward]
    row = np.searchsorted(quotes["time"], hits["time"], side="left")  # the row that tells of it

    def traded(at: np.ndarray) -> np.ndarray:
        """Lots that traded at the prices ``at`` (n - 1,) between a row and the next."""
        here = hits["price"] == at[row - 1]
        return np.bincount(row[here] - 1, hits["size"][here], minlength=len(at)).astype(np.int64)

    before, after = price[:-1], price[1:]
    left_over = size[:-1] - traded(before)
    shown_after = np.where(size[1:] > 0, size[1:], 0)
    better = (toward * (after - before) > 0) & (shown_after > 0)
    same = (after == before) & (shown_after > 0)
    came = np.where(better, shown_after + traded(after), np.where(same, shown_after - left_over, 0))
    left = np.where(better, 0, np.where(same, left_over - shown_after, left_over))
    return np.maximum(came, 0), np.maximum(left, 0)


def _mean(sizes: np.ndarray) -> Estimate:
    spread = float(np.std(sizes, ddof=1)) / math.sqrt(len(sizes)) if len(sizes) > 1 else math.nan
    return Estimate(float(np.mean(sizes)), spread, len(sizes))
