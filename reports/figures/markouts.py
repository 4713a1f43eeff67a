"""Mark-outs: how the mid moved after the dealers' trades, for or against them."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from reports import theme
from reports.folder import Estimate
from reports.quantities import short


def markouts(dealers: Mapping[str, Mapping[int, Estimate]], focus: str, rival: str | None) -> go.Figure | None:
    """``dealers``: name -> steps after the trade -> mark-out. None where nothing was measured."""
    horizons = sorted({h for marks in dealers.values() for h, estimate in marks.items() if estimate.known})
    if not horizons:
        return None
    figure = theme.blank(x="steps after the trade", right=96, left=48)
    theme.rule(figure, 0)
    labels, ends = [], []
    names = sorted(dealers, key=lambda name: (name == focus, name == rival))  # the focus is drawn last, on top
    for place, name in enumerate(names):
        colour = theme.FOCUS if name == focus else theme.RIVAL if name == rival else theme.OTHER
        known = [(i, dealers[name][h]) for i, h in enumerate(horizons) if h in dealers[name] and dealers[name][h].known]
        if not known:
            continue
        shift = 0.07 * (place - (len(names) - 1) / 2) / max(1, len(names) / 4)
        figure.add_scatter(
            x=[i + shift for i, _ in known], y=[e.value for _, e in known], mode="lines+markers",
            line={"color": colour, "width": 2 if name == focus else 1}, marker={"size": 6 if name == focus else 4},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 0, "color": colour,
                "array": [e.high - e.value if e.bounded else 0 for _, e in known],
                "arrayminus": [e.value - e.low if e.bounded else 0 for _, e in known],
            },
            hovertemplate=[
                f"{theme.name(name, 40)}<br>{short(e.value)} ({short(e.low)} to {short(e.high)})<extra></extra>"
                for _, e in known
            ],
        )  # fmt: skip
        ends += [bound for _, e in known for bound in (e.value, e.low, e.high) if bound == bound]
        text = theme.name(name, 14)
        labels.append((known[-1][1].value, f"<b>{text}</b>" if name == focus else text, colour))
    width = len(horizons)
    ticks = [str(h) for h in horizons]
    figure.update_xaxes(tickvals=list(range(width)), ticktext=ticks, range=[-0.3, width - 0.7])
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.08 * (high - low) or 1.0
    labels = [(y, text, theme.MUTED if colour == theme.OTHER else colour) for y, text, colour in labels]
    theme.label_lines(figure, labels, low - room, high + room)
    return figure
