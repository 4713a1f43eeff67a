"""What a dealer's action means, as an experiment file has it; ``act`` and ``book.dealers`` carry it out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from marketsim.model import Model, NonNegative, Pair, ordered, tagged
from marketsim.types import MAX_LOTS

HedgeRule = Literal["fraction"] | Annotated[float, Field(ge=0, le=1e9)]


class Ladder(Model):
    """Markups of all cells, bids then asks, segment-major, then the hedge."""

    kind: Literal["ladder"] = "ladder"
    markup: Pair = (0.0, 2.0)
    hedge: HedgeRule = "fraction"
    _range = field_validator("markup")(ordered)


class Skew(Model):
    """Half-spread, skew, hedge: bid = half + skew, ask = half - skew."""

    kind: Literal["skew"]
    half_spread: Pair = (0.0, 2.0)
    skew_max: NonNegative = 1.0
    hedge: HedgeRule = "fraction"
    _range = field_validator("half_spread")(ordered)


class Offsets(Model):
    """Two limit orders in the book: ticks from the mid and lots on both sides, whether to keep what rests, hedge.

    A dealer driven in prices quotes ``size[0]`` lots. ``latency``: units of time until its orders reach the book.
    """

    kind: Literal["offsets"]
    offset: Pair = (0.0, 10.0)
    size: Pair = (1.0, 5.0)
    hedge: HedgeRule = 0.0
    latency: NonNegative = 0.0
    _ranges = field_validator("offset", "size")(ordered)

    @field_validator("size")
    @classmethod
    def _lots(cls, size: tuple[float, float]) -> tuple[float, float]:
        if not (0 <= size[0] and 1 <= size[1] <= MAX_LOTS and all(x == int(x) for x in size)):
            raise ValueError(f"whole lots are needed, the smallest at least 0 and the largest at least 1, not {size}")
        return size


ActionModel = Annotated[Ladder | Skew | Offsets, Field(discriminator="kind"), tagged("ladder")]
