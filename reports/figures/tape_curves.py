"""What a market's returns and trades look like: curves of its tapes, a thread each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from reports import theme

Curve = tuple[Sequence[float], Sequence[float]]


def tape_curves(
    curves: Sequence[tuple[str, Curve]], x: str, log_x: bool = True, rule: tuple[float, str] | None = None,
    reference: tuple[Curve, str] | None = None,
) -> go.Figure | None:  # fmt: skip
    """``curves``: the name and the points of each tape; ``x``: what they run over; ``rule``: a height to hold them against;
    ``reference``: a curve, dashed. None where no point is known.
    """
    known = [
        (name, [(a, b) for a, b in zip(*curve, strict=True) if b is not None and math.isfinite(b)])
        for name, curve in curves
    ]
    known = [(name, points) for name, points in known if points]
    if not known:
        return None
    figure = theme.blank(x=x, right=62, left=44)
    heights = [y for _, points in known for _, y in points]
    for name, points in known:
        figure.add_scatter(
            x=[a for a, _ in points], y=[b for _, b in points], mode="lines+markers", marker={"size": 3},
            line={"color": theme.FOCUS, "width": 1.8 if len(known) == 1 else 1},
            opacity=1 if len(known) == 1 else 0.7,
            hovertemplate=f"{theme.name(name)}<br>%{{x:.3~g}}: %{{y:.3~g}}<extra></extra>",
        )  # fmt: skip
    labels = []
    if reference is not None:
        (a, b), word = reference
        figure.add_scatter(
            x=list(a), y=list(b), mode="lines", hoverinfo="skip",
            line={"color": theme.MUTED, "width": 1.2, "dash": "dash"},
        )  # fmt: skip
        labels.append((b[-1], word, theme.MUTED))
        heights += list(b)
    if rule is not None:
        theme.rule(figure, rule[0], theme.WARM, 1.2, "dot")
        labels.append((*rule, theme.WARM))
        heights.append(rule[0])
    theme.rule(figure, 0)
    low, high = min(*heights, 0), max(*heights, 0)
    room = 0.06 * (high - low) or 1.0
    theme.label_lines(figure, labels, low - room, high + room, 0.12)
    if log_x:
        figure.update_xaxes(type="log", dtick=1)
    return figure
