"""The page of a realism report: which facts of real markets a market shows, and the curves behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from reports import quantities
from reports.figures.tape_curves import tape_curves
from reports.folder import Estimate
from reports.markup import Markup, join, tag
from reports.page import document
from reports.parts import panel, plain_table, section

PASS, FAIL, REPORTED = "pass", "fail", "reported"
TONES = {PASS: "better", FAIL: "worse"}
GAUSSIAN = 0.1226  # L-kurtosis


def compose(tree: Mapping[str, Any]) -> str:
    """The page as text. ``tree``: what ``marketsim realism --json`` prints."""
    figures: dict[str, go.Figure] = {}

    def place(figure: go.Figure, meaning: str, height: int | None = None) -> Markup:
        name = f"f{len(figures)}"
        figures[name] = figure
        style = None if height is None else f"height: {height}px"
        return tag("div", class_="plot", data_figure=name, role="img", aria_label=meaning, style=style)

    shown = [
        panel(place, head, caption, figure, "there are too few points")
        for head, caption, figure in _figures(tree["tapes"])
    ]
    view = tag(
        "article",
        tag(
            "div",
            tag("h1", _verdict(tree), class_="verdict"),
            tag("div", _table(tree)),
            tag("div", shown, class_="four"),
            tag("section", tag("h2", "What to doubt"), tag("ul", _doubts(tree)), class_="doubts"),
            class_="screen",
        ),
        tag("div", _sources(tree), class_="below"),
        class_="view",
        data_design="",
        data_dealer="",
    )
    tapes = tree["tapes"]
    return document(
        title=f"{tree['source']}: how realistic it is",
        head=join([tree["source"], tag("small", quantities.many(len(tapes), "tape"))]),
        views=view,
        drawer=("What was measured", tree["experiment"] or f"The file {tree['source']}, as it is."),
        footer=join(
            tag("span", f"{tape['name']}: {tape['returns']:,} returns, {tape['trades']:,} trades") for tape in tapes
        ),
        figures=figures,
    )


def _verdict(tree: Mapping[str, Any]) -> Markup:
    judged = [k for k, fact in enumerate(tree["facts"]) if fact["range"] is not None]
    found = {k: [tape["facts"][k]["verdict"] for tape in tree["tapes"]] for k in judged}
    passed = [k for k in judged if set(found[k]) == {PASS}]
    failed = [k for k in judged if FAIL in found[k]]
    every = " on every tape" if len(tree["tapes"]) > 1 else ""
    parts = [tag("b", str(tree["source"]), class_="name"), " shows ", tag("b", f"{len(passed)} of {len(judged)}")]
    parts.append(Markup(f" facts of real markets{every}"))
    if failed:
        names = ", ".join(tree["facts"][k]["name"] for k in failed)
        parts += ["; it fails ", tag("b", str(len(failed))), ": ", names]
    open_ = len(judged) - len(passed) - len(failed)
    if open_:
        parts.append(f"; for {open_} there is too little data")
    return join([*parts, "."])


def _table(tree: Mapping[str, Any]) -> Markup:
    """A row a fact, a column a tape."""
    tapes = tree["tapes"]
    rows = [
        (
            [fact["name"], tag("small", fact["statistic"])],
            [
                tag("td", fact["asked"].replace("-", quantities.MINUS) or "not judged"),
                *(_cell(tape["facts"][k]) for tape in tapes),
            ],
        )
        for k, fact in enumerate(tree["facts"])
    ]
    return plain_table(["Fact", "must be", *(tape["name"] for tape in tapes)], rows)


def _cell(found: Mapping[str, Any]) -> Markup:
    estimate = Estimate.of(found)
    if not estimate.known:
        return tag("td", found["verdict"], class_="nothing")
    places = quantities.decimals([estimate])
    under = quantities.interval(estimate, places)
    said = f"{under}, {found['verdict']}" if under else found["verdict"]
    return tag(
        "td", quantities.write(estimate.value, places), tag("small", said), class_=TONES.get(found["verdict"], "level")
    )


def _figures(tapes: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, go.Figure | None]]:
    curves = {name: [(tape["name"], tape["curves"][name]) for tape in tapes] for name in tapes[0]["curves"]}
    sizes = [0.25, 0.5, 1, 2, 3]
    root = (sizes, [_middle(curves["impact"]) * math.sqrt(size) for size in sizes])
    return [
        (
            "Volatility clusters", "Autocorrelation of absolute returns by lag; independent returns lie on 0.",
            tape_curves(curves["absolute_returns"], "lag, intervals"),
        ),
        (
            "Signs remember", "Autocorrelation of the signs of trades by lag.",
            tape_curves(curves["signs"], "lag, trades"),
        ),
        (
            "Tails by horizon", "L-kurtosis of returns: real ones come down to the Gaussian's as they add up.",
            tape_curves(curves["kurtosis"], "horizon, intervals", rule=(GAUSSIAN, "Gaussian")),
        ),
        (
            "Impact", "Mean return along the signed volume of an interval, over the mean absolute return.",
            tape_curves(
                curves["impact"], "volume over its mean", log_x=False, reference=(root, "square<br>root")
            ),
        ),
    ]  # fmt: skip


def _middle(impact: Sequence[tuple[str, tuple[Sequence[float], Sequence[float]]]]) -> float:
    """The impact of the mean volume, of all tapes: where the square root is drawn through."""
    near = [
        (abs(math.log(x)), y) for _, (xs, ys) in impact for x, y in zip(xs, ys, strict=True) if x > 0 and y is not None
    ]
    return sorted(near)[0][1] if near else 0.0


def _doubts(tree: Mapping[str, Any]) -> list[Markup]:
    tapes = tree["tapes"]
    few = [tape for tape in tapes if tape["returns"] < 2000]
    undecided = Counter(
        asked["name"]
        for tape in tapes
        for fact, asked in zip(tape["facts"], tree["facts"], strict=True)
        if asked["range"] is not None and fact["verdict"] not in (PASS, FAIL)
    )
    said = [
        "The ranges were fixed from the papers named below, before this market was measured; others could be argued."
    ]
    if few:
        said.append(f"{quantities.many(few[0]['returns'], 'return')}: tails, and whatever is slow, cannot be judged.")
    if undecided:
        said.append(f"Intervals across the edge of the range, or too few observations: {', '.join(undecided)}.")
    if tree["experiment"]:
        said.append("The background traders alone: dealers of the experiment do not take part.")
    said.append("Passing says that a market is not obviously unlike real ones, not that it is one.")
    return [tag("li", sentence) for sentence in said]


def _sources(tree: Mapping[str, Any]) -> Markup:
    rows = [(fact["name"], [tag("td", f"{fact['least']:,}"), tag("td", fact["source"])]) for fact in tree["facts"]]
    lead = "Whole interval inside the range: pass. Whole interval outside: fail. Else, or below the least: too little data."
    return section("Where the ranges are from", lead, plain_table(["Fact", "least", "source"], rows))
