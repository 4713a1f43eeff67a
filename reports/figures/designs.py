"""One figure of all designs, each a point with its interval."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from reports import theme
from reports.folder import Estimate
from reports.quantities import decimals, interval, write


def designs_figure(designs: Mapping[str, Estimate], unit: str) -> go.Figure | None:
    """``designs``: name -> figure, the first at the top. None where nothing was measured."""
    known = {name: estimate for name, estimate in designs.items() if estimate.known}
    if not known:
        return None
    figure = theme.blank(x=unit, right=58, left=112)
    places = decimals(known.values())
    ends = []
    for y, (name, estimate) in enumerate(known.items()):
        low, high = (estimate.low, estimate.high) if estimate.bounded else (estimate.value, estimate.value)
        colour = theme.FOCUS if y == 0 else theme.RIVAL
        value = write(estimate.value, places)
        words = f"{theme.name(name, 40)}<br>{value} ({interval(estimate, places)})<extra></extra>"
        figure.add_scatter(x=[low, high], y=[y, y], mode="lines", line={"color": colour, "width": 2}, hoverinfo="skip")
        dot = {"color": colour, "size": 8}
        figure.add_scatter(x=[estimate.value], y=[y], mode="markers", marker=dot, hovertemplate=words)
        figure.add_annotation(
            x=1, xref="paper", y=y, text=value, showarrow=False, xanchor="right", xshift=52,
            font={"color": colour, "size": theme.TEXT},
        )  # fmt: skip
        ends += [low, high]
    if min(ends) <= 0 <= max(ends):
        figure.add_vline(x=0, line_color=theme.FAINT, line_width=1, layer="below")
    room = 0.08 * (max(ends) - min(ends)) or 0.5 * abs(ends[0]) or 1.0
    range_ = [min(ends) - room, max(ends) + room]
    figure.update_xaxes(showgrid=True, gridcolor=theme.GRID, nticks=4, range=range_)
    figure.update_yaxes(
        tickvals=list(range(len(known))), ticktext=[theme.name(name, 16) for name in known], showgrid=True,
        gridcolor=theme.GRID, range=[len(known) - 0.4, -0.6], tickfont={"color": theme.INK, "size": theme.TEXT},
    )  # fmt: skip
    return figure
