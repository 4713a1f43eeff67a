"""The page of a run: one file that opens by double click and asks nothing of the network."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from reports import quantities, theme
from reports.comparison import comparison
from reports.folder import REPORT, Dealer, NotARun, Run, open_run
from reports.markup import Markup, join, tag
from reports.view import View


def write(run_folder: str | Path) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Raises ``NotARun`` (one line) where the folder holds no readable run, ``OSError`` where it cannot be written.
    """
    path = Path(run_folder) / REPORT
    unfinished = path.with_name(f".{REPORT}.{os.getpid()}")
    try:
        unfinished.write_text(compose(open_run(run_folder)), encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def compose(run: Run) -> str:
    """The page as text."""
    figures: dict[str, go.Figure] = {}

    def place(figure: go.Figure, meaning: str, height: int | None = None) -> Markup:
        name = f"f{len(figures)}"
        figures[name] = figure
        style = None if height is None else f"height: {height}px"
        return tag("div", class_="plot", data_figure=name, role="img", aria_label=meaning, style=style)

    views: list[str] = []
    shown = [(design, dealer) for design in run.designs.values() for dealer in subjects(run, design.dealers)]
    if not shown:
        raise NotARun(f"{run.path}: its summary holds no dealer")
    for design, dealer in shown:
        view = View(run, design, dealer, place)
        parts = {part: getattr(view, part)() for part in ("verdict", "table", "four", "doubts", "below")}
        whose = {
            "design": html.escape(design.name),
            "dealer": html.escape(dealer),
            "hidden": " hidden" if views else "",
        }
        views.append(_template("view.html").substitute(whose, **parts))
    designs = _switch("Design", "design", [design.name for design, _ in shown])
    dealers = _switch("Dealer", "dealer", [dealer for _, dealer in shown])
    return document(
        title=f"{run.name}: the desk in a page",
        head=join([run.name, tag("small", quantities.many(run.episodes, "evaluation episode"))]),
        switches=join([designs, dealers]),
        views="\n".join(views),
        below=comparison(run, list(dict.fromkeys(dealer for _, dealer in shown)), place)
        if len(run.designs) > 1
        else "",
        drawer=("The experiment, as it ran", run.experiment or "The run kept no experiment file."),
        footer=_footer(run),
        figures=figures,
    )


def document(
    title: str,
    head: Markup,
    views: str,
    drawer: tuple[str, str],
    footer: Markup,
    figures: Mapping[str, go.Figure],
    switches: str = "",
    below: str = "",
) -> str:
    """A page in the house style. ``views``: articles of which one is shown; ``drawer``: its summary, and text as it is;
    ``figures``: by the name under which a view has a place for each.
    """
    return _template("page.html").substitute(
        title=html.escape(title),
        light=theme.variables("light"),
        dark=theme.variables("dark"),
        style=_text("page.css"),
        run=head,
        switches=switches,
        views=views,
        comparison=below,
        summary=html.escape(drawer[0]),
        drawer=html.escape(drawer[1]),
        footer=footer,
        figures=_embedded(figures),
        plotly=get_plotlyjs(),
        script=_text("page.js"),
    )


def subjects(run: Run, dealers: Mapping[str, Dealer]) -> list[str]:
    """Whom the views are about: the learners; where nobody learns, the dealer with the highest objective."""
    learners = [name for name in run.learners if name in dealers]
    if learners or not dealers:
        return learners
    known = {name: dealer.estimate("objective") for name, dealer in dealers.items()}
    return [max(known, key=lambda name: known[name].value if known[name].known else float("-inf"))]


def _switch(label: str, key: str, names: list[str]) -> Markup | None:
    """Tabs between designs or dealers, where there is more than one."""
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        return None
    buttons = [tag("button", name, type="button", data_set=key, value=name, aria_pressed="false") for name in names]
    return tag("nav", tag("span", label), buttons, class_="tabs", aria_label=label)


def _footer(run: Run) -> Markup:
    manifest = run.manifest

    def entry(label: str, value: object, code: bool = False) -> Markup | None:
        text = str(value) if value not in (None, "", [], {}) else ""
        return tag("span", f"{label} ", tag("code", text) if code else text) if text else None

    versions = manifest.get("versions")
    written = ", ".join(f"{k} {v}" for k, v in versions.items() if v) if isinstance(versions, dict) else versions
    seeds = manifest.get("seeds")
    return join(
        [
            entry("Run", run.name),
            entry("Result digest", str(manifest.get("digest") or "not recorded")[:16], code=True),
            entry("Market", str(manifest.get("market_digest") or "not recorded")[:16], code=True),
            entry("Seeds", ", ".join(str(seed) for seed in seeds) if isinstance(seeds, list) else seeds),
            entry("Source", manifest.get("git"), code=True),
            entry("With", written),
            entry("On", manifest.get("cpu")),
        ]
    )


def _embedded(figures: Mapping[str, go.Figure]) -> str:
    """The figures as JSON that cannot end the script element it stands in."""
    text = json.dumps({name: json.loads(figure.to_json()) for name, figure in figures.items()}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _template(name: str) -> Template:
    return Template(_text(name))


def _text(name: str) -> str:
    return resources.files("reports").joinpath("templates", name).read_text(encoding="utf-8")
