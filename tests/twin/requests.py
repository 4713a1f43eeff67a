"""Requests: when clients come, what they know, whom they ask and whom they choose."""

import math

from marketsim.rng import ARRIVAL, CHOICE, CLIENT, PANEL, RESERVATION, TIE
from marketsim.types import ASK, BID


def arrivals(kind, cells, u, step):
    """The requests of a step in order: (request number, cell)."""
    reverse = u(ARRIVAL, step, 0) < 0.5
    if kind == "bernoulli":
        visited = list(enumerate(reversed(cells) if reverse else cells))
        return [(v, cell) for v, cell in visited if u(ARRIVAL, step, 1 + cell.index) < cell.rate]
    total = sum(cell.rate for cell in cells)
    if kind == "at_most_one":
        x = u(ARRIVAL, step, 1)
        return [(0, cell_at(cells, x))] if x < total else []
    points, x = [], -math.log(u(ARRIVAL, step, 1))
    while x < total:
        points.append(x)
        x -= math.log(u(ARRIVAL, step, 1 + len(points)))
    return [(r, cell_at(cells, total - x if reverse else x)) for r, x in enumerate(points)]


def cell_at(cells, x):
    """The first cell whose cumulated rate exceeds x."""
    cumulated = 0.0
    for cell in cells:
        cumulated += cell.rate
        if x < cumulated:
            return cell
    return [cell for cell in cells if cell.rate > 0][-1]  # x is the total, to the last bit


def side_asked(cell, informed, F, u, step, r):
    """The side of request r: an informed client replaces it by the one that it believes to profit."""
    if not informed:
        return cell.side
    move = F[step + cell.informed["lead"]] - F[step]
    if move == 0:
        return BID if u(CLIENT, step, 4 * r + 2) < 0.5 else ASK
    profitable = ASK if move > 0 else BID
    return profitable if u(CLIENT, step, 4 * r + 1) < cell.informed["accuracy"] else 1 - profitable


def is_informed(cell, u, step, r):
    return cell.informed is not None and u(CLIENT, step, 4 * r) < cell.informed["share"]


def panel(places, dealers, u, step, r):
    """The dealers asked: ``places`` of them without replacement, by selection sampling (Knuth, algorithm S)."""
    if places >= dealers:
        return list(range(dealers))
    asked = []
    for i in range(dealers):
        if u(PANEL, step, 256 * r + i) * (dealers - i) < places - len(asked):
            asked.append(i)
    return asked


def winner(choice, quotes, u, step, r):
    """The dealer whom the client of request r chooses among ``quotes`` {dealer: markup}; None: nobody."""
    if choice["kind"] == "logit":
        weights = {i: logit_weight(choice, markup) for i, markup in quotes.items()}
        x, running = u(CHOICE, step, r) * (1.0 + sum(weights.values())), 0.0
        for i, weight in weights.items():
            running += weight
            if x < running:
                return i
        return None
    best = min(quotes.values(), default=math.inf)
    if not quotes or not best <= reservation(choice["reservation"], u, step, r):
        return None
    equal = [i for i, markup in quotes.items() if markup == best]
    return equal[math.floor(u(TIE, step, r) * len(equal))]


def logit_weight(choice, markup):
    exponent = -(choice["intercept"] + choice["sensitivity"] * markup)
    return math.exp(min(max(exponent, -700.0), 700.0))


def reservation(model, u, step, r):
    """The highest markup at which the client still trades."""
    if model["kind"] == "exponential":
        return -math.log(u(RESERVATION, step, r)) / model["rate"]
    return model["value"] if model["kind"] == "fixed" else math.inf
