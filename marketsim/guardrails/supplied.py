"""What an agent supplies about itself: streams that are watched for drift, and figures that are held to soft levels.

The layers above compute them, step by step. Here they are only compared, ``value <= soft``, so that NaN fails; and a
figure that nobody supplies is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from enum import IntFlag
from typing import NamedTuple

import numpy as np

from marketsim.guardrails.envelope import Limits


class Supplied(NamedTuple):
    """Of one dealer in one step, each (M,). ``streams``: names as in ``streams.GIVEN``; ``figures``: as in ``Limits``."""

    streams: MutableMapping[str, np.ndarray]
    figures: MutableMapping[str, np.ndarray]


class SoftReason(IntFlag):
    """Which soft level was passed; bits beside those of ``types.Reason``, which the compiled step sets."""

    REFERENCE_DISTANCE = 1 << 24  # quotes far from the reference policy
    CRITIC_ERROR = 1 << 25  # the critic expected something else, of late
    CVAR_BUDGET = 1 << 26  # the tail of the last episodes' losses


def soft_levels(limits: Limits) -> dict[SoftReason, float]:
    """The soft levels of figures that the agent supplies."""
    named = {reason: getattr(limits, str(reason.name).lower()) for reason in SoftReason}
    return {reason: limit.soft for reason, limit in named.items() if limit is not None}


def passed(levels: Mapping[SoftReason, float], supplied: Supplied | None, markets: int) -> np.ndarray:
    """uint32 (M,), the bits of the levels that are passed."""
    bits = np.zeros(markets, np.uint32)
    figures = supplied.figures if supplied else {}
    for reason, soft in levels.items():
        figure = figures.get(str(reason.name).lower(), np.nan)
        bits[~np.broadcast_to(figure <= soft, markets)] |= np.uint32(reason)
    return bits
