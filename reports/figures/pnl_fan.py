"""Cumulative P&L over an episode: the fan of one dealer, and the medians of the others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.figures import fan
from reports.quantities import step


def pnl_fan(quantiles: pd.DataFrame, dealer: str, rival: str | None, units: dict[str, str]) -> go.Figure | None:
    """``quantiles``: a run's table of that name with a column ``seed``. ``rival``: the one to name.

    None where the dealer has no rows.
    """
    mine = fan.of_seeds(quantiles, dealer)
    if not mine:
        return None
    figure = theme.blank(x=step(units), right=96)
    theme.rule(figure, 0)
    labels = fan.end_labels(mine[0], "pnl")
    low, high = mine[0]["pnl_05"].min(), mine[0]["pnl_95"].max()
    for other in dict.fromkeys(quantiles["dealer"]):
        if other == dealer:
            continue
        table = fan.of_seeds(quantiles, other)[0]
        named = other == rival
        figure.add_scatter(
            x=table["step"], y=table["pnl_50"], mode="lines",
            line={"color": theme.RIVAL if named else theme.OTHER, "width": 1.4 if named else 1},
            hovertemplate=f"{theme.name(other, 40)}<br>step %{{x}}: median %{{y:,.3~g}}<extra></extra>",
        )  # fmt: skip
        low, high = min(low, table["pnl_50"].min()), max(high, table["pnl_50"].max())
        if named:
            labels.append((float(table["pnl_50"].iloc[-1]), theme.name(other, 12), theme.RIVAL))
    fan.draw(figure, mine[0], "pnl")
    fan.other_seeds(figure, mine[1:], "pnl")
    if not np.isfinite([low, high]).all():
        return None
    room = 0.06 * (high - low) or 1.0
    theme.label_lines(figure, labels, low - room, high + room)
    return figure
