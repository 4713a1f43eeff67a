"""Numbers as a reader wants them: as many digits as the interval supports, units in words."""

from __future__ import annotations

import math
from collections.abc import Iterable

from reports.folder import Estimate

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"


def decimals(estimates: Iterable[Estimate], most: int = 4) -> int:
    """Decimals that the interval supports: two digits of a half-width that starts 1 to 3, else one, as physicists
    do (Particle Data Group); three digits of a bare value. Of a column of figures, the median.
    """
    wanted = []
    for estimate in estimates:
        if not estimate.known:
            continue
        half = (estimate.high - estimate.low) / 2 if estimate.bounded else 0.0
        scale = half if half > 0 else abs(estimate.value)
        if scale > 0:
            power = math.floor(math.log10(scale))
            digits = 3 if half <= 0 else 2 if scale / 10**power < 3.5 else 1
            wanted.append(digits - 1 - power)
    if not wanted:
        return 0
    wanted.sort()
    return min(most, max(0, wanted[len(wanted) // 2]))


def write(value: float, places: int, plus: bool = False) -> str:
    """A number with a true minus sign and thousands separated; a dash where there is none."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{abs(value):,.{places}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return (MINUS if value < 0 else "+" if plus else "") + text


def interval(estimate: Estimate, places: int, plus: bool = False) -> str:
    """``40.1 to 42.3``; empty where there is no interval."""
    if not estimate.bounded:
        return ""
    return f"{write(estimate.low, places, plus)} to {write(estimate.high, places, plus)}"


def short(value: float) -> str:
    """A number on its own, to three digits; a whole one whole."""
    if math.isfinite(value) and value == round(value):
        return write(value, 0)
    if abs(value) < 1e-3:
        return f"{value:.1e}".replace("-", MINUS)
    return write(value, decimals([Estimate(value)]))


def count(n: float) -> str:
    return f"{n:,.0f}" if math.isfinite(n) else NOTHING


def many(n: float, thing: str) -> str:
    """``1 episode``, ``20,000 episodes``."""
    return f"{count(n)} {thing}" if n == 1 else f"{count(n)} {thing}s"


def shortened(text: str, length: int) -> str:
    """A long name with its middle left out: dealers of one block differ at the end."""
    if len(text) <= length:
        return text
    end = length // 3
    return text[: length - 1 - end] + "…" + text[-end:]


def money(units: dict[str, str]) -> str:
    """What profit is measured in: price units times lots."""
    price, lot = units.get("price", ""), units.get("lot", "")
    if not price and not lot:
        return "price × lots"
    return f"{price or 'price'} × {lot or 'lots'}"


def per_lot(units: dict[str, str]) -> str:
    return f"{units.get('price', 'price units')} a lot"


def lots(units: dict[str, str]) -> str:
    return f"lots of {units['lot']}" if units.get("lot") else "lots"


def step(units: dict[str, str]) -> str:
    return f"step ({units['time']})" if units.get("time") else "step"
