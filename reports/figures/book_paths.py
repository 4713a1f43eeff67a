"""An episode in the order book: its best prices, its trades, what the dealer quoted there and what it held."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.figures.quotes import COLOURS
from reports.quantities import count, many, write

MOST = 3000  # changes of the best prices that are drawn
FLOOR = 0.3  # of the height is the inventory's
AGGRESSORS = {1: ("bought", "triangle-up", theme.WARM), -1: ("sold", "triangle-down", theme.FOCUS)}
SIDES = (("bid", -1), ("ask", 1))


def drawn_until(quotes: pd.DataFrame, steps: pd.DataFrame) -> float:
    """The step up to which an episode can be drawn: its end, or where the best prices have changed too often."""
    return float(steps["step"].max() if len(quotes) <= MOST else math.floor(quotes["time"].iloc[MOST]))


def book_paths(
    quotes: pd.DataFrame, prints: pd.DataFrame | None, steps: pd.DataFrame, tick: float, in_book: bool, x: str
) -> go.Figure:
    """``quotes``, ``prints``: of one episode, times in steps; ``steps``: the dealer's rows of it. ``in_book``: its quotes
    are orders, which stand on ticks. Blue is the bid side, orange the ask side; a trade has the colour of the side that
    its aggressor took from. ``x``: what the horizontal axis measures.
    """
    end = drawn_until(quotes, steps)
    quotes, steps = quotes[quotes["time"] <= end], steps[steps["step"] <= end]
    places = max(0, math.ceil(-math.log10(tick) - 1e-9)) if tick > 0 else 2
    own = {side: _on_ticks(steps, side, sign, tick if in_book else math.nan) for side, sign in SIDES}
    figure = theme.blank(x=x, right=64, left=52)
    _market(figure, quotes, end, places)
    _own(figure, steps, own, places)
    if prints is not None:
        _prints(figure, prints[prints["time"] <= end], places)
    _taken(figure, steps)
    prices = [quotes["bid"], quotes["ask"], *own.values()]
    low, high = min(p.min() for p in prices), max(p.max() for p in prices)
    room = 0.05 * (high - low) or 0.1
    ends = {side: prices.dropna() for side, prices in own.items()}
    labels = [(float(p.iloc[-1]), f"<b>its {side}</b>", COLOURS[side]) for side, p in ends.items() if len(p)]
    theme.label_lines(figure, labels, low - room, high + room)
    figure.update_layout(yaxis={"domain": [FLOOR + 0.04, 1], "tickformat": f",.{places}f"})
    figure.update_xaxes(range=[0, end], anchor="y2", nticks=12)
    _inventory(figure, steps)
    return figure


def _on_ticks(steps: pd.DataFrame, side: str, sign: int, tick: float) -> pd.Series:
    """The prices asked for; an order's are rounded away from the mid, as it is when it is sent."""
    prices = steps["mid"] + sign * steps[side]
    if len(prices) > 1 and math.isnan(prices.iloc[-1]):
        prices.iloc[-1] = prices.iloc[-2]  # the episode's end, to which the last step's stand
    return prices if math.isnan(tick) else sign * np.ceil(sign * prices / tick - 1e-6) * tick


def _market(figure: go.Figure, quotes: pd.DataFrame, end: float, places: int) -> None:
    """The best prices, the spread between them shaded."""
    times = [*quotes["time"], end]
    for side in ("ask", "bid"):
        prices, sizes = ([*quotes[name], quotes[name].iloc[-1]] for name in (side, f"{side}_size"))
        written = [
            f"best {side} {write(price, places)}, {many(lots, 'lot')}" if lots else f"no {side}"
            for price, lots in zip(prices, sizes, strict=True)
        ]
        figure.add_scatter(
            x=times, y=prices, mode="lines", hovertext=written, hoverinfo="text",
            line={"color": theme.FAINT, "width": 1, "shape": "hv"},
            fill="tonexty" if side == "bid" else None, fillcolor=theme.GRID,
        )  # fmt: skip


def _own(figure: go.Figure, steps: pd.DataFrame, own: dict[str, pd.Series], places: int) -> None:
    """What the dealer asked for, step by step."""
    for side, prices in own.items():
        figure.add_scatter(
            x=steps["step"], y=prices, mode="lines", line={"color": COLOURS[side], "width": 1.5, "shape": "hv"},
            hovertemplate=f"its {side} %{{y:,.{places}f}}, step %{{x:,}}<extra></extra>",
        )  # fmt: skip


def _prints(figure: go.Figure, prints: pd.DataFrame, places: int) -> None:
    """The trades, by who was the aggressor; the area grows with the lots."""
    for side, (word, symbol, colour) in AGGRESSORS.items():
        rows = prints[prints["aggressor"] == side]
        written = [
            f"{many(lots, 'lot')} {word} at {write(price, places)}"
            for lots, price in zip(rows["size"], rows["price"], strict=True)
        ]
        sizes = np.clip(6 * np.sqrt(rows["size"]), 6, 14)
        figure.add_scatter(
            x=rows["time"], y=rows["price"], mode="markers", hovertext=written, hoverinfo="text",
            marker={"symbol": symbol, "color": colour, "size": sizes, "opacity": 0.75, "line": {"width": 0}},
        )  # fmt: skip


def _taken(figure: go.Figure, steps: pd.DataFrame) -> None:
    """What it traded as the aggressor, at the mid of the step's begin."""
    rows = steps[steps["hedge"].fillna(0) != 0]
    written = [
        f"it {'bought' if lots > 0 else 'sold'} {many(abs(lots), 'lot')}, step {count(step)}"
        for lots, step in zip(rows["hedge"], rows["step"], strict=True)
    ]
    figure.add_scatter(
        x=rows["step"], y=rows["mid"], mode="markers", hovertext=written, hoverinfo="text",
        marker={"symbol": "diamond-open", "color": theme.INK, "size": 8, "line": {"width": 1.4}},
    )  # fmt: skip


def _inventory(figure: go.Figure, steps: pd.DataFrame) -> None:
    """Below: what it holds at each step's begin."""
    reach = 1.15 * max(1.0, float(steps["inventory"].abs().max()))
    figure.update_layout(
        yaxis2={
            "domain": [0, FLOOR - 0.04],
            "range": [-reach, reach],
            "fixedrange": True,
            "showgrid": False,
            "nticks": 4,
            "zeroline": True,
            "zerolinecolor": theme.FAINT,
            "zerolinewidth": 1,
            "showline": False,
            "ticks": "",
            "tickfont": {"color": theme.MUTED, "size": theme.TEXT},
        }  # fmt: skip
    )
    figure.add_scatter(
        x=steps["step"], y=steps["inventory"], yaxis="y2", mode="lines", fill="tozeroy", fillcolor=theme.FOCUS_MOST,
        line={"color": theme.FOCUS, "width": 1.4, "shape": "hv"},
        hovertemplate="holds %{y:,} lots, step %{x:,}<extra></extra>",
    )  # fmt: skip
    figure.add_annotation(
        x=0, xref="paper", xanchor="left", y=FLOOR - 0.04, yref="paper", yanchor="bottom", text="inventory, lots",
        showarrow=False, font={"color": theme.MUTED, "size": theme.TEXT},
    )  # fmt: skip
