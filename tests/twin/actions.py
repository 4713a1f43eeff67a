"""What a dealer asks for: a markup for every cell (None: withdrawn) and a hedge in lots."""

import math

from marketsim.types import ASK, BID

DEFAULT = {"kind": "ladder", "markup": [0.0, 2.0], "hedge": "fraction"}


def width(settings, cells):
    return 3 if settings["kind"] == "skew" else len(cells) + 1


def from_action(settings, action, cells, inventory):
    """Markups and hedge of an action in [-1, 1]; None where a component is not finite."""
    action = [float(component) for component in action[: width(settings, cells)]]
    if not all(map(math.isfinite, action)):
        return None
    *quoting, hedging = [min(max(component, -1.0), 1.0) for component in action]
    if settings["kind"] == "skew":
        half, skew = on_range(quoting[0], settings["half_spread"]), quoting[1] * settings["skew_max"]
        markups = [half + skew if cell.side == BID else half - skew for cell in cells]
    else:
        ladder = sorted(cells, key=lambda cell: (cell.side, cell.segment, cell.bucket))  # bids, then asks
        place = {cell.index: rung for rung, cell in enumerate(ladder)}
        markups = [on_range(quoting[place[cell.index]], settings["markup"]) for cell in cells]
    if settings["hedge"] == "fraction":
        return markups, float(round(-(hedging + 1.0) / 2.0 * inventory))
    return markups, float(round(hedging * settings["hedge"]))


def from_quotes(markups, hedge, cells):
    """Markups[side][segment][size] and hedge of a price-driven dealer: what is not finite is left out."""
    given = [float(markups[cell.side][cell.segment][cell.bucket]) for cell in cells]
    hedge = float(hedge)
    return [m if math.isfinite(m) else None for m in given], float(round(hedge)) if math.isfinite(hedge) else 0.0


def from_the_mid(markups, cells, error):
    """Markups around a price that is wrong by ``error``, as clients meet them: measured from the mid."""
    shift = {BID: -error, ASK: error}
    return [None if m is None else m + shift[cell.side] for m, cell in zip(markups, cells, strict=True)]


def on_range(x, bounds):
    """[-1, 1] -> [low, high]."""
    low, high = bounds
    return low + (x + 1.0) * (high - low) / 2.0
