"""``marketsim keys new``: the key that an approver signs with."""

from __future__ import annotations

import re
from pathlib import Path

from marketsim.guardrails.identity import new_key
from marketsim.model import NAME
from marketsim.yaml_text import InputError


def new(name: str) -> tuple[Path, str]:
    """Write ``NAME.key`` into the working directory; its path and the key's fingerprint. Raises InputError."""
    if not re.match(NAME, name):
        raise InputError(f"keys new: {name!r} cannot name a key, letters, digits and _ . - are allowed")
    path = Path(f"{name}.key")
    return path, new_key(path)
