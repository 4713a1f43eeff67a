"""The hook: one function of the user's, ``(case) -> Decision | None``, asked outside the engine.

    @on_escalation
    def ask(case):
        return Decision(case.id, case.version, "hedge", "the rival is gone", who="first", role="risk")

It runs in a thread of its own on a copy of the case. If it raises, answers nonsense, or takes longer than
``hook_timeout`` seconds, that is a fault: recorded, and the case's safe default fires in the same step.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from threading import Event, Thread
from time import monotonic
from typing import Any

from marketsim.guardrails.case import Case, Decision
from marketsim.guardrails.cases import CaseBook

Ask = Callable[[Case], Decision | None]
_registered: list[Ask] = []


def on_escalation(function: Ask) -> Ask:
    """Register the function that is asked about cases; the last one registered is."""
    _registered[:] = [function]
    return function


def registered() -> Ask | None:
    """The function that is asked about cases, if there is one."""
    return _registered[0] if _registered else None


class HookFault(Exception):
    """Why the hook has no answer."""


class _Call:
    """One question to the hook, in a thread that is given up, not ended, when its time is over."""

    def __init__(self, function: Ask, case: Case, timeout: float):
        self._function, self.case = function, case
        self._timeout, self._deadline = timeout, monotonic() + timeout
        self._answer: Any = None
        self._error: BaseException | None = None
        self._done = Event()
        Thread(target=self._run, args=(deepcopy(case),), name=f"hook, case {case.id}", daemon=True).start()

    def _run(self, case: Case) -> None:
        try:
            self._answer = self._function(case)
        except BaseException as error:  # SystemExit too: the hook may end itself, not the run
            self._error = error
        self._done.set()

    def wait(self) -> None:
        self._done.wait(max(0.0, self._deadline - monotonic()))

    @property
    def ready(self) -> bool:
        return self._done.is_set() or monotonic() >= self._deadline

    @property
    def hangs(self) -> bool:
        return not self._done.is_set()

    def result(self) -> Decision | None:
        """The answer. Raises HookFault."""
        if self.hangs:
            raise HookFault(f"the hook did not answer within {self._timeout:g} seconds")
        if self._error is not None:
            raise HookFault(f"the hook raised {type(self._error).__name__}: {self._error}")
        answer = self._answer
        if answer is not None and type(answer) is not Decision:
            raise HookFault(f"the hook answered a {type(answer).__name__}, it must be a Decision or None")
        if answer is not None and answer.case != self.case.id:
            raise HookFault(f"the hook was asked about case {self.case.id} and answered about {answer.case}")
        return answer


class Hook:
    """Asks one function about every open case, one at a time: when it opens, and when it has changed since."""

    def __init__(self, function: Ask, timeout: float, pace: str = "pause"):
        self._function, self._timeout, self._pauses = function, timeout, pace == "pause"
        self._asked: dict[int, tuple[int, bool]] = {}  # case -> how it looked when last asked about
        self._call: _Call | None = None  # the question that runs
        self._given_up: _Call | None = None  # the last one that took too long

    def attend(self, book: CaseBook, step: int, drifted: Any = None) -> None:
        """Ask about what is new, and hand what is answered to the book.

        With ``pace: pause`` the run waits here for each answer; with ``walk`` it goes on and takes it when it comes.
        """
        if self._call is not None:
            self._finish(book, step, self._call)
        for case in book.open:
            if self._call is None and self._asked.get(case.id) != _look(case):
                self._asked[case.id] = _look(case)
                if self._given_up is not None and self._given_up.hangs:
                    self._fault(book, step, case.id, "the hook still hangs in an earlier case")
                else:
                    self._call = _Call(self._function, case, self._timeout)
                    self._finish(book, step, self._call)

    def _finish(self, book: CaseBook, step: int, call: _Call) -> None:
        """Take the answer if it is there, or if waiting for it is over."""
        if self._pauses:
            call.wait()
        if not call.ready:
            return
        self._call = None
        try:
            decision = call.result()
        except HookFault as fault:
            self._given_up = call
            self._fault(book, step, call.case.id, str(fault))
            return
        if decision is not None:
            book.decide(decision, step)

    def _fault(self, book: CaseBook, step: int, case_id: int, what: str) -> None:
        book.fault(step, what, case_id)
        self._asked[case_id] = _look(book.cases[case_id - 1])  # not again before something else changes


def _look(case: Case) -> tuple[int, bool]:
    return case.version, case.proposal is not None
