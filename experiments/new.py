"""``marketsim new``: a commented experiment to start from."""

from __future__ import annotations

import re
from pathlib import Path

from experiments.config import gallery
from marketsim.config import NAME
from marketsim.document import InputError


def new(file: str | Path) -> Path:
    """Write the gallery's quickstart to ``file``, named after it. Raises InputError where a file is in the way."""
    path = Path(file)
    if not re.match(NAME, path.stem):
        raise InputError(f"{path}: {path.stem!r} cannot name a run, letters, digits and _ . - are allowed")
    text = gallery()["quickstart"].read_text(encoding="utf-8")
    text = re.sub(r"^name: .*$", f"name: {path.stem}", text, count=1, flags=re.MULTILINE)
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise InputError(f"{path}: exists already, it is not overwritten") from None
    return path
