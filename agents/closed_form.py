"""Quotes that the literature gives in closed form.

Avellaneda and Stoikov (2008), "High-frequency trading in a limit order book", Quantitative Finance 8(3).
"""

from __future__ import annotations

import math

import numpy as np

from agents.config import AvellanedaStoikovSpec
from agents.policy import Seat
from agents.reading import Reading
from marketsim.tables import Tables
from marketsim.types import Choice


class AvellanedaStoikov:
    """The approximate optimum under exponential utility, for an exponential fill rate A e^(-k markup).

    Reservation price (their eq. 29)  r = S - q gamma sigma^2 (T - t)
    Total spread (their eq. 30)       gamma sigma^2 (T - t) + (2 / gamma) log(1 + gamma / k)

    The bid stands half the spread below r and the ask half above; it never hedges. gamma is ``risk_aversion``;
    sigma is ``volatility``, per square root of time in price units, by default that of the market's one-step moves;
    k is ``rate``, by default the rate of an exponential reservation, and for every other choice model
    1 / reference markup, the k whose risk-neutral quote 1/k is the same.
    """

    native = True

    def __init__(self, spec: AvellanedaStoikovSpec, seat: Seat):
        tables = Tables.of(seat.config)
        cells, market = tables.cells, tables.market[0]
        k = np.full(len(cells), spec.rate) if spec.rate is not None else _fill_decay(cells, seat)
        sigma = spec.volatility if spec.volatility is not None else market["move_sd"] / math.sqrt(market["dt"])
        self._reading = Reading(seat, "inventory", "time_left")
        self._risk = spec.risk_aversion * sigma**2 * float(market["dt"])  # gamma sigma^2, per step
        self._markups = np.full(tables.quote_shape, np.nan)  # at the end and flat
        self._markups.flat[cells["quote"]] = np.log1p(spec.risk_aversion / k) / spec.risk_aversion

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Markups (M, 2, segments, sizes) in price units, hedge (M, 1) = 0."""
        risk = self._risk * self._reading.steps_left(observation)
        away = self._reading.inventory(observation) * risk  # S - r
        side = np.stack([0.5 * risk + away, 0.5 * risk - away], axis=1)
        return side[:, :, None, None] + self._markups, np.zeros((len(observation), 1))


def _fill_decay(cells: np.ndarray, seat: Seat) -> np.ndarray:
    exponential = (cells["choice"] == Choice.BEST_PRICE) & (cells["reservation_scale"] > 0)
    markup = np.where(exponential, cells["reservation_scale"], cells["reference"])
    if not np.all(markup > 0):
        raise ValueError(
            f"dealers.{seat.dealer.name}.policy.rate: must be given where a reference markup is "
            f"{markup.min():g}, not above 0"
        )
    return 1.0 / markup
