"""A run that asked people and was stopped, played again: what its audit file says happens again, and is not written twice.

The chain goes on where it ended, so a head that was kept elsewhere still stands for what it stood for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from experiments.desk.live import CAME, hand_over
from marketsim.document import InputError
from marketsim.guardrails.audit import Audit, Row, rows
from marketsim.guardrails.canonical import canonical
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.governor import Operator
from marketsim.guardrails.operator import Replay


class Retrace:
    """Stands between a run and its audit file, and between its cases and whoever answers ``now``.

    ``record`` holds what the run says against the rows that were there before, and writes what comes after them.
    ``attend`` gives the answers and faults of those rows at their steps; ``now`` is asked once they are used up.
    Raises InputError, from ``attend`` or ``end``, where the run does not go as those rows say.
    """

    def __init__(self, audit: Audit):
        earlier = list(rows(audit.path)) if audit.rows else []
        self._audit = audit
        self._now: Operator | None = None
        self._ahead = deque(row for row in earlier if _is_the_runs(row))
        self._answers = [row.body for row in earlier if row.body.get("what") in CAME]
        self._faults = [(row.kind, row.body) for row in earlier if row.kind == "fault"]
        # a desk's answers are there as they came, others as what became of them
        self._replay = Replay(self._faults if self._answers else [(row.kind, row.body) for row in earlier])
        self._until = max((body["step"] for body in self._answers), default=-1)
        self._parted = ""

    def record(self, kind: str, body: Mapping[str, Any]) -> None:
        if not self._ahead:
            self._audit.record(kind, body)
            return
        row = self._ahead[0]
        if (kind, canonical(body)) != (row.kind, canonical(row.body)):
            self._parted = self._parted or (
                f"{self._audit.path}:{row.number}: played again, the run says something else here: it was begun by another "
                f"version or on another machine; keep the file and begin the run anew in another folder (--out)"
            )
            raise ValueError(self._parted)
        self._ahead.popleft()

    def attended_by(self, now: Operator) -> Operator:
        """This, with whom to ask once the rows are used up."""
        self._now = now
        return self

    def attend(self, book: CaseBook, step: int, drifted: Any) -> None:
        self._look()
        self._replay.attend(book, step, drifted)
        for body in self._answers:
            if body["step"] == step:
                hand_over(body, book, step)
        if not self._ahead and step >= self._until:
            assert self._now is not None
            self._now.attend(book, step, drifted)

    def end(self) -> None:
        """The run is over: what it had said before must be used up."""
        if self._ahead:
            row = self._ahead[0]
            self._parted = self._parted or f"{self._audit.path}:{row.number}: played again, the run does not get here"
        self._look()

    def _look(self) -> None:
        if self._parted:
            raise InputError(self._parted)


def _is_the_runs(row: Row) -> bool:
    """Whether playing it again says this, and not somebody at the desk or the file about itself."""
    if row.kind == "fault":
        return "step" in row.body
    return row.body.get("what") not in (*CAME, "answer")
