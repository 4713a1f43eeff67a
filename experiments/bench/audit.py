"""How long the audit file takes for a row, with and without waiting for the disk."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from experiments.bench.rows import Row, Times, alternate
from marketsim.guardrails.audit import Audit, verify

REPEATS, ROWS, SYNCED = 50, 100, 5  # short, so that some are not disturbed
# of the size that cases and decisions have
BODY: dict[str, Any] = {
    "what": "opened",
    "step": 118,
    "case": {
        "id": 3, "number": 3, "market": 0, "dealer": "learner", "cause": "markout", "opened": 118, "since": 97,
        "what": "Mark-outs of learner fell by 2.1 sd since step 97; the position limit acted twice.",
        "figures": {"markout": -2.1, "delay": 21.0}, "if_silent": "hedge", "did": ["NORMAL to WARN at step 118"],
        "state": "WARN", "version": 4, "exposure": {"inventory": 7.0, "pnl": -12.25, "loss": 12.25},
        "options": {"keep": 31.5, "widen": 24.25, "hedge": 18.75, "flatten": 22.0, "halt": 27.5},
        "acknowledge_by": 138, "decide_by": 178, "acknowledged": None, "proposal": None, "closed": None, "outcome": "",
    },
}  # fmt: skip


def measure() -> list[Row]:
    """Microseconds a row: a case is left to the kernel, a decision is on the disk when it is recorded."""
    with tempfile.TemporaryDirectory(dir=".") as folder:  # where runs are kept; a system's /tmp may be memory
        path = Path(folder) / "audit.jsonl"
        with Audit(path) as audit, (Path(folder) / "plain").open("ab", buffering=0) as plain:
            kept, synced, alone = alternate(
                REPEATS,
                partial(_record, audit, "case", ROWS),
                partial(_record, audit, "decision", SYNCED),
                partial(_append, plain, SYNCED),
            )
            rows = audit.rows
        (verified,) = alternate(3, partial(verify, path))
    return [
        *_rows("a row", kept, ROWS, 20.0),
        *_rows("a row with fsync: state changes, decisions", synced, SYNCED, 2_000.0),
        Row("  best of the disk alone, as many bytes", 1e6 * alone.best / SYNCED, "us"),
        Row("to verify a row", 1e6 * verified.best / rows, "us"),
    ]


def _append(file: Any, count: int) -> None:
    for _ in range(count):
        file.write(bytes(800))
        os.fsync(file.fileno())


def _record(audit: Audit, kind: str, count: int) -> None:
    for _ in range(count):
        audit.record(kind, BODY)


def _rows(name: str, taken: Times, count: int, at_most: float) -> list[Row]:
    """The best of the repeats, held against the most that is allowed, and what explains it."""
    return [
        Row(name, 1e6 * taken.best / count, "us", at_most),
        Row(f"  median of {len(taken.seconds)}", 1e6 * taken.median / count, "us"),
        Row("  share of a core that it had", 100 * taken.share, "%"),
    ]
