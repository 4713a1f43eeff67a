"""What a policy of the gallery's ``optimum`` is worth, exactly: learners are timed until it is near the optimum."""

from __future__ import annotations

from collections.abc import Callable

from agents import exact
from agents.config import Desk
from agents.policy import Policy, Seat
from agents.policy_map import policy_map


def worth(desk: Desk) -> Callable[[Policy], float]:
    """The exact value of a deterministic policy of the single dealer, flat at the start."""
    seat = Seat(desk, 0)

    def value(policy: Policy) -> float:
        start = exact.evaluate(desk, *policy_map(policy, seat))[0]
        return float(start[len(start) // 2])

    return value
