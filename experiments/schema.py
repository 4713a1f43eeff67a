"""``marketsim schema``: the JSON schema of an experiment file, for editors."""

from __future__ import annotations

from typing import Any

from experiments.config import ExperimentConfig


def schema() -> dict[str, Any]:
    """JSON schema of ``ExperimentConfig``, with the short form ``policy: ppo`` for ``policy: {kind: ppo}``."""
    tree = ExperimentConfig.model_json_schema()
    return _with_short_forms(tree, tree["$defs"])


def _with_short_forms(node: Any, parts: dict[str, Any]) -> Any:
    """Allow the name of the kind alone wherever a part is told by its kind."""
    if isinstance(node, list):
        return [_with_short_forms(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    if "discriminator" in node:
        return _or_word(node, list(node["discriminator"]["mapping"]))
    if "$ref" in node:
        kind = parts[node["$ref"].rsplit("/", 1)[1]].get("properties", {}).get("kind", {})
        words = kind.get("enum") or ([kind["const"]] if "const" in kind else [])
        return _or_word(node, words) if words else node
    return {key: _with_short_forms(value, parts) for key, value in node.items()}


def _or_word(node: dict[str, Any], words: list[str]) -> dict[str, Any]:
    default = {key: node[key] for key in ("default",) if key in node}
    rest = {key: value for key, value in node.items() if key not in default}
    return {"anyOf": [{"enum": words}, rest]} | default
