"""The hedge against inventory: what the policy learned, and what is optimal."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.figures.quotes import neutral, shade


def hedge_figure(quotes: pd.DataFrame, step: int, visited: tuple[float, float] | None, lots: str) -> go.Figure | None:
    """``quotes``: one dealer's policy map of one seed; hedge + = it buys. None where it never hedges."""
    table = neutral(quotes[quotes["step"] == step]).drop_duplicates(["source", "inventory"])
    if "hedge" not in table or not (table["hedge"].fillna(0) != 0).any():
        return None
    figure = theme.blank(x=f"inventory, {lots}", right=36)
    theme.rule(figure, 0)
    shade(figure, visited)
    for source, line in (("optimal", {"dash": "4px 3px", "width": 1.3}), ("policy", {"width": 2.2})):
        rows = table[table["source"] == source].sort_values("inventory")
        figure.add_scatter(
            x=rows["inventory"], y=rows["hedge"], mode="lines", line={"color": theme.FOCUS, "shape": "hvh", **line},
            hovertemplate=f"{'learned' if source == 'policy' else source}<br>at %{{x}} lots: %{{y}}<extra></extra>",
        )  # fmt: skip
    return figure
