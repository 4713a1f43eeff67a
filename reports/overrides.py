"""What a design changes in the experiment file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def changed_by(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment with a design's paths set; list items are addressed by their name or kind."""
    changed = json.loads(json.dumps(tree, default=str))
    for path, value in changes.items():
        *parents, last = str(path).split(".")
        node: Any = changed
        for key in parents:
            node = member(node, key)
        if isinstance(node, dict):
            node[last] = value
    return changed


def member(node: Any, key: str) -> Any:
    """One step along a path: a key of a map, made where it is missing, or the item of a list with that name."""
    if isinstance(node, list):
        named = (item for item in node if isinstance(item, dict) and key in (item.get("name"), item.get("kind")))
        return next(named, None)
    if isinstance(node, dict):
        if node.get(key) is None:
            node[key] = {}
        return node[key]
    return None
