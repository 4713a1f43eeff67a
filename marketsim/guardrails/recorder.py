"""Writing to the audit log where writing may fail: nothing is lost, and nothing that must be recorded happens unrecorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Record = Callable[[str, dict[str, Any]], None]  # the audit log: (kind, body)


class Recorder:
    """In front of a log. ``broken`` says why a record could not be written; whoever acts on it empties it."""

    def __init__(self, record: Record):
        self._record = record
        self._unwritten: list[tuple[str, dict[str, Any]]] = []
        self.broken = ""

    def write(self, kind: str, body: dict[str, Any], must: bool = False) -> bool:
        """Record this, after whatever could not be recorded before. ``must``: if it cannot be, it will not happen."""
        self._unwritten.append((kind, body))
        written = self.catch_up()
        if must and not written:
            self._unwritten.pop()
        return written

    def catch_up(self) -> bool:
        """Record what could not be before, in order. Whether nothing is left."""
        try:
            while self._unwritten:
                self._record(*self._unwritten[0])
                del self._unwritten[0]
        except Exception as error:  # of whatever kind: the log has not got it
            self.broken = f"{type(error).__name__}: {error}"
        return not self._unwritten
