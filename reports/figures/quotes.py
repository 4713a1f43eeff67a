"""Quotes against inventory: what the policy learned, and what is optimal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import theme

COLOURS = {"bid": theme.FOCUS, "ask": theme.WARM}


class Cell(NamedTuple):
    """Both sides of one segment and size, at one step."""

    segment: str
    size: float
    step: int


def cells(quotes: pd.DataFrame) -> list[Cell]:
    """The cells of a policy map as in the file, each at the step nearest the middle of the episode."""
    steps = np.sort(quotes["step"].unique())
    step = int(steps[np.argmin(np.abs(steps - steps.max() / 2))])
    pairs = quotes[["segment", "size"]].drop_duplicates().itertuples(index=False)
    return [Cell(str(segment), float(size), step) for segment, size in pairs]


def quotes_figure(quotes: pd.DataFrame, cell: Cell, visited: tuple[float, float] | None, lots: str) -> go.Figure | None:
    """``quotes``: one dealer's policy map of one seed. ``visited``: the inventories it holds 90% of the time.

    None where the policy quotes nothing in this cell.
    """
    here = (quotes["segment"].astype(str) == cell.segment) & (quotes["size"] == cell.size)
    table = neutral(quotes[here & (quotes["step"] == cell.step)])
    if table["markup"].notna().sum() == 0:
        return None
    figure = theme.blank(x=f"inventory, {lots}", right=36)
    shade(figure, visited)
    labels = []
    for side, colour in COLOURS.items():
        for source, line in (("optimal", {"dash": "4px 3px", "width": 1.3}), ("policy", {"width": 2.2})):
            rows = table[(table["side"] == side) & (table["source"] == source)].sort_values("inventory")
            if rows["markup"].notna().sum() == 0:
                continue
            figure.add_scatter(
                x=rows["inventory"], y=rows["markup"], mode="lines", line={"color": colour, **line},
                hovertemplate=f"{side}, {'learned' if source == 'policy' else source}<br>"
                "at %{x} lots: %{y:.3~f}<extra></extra>",
            )  # fmt: skip
            if source == "policy":
                labels.append((float(rows["markup"].dropna().iloc[-1]), f"<b>{side}</b>", colour))
    low, high = table["markup"].min(), table["markup"].max()
    room = 0.08 * (high - low) or 0.1
    theme.label_lines(figure, labels, low - room, high + room)
    return figure


def neutral(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at the rivals' inventory nearest to none, where the policy looks at it."""
    if "rival_inventory" not in table or table["rival_inventory"].isna().all():
        return table
    nearest = table["rival_inventory"].abs().min()
    return table[table["rival_inventory"].isna() | (table["rival_inventory"].abs() == nearest)]


def shade(figure: go.Figure, visited: tuple[float, float] | None) -> None:
    """Mark the inventories that matter: those it holds 90% of the time."""
    if visited is not None and visited[1] > visited[0]:
        figure.add_vrect(
            x0=visited[0], x1=visited[1], fillcolor=theme.GRID, opacity=0.65, line_width=0, layer="below",
            annotation={"text": "90% of the time", "font": {"color": theme.MUTED, "size": theme.TEXT - 1}},
            annotation_position="bottom",
        )  # fmt: skip
