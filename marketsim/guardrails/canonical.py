"""Canonical JSON: one tree, one text. What is hashed or signed is the bytes of this text and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 32
_SCALARS = {str, int, float, bool, type(None)}
# made once, where json.dumps would make one a call; a circle ends at the depth that is allowed
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, check_circular=False
).encode


def canonical(tree: Any) -> str:
    """``tree`` as JSON with sorted keys, no spaces, ASCII alone, and finite numbers in their shortest exact form.

    A number that is not finite becomes its name, ``"nan"``, ``"inf"`` or ``"-inf"``: the row about a bad price must not
    be the one that is lost. Numpy's scalars are numbers. Raises ValueError for a key that is not text or a value that
    JSON does not know.
    """
    try:
        if _is_plain(tree, 0):
            return _encode(tree)
    except (TypeError, ValueError):  # something that JSON does not know as it is
        pass
    return _encode(_plain(tree, 0))


def _is_plain(tree: Any, depth: int) -> bool:
    """Whether every key is text and the depth is allowed; the encoder minds the rest, but would write the key 10 as "10"
    and sort it as 10."""
    if depth >= _MAX_DEPTH:
        return False
    if isinstance(tree, dict):
        for key, value in tree.items():
            if not isinstance(key, str) or (type(value) not in _SCALARS and not _is_plain(value, depth + 1)):
                return False
    elif isinstance(tree, list | tuple):
        for value in tree:
            if type(value) not in _SCALARS and not _is_plain(value, depth + 1):
                return False
    return True


def parse(text: bytes) -> Any:
    """The tree of JSON text; its numbers must be finite. Raises ValueError, whatever is wrong."""
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not a finite number")


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, str | int):  # a bool is an int
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if depth >= _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} levels, the most that is allowed")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):  # 10 sorts after 9, "10" before "9": the text would not be unique
                raise ValueError(f"a key is {key!r}, it must be text")
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if hasattr(value, "item"):  # a scalar of numpy's
        return _plain(value.item(), depth + 1)
    raise ValueError(f"got a {type(value).__name__}, allowed are maps, lists, text and numbers")
