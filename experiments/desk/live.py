"""People at the desk of a run that goes on: cases go out as files, answers are taken when they come."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import progress
from experiments.desk.channel import FileQueue
from experiments.desk.seats import Desk
from marketsim.guardrails.audit import Audit
from marketsim.guardrails.case import Decision
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.escalation import Escalation
from marketsim.guardrails.identity import Approvers, Signed

_LOOK_EVERY = 0.2  # seconds, while the run waits


class Live:
    """Publishes the cases of a run and hands the answers of its approvers to the book.

    With ``pace: pause`` the run waits at each new question for ``hook_timeout`` seconds at most; unanswered, that is a
    fault, and the case's safe default fires. With ``walk`` it goes on, and an answer counts at the step at which it comes.
    """

    def __init__(self, folder: Path, escalation: Escalation, approvers: Approvers, audit: Audit, dealers: list[str]):
        self._escalation, self._approvers, self._audit = escalation, approvers, audit
        self._queue = FileQueue(folder, Desk.of(approvers, dealers, audit.head))
        self._shown: dict[int, dict[str, Any]] = {}
        self._waited: dict[int, tuple[int, bool]] = {}  # case -> how it looked when the run waited for it
        self._where = folder

    def attend(self, book: CaseBook, step: int, drifted: Any = None) -> None:
        """Show what has changed, take what has come, and wait where the pace says so."""
        self._exchange(book, step)
        if self._escalation.pace != "pause":
            return
        while new := [case for case in book.open if self._waited.get(case.id) != _look(case)]:
            case = new[0]
            look = self._waited[case.id] = _look(case)
            progress.say(f"case {case.id} waits for people: marketsim inbox {self._where}")
            until = time.monotonic() + self._escalation.hook_timeout
            while case.closed is None and _look(case) == look:
                if time.monotonic() >= until:
                    book.fault(step, f"nobody answered within {self._escalation.hook_timeout:g} seconds", case.id)
                    self._waited[case.id] = _look(case)
                    break
                time.sleep(_LOOK_EVERY)
                self._exchange(book, step)

    def _exchange(self, book: CaseBook, step: int) -> None:
        for case in book.cases:
            now = asdict(case)
            if self._shown.get(case.id) != now:
                self._queue.publish(now, self._audit.head)
                self._shown[case.id] = now
        for answer, head in self._queue.collect():
            got = self._approvers.check(answer, head)
            if isinstance(got, str):
                body = {"what": str(answer.get("kind", "answer")), "step": step, "case": answer.get("case")}
                self._audit.record("refusal", body | {"who": str(answer.get("who", "")), "why": got})
            else:
                kind = "acknowledgement" if got.kind == "acknowledge" else "decision"
                self._audit.record(kind, {"step": step, **got.body()})
                _hand_over(got, book, step)


def _hand_over(got: Signed, book: CaseBook, step: int) -> None:
    if got.kind == "kill":
        book.kill(got.who, got.reason, step, None, got.dealer)
        return
    assert got.case is not None
    if got.kind == "acknowledge":
        book.acknowledge(got.case, got.who, step)
    else:
        assert got.version is not None and got.option is not None
        book.decide(Decision(got.case, got.version, got.option, got.reason, got.who, got.role), step)


def _look(case: Any) -> tuple[int, bool]:
    return case.version, case.proposal is not None
