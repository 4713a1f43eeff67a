"""``marketsim audit``: whether an audit file is as it was written, and what it tells."""

from __future__ import annotations

import re
from pathlib import Path

from marketsim.guardrails import audit
from marketsim.guardrails.story import story
from marketsim.yaml_text import InputError

FILE = "audit.jsonl"


def verify(source: str | Path, head: str | None = None) -> audit.Verdict:
    """Of a file, or of the only one in a run's folder; ``head``: one kept elsewhere. Raises InputError where there is nothing to verify."""
    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head):
        raise InputError(f"--head: got {head!r}, it must be 64 hexadecimal digits")
    return audit.verify(_file(source), head)


def show(source: str | Path, case: int | None = None) -> list[str]:
    """What happened, in sentences; of one case, if one is named. Raises InputError."""
    return story(_file(source), case)


def _file(source: str | Path) -> Path:
    path = Path(source)
    if not path.is_dir():
        return path
    if (path / FILE).is_file():
        return path / FILE
    inside = sorted(path.glob(f"*/*/{FILE}"))
    if len(inside) == 1:
        return inside[0]
    which = f" of its own, its designs have: {', '.join(map(str, inside))}" if inside else ""
    raise InputError(f"{path}: has no {FILE}{which}")
