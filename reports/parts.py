"""What sections of the page are made of: a section, a figure under its heading, a table, a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import plotly.graph_objects as go

from reports.markup import Child, Markup, join, tag
from reports.words import Part


class Place(Protocol):
    """Keeps a figure for the page and returns where it is drawn; ``height``: in px, if not the style sheet's."""

    def __call__(self, figure: go.Figure, meaning: str, height: int | None = None) -> Markup: ...


def section(head: str, lead: Child, *body: Markup | None) -> Markup:
    return tag("section", tag("h2", head), tag("p", lead, class_="lead"), body)


def panel(
    place: Place, head: str, caption: Child, figure: go.Figure | None, missing: str, height: int | None = None
) -> Markup:
    """A figure under its heading; where there is none, why."""
    body = tag("p", f"Left out: {missing}.", class_="missing") if figure is None else place(figure, head, height)
    return tag("figure", tag("figcaption", tag("h3", head), tag("p", caption) if caption else None), body)


def plain_table(heads: Sequence[Child], rows: Iterable[tuple[Child, Sequence[Markup]]]) -> Markup:
    """``rows``: what stands before each, and its cells."""
    head = tag("thead", tag("tr", [tag("th", text, scope="col") for text in heads]))
    body = [tag("tr", tag("th", name, scope="row"), cells) for name, cells in rows]
    return tag("table", head, tag("tbody", body), class_="plain")


def sentence(parts: Iterable[Part]) -> Markup:
    """A sentence as it is set on the page."""
    return join(_set(part) for part in parts)


def _set(part: Part) -> Markup:
    if part.role == "figure":
        return tag("b", part.text)
    if part.role == "name":
        return tag("b", part.text, class_="name")
    if part.role == "interval":
        return tag("small", part.text)
    return join([part.text])
