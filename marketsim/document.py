"""The one loader: YAML text -> a tree that knows its lines -> a typed model, or one line that says why not.

The line is ``file:line: path.to.key: what is wrong, what is allowed (did you mean ...)``. List items are addressed by
their name (``dealers.learner.policy``), reward terms by their kind, others by their number from 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from marketsim.yaml_text import MAX_DEPTH, InputError, Place, Reader, counted, dotted, name_of, shown

if TYPE_CHECKING:
    from marketsim.config import MarketConfig

MAX_BYTES = 256 * 1024
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?\Z|0[0-9]{2}\Z")  # 000 from [1,000]

Parsed = TypeVar("Parsed", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A tree of maps, lists, text and numbers. ``lines``: place -> ``file:line``, or where else it was said."""

    tree: dict[str, Any]
    lines: dict[Place, str]
    path: Path | None = None

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Document:
        """The document that a dict is: same rules, no lines."""
        plain = _plain(tree, ())
        if not isinstance(plain, dict):
            raise InputError(f"the experiment must be a map of keys, not {shown(plain)}")
        return cls(plain, {})

    def refusal(self, place: Place, what: str) -> InputError:
        """The one line about ``place``, to be raised."""
        line = next((self.lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self.lines), None)
        return InputError(": ".join(part for part in (line, dotted(place, self.tree), what) if part))


# --- text -> tree ----------------------------------------------------------------------------------


def read(path: str | Path) -> Document:
    """The document in a YAML file. Raises InputError."""
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: is larger than {MAX_BYTES // 1024} KiB, the most that is allowed")
    if b"\0" in content:
        raise InputError(f"{path}: is a binary file, it must be YAML text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: is not UTF-8 text (byte 0x{content[error.start]:02x})") from None
    return Document(*read_text(text, str(path)), path)


def read_text(text: str, name: str) -> tuple[dict[str, Any], dict[Place, str]]:
    """The tree and the lines of YAML text that must be a map; ``name`` is what the refusals call it."""
    reader = Reader(text, name)
    if not isinstance(reader.tree, dict):
        what = "is empty" if reader.tree is None else f"got {shown(reader.tree)} at the top"
        raise InputError(f"{name}:1: {what}, it must be a map of keys such as market and dealers")
    return reader.tree, reader.lines


def read_value(text: str, name: str) -> Any:
    """One value written as YAML, as in ``--set path=value``."""
    return Reader(text, name).tree


def _plain(value: Any, place: Place) -> Any:
    """A dict's values as YAML would have given them."""
    if len(place) > MAX_DEPTH:
        raise InputError(f"{dotted(place[:4])}: nested deeper than {MAX_DEPTH} levels, the most that is allowed")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, (*place, str(key))) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item, (*place, i)) for i, item in enumerate(value)]
    if hasattr(value, "tolist"):  # an array or a number of numpy's
        return _plain(value.tolist(), place)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{dotted(place)}: got {value}, numbers must be finite")
        return counted(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise InputError(f"{dotted(place)}: got a {type(value).__name__}, allowed are maps, lists, text and numbers")


# --- changes to single paths -----------------------------------------------------------------------


def apply(document: Document, changes: Mapping[str, Any], said: str = "--set") -> Document:
    """A copy with values set at dotted paths, as ``--set``, ``designs`` and ``sweep`` do; ``said``: where."""
    tree, lines = deepcopy(document.tree), dict(document.lines)
    for path, value in changes.items():
        place = _set(tree, path, _plain(value, ()), said)
        lines = {p: line for p, line in lines.items() if p[: len(place)] != place}
        lines[place] = said
    return Document(tree, lines, document.path)


def _set(tree: dict[str, Any], path: str, value: Any, said: str) -> Place:
    keys = path.split(".")
    if not all(keys):
        raise InputError(f"{said}: {path!r} is not a path, it must look like dealers.learner.policy.hidden")
    here: Any = tree
    place: Place = ()
    while keys:
        step, rest = _step(here, keys)
        if step is None and isinstance(here, list):
            names = _names(here)
            raise InputError(f"{said}: {path}: {dotted(place, tree)} has no {keys[0]}{_allowed(keys[0], names)}")
        if step is None:
            step, rest = keys[0], keys[1:]
        place, keys = (*place, step), rest
        if not keys:
            here[step] = value
            return place
        child = here[step] if isinstance(here, list) else here.get(step)
        if child is None:
            child = {}
        elif isinstance(child, str):  # written by its kind alone: policy: ppo
            child = {"kind": child}
        elif not isinstance(child, dict | list):
            raise InputError(f"{said}: {path}: {dotted(place, tree)} is {shown(child)}, it has no {keys[0]}")
        here[step] = child
        here = child
    return place


def _step(here: dict[str, Any] | list[Any], keys: list[str]) -> tuple[Any, list[str]]:
    """Where the first of ``keys`` leads from here, None if nowhere, and the keys that are left."""
    if isinstance(here, dict):
        return (keys[0], keys[1:]) if keys[0] in here else (None, keys)
    names = _names(here)
    for n in range(len(keys), 0, -1):  # a name may hold dots itself: the longest that fits
        if ".".join(keys[:n]) in names:
            return names.index(".".join(keys[:n])), keys[n:]
    return (int(keys[0]), keys[1:]) if keys[0].isdecimal() and int(keys[0]) < len(here) else (None, keys)


def _names(items: list[Any]) -> list[str]:
    return [name_of(item) or str(i) for i, item in enumerate(items)]


# --- tree -> model ---------------------------------------------------------------------------------


def parse(model: type[Parsed], document: Document) -> Parsed:
    """The document as a ``model``; InputError with the most useful of what is wrong."""
    try:
        return model.model_validate(document.tree)
    except ValidationError as error:
        raise _most_useful(error, document) from None


def load_config(source: str | Path | Mapping[str, Any]) -> MarketConfig:
    """The market of an experiment file or of a dict like it; keys of the layers above are passed over.

    A replayed file is looked for beside the experiment file, then in the working directory. Raises InputError.
    """
    from marketsim.config import MarketConfig

    document = locate(Document.of(source) if isinstance(source, Mapping) else read(source))
    config = parse(MarketConfig, document)
    config._document = document
    return config


def locate(document: Document) -> Document:
    """The document with ``market.price.file`` as a path that exists from the working directory."""
    price = document.tree.get("market", {}).get("price") if isinstance(document.tree.get("market"), dict) else None
    file = price.get("file") if isinstance(price, dict) else None
    if not isinstance(file, str):
        return document
    folders = [document.path.parent, Path()] if document.path else [Path()]
    found = next((folder / file for folder in folders if (folder / file).is_file()), None)
    if found is None:
        looked = " or in ".join(dict.fromkeys(str(folder.absolute()) for folder in folders))
        raise document.refusal(("market", "price", "file"), f"there is no file {file!r} in {looked}")
    return apply(document, {"market.price.file": str(found)}, document.lines.get(("market", "price", "file"), ""))


# --- refusals --------------------------------------------------------------------------------------

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a map",
    "model": "a map",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def _most_useful(error: ValidationError, document: Document) -> InputError:
    """Unknown keys first: a misspelt key is also a missing one. Then the deepest of what a union's branches say."""
    found = [(*_place(e, document.tree), e) for e in error.errors(include_url=False)]
    unknown = [row for row in found if row[2]["type"] == "unknown_key"]
    place, value, first = (unknown or found)[0]
    if not unknown:
        deeper = [row for row in found if len(row[0]) > len(place) and row[0][: len(place)] == place]
        place, value, first = max(deeper, key=lambda row: len(row[0]), default=(place, value, first))
    kind, context = first["type"], first.get("ctx", {})
    if kind == "unknown_key":
        key = context["key"]
        return document.refusal((*place, key), f"unknown key{_allowed(key, context['allowed'])}{_thousands(key)}")
    if kind == "missing" and isinstance(first["loc"][-1], str):
        return document.refusal(place, "is missing, it must be given")
    if kind == "union_tag_not_found":
        return document.refusal((*place, "kind"), "is missing, it must be given")
    if kind == "value_error":
        return pointed(document, str(context["error"]), place)
    if kind == "string_pattern_mismatch":
        value = place[-1] if first["loc"][-1] == "[key]" else value
        what = "it must be up to 64 letters, digits and _ . - and begin with a letter or digit"
        return document.refusal(place, f"got {shown(value)}, {what}")
    wanted = list(dict.fromkeys(w for p, _, e in found if p == place for w in [_wanted(e)] if w))
    words = [word for p, _, e in found if p == place for word in _choices(e)]
    if kind == "union_tag_invalid" and isinstance(value, dict):
        place, value = (*place, "kind"), value["kind"]
    text = f"got {shown(value)}, it must be {' or '.join(wanted) or first['msg']}"
    if isinstance(value, str):
        near = get_close_matches(value, words, 1)
        text += f" (did you mean {near[0]}?)" if near else ""
        text += _thousands(value)
    return document.refusal(place, text)


def pointed(document: Document, text: str, place: Place = ()) -> InputError:
    """A refusal whose sentence may begin with the path, from ``place``, of the key it means: ``dealers: two are ...``."""
    here: Any = document.tree
    meant = place
    for step in place:
        here = here[step]
    path, _, rest = text.partition(": ")
    keys = path.split(".")
    while keys and isinstance(here, dict | list):
        step, keys = _step(here, keys)
        if step is None:
            break
        here, meant = here[step], (*meant, step)
    return document.refusal(place, text) if keys else document.refusal(meant, rest)


def _place(error: Any, tree: Any) -> tuple[Place, Any]:
    """Pydantic's location without the names of union branches, and the value that stands there."""
    place: Place = ()
    here = tree
    for step in error["loc"]:
        item = isinstance(here, list) and isinstance(step, int) and step < len(here)
        if item or (isinstance(here, dict) and step in here):
            here = here[step]
            place = (*place, step)
    if error["type"] == "missing" and isinstance(error["loc"][-1], str):
        place = (*place, error["loc"][-1])
    return place, here


def _choices(error: Any) -> list[str]:
    context = error.get("ctx", {})
    return re.findall(r"'([^']*)'", str(context.get("expected_tags" if "tag" in error["type"] else "expected", "")))


def _wanted(error: Any) -> str:
    """What an error says is allowed."""
    kind, context = error["type"], error.get("ctx", {})
    if choices := _choices(error):
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {context[key]:g}"
    if kind == "too_long" or kind == "missing":
        return f"a list of {context['max_length']}" if kind == "too_long" else "a longer list"
    return _KINDS.get(kind.split("_")[0], "")


def _thousands(word: str) -> str:
    return " (1,000 is written 1000 or 1_000)" if _THOUSANDS.match(word) else ""


def _allowed(word: str, allowed: Sequence[str]) -> str:
    near = get_close_matches(word, allowed, 1)
    return f", allowed are {', '.join(allowed)}" + (f" (did you mean {near[0]}?)" if near else "")
