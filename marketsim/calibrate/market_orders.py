"""Prints -> market orders: one that meets several resting orders prints several times, at one time and on one side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marketsim.tape import Tape
from marketsim.yaml_text import InputError


@dataclass(frozen=True)
class MarketOrders:
    """The market orders of a tape while it showed two quotes, in order of time.

    ``time`` (n,) since the first quotes; ``side`` (n,) +1 bought, -1 sold; ``size`` (n,) lots; ``reach`` (n,) distance of
    the worst price from the mid just before, in half ticks (+ = away from the mid); ``duration``: how long the tape is.
    """

    time: np.ndarray
    side: np.ndarray
    size: np.ndarray
    reach: np.ndarray
    duration: float


def shown(tape: Tape) -> np.ndarray:
    """Which quote rows (n,) have both sides."""
    return (tape.quotes["bid_size"] > 0) & (tape.quotes["ask_size"] > 0)


def span(tape: Tape) -> tuple[float, float]:
    """The time of the first quotes, and that of the last quotes or print. Raises InputError where no time is between."""
    time = tape.quotes["time"]
    if len(time) == 0:
        raise InputError("quotes: there are none, the mid and the spread are not known")
    begin, end = float(time[0]), float(max(time[-1], tape.prints["time"].max(initial=time[-1])))
    if not end > begin:
        raise InputError(f"quotes: all of the tape is at the time {begin:g}, it spans none")
    return begin, end


def stood(tape: Tape) -> np.ndarray:
    """How long each row of quotes stood (n,), 0 where it has not both sides."""
    return np.diff(tape.quotes["time"], append=span(tape)[1]) * shown(tape)


def market_orders(tape: Tape) -> MarketOrders:
    """The market orders of the tape. Those of one side within one stamp of the clock cannot be told apart: they are one.

    The mid before an order is that of the last quotes with an earlier time. An order trades at the best price first: a
    first print beyond the quoted one says that the quotes had moved, unseen in a tape that was sampled, and the mid as
    far. Raises InputError where there is no print on one of the sides.
    """
    begin, end = span(tape)
    prints, quotes = tape.prints, tape.quotes
    row = np.searchsorted(quotes["time"], prints["time"], side="left") - 1
    kept = row >= 0
    kept[kept] = shown(tape)[row[kept]]
    prints, row = prints[kept], row[kept]
    for of, did in ((1, "bought"), (-1, "sold")):
        if not (prints["side"] == of).any():
            raise InputError(f"prints: nobody {did} after the first quotes, both sides are needed")
    order = np.lexsort((prints["side"], prints["time"]))
    prints, row = prints[order], row[order]
    new = (np.diff(prints["time"], prepend=-np.inf) > 0) | (np.diff(prints["side"], prepend=0) != 0)
    first = np.flatnonzero(new)
    side = prints["side"][first].astype(np.int64)
    away = prints["side"] * (2 * prints["price"] - (quotes["bid"] + quotes["ask"])[row])
    moved = np.maximum(np.minimum.reduceat(away, first) - (quotes["ask"] - quotes["bid"])[row[first]], 0)
    reach = np.maximum.reduceat(away, first) - moved
    size = np.add.reduceat(prints["size"], first)
    return MarketOrders(prints["time"][first] - begin, side, size, reach, end - begin)
