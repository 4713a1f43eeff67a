"""HTML by composition: whatever is not already markup is escaped, so a name from a user stays a name."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

VOID = frozenset({"br", "col", "hr", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | None | Iterable[Child]"


def join(children: Iterable[Child]) -> Markup:
    """Escape what is text, keep what is markup, flatten what is nested, drop what is None."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            parts.append(child if isinstance(child, Markup) else html.escape(child))
        else:
            parts.append(join(child))
    return Markup("".join(parts))


def tag(name: str, *children: Child, **attributes: str | bool | None) -> Markup:
    """``tag("td", "7", class_="value")``. An attribute that is None or False is left out; True stands alone."""
    written = ""
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            written += f" {key}"
        elif value is not None and value is not False:
            written += f' {key}="{html.escape(str(value))}"'
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")
