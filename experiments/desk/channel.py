"""Channels: how a case gets to people, and how their answers get back. None of them trusts what it carries."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from experiments.desk.answer import acknowledge, decide, key_of, kill
from experiments.desk.case import case_file, lines, offered
from experiments.desk.folder import CasesFolder
from experiments.desk.seats import Desk
from marketsim.yaml_text import InputError


class Delivery(NamedTuple):
    """An answer as it came, and the head that ``Approvers.check`` holds it against: that of its case when it was opened,
    for a kill that of the desk; empty, which no answer has, where there is no such case."""

    answer: Mapping[str, Any]
    head: str


class Channel(Protocol):
    def publish(self, case: Mapping[str, Any], head: str) -> None:
        """Show a case of the book (``dataclasses.asdict``), or what has become of it. ``head``: of the audit file now.
        Raises OSError where nobody can be reached."""

    def collect(self) -> list[Delivery]:
        """The answers that came since the last call, in order. Raises OSError."""


class FileQueue:
    """Cases as files in the run's folder, ``cases/<id>.json``, answers in ``cases/<id>/answers/*.json``, written by the
    verbs ``inbox``, ``decide`` and ``kill`` or by whatever else writes such a file whole.

    An answer is put aside when ``collect`` is called again, so that one which a crash kept from being recorded comes
    again; one that was recorded is a replay then.
    """

    def __init__(self, run: str | Path, desk: Desk):
        self.folder, self._desk = CasesFolder(Path(run) / "cases"), desk
        self.open()
        self._heads = {None: desk.head} | {case["id"]: case["head"] for case in self.folder.cases()}
        self._delivered: list[Path] = []

    def open(self) -> None:
        """Say who may answer."""
        self.folder.write_desk(self._desk)

    def close(self) -> None:
        """Say that nobody takes answers any more."""
        self.folder.write_desk(replace(self._desk, over=True))

    def publish(self, case: Mapping[str, Any], head: str) -> None:
        self.folder.write_case(case_file(case, self._heads.setdefault(case["id"], head)))

    def collect(self) -> list[Delivery]:
        while self._delivered:
            self.folder.retire(self._delivered[0])
            del self._delivered[0]
        self._delivered = self.folder.waiting()
        return [_delivery(self.folder.read(path), self._heads) for path in self._delivered]


def _delivery(answer: Mapping[str, Any], heads: Mapping[int | None, str]) -> Delivery:
    case = answer.get("case")
    return Delivery(answer, heads.get(case, "") if case is None or type(case) is int else "")


class Terminal:
    """Prints cases and asks; ``collect`` waits for the person, so the run does. Asks once for each publication.

    ``ask`` prompts and returns a line, ``say`` prints one. Raises InputError where there is no terminal.
    """

    def __init__(self, desk: Desk, ask: Callable[[str], str] | None = None, say: Callable[[str], object] = print):
        if ask is None and not sys.stdin.isatty():
            raise InputError("the terminal channel needs a terminal: run it in one, or answer by files")
        self._desk, self._ask, self._say = desk, ask or input, say
        self._heads: dict[int | None, str] = {None: desk.head}
        self._cases: dict[int, dict[str, Any]] = {}  # published, and not asked about since

    def publish(self, case: Mapping[str, Any], head: str) -> None:
        shown = case_file(case, self._heads.setdefault(case["id"], head))
        self._say("\n".join([*lines(shown), self._desk.identity]))
        self._cases.pop(shown["id"], None)
        if shown["state"] != "closed":
            self._cases[shown["id"]] = shown

    def collect(self) -> list[Delivery]:
        cases, self._cases = self._cases, {}
        answers = [self._answer(case) for case in cases.values()]
        return [_delivery(answer, self._heads) for answer in answers if answer is not None]

    def _answer(self, case: dict[str, Any]) -> dict[str, Any] | None:
        """Ask until there is an answer, or an empty line, which is none."""
        words = [*(option["name"] for option in case["options"]), "acknowledge", "kill"]
        while said := self._line(f"case {case['id']}: {', '.join(words)}, or nothing to wait: "):
            try:
                return self._composed(case, said)
            except InputError as error:
                self._say(str(error))
        return None

    def _composed(self, case: dict[str, Any], said: str) -> dict[str, Any]:
        if said == "kill":
            return kill(self._desk, self._line("who: "), self._line("reason: "), None, case["dealer"])
        option = None if said == "acknowledge" else offered(case, said)
        seat = self._desk.seat(self._line("who: "))
        file = self._line("key file: ") if seat.key else ""
        key = key_of(seat, Path(file) if file else None)
        if option is None:
            return acknowledge(case, seat, key)
        return decide(case, seat, option, self._line("reason: "), key)

    def _line(self, prompt: str) -> str:
        try:
            return self._ask(prompt).strip()
        except EOFError:
            return ""
