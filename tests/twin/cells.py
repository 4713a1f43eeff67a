"""The cells of a market, one for each (segment, side, size), in the order in which requests arrive."""

import math
from dataclasses import dataclass, replace

from marketsim.types import ASK, BID

CHOICE = {"kind": "best_price"}
RESERVATION = {"kind": "exponential", "rate": 1.0}


@dataclass(frozen=True)
class Cell:
    index: int
    segment: int
    side: int
    bucket: int  # which of the segment's sizes
    size: float
    rate: float  # a step
    panel: int  # dealers asked
    choice: dict  # intercept and sensitivity are those of this size
    informed: dict | None
    reference: float = math.nan  # the reference markup

    @property
    def signed_size(self):
        """What a win adds to the winner's inventory."""
        return self.size if self.side == BID else -self.size


def cells_of(market, dealers):
    """All cells; ``market.reference`` overrides their reference markups, one number for all or one each."""
    cells = []
    for s, segment in enumerate(market["segments"]):
        sizes, rates = segment.get("sizes", [1]), segment["rates"]
        if not isinstance(rates, dict):
            rates = {"bid": rates, "ask": rates}
        duration = market["dt"] if market["arrivals"]["kind"] == "poisson" else 1.0  # the others are probabilities
        panel = min(segment.get("panel") or dealers, dealers)
        for side, of_side in ((BID, rates["bid"]), (ASK, rates["ask"])):
            for k, (size, rate) in enumerate(zip(sizes, of_side, strict=True)):
                choice, informed = choice_of_size(segment.get("choice", CHOICE), k), segment.get("informed")
                cells.append(Cell(len(cells), s, side, k, float(size), rate * duration, panel, choice, informed))
    given = market["reference"]
    if given is None:
        given = [risk_neutral_markup(cell.choice) for cell in cells]
    elif isinstance(given, list):  # as in a ladder action: all bids, then all asks
        bids = [i for i, cell in enumerate(cells) if cell.side == BID]
        asks = [i for i, cell in enumerate(cells) if cell.side == ASK]
        given = [given[(bids + asks).index(i)] for i in range(len(cells))]
    else:
        given = [given] * len(cells)
    return [replace(cell, reference=reference) for cell, reference in zip(cells, given, strict=True)]


def choice_of_size(choice, bucket):
    """The choice model of one size: parameters given per size become that size's."""
    if choice["kind"] == "best_price":
        return {**choice, "reservation": choice.get("reservation", RESERVATION)}
    return {key: value[bucket] if isinstance(value, list) else value for key, value in choice.items()}


def risk_neutral_markup(choice):
    """The markup that earns most for one dealer alone: the maximum of markup * P(win)."""
    if choice["kind"] == "logit":
        return (1.0 + lambert_w(math.exp(-choice["intercept"] - 1.0))) / choice["sensitivity"]
    reservation = choice["reservation"]
    return 1.0 / reservation["rate"] if reservation["kind"] == "exponential" else reservation["value"]


def lambert_w(x):
    """The w with w * e^w = x, for x > 0, by Newton's method."""
    w = math.log1p(x)
    for _ in range(50):
        w -= (w * math.exp(w) - x) / (math.exp(w) * (w + 1.0))
    return w
