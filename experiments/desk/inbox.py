"""``marketsim inbox``: the cases of a run that wait for people; or to say that one has been seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.desk.answer import acknowledge as acknowledged
from experiments.desk.answer import key_of
from experiments.desk.folder import CasesFolder


def inbox(run: str | Path) -> dict[str, Any]:
    """``folder``: of the design and seed that asks; ``cases``: those that are not closed, as in their files; ``identity``: how
    sure the run is of who answers; ``over``: nobody asks any more. Raises InputError."""
    folder = CasesFolder.of(run)
    waiting = [case for case in folder.cases() if case["state"] != "closed"]
    desk = folder.desk()
    return {"folder": str(folder.path.parent), "cases": waiting, "identity": desk.identity, "over": desk.over}


def acknowledge(run: str | Path, case: int, who: str, key: Path | None = None) -> Path:
    """Put that an approver has seen a case where the run looks for it. Raises InputError, nothing is written then."""
    folder = CasesFolder.of(run)
    shown, seat = folder.case(case), folder.desk().seat(who)
    return folder.put(acknowledged(shown, seat, key_of(seat, key)))
