"""What may be done about a case: by a person, or by its deadlines if nobody answers; and what each would cost.

An option moves the state by its event and gives the engine an order about the position: ``hedge`` trades half of it
away at the venue, ``flatten`` all of it; the others leave it alone.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from marketsim.guardrails.states import Event, State

SafeDefault = Literal["hedge", "widen", "flatten", "halt"]
STAY = "stay"  # what silence does once a person has answered: nothing; the dealer stays as restricted as it is


class Option(NamedTuple):
    event: Event  # chosen by people
    silence: Event  # fired by a deadline
    trades: float  # the share of the inventory that it trades away
    forgoes: float  # the share of the spread income that it gives up while it stands


OPTIONS = {
    "keep": Option(Event.NOTHING, Event.NOTHING, 0.0, 0.0),  # leave everything as it is
    "widen": Option(Event.RESTRICT, Event.UNANSWERED, 0.0, 0.5),
    "hedge": Option(Event.RESTRICT, Event.UNANSWERED, 0.5, 0.5),
    "flatten": Option(Event.KILL, Event.UNANSWERED_HALT, 1.0, 1.0),
    "halt": Option(Event.KILL, Event.UNANSWERED_HALT, 0.0, 1.0),
    "resume": Option(Event.RESUME, Event.NOTHING, 0.0, 0.75),
    "release": Option(Event.RELEASE, Event.NOTHING, 0.0, 0.0),  # only of a case that PROBATION opened
}
OFFERED = {
    State.NORMAL: ("keep", "widen", "hedge", "flatten", "halt"),
    State.WARN: ("keep", "widen", "hedge", "flatten", "halt"),
    State.RESTRICTED: ("keep", "hedge", "flatten", "halt", "resume"),
    State.HALTED: ("keep", "flatten", "resume"),
    State.PROBATION: ("keep", "widen", "hedge", "flatten", "halt"),
}
# what each state forgoes already: three quarters of the limits, three quarters of the income
FORGONE = {State.NORMAL: 0.0, State.WARN: 0.0, State.RESTRICTED: 0.5, State.HALTED: 1.0, State.PROBATION: 0.75}
_SHORTFALL = 2.0627128075074253  # of a standard normal beyond its 95% quantile: density / 5%


def predicted_costs(state, inventory, steps, half_spread, slope, fee, move_sd, income):
    """What each option would cost over the next ``steps`` steps, as name -> price units x lots; a rule of thumb.

    Trading at the venue now, ``half_spread*x + slope*x^2 + fee*x`` for x lots; plus the share of the spread ``income`` (a
    step) that is given up; plus the expected shortfall (95%, normal moves of ``move_sd`` a step) of the inventory left.
    """
    costs = {}
    for name, option in OPTIONS.items():
        lots = option.trades * abs(inventory)
        leaves = option.event in (Event.RESUME, Event.RELEASE)
        forgoes = option.forgoes if leaves else max(option.forgoes, FORGONE[State(state)])
        trade = (half_spread + slope * lots + fee) * lots
        tail = _SHORTFALL * move_sd * math.sqrt(steps) * (abs(inventory) - lots)
        costs[name] = trade + forgoes * income * steps + tail
    return costs
