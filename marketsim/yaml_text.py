"""YAML text -> a tree of maps, lists, text and numbers, and the line of every key and item in it.

YAML 1.2 (``1e6`` and ``1_000`` are numbers, ``yes`` is text) without what an experiment file has no use for and an
attacker has: tags, merge keys, alias bombs; and without what hides mistakes: duplicate keys, tabs, NaN and inf.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

MAX_NODES, MAX_DEPTH = 20_000, 32  # nodes: with every alias written out
_LARGEST_INTEGER = 2**64

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)\Z", re.IGNORECASE)
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)

Place = tuple[str | int, ...]  # keys and item numbers from the top


class InputError(ValueError):
    """Input that is refused; its text is the one line that the user reads."""


class Reader:
    """Walks YAML's events once, counting; an alias is read again from where its anchor stands.

    ``tree``: the value, None where there is none. ``lines``: place -> ``name:line``. Raises InputError.
    """

    def __init__(self, text: str, name: str):
        self.name = name
        self.lines: dict[Place, str] = {}
        self.anchors: dict[str, int] = {}
        self.nodes = 0
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line[: len(line) - len(line.lstrip())] and line.strip():
                raise InputError(f"{name}:{number}: a tab in the indentation, YAML allows only spaces")
        self.events = list(self._events(text))
        self.tree = self._node(0, ())[0] if self.events else None

    def _events(self, text: str) -> Iterator[Any]:
        depth = documents = 0
        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                depth += isinstance(event, CollectionStartEvent)
                depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
                documents += isinstance(event, DocumentStartEvent)
                if depth > MAX_DEPTH:
                    raise self._refused(event, f"nested deeper than {MAX_DEPTH} levels, the most that is allowed")
                if documents > 1:
                    raise self._refused(event, "a second document begins here, only one is allowed")
                if isinstance(event, NodeEvent | MappingEndEvent | SequenceEndEvent):
                    yield event
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            problem = getattr(error, "problem", None) or "it holds characters that text does not"
            line = f":{mark.line + 1}" if mark else ""
            raise InputError(f"{self.name}{line}: is not YAML: {' '.join(str(problem).split())}") from None

    def _refused(self, event: Event, what: str, place: Place = ()) -> InputError:
        path = f"{dotted(place)}: " if place else ""
        return InputError(f"{self.name}:{event.start_mark.line + 1}: {path}{what}")

    def _node(self, i: int, place: Place) -> tuple[Any, int]:
        """The value whose first event is the i-th, and the number of the event after it."""
        event = self.events[i]
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._refused(event, f"more than {MAX_NODES} values, aliases written out; no more are allowed")
        if isinstance(event, AliasEvent):
            if event.anchor not in self.anchors:
                raise self._refused(event, f"the alias *{event.anchor} has no finished anchor above it", place)
            return self._node(self.anchors[event.anchor], place)[0], i + 1
        if event.tag is not None:
            raise self._refused(event, f"the tag {event.tag!r} is not allowed, plain YAML is", place)
        self.lines.setdefault(place, f"{self.name}:{event.start_mark.line + 1}")
        value: Any
        if isinstance(event, MappingStartEvent):
            value, after = self._map(i + 1, place)
        elif isinstance(event, CollectionStartEvent):
            value, after = self._list(i + 1, place)
        else:
            value, after = self._scalar(event, place), i + 1
        if event.anchor is not None:
            self.anchors[event.anchor] = i
        return value, after

    def _list(self, i: int, place: Place) -> tuple[list[Any], int]:
        items: list[Any] = []
        while not isinstance(self.events[i], SequenceEndEvent):
            item, i = self._node(i, (*place, len(items)))
            items.append(item)
        return items, i + 1

    def _map(self, i: int, place: Place) -> tuple[dict[str, Any], int]:
        items: dict[str, Any] = {}
        first: dict[str, int] = {}
        while not isinstance(self.events[i], MappingEndEvent):
            event = self.events[i]
            line = event.start_mark.line + 1
            if not isinstance(event, ScalarEvent):
                raise self._refused(event, "a key must be a word", place)
            key = event.value
            if key in items:
                raise self._refused(event, f"the key is given twice, first on line {first[key]}", (*place, key))
            if key == "<<":
                raise self._refused(event, "merge keys (<<) are not allowed, write the keys out", place)
            first[key] = line
            self.lines[(*place, key)] = f"{self.name}:{line}"
            items[key], i = self._node(i + 1, (*place, key))
        return items, i + 1

    def _scalar(self, event: ScalarEvent, place: Place) -> Any:
        text = event.value
        if event.style:  # quoted, or a block of text
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _NOT_FINITE.match(text):
            raise self._refused(event, f"got {text}, numbers must be finite", place)
        if _INTEGER.match(text):
            if len(text) > 40 or abs(int(text)) > _LARGEST_INTEGER:
                raise self._refused(event, f"got {text[:40]}, whole numbers above 2^64 are not allowed", place)
            return int(text)
        if _FLOAT.match(text) and ("." in text or "e" in text.lower()):
            number = float(text)
            if not math.isfinite(number):
                raise self._refused(event, f"got {text}, numbers must be finite", place)
            return counted(number)
        return text


def counted(number: float) -> float | int:
    """2e6 counts something as well as 2_000_000 does, and a whole number is allowed wherever a number is."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:60] + "..."


def name_of(item: Any) -> str | None:
    """What a list item is addressed by: its name, its kind, or itself where it is a word."""
    named = (item.get("name") or item.get("kind")) if isinstance(item, dict) else item
    return named if isinstance(named, str) else None


def dotted(place: Place, tree: Any = None) -> str:
    words = []
    for step in place:
        item = isinstance(tree, list)
        tree = tree[step] if item else tree.get(step) if isinstance(tree, dict) else None
        words.append((name_of(tree) if item and isinstance(tree, dict) else None) or str(step))
    return ".".join(words)
