"""The states of a governed dealer over the run, when the market changed, and when the drift watch said so."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.folder import Scenario
from reports.quantities import many

COLOURS = {
    "normal": theme.FOCUS_MOST,
    "warn": theme.SAND,
    "probation": theme.FOCUS_HALF,
    "restricted": theme.WARM_SOFT,
    "halted": theme.WARM,
}  # from free to safe, as they are stacked
MOST = 600  # points across; of more steps, the mean of neighbours
FLOOR = 0.13  # of the height is for the ticks


def timeline(
    shares: pd.DataFrame, scenario: Scenario | None, false: Sequence[int], alarms: Sequence[int], x: str
) -> go.Figure | None:
    """``shares``: by step, the share of the markets in each state. ``false, alarms``: steps of alarms before the
    scenario began, and of each market's first after it; ``x``: what the horizontal axis measures.
    """
    if not len(shares):
        return None
    figure = theme.blank(x=x, right=80, left=78)
    group = np.arange(len(shares)) // math.ceil(len(shares) / MOST)
    thin = shares.groupby(group).mean()
    steps = shares.index.to_series().groupby(group).first().to_numpy()
    labels, below = [], 0.0
    for state, colour in COLOURS.items():
        share = thin[state].to_numpy()
        figure.add_scatter(
            x=steps, y=share, mode="lines", stackgroup="states", fillcolor=colour, hoverinfo="skip",
            line={"width": 0.7, "color": theme.PAPER},
        )  # fmt: skip
        if share[-1] >= 0.03:
            labels.append((below + share[-1] / 2, state, theme.INK))
        below += share[-1]
    written = [
        "<br>".join([f"<b>step {step:,}</b>", *(f"{name} {share:.0%}" for name, share in row.items() if share > 0)])
        for step, row in zip(steps, thin[list(COLOURS)].to_dict("records"), strict=True)
    ]
    figure.add_scatter(
        x=steps, y=np.full(len(steps), 0.5), mode="lines", line={"width": 0}, hovertext=written, hoverinfo="text"
    )
    theme.label_lines(figure, labels, 0.0, 1.0, gap=0.09)
    for when, colour, word in ((false, theme.WARM, "false alarm"), (alarms, theme.INK, "first alarm")):
        counted = Counter(int(step) for step in when)
        figure.add_scatter(
            x=list(counted), y=np.zeros(len(counted)), yaxis="y2", mode="markers", hoverinfo="text",
            hovertext=[f"step {step:,}: {many(n, word)}" for step, n in counted.items()],
            marker={"symbol": "line-ns", "size": 14, "line": {"color": colour, "width": 1.4}},
        )  # fmt: skip
    strip = {"domain": [0, FLOOR - 0.03], "range": [-1, 1], "fixedrange": True, "showgrid": False, "zeroline": False}
    figure.update_layout(
        hovermode="x",
        margin_t=22,
        yaxis2={
            **strip,
            "tickvals": [0],
            "ticktext": ["alarms"],
            "tickfont": {"color": theme.MUTED, "size": theme.TEXT},
        },
    )
    figure.layout.yaxis.update(domain=[FLOOR, 1], tickformat=".0%", tickvals=[0, 0.5, 1], showgrid=False)
    figure.update_xaxes(range=[float(shares.index[0]), float(shares.index[-1])], anchor="y2")
    if scenario is not None and shares.index[0] <= scenario.begins <= shares.index[-1]:
        line = {"color": theme.INK, "width": 1.4, "dash": "4px 3px"}
        figure.add_shape(
            type="line", x0=scenario.begins, x1=scenario.begins, yref="paper", y0=0, y1=1, line=line, layer="above"
        )
        figure.add_annotation(
            x=scenario.begins, y=1, yref="paper", yanchor="bottom", showarrow=False,
            text=f"{theme.name(scenario.overlay.replace('_', ' '), 24)} begins", font={"color": theme.INK, "size": theme.TEXT},
        )  # fmt: skip
    return figure
