"""People at the desk of a run that goes on: cases go out by a channel, answers are taken when they come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments import progress
from experiments.desk.channel import Channel, FileQueue, Terminal
from experiments.desk.seats import Desk
from marketsim.guardrails.audit import Audit
from marketsim.guardrails.case import Case, Decision
from marketsim.guardrails.cases import CaseBook
from marketsim.guardrails.escalation import Escalation
from marketsim.guardrails.identity import Approvers, Signed
from marketsim.guardrails.options import STAY
from marketsim.guardrails.story import plain

CAME = ("signed", "asserted")  # ``what`` of a row of the audit that is an answer as it came
_ROW = {"acknowledge": "acknowledgement", "decide": "decision", "kill": "decision"}
_LOOK_EVERY = 0.1  # seconds, while the run waits


class Live:
    """Publishes the cases of a run and hands the answers of its approvers to the book.

    With ``pace: pause`` the run waits at each new question for ``hook_timeout`` seconds at most; unanswered, that is a
    fault, and the case's safe default fires. With ``walk`` it goes on, and an answer counts at the step at which it comes.
    Where the channel is dead (its folder cannot be written or read, its terminal was hung up) nobody can be asked: a fault,
    all dealers halt, and the run goes on trying.
    ``head``: of the audit file when the run began, which unsolicited kills name.
    """

    def __init__(
        self,
        folder: Path,
        escalation: Escalation,
        approvers: Approvers,
        audit: Audit,
        dealers: Iterable[str],
        head: str,
    ):
        self._escalation, self._approvers, self._audit = escalation, approvers, audit
        desk = Desk.of(approvers, dealers, head)
        self._channel: Channel = Terminal(desk) if escalation.channel == "terminal" else FileQueue(folder, desk)
        self._shown: dict[int, dict[str, Any]] = {}  # cases as they were last published
        self._settled: set[int] = set()  # those that were published closed
        self._waited: dict[int, tuple[int, bool]] = {}  # case -> how it looked when the run waited for it
        self._dead = ""

    def attend(self, book: CaseBook, step: int, drifted: Any = None) -> None:
        """Show what has changed, take what has come, and wait where the pace says so."""
        self._exchange(book, step)
        if self._escalation.pace == "pause":
            while not self._dead and (case := next((c for c in book.open if self._is_new(c)), None)):
                self._wait(case, book, step)

    def close(self, book: CaseBook) -> None:
        """The run is over: show how every case stands, and that nobody takes answers any more."""
        try:
            self._publish(book)
            self._channel.close()
        except OSError as error:
            progress.say(f"the cases could not be shown to the end: {error.filename}: {error.strerror}")

    def _is_new(self, case: Case) -> bool:
        return self._waited.get(case.id) != _look(case)

    def _wait(self, case: Case, book: CaseBook, step: int) -> None:
        """Until somebody answers, or it is too late: then silence does what the case says, if it does anything."""
        look = self._waited[case.id] = _look(case)
        seconds = self._escalation.people_timeout
        progress.say(f"case {case.id} waits {seconds:g} s for people: {self._channel.where}")
        until = time.monotonic() + seconds
        while case.closed is None and _look(case) == look and not self._dead:
            if time.monotonic() >= until:
                if case.if_silent != STAY:
                    book.fault(step, f"nobody answered within {seconds:g} seconds", case.id)
                self._waited[case.id] = _look(case)
                self._exchange(book, step)
                return
            time.sleep(_LOOK_EVERY)
            self._exchange(book, step)

    def _exchange(self, book: CaseBook, step: int) -> None:
        try:
            if self._dead:  # whatever was there may be gone
                self._channel.open()
                self._shown.clear()
                self._settled.clear()
            self._publish(book)
            answers = self._channel.collect()
            for answer, head in answers:
                self._take(answer, head, book, step)
            if answers:  # a second person sees at once what the first has done
                self._publish(book)
            self._dead = ""
        except OSError as error:
            if not self._dead:
                self._dead = f"nobody can be asked: {error.filename}: {error.strerror}"
                book.fault(step, self._dead)

    def _publish(self, book: CaseBook) -> None:
        for case in book.cases:
            if case.id not in self._settled and self._shown.get(case.id) != (now := asdict(case)):
                self._channel.publish(now, self._audit.head)
                self._shown[case.id] = now
                if case.closed is not None:
                    self._settled.add(case.id)

    def _take(self, answer: Mapping[str, Any], head: str, book: CaseBook, step: int) -> None:
        """An answer is recorded as it came, and acts then. One that cannot be recorded does not act, unless it kills."""
        got = self._approvers.check(answer, head)
        kind, body = "refusal", {"what": "answer", "step": step, "case": None, "who": "", "why": got}
        if isinstance(got, Signed):
            kind, body = _ROW[got.kind], {"step": step, **got.body()}
        elif type(answer.get("case")) is int and isinstance(answer.get("who"), str):
            body |= {"case": answer["case"], "who": answer["who"][:200]}
        try:
            self._audit.record(kind, body)
        except OSError as error:
            book.fault(step, f"an answer cannot be recorded and has to be given again: {error.strerror}")
            if body.get("kind") != "kill":
                return
        refused = hand_over(body, book, step) if isinstance(got, Signed) else got
        if refused:
            progress.say(plain(f"an answer was refused: {refused}"))


def hand_over(answer: Mapping[str, Any], book: CaseBook, step: int) -> str:
    """An answer that was checked, ``Signed.body``, reaches the book. Returns why it is refused, or nothing."""
    if answer["kind"] == "kill":
        return book.kill(answer["who"], answer["reason"], step, None, answer["dealer"])
    if answer["kind"] == "acknowledge":
        return book.acknowledge(answer["case"], answer["who"], step)
    fields = ("case", "version", "option", "reason", "who", "role")
    return book.decide(Decision(**{name: answer[name] for name in fields}), step)


def _look(case: Case) -> tuple[int, bool]:
    return case.version, case.proposal is not None
