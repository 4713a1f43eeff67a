"""One figure of the training record over market steps, a thread for each seed."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.quantities import short


def training_curve(training: pd.DataFrame, column: str, limit: float = math.nan) -> go.Figure | None:
    """``training``: one dealer's record with a column ``seed``; ``limit``: a line to hold it against.

    None where the column holds nothing.
    """
    if column not in training or training[column].notna().sum() == 0:
        return None
    figure = theme.blank(x="market steps", right=50, left=46)
    seeds = list(training.groupby("seed", sort=False))
    last = []
    for seed, rows in seeds:
        rows = rows.sort_values("steps")
        figure.add_scatter(
            x=rows["steps"], y=rows[column], mode="lines" if len(rows) > 1 else "markers",
            line={"color": theme.FOCUS, "width": 1.8 if len(seeds) == 1 else 1},
            opacity=1 if len(seeds) == 1 else 0.75,
            hovertemplate=f"seed {theme.name(str(seed))}<br>%{{x:.3~s}} steps: %{{y:.3~g}}<extra></extra>",
        )  # fmt: skip
        last += rows[column].dropna().tail(1).tolist()
    low, high = training[column].min(), training[column].max()
    labels = []
    if math.isfinite(limit):
        low, high = min(low, limit), max(high, limit)
        theme.rule(figure, limit, theme.WARM, 1.4)
        labels.append((limit, f"limit<br>{short(limit)}", theme.WARM))
    room = max(0.08 * (high - low), 0.01 * abs(high + low)) or 1.0  # a flat line stays flat
    end = sum(last) / len(last)
    label = f"<b>{short(end)}</b>" if len(seeds) == 1 else f"mean<br><b>{short(end)}</b>"
    gap = 0.2 if labels else 0.075  # labels of two lines
    theme.label_lines(figure, [*labels, (end, label, theme.FOCUS)], low - room, high + room, gap)
    figure.update_xaxes(tickformat="~s", nticks=5)
    return figure
