"""A fan over the steps of an episode: the middle half, 90%, and the median of one dealer's episodes."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.folder import Estimate
from reports.quantities import decimals, short, write

LEVELS = ("05", "25", "50", "75", "95")


def draw(figure: go.Figure, table: pd.DataFrame, quantity: str) -> None:
    """Draw ``<quantity>_05 .. _95`` of one dealer over ``step``."""
    step = table["step"]
    for low, high, colour in (("05", "95", theme.FOCUS_MOST), ("25", "75", theme.FOCUS_HALF)):
        edge = {"x": step, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(y=table[f"{quantity}_{high}"], **edge)
        figure.add_scatter(y=table[f"{quantity}_{low}"], fill="tonexty", fillcolor=colour, **edge)
    written = [
        f"<b>step {t:.0f}</b><br>median {short(m)}<br>half {short(b)} to {short(c)}<br>90% {short(a)} to {short(d)}"
        for t, a, b, m, c, d in table[["step", *(f"{quantity}_{level}" for level in LEVELS)]].itertuples(index=False)
    ]
    figure.add_scatter(
        x=step, y=table[f"{quantity}_50"], mode="lines", line={"color": theme.FOCUS, "width": 2},
        hovertext=written, hoverinfo="text",
    )  # fmt: skip


def other_seeds(figure: go.Figure, tables: list[pd.DataFrame], quantity: str) -> None:
    """The medians of further training seeds, as threads."""
    for table in tables:
        figure.add_scatter(
            x=table["step"], y=table[f"{quantity}_50"], mode="lines",
            line={"color": theme.FOCUS, "width": 0.8, "dash": "dot"}, hoverinfo="skip",
        )  # fmt: skip


def of_seeds(quantiles: pd.DataFrame, dealer: str) -> list[pd.DataFrame]:
    """One table of the dealer for each seed, in order."""
    mine = quantiles[quantiles["dealer"] == dealer]
    return [table.sort_values("step") for _, table in mine.groupby("seed", sort=False)]


def end_labels(table: pd.DataFrame, quantity: str) -> list[tuple[float, str, str]]:
    """What to write where the fan ends: its median and the ends of its 90%."""
    last = table.dropna(subset=[f"{quantity}_50"]).tail(1)
    if last.empty:
        return []
    words = {"05": ("5%", theme.MUTED), "50": ("median", theme.FOCUS), "95": ("95%", theme.MUTED)}
    ends = [float(last[f"{quantity}_{level}"].iloc[0]) for level in words]
    whole = all(end == round(end) for end in ends)
    places = 0 if whole else decimals([Estimate(max(ends, key=abs))])
    if min(ends) == max(ends):
        words = {"50": words["50"]}
        ends = ends[:1]
    labels = []
    for (level, (word, colour)), value in zip(words.items(), ends, strict=True):
        text = f"{word} {write(value, places)}"
        text = f"<b>{text}</b>" if level == "50" else text
        labels.append((value, text, colour))
    return labels
