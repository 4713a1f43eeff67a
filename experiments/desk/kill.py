"""``marketsim kill``: stop a dealer, or all of them. Anyone may."""

from __future__ import annotations

from pathlib import Path

from experiments.desk.answer import key_of
from experiments.desk.answer import kill as killed
from experiments.desk.folder import CasesFolder


def kill(run: str | Path, who: str, reason: str, dealer: str | None = None, key: Path | None = None) -> Path:
    """Put a kill where the run looks for it. A key is not needed; with one the run knows who it was. Raises InputError."""
    folder = CasesFolder.of(run)
    desk = folder.desk()
    seat = desk.find(who)
    signs = key_of(seat, key) if seat and key else None
    return folder.put(killed(desk, who, reason, signs, dealer))
