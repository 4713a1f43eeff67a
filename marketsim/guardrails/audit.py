"""``audit.jsonl``: what was configured, changed, asked and decided, so that a later edit shows.

A row is a line of canonical JSON, ``{"body", "hash", "kind", "previous", "row"}``: ``row`` counts from 1, ``previous`` is the
hash of the row before (of row 1: zeros), ``hash`` the SHA-256 of the line without it. The hash of the last row, the
*head*, stands for the whole file. Whoever can write the file can also write another one that is as consistent: only a
head that is kept elsewhere shows that. Tamper-evident, never tamper-proof. There is no clock in it: rows have steps.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketsim.guardrails.canonical import canonical, parse
from marketsim.guardrails.identity import ASSERTED
from marketsim.yaml_text import InputError

KINDS = ("configuration", "state", "case", "acknowledgement", "decision", "refusal", "fault")
ON_DISK = {
    "state",
    "decision",
}  # on the disk before the call returns; a row of another kind goes with the next of these
GENESIS = 64 * "0"  # what row 1 follows
INCOMPLETE = "consistent; completeness not established"
_LONGEST = 1 << 20  # bytes of a row


class Audit:
    """The audit file of a run, open for appending. ``head``: hash of the last row; ``rows``: how many there are.

    An existing file is verified and continued; InputError where its chain is broken or another process is writing it.
    What follows the last whole row, which is what kill -9 or a power cut leaves, is cut off, and a row says so.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.head, self.rows = GENESIS, 0
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            self._continue()
        except BaseException:
            os.close(self._file)
            raise

    def record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append a row. A state change or a decision is on the disk when this returns; the others are in the kernel's
        hands, which kill -9 does not empty. Record a change first and let it act then.

        Raises ValueError for a kind or body that cannot be written, OSError where the disk refuses; the file then ends
        with the row before.
        """
        if kind not in KINDS:
            raise ValueError(f"audit: got {kind!r}, allowed are {', '.join(KINDS)}")
        line, head = _row(kind, canonical(body), self.rows + 1, self.head)
        if len(line) > _LONGEST:
            raise ValueError(f"audit: a row of {len(line)} bytes, at most {_LONGEST} are allowed")
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if kind in ON_DISK:
                os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)
        self.head, self.rows = head, self.rows + 1

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def __enter__(self) -> Audit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.path}: is being written by another process") from None

    def _continue(self) -> None:
        self._size = 0
        try:
            for row in _rows(self.path):
                self.head, self.rows, self._size = row.hash, row.number, row.end
        except _Torn:
            pass
        except _Broken as broken:
            raise InputError(f"{self.path}:{broken.row}: {broken.why}; nothing is added to a broken chain") from None
        torn = os.fstat(self._file).st_size - self._size
        if torn:
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
            self.record("fault", {"what": "a torn last row was cut off", "bytes": torn})
        elif not self.rows:  # a new file: its name, too, must survive a power cut
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)


# --- reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """``number`` counts from 1; ``end``: bytes of the file up to and with it."""

    number: int
    kind: str
    body: dict[str, Any]
    hash: str
    end: int


@dataclass(frozen=True)
class Verdict:
    """What is known of an audit file. ``consistent``: every row is as written and follows the one before it, and the
    head is the one given, if one was; ``complete``: a head was given and is that of the last row; ``rows`` and ``head``:
    of the part that holds together; ``sentence``: all that in words, naming the row where it breaks."""

    consistent: bool
    complete: bool
    rows: int
    head: str
    sentence: str


def verify(path: str | Path, head: str | None = None) -> Verdict:
    """Whether the file is as it was written. With the ``head`` kept elsewhere every edit is found; without one an edit
    is found unless all that follows it was made anew or taken away. Raises InputError where it cannot be read."""
    number, last, kept = 0, GENESIS, 0
    try:
        for row in _rows(Path(path)):
            number, last = row.number, row.hash
            kept = number if last == head else kept
    except _Broken as broken:
        return Verdict(False, False, number, last, f"broken at row {broken.row}: {broken.why}")
    if head is None:
        return Verdict(True, False, number, last, f"{INCOMPLETE} ({number} rows, head {last})")
    if last == head:
        return Verdict(True, True, number, last, f"consistent and complete up to the head given ({number} rows)")
    if kept:
        why = f"rows 1 to {kept} are those of the head given; {number - kept} follow that it does not cover"
    else:
        why = f"no row has the head given: rows were taken away or made anew ({number} rows, head {last})"
    return Verdict(False, False, number, last, why)


def rows(path: str | Path) -> list[Row]:
    """The rows of a file that holds together. Raises InputError, naming the row, where it does not."""
    try:
        return list(_rows(Path(path)))
    except _Broken as broken:
        raise InputError(f"{path}:{broken.row}: {broken.why}") from None


class _Broken(Exception):
    def __init__(self, row: int, why: str):
        self.row, self.why = row, why


class _Torn(_Broken):
    """The file goes on after its last whole row."""


def _rows(path: Path) -> Iterator[Row]:
    """The rows, each verified against the one before. Raises _Broken at the first that does not fit, InputError."""
    number, head, end = 0, GENESIS, 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    with file:
        while line := file.readline(_LONGEST + 1):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) > _LONGEST:
                    raise _Broken(number, f"it is longer than {_LONGEST} bytes, the most of a row")
                raise _Torn(number, "it is torn, its end is missing")
            kind, body, head = _checked(line, number, head)
            end += len(line)
            yield Row(number, kind, body, head, end)


def _checked(line: bytes, number: int, head: str) -> tuple[str, dict[str, Any], str]:
    """Kind, body and hash of a line that is, byte for byte, what ``record`` would have written here."""
    try:
        tree = parse(line)
        kind, body, said = tree["kind"], tree["body"], tree["hash"]
        written, hashed = _row(kind, canonical(body), number, head)
        if line == written and kind in KINDS and isinstance(body, dict):
            return kind, body, hashed
        if tree["row"] != number or tree["previous"] != head:
            raise _Broken(number, "it does not follow the row before: rows were changed, added, moved or taken away")
        why = "its content is not that of its hash" if said != hashed else "it is not written as rows are"
        raise _Broken(number, why)
    except (ValueError, KeyError, TypeError):
        raise _Broken(number, "it is not a row") from None


def _row(kind: str, body: str, number: int, previous: str) -> tuple[bytes, str]:
    """The line, canonical since its keys stand in order, and its hash."""
    before, after = f'{{"body":{body},', f'"kind":{canonical(kind)},"previous":"{previous}","row":{number}}}'
    digest = hashlib.sha256((before + after).encode()).hexdigest()
    return f'{before}"hash":"{digest}",{after}\n'.encode(), digest


def nonces(path: str | Path) -> set[str]:
    """Nonces of the answers that were taken, for a run that goes on: they are not taken again. Raises InputError."""
    taken = (row.body for row in rows(path) if row.kind in ("acknowledgement", "decision"))
    return {body["nonce"] for body in taken if isinstance(body.get("nonce"), str)}


# --- the story --------------------------------------------------------------------------------------


def story(path: str | Path, case: int | None = None) -> list[str]:
    """What happened, a sentence a row, of one case or of all; first whether the file holds together. Of a broken file
    it tells the rows up to the break. Raises InputError where it cannot be read, or knows no such case."""
    told = [f"The audit file is {verify(path).sentence}."]
    try:
        for row in _rows(Path(path)):
            if case is None or _case(row) == case:
                told.append(_told(row))
    except _Broken as broken:
        told.append(f"Row {broken.row} and what follows it are not told: {broken.why}.")
    if case is not None and len(told) == 1:
        raise InputError(f"{path}: no row is of case {case}")
    return told


def _case(row: Row) -> Any:
    return row.body.get("id" if row.kind == "case" else "case")


def _told(row: Row) -> str:
    """The row in a sentence: what docs/audit.md says of its kind, and in brackets what else stands in it."""
    left = {key: _words(value) for key, value in row.body.items() if value is not None}
    step = left.pop("step", left.get("opened") if row.kind == "case" else None)
    said = _SENTENCES[row.kind](left)
    for unsaid in ("opened", "signature", "nonce", "head", "person"):
        left.pop(unsaid, None)
    rest = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in left.items())
    when = f"row {row.number}" if step is None else f"row {row.number}, step {step}"
    return f"{when}: {said}{f' ({rest})' if rest else ''}."


# Each takes the keys that it says out of the words of a body.


def _state(body: dict[str, str]) -> str:
    said = f"{body.pop('dealer', 'the desk')} went from {body.pop('from', '?')} to {body.pop('to', '?')}"
    return said + _then(body, case=" with case {}", why=", because {}")


def _opened(body: dict[str, str]) -> str:
    said = f"case {body.pop('id', '?')}, {body.pop('state', 'open')}, for {body.pop('dealer', 'the desk')}"
    said += _then(body, cause=", cause {}", what=": {}", acknowledge_by="; to be acknowledged by step {}")
    return said + _then(body, decide_by="; to be decided by step {}", if_silent="; if nobody answers: {}")


def _acknowledged(body: dict[str, str]) -> str:
    body.pop("kind", None)
    body.pop("dealer", None)
    return f"{_who(body)} acknowledged case {body.pop('case', '?')}"


def _decided(body: dict[str, str]) -> str:
    who, kind, dealer = _who(body), body.pop("kind", "decide"), body.pop("dealer", "the desk")
    if kind == "kill":
        said = f"{who} killed {dealer}"
    else:
        said = f"{who} decided {body.pop('option', '?')} in case {body.pop('case', '?')}"
    return said + _then(body, reason=", because {}")


def _refused(body: dict[str, str]) -> str:
    said = f"an answer of {_who(body)}" + _then(body, case=" to case {}")
    return f"{said} was refused: {body.pop('why', '?')}"


_SENTENCES: dict[str, Callable[[dict[str, str]], str]] = {
    "configuration": lambda body: "the run was configured",
    "state": _state,
    "case": _opened,
    "acknowledgement": _acknowledged,
    "decision": _decided,
    "refusal": _refused,
    "fault": lambda body: f"a fault: {body.pop('what', '?')}",
}


def _then(body: dict[str, str], **parts: str) -> str:
    """Those of the parts whose key is there, said in their order."""
    return "".join(words.format(body.pop(key)) for key, words in parts.items() if key in body)


def _who(body: dict[str, str]) -> str:
    who, role, proven = body.pop("who", "somebody"), body.pop("role", None), body.pop("authenticated", None)
    brackets = ", ".join(filter(None, (role, ASSERTED if proven == "false" else None)))
    return f"{who} ({brackets})" if brackets else who


def _words(value: Any) -> str:
    """A value as words; what a terminal would obey instead of showing is written out."""
    if isinstance(value, list):
        return "; ".join(_words(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} {_words(item)}" for key, item in value.items())
    text = value if isinstance(value, str) else canonical(value)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text).removesuffix(".")
