"""An audit file in which everything happens once."""

from __future__ import annotations

from pathlib import Path

from marketsim.guardrails.audit import Audit

CASE = {"id": 1, "number": 1, "market": 0, "dealer": "learner", "cause": "markout", "opened": 118, "what": "Mark-outs fell.",
        "figures": {"markout": -0.5}, "if_silent": "hedge", "did": ["NORMAL to WARN at step 118"], "state": "WARN", "version": 1,
        "exposure": {"inventory": 3, "pnl": -2.5}, "options": {"keep": 4.5, "halt": None}, "acknowledge_by": 130,
        "decide_by": 160, "acknowledged": None, "closed": None, "outcome": ""}  # fmt: skip
STORY = [
    ("configuration", {"digest": "ab12", "identity": "identity asserted, not authenticated"}),
    ("state", {"step": 118, "market": 0, "dealer": "learner", "from": "NORMAL", "to": "WARN", "event": "drift", "who": [], "version": 1}),
    ("case", {"what": "opened", "step": 118, "case": CASE}),
    ("case", {"what": "opened", "step": 119, "case": {"id": 2, "dealer": "rival", "cause": "volatility"}}),
    ("refusal", {"what": "decision", "case": 1, "step": 120, "who": "Mallory", "role": "desk", "why": "forged: it is not signed"}),
    ("acknowledgement", {"case": 1, "step": 121, "who": "first", "role": "risk", "nonce": "n1", "authenticated": False}),
    ("decision", {"what": "signed", "kind": "decide", "case": 1, "version": 1, "step": 125, "who": "first", "role": "risk", "option": "widen",
                  "reason": "toxic \x1b[31mflow\u202e\n {who}", "nonce": "n2", "signature": "c0", "authenticated": True}),
    ("state", {"step": 125, "market": 1, "dealer": "learner", "from": "NORMAL", "to": "WARN", "event": "drift"}),
    ("state", {"step": 125, "market": 0, "dealer": "learner", "from": "HALTED", "to": "PROBATION", "event": "resume", "who": ["first", "second"]}),
    ("case", {"what": "closed", "step": 125, "case": CASE | {"closed": 125, "outcome": "widen by first"}}),
    ("decision", {"what": "kill", "market": 0, "dealer": "rival", "step": 126, "who": "anyone", "reason": "now", "authenticated": False}),
    ("fault", {"step": 130, "what": "the hook hung", "case": None}),
    ("decision", {"what": "accepted", "case": 2, "version": 3, "step": 131, "who": "first", "role": "risk", "option": "keep", "reason": "over"}),
    ("case", {"what": "acknowledged", "step": 132, "who": "first", "case": {"id": 2}}),
]  # fmt: skip


def write(path: Path, story=STORY) -> str:
    with Audit(path) as audit:
        for kind, body in story:
            audit.record(kind, body)
        return audit.head
