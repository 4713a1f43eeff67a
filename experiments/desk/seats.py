"""Who may answer in a run, and about whom: what the desk's verbs know of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from experiments.desk.case import known, unknown
from marketsim.guardrails.identity import Approvers, fingerprint, fold


@dataclass(frozen=True)
class Seat:
    """An approver. ``key``: fingerprint of the key that they sign with, None where they have none."""

    name: str
    role: str
    key: str | None


@dataclass(frozen=True)
class Desk:
    """``identity``: how sure the run is of who answers, in words. ``head``: of the audit file when the run began.
    ``over``: the run is, and takes no answers any more."""

    seats: tuple[Seat, ...]
    dealers: tuple[str, ...]
    identity: str
    head: str
    over: bool = False

    @classmethod
    def of(cls, approvers: Approvers, dealers: Iterable[str], head: str) -> Desk:
        seats = [Seat(a.name, a.role, fingerprint(a.key) if a.key else None) for a in approvers.approvers]
        return cls(tuple(seats), tuple(dealers), approvers.sentence, head)

    def find(self, who: str) -> Seat | None:
        """The approver of that name, however it is spelt."""
        return next((seat for seat in self.seats if fold(seat.name) == fold(who)), None)

    def seat(self, who: str) -> Seat:
        """The same, who must be one. Raises InputError."""
        seat = self.find(who)
        if seat is None:
            raise unknown(who, [seat.name for seat in self.seats], f"--as: {who!r} is not an approver")
        return seat

    def dealer(self, name: str) -> str:
        """A dealer of the run. Raises InputError."""
        return known(name, list(self.dealers), f"--dealer: there is no dealer {name!r}")
