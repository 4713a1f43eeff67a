"""``marketsim decide``: choose one of the options of a case."""

from __future__ import annotations

from pathlib import Path

from experiments.desk.answer import decide as decided
from experiments.desk.answer import key_of
from experiments.desk.folder import CasesFolder


def decide(run: str | Path, case: int, option: str, who: str, reason: str, key: Path | None = None) -> Path:
    """Put a decision where the run looks for it; whether it counts is the run's to say, and in its audit file.
    Raises InputError, nothing is written then."""
    folder = CasesFolder.of(run)
    shown, seat = folder.case(case), folder.desk().seat(who)
    return folder.put(decided(shown, seat, option, reason, key_of(seat, key)))
