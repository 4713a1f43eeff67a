"""What the page tells of an audit file: how sure identity is, its head, and whether people or a deadline answered first.

It is read as it stands; whether the chain holds is for ``marketsim audit verify``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """The first thing that was done about a case after it had been asked; ``who`` is empty where a deadline did it."""

    step: int
    who: str


class Happened(NamedTuple):
    """A row of a case's story: the step, and what happened, in words."""

    step: int
    what: str


@dataclass(frozen=True)
class Audit:
    """An audit file, read once. ``first``: case -> its first answer."""

    path: Path
    rows: int
    head: str
    identity: str
    first: Mapping[int, Answer] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Audit:
        rows, head, identity = 0, "", ""
        first: dict[int, Answer] = {}
        for kind, body, hash_ in _rows(path):
            rows, head = rows + 1, hash_
            if kind == "configuration":
                identity = identity or str(body.get("identity") or "")
            answered = _answer(kind, body)
            if answered is not None:
                first.setdefault(answered[0], answered[1])
        return cls(path, rows, head, identity, first)

    def story(self, case: int) -> list[Happened]:
        """What happened about a case and, while it was open, to its dealer."""
        told: list[Happened] = []
        moves: list[tuple[dict[str, Any], Happened]] = []  # of the step being read
        whom = None
        for kind, body, _ in _rows(self.path):
            about = body.get("case")
            mine = (about.get("id") if isinstance(about, dict) else about) == case
            if kind == "state":
                happened = Happened(int(body.get("step") or 0), _moved(body))
                if whom is not None and _place(body) == whom:
                    told.append(happened)
                elif whom is None:
                    if moves and moves[-1][1].step != happened.step:
                        moves.clear()
                    moves.append((body, happened))
                continue
            if not mine:
                continue
            if isinstance(about, dict) and whom is None:  # the move that opened it was written before it
                now = body.get("step")
                told += [h for moved, h in moves if _place(moved) == _place(about) and h.step == now]
            said = "".join(c if c.isprintable() else " " for c in _said(kind, body))
            if said:
                told.append(Happened(int(body.get("step") or 0), said))
            if isinstance(about, dict):
                whom = _place(about)
                if about.get("closed") is not None:
                    break
        return told


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Kind, body and hash of each row, up to the first that is not whole."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
                yield str(row["kind"]), dict(row["body"]), str(row["hash"])
            except (ValueError, KeyError, TypeError):
                return


def _place(body: Mapping[str, Any]) -> tuple[Any, Any]:
    return body.get("market"), body.get("dealer")


def _answer(kind: str, body: Mapping[str, Any]) -> tuple[int, Answer] | None:
    """The case that a row answers, and by whom."""
    what, about, step = body.get("what"), body.get("case"), int(body.get("step") or 0)
    if kind == "decision" and what in ("proposed", "accepted") and isinstance(about, int):
        return about, Answer(step, str(body.get("who") or "somebody"))
    if kind == "case" and what in ("nobody acknowledged", "asked again: nobody decided") and isinstance(about, dict):
        return int(about.get("id") or 0), Answer(step, "")
    return None


def _moved(body: Mapping[str, Any]) -> str:
    why = str(body.get("what") or body.get("event") or "").replace("_", " ")
    return f"{body.get('from')} to {body.get('to')} ({why})"


def _said(kind: str, body: Mapping[str, Any]) -> str:
    """A row about a case in words; empty for what another row says too."""
    what = str(body.get("what") or "")
    about = body.get("case")
    case = about if isinstance(about, dict) else {}
    if kind == "decision" and what in ("proposed", "accepted"):
        verb = "proposed" if what == "proposed" else "decided"
        reason = f": {body['reason']}" if body.get("reason") else ""
        return f"{body.get('who')} ({body.get('role')}) {verb} {body.get('option')}{reason}"
    if kind == "refusal":
        return f"{body.get('who')} was refused: {body.get('why')}"
    if kind == "fault":
        return f"fault: {what}"
    if kind != "case":
        return ""
    if what == "opened":
        return f"people are asked; without an answer by step {case.get('acknowledge_by')}: {case.get('if_silent')}"
    if what == "acknowledged":
        return f"{body.get('who')} acknowledged"
    if what.startswith("nobody") or what == "asked again: nobody decided":
        did = case.get("did") or [""]
        return str(did[-1])
    return ""
