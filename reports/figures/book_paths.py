"""An episode in the order book: its best prices, its trades, what the dealer quoted there and what it held."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.figures.quotes import COLOURS
from reports.quantities import short

MOST = 3000  # changes of the best prices that are drawn
FLOOR = 0.3  # of the height is the inventory's
AGGRESSORS = {1: ("bought", "triangle-up", theme.WARM_SOFT), -1: ("sold", "triangle-down", theme.FOCUS_HALF)}


def drawn_until(quotes: pd.DataFrame, steps: pd.DataFrame) -> float:
    """The step up to which an episode can be drawn: its end, or the change of the best prices beyond which are too many."""
    return float(steps["step"].max()) if len(quotes) <= MOST else float(np.floor(quotes["time"].iloc[MOST]))


def book_paths(quotes: pd.DataFrame, prints: pd.DataFrame | None, steps: pd.DataFrame, x: str, lots: str) -> go.Figure:
    """``quotes``, ``prints``: of one episode, times in steps; ``steps``: the dealer's rows of it; ``x``: what the horizontal
    axis measures. Blue is the bid side, orange the ask side; a trade is of the side that its aggressor took from.
    """
    end = drawn_until(quotes, steps)
    quotes, steps = quotes[quotes["time"] <= end], steps[steps["step"] <= end]
    figure = theme.blank(x=x, right=64, left=52)
    _market(figure, quotes, end)
    if prints is not None:
        _prints(figure, prints[prints["time"] <= end])
    labels = _own(figure, steps)
    _hedges(figure, steps)
    prices = [
        quotes["bid"],
        quotes["ask"],
        *(steps["mid"] + sign * steps[side] for side, sign in (("bid", -1), ("ask", 1))),
    ]
    low, high = min(p.min() for p in prices), max(p.max() for p in prices)
    room = 0.05 * (high - low) or 0.1
    theme.label_lines(figure, labels, low - room, high + room)
    figure.update_layout(yaxis={"domain": [FLOOR + 0.05, 1]}, yaxis2=_lower(steps))
    figure.update_xaxes(range=[0, end], anchor="y2", nticks=12)
    figure.add_scatter(
        x=steps["step"], y=steps["inventory"], yaxis="y2", mode="lines", fill="tozeroy", fillcolor=theme.FOCUS_MOST,
        line={"color": theme.FOCUS, "width": 1.4, "shape": "hv"}, hovertemplate="step %{x}<br>holds %{y} lots<extra></extra>",
    )  # fmt: skip
    figure.add_annotation(
        x=0, xref="paper", xanchor="left", y=FLOOR, yref="paper", yanchor="bottom", text=f"inventory, {lots}",
        showarrow=False, font={"color": theme.MUTED, "size": theme.TEXT},
    )  # fmt: skip
    return figure


def _market(figure: go.Figure, quotes: pd.DataFrame, end: float) -> None:
    """The best prices, the spread between them shaded."""
    times = [*quotes["time"], end]
    for side in ("ask", "bid"):
        prices, sizes = ([*quotes[name], quotes[name].iloc[-1]] for name in (side, f"{side}_size"))
        written = [
            f"best {side} {short(p)}, {short(n)} lots" if n else f"no {side}"
            for p, n in zip(prices, sizes, strict=True)
        ]
        figure.add_scatter(
            x=times, y=prices, mode="lines", hovertext=written, hoverinfo="text",
            line={"color": theme.FAINT, "width": 1, "shape": "hv"},
            fill="tonexty" if side == "bid" else None, fillcolor=theme.GRID,
        )  # fmt: skip


def _prints(figure: go.Figure, prints: pd.DataFrame) -> None:
    """The trades, by who was the aggressor; the area grows with the lots."""
    for side, (word, symbol, colour) in AGGRESSORS.items():
        rows = prints[prints["aggressor"] == side]
        figure.add_scatter(
            x=rows["time"], y=rows["price"], mode="markers", hoverinfo="text",
            hovertext=[f"{short(n)} lots {word} at {short(p)}" for n, p in zip(rows["size"], rows["price"], strict=True)],
            marker={"symbol": symbol, "color": colour, "size": np.clip(5 * np.sqrt(rows["size"]), 5, 13), "line": {"width": 0}},
        )  # fmt: skip


def _own(figure: go.Figure, steps: pd.DataFrame) -> list[tuple[float, str, str]]:
    """What the dealer asked for, step by step; returns what to write at the ends."""
    labels = []
    for side, sign in (("bid", -1), ("ask", 1)):
        prices = steps["mid"] + sign * steps[side]
        figure.add_scatter(
            x=steps["step"], y=prices, mode="lines", line={"color": COLOURS[side], "width": 1.6, "shape": "hv"},
            hovertemplate=f"its {side}, step %{{x}}: %{{y}}<extra></extra>",
        )  # fmt: skip
        if prices.notna().any():
            labels.append((float(prices.dropna().iloc[-1]), f"<b>its {side}</b>", COLOURS[side]))
    return labels


def _hedges(figure: go.Figure, steps: pd.DataFrame) -> None:
    """What it traded as the aggressor, at the mid of the step's begin."""
    rows = steps[steps["hedge"].fillna(0) != 0]
    figure.add_scatter(
        x=rows["step"], y=rows["mid"], mode="markers", hoverinfo="text",
        hovertext=[f"it {'bought' if h > 0 else 'sold'} {short(abs(h))} lots, step {t}" for h, t in zip(rows["hedge"], rows["step"], strict=True)],
        marker={"symbol": "diamond-open", "color": theme.INK, "size": 7, "line": {"width": 1.3}},
    )  # fmt: skip


def _lower(steps: pd.DataFrame) -> dict:
    """The axis of the inventory."""
    reach = 1.15 * max(1.0, float(steps["inventory"].abs().max()))
    return {
        "domain": [0, FLOOR - 0.05], "range": [-reach, reach], "fixedrange": True, "showgrid": False, "zeroline": True,
        "zerolinecolor": theme.FAINT, "zerolinewidth": 1, "nticks": 4, "showline": False, "ticks": "",
        "tickfont": {"color": theme.MUTED, "size": theme.TEXT},
    }  # fmt: skip
