"""What a case is made of: what is asked, what the guardrails saw, what is at stake, what a person chose.

Everything in a `Case` and a `Decision` is JSON by `dataclasses.asdict`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Decision:
    """What a person chose. ``version``: of the state that they saw; ``step``: at which it arrived, stamped by the book."""

    case: int
    version: int
    option: str
    reason: str
    who: str
    role: str
    step: int = -1

    def __post_init__(self):
        for name, kind in zip(self.__dataclass_fields__, (int, int, str, str, str, str, int), strict=True):
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"the {name} of a decision is a {kind.__name__}, not {value!r}")


@dataclass(frozen=True)
class Finding:
    """What the guardrails saw: in words, in numbers, and since which step, if that can be said."""

    cause: str
    what: str
    figures: dict[str, float] = field(default_factory=dict)
    since: int | None = None


class Exposure(NamedTuple):
    """A dealer now: ``holds`` (inventory in lots, pnl and loss in price units x lots), and what each option would cost."""

    holds: dict[str, float]
    costs: dict[str, float]


class Order(NamedTuple):
    """What the engine is to do about a position before the step executes: trade this share of it away at the venue."""

    market: int
    dealer: str
    option: str  # hedge or flatten
    share: float


@dataclass
class Case:
    """One question to people, as it stands now; its whole story is in the audit log."""

    id: int  # from 1 in the book
    number: int  # from 1 in its market
    market: int
    dealer: str
    cause: str
    opened: int
    since: int | None  # since which step it has drifted, where that can be said
    what: str
    figures: dict[str, float]
    if_silent: str  # what a missed deadline fires: a safe default, or stay
    did: list[str] = field(default_factory=list)  # the last things that the guardrails did about it
    repeats: int = 0  # how often the cause fired again meanwhile
    # as of now
    state: str = ""
    version: int = 0  # of the dealer's state: it counts moves and missed deadlines
    exposure: dict[str, float] = field(default_factory=dict)
    options: dict[str, float | None] = field(default_factory=dict)  # name -> predicted cost, price units x lots
    asked: int = 0  # when people were last asked: the deadlines count from it
    acknowledge_by: int = 0
    decide_by: int = 0
    acknowledged: int | None = None
    proposal: dict[str, Any] | None = None  # a decision that waits for a second person
    lapsed: int = -1  # the last version whose decision deadline was missed
    closed: int | None = None
    outcome: str = ""
