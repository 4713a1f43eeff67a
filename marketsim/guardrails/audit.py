"""``audit.jsonl``: what was configured, changed, asked and decided, so that a later edit shows.

A row is a line of canonical JSON, ``{"body", "hash", "kind", "previous", "row"}``: ``row`` counts from 1, ``previous`` is the
hash of the row before (of row 1: zeros), ``hash`` the SHA-256 of the line without it. The hash of the last row, the
*head*, stands for the whole file. Whoever can write the file can also write another one that is as consistent: only a
head that is kept elsewhere shows that. Tamper-evident, never tamper-proof. There is no clock in it: rows have steps.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketsim.guardrails.canonical import canonical, parse
from marketsim.yaml_text import InputError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

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
    ``durable`` False: rows are on the disk when it is closed, for runs that can be played again to the same rows.
    What follows the last whole row, which is what kill -9 or a power cut leaves, is cut off, and a row says so.
    """

    def __init__(self, path: str | Path, durable: bool = True):
        self.path, self._durable = Path(path), durable
        self.head, self.rows = GENESIS, 0
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
            if self._durable and kind in ON_DISK:
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
        if fcntl is None:  # Windows: two writers are not noticed here, the chain will show them
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.path}: is being written by another process") from None

    def _continue(self) -> None:
        self._size = 0
        try:
            for row in rows(self.path):
                self.head, self.rows, self._size = row.hash, row.number, row.end
        except Torn:
            pass
        except Broken as broken:
            raise InputError(f"{broken}; nothing is added to a broken chain") from None
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
        for row in rows(path):
            number, last = row.number, row.hash
            kept = number if last == head else kept
    except Broken as broken:
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


class Broken(InputError):
    """A file that does not hold together: the row where it breaks, and why."""

    def __init__(self, path: Path, row: int, why: str):
        super().__init__(f"{path}:{row}: {why}")
        self.row, self.why = row, why


class Torn(Broken):
    """The file goes on after its last whole row."""


def rows(path: str | Path) -> Iterator[Row]:
    """The rows, each verified against the one before. Raises Broken at the first that does not fit, InputError."""
    path = Path(path)
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
                    raise Broken(path, number, f"it is longer than {_LONGEST} bytes, the most of a row")
                raise Torn(path, number, "it is torn, its end is missing")
            checked = _checked(line, number, head)
            if isinstance(checked, str):
                raise Broken(path, number, checked)
            kind, body, head = checked
            end += len(line)
            yield Row(number, kind, body, head, end)


def _checked(line: bytes, number: int, head: str) -> tuple[str, dict[str, Any], str] | str:
    """Kind, body and hash of a line that is, byte for byte, what ``record`` would have written here; or why it is not."""
    try:
        tree = parse(line)
        kind, body, said = tree["kind"], tree["body"], tree["hash"]
        written, hashed = _row(kind, canonical(body), number, head)
        if line == written and kind in KINDS and isinstance(body, dict):
            return kind, body, hashed
        if tree["row"] != number or tree["previous"] != head:
            return "it does not follow the row before: rows were changed, added, moved or taken away"
        return "its content is not that of its hash" if said != hashed else "it is not written as rows are"
    except (ValueError, KeyError, TypeError):
        return "it is not a row"


def _row(kind: str, body: str, number: int, previous: str) -> tuple[bytes, str]:
    """The line, canonical since its keys stand in order, and its hash."""
    before, after = f'{{"body":{body},', f'"kind":{canonical(kind)},"previous":"{previous}","row":{number}}}'
    digest = hashlib.sha256((before + after).encode()).hexdigest()
    return f'{before}"hash":"{digest}",{after}\n'.encode(), digest


def nonces(path: str | Path) -> set[str]:
    """Nonces of the answers that were taken, for a run that goes on: they are not taken again. Raises InputError."""
    taken = (row.body for row in rows(path) if row.kind in ("acknowledgement", "decision"))
    return {body["nonce"] for body in taken if isinstance(body.get("nonce"), str)}
