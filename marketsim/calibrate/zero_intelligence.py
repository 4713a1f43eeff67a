"""Rates of orders that come without a purpose (Smith, Farmer, Gillemot and Krishnamurthy 2003, Quant. Finance 3:481).

Limit orders come at one rate for each price and side, market orders at one for each side, and each resting order is
cancelled at one. A tape of best quotes shows all market orders, limit orders at the best price or between the quotes
(of a side at as many prices as the spread has ticks), and cancellations at the best price. Each rate is what was
counted over the time, or the prices times time, or the lots times time, in which it could be: maximum likelihood
where every change has its own row. In a tape that was sampled, what came and went between two rows is not seen:
limit and cancellation rates are then too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from marketsim.calibrate.estimate import Estimate, rate
from marketsim.calibrate.market_orders import market_orders, shown, stood
from marketsim.tape import Tape
from marketsim.yaml_text import InputError


@dataclass(frozen=True)
class ZeroIntelligence:
    """``limit_rate``: orders per unit of time, tick and side; ``market_rate``: orders per unit of time and side;
    ``cancel_rate``: per unit of time and lot, so per order where orders leave whole. ``limit_size``, ``market_size``:
    mean lots of an order.
    """

    limit_rate: Estimate
    market_rate: Estimate
    cancel_rate: Estimate
    limit_size: Estimate
    market_size: Estimate


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
