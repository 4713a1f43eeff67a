"""Channels: how a case gets to people, and how their answers get back. None of them trusts what it carries."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from select import select
from typing import Any, NamedTuple, Protocol

from experiments import progress
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


Dialogue = Generator[str, str, dict[str, Any]]  # yields questions, takes lines, returns an answer


class Channel(Protocol):
    """``where``: people answer, in words."""

    where: str

    def open(self) -> None:
        """Say who may answer. Raises OSError."""

    def close(self) -> None:
        """Say that nobody takes answers any more. Raises OSError."""

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
        self.where = f"marketsim inbox {run}"
        self.open()
        self._heads = {None: desk.head} | {case["id"]: case["head"] for case in self.folder.cases()}
        self._delivered: list[Path] = []

    def open(self) -> None:
        self.folder.write_desk(self._desk)

    def close(self) -> None:
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
    """Shows cases in the terminal of the run and asks about them, one after another, until each is closed.

    ``collect`` takes what has been typed and never waits; an answer that is not whole goes on with the next line. ``typed``
    returns a line or, where there is none yet, None; ``say`` prints. Raises InputError where there is no terminal.
    """

    where = "answer here"

    def __init__(
        self,
        desk: Desk,
        typed: Callable[[], str | None] | None = None,
        say: Callable[[str], object] = progress.say,
    ):
        if typed is None:
            require_terminal()
        self._desk, self._typed, self._say = desk, typed or _typed, say
        self._heads: dict[int | None, str] = {None: desk.head}
        self._cases: dict[int, dict[str, Any]] = {}  # open, in the order in which they are asked about
        self._about: int | None = None  # the case of the dialogue
        self._dialogue: Dialogue | None = None
        self.open()

    def open(self) -> None:
        seats = ", ".join(f"{seat.name} ({seat.role})" for seat in self._desk.seats)
        self._say(f"cases are answered here, by {seats}; anybody may type kill\n{self._desk.identity}")

    def close(self) -> None:
        self._say("no more answers are taken here")

    def publish(self, case: Mapping[str, Any], head: str) -> None:
        shown = case_file(case, self._heads.setdefault(case["id"], head))
        self._say("\n".join(lines(shown)))
        self._cases[shown["id"]] = shown
        if shown["id"] == self._about:  # what was typed was about how it looked before
            self._dialogue = None
        if shown["state"] == "closed":
            del self._cases[shown["id"]]

    def collect(self) -> list[Delivery]:
        while True:
            if self._dialogue is None and self._cases:
                self._about, case = next(iter(self._cases.items()))
                self._dialogue = self._ask(case)
                self._say(next(self._dialogue))
            said = self._typed()
            if said is None:
                return []
            if self._dialogue is None:
                self._about, self._dialogue = None, self._idle()
                next(self._dialogue)
            try:
                self._say(self._dialogue.send(said.strip()))
            except InputError as error:  # and it is asked anew
                self._say(str(error).removeprefix("--as: "))  # an option of the verbs
                self._dialogue = None
            except StopIteration as answered:
                self._dialogue = None
                return [_delivery(answered.value, self._heads)]

    def _ask(self, case: dict[str, Any]) -> Dialogue:
        words = [*(option["name"] for option in case["options"]), "acknowledge", "kill"]
        said = ""
        while not said:
            said = yield f"case {case['id']}: {', '.join(words)}?"
        if said == "kill":
            return (yield from self._kill(case["dealer"]))
        option = None if said == "acknowledge" else offered(case, said)
        seat = self._desk.seat((yield "who?"))
        file = (yield "key file?") if seat.key else ""
        key = key_of(seat, Path(file) if file else None)
        if option is None:
            return acknowledge(case, seat, key)
        return decide(case, seat, option, (yield "reason?"), key)

    def _idle(self) -> Dialogue:
        """Somebody types though nothing is asked."""
        if (yield "") != "kill":
            raise InputError("no case is open; kill stops every dealer")
        return (yield from self._kill(None))

    def _kill(self, dealer: str | None) -> Dialogue:
        return kill(self._desk, (yield "who?"), (yield "reason?"), None, dealer)


def require_terminal() -> None:
    """Raises InputError."""
    if not sys.stdin.isatty():
        raise InputError("the terminal channel needs a terminal: run it in one, or answer by files")


def _typed() -> str | None:
    """The next line that was typed, if there is one. Raises OSError where nobody can type any more."""
    if not select([sys.stdin], [], [], 0.0)[0]:
        return None
    line = os.read(sys.stdin.fileno(), 4096)  # a terminal gives one line at a time
    if not line:
        raise OSError(errno.EIO, "it was hung up", "the terminal")
    return line.decode(errors="replace")
