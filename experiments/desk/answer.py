"""An answer to a case as it goes to the run: whole, with a nonce, signed where there is a key."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.desk.case import offered
from experiments.desk.seats import Desk, Seat
from marketsim.guardrails.identity import SIGNED, fingerprint, malformed, read_key, sign
from marketsim.yaml_text import InputError


def acknowledge(case: Mapping[str, Any], seat: Seat, key: bytes | None) -> dict[str, Any]:
    """That an approver has seen a case."""
    return _of_case("acknowledge", case, seat, None, "seen", key)


def decide(case: Mapping[str, Any], seat: Seat, option: str, reason: str, key: bytes | None) -> dict[str, Any]:
    """What an approver chose in the state that the case file shows. Raises InputError."""
    return _of_case("decide", case, seat, offered(case, option), reason, key)


def kill(desk: Desk, who: str, reason: str, key: bytes | None, dealer: str | None) -> dict[str, Any]:
    """Anyone's word that a dealer, or every one, must stop. Raises InputError."""
    seat = desk.find(who)
    fields = {"kind": "kill", "head": desk.head, "dealer": dealer and desk.dealer(dealer), "reason": reason}
    return _sealed(fields | {"who": seat.name if seat else who, "role": seat.role if seat else None}, key)


def _of_case(
    kind: str, case: Mapping[str, Any], seat: Seat, option: str | None, reason: str, key: bytes | None
) -> dict[str, Any]:
    fields = {"kind": kind, "case": case["id"], "version": case["version"], "head": case["head"]}
    return _sealed(fields | {"option": option, "reason": reason, "who": seat.name, "role": seat.role}, key)


def _sealed(fields: dict[str, Any], key: bytes | None) -> dict[str, Any]:
    answer: dict[str, Any] = dict.fromkeys(SIGNED) | fields | {"nonce": secrets.token_hex(16)}
    if wrong := malformed(answer):
        raise InputError(wrong)
    return answer | {"signature": sign(key, answer) if key else None}


def key_of(seat: Seat, file: Path | None) -> bytes | None:
    """The key in ``file``, which must be the one that the run knows of this approver. Raises InputError."""
    if seat.key is None:
        return None
    if file is None:
        raise InputError(f"{seat.name} signs with a key, --key FILE must be given")
    key = read_key(file)
    if fingerprint(key) != seat.key:
        raise InputError(
            f"{file}: is not the key of {seat.name} (fingerprint {fingerprint(key)}, it must be {seat.key})"
        )
    return key
