"""One palette and one figure style for the page and its figures.

Figures name colours by token (``theme.FOCUS`` is ``var(--focus)``); the page resolves tokens against its style
sheet, so a switch between light and dark recolours what is drawn. ``resolve`` does the same for a figure shown
elsewhere, a notebook for example. Blue against orange is safe for the common colour blindnesses, and no
figure tells two things apart by colour alone: lines are labelled, dashed, or stand at different places.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from reports.quantities import shortened

PALETTE = {
    "light": {
        "paper": "#fbfaf7",
        "raised": "#ffffff",
        "ink": "#15181c",
        "muted": "#5b626b",
        "faint": "#9a9fa6",
        "rule": "#dcd8d0",
        "grid": "#ebe8e1",
        "focus": "#0a5a9c",
        "focus-half": "rgba(10, 90, 156, 0.24)",
        "focus-most": "rgba(10, 90, 156, 0.10)",
        "rival": "#3f454c",
        "other": "#b0b3b7",
        "warm": "#bf4d17",
        "warm-soft": "rgba(191, 77, 23, 0.55)",
        "sand": "#d6b060",
    },
    "dark": {
        "paper": "#131619",
        "raised": "#1a1e22",
        "ink": "#eeece7",
        "muted": "#a5abb2",
        "faint": "#6d747c",
        "rule": "#31363c",
        "grid": "#23282d",
        "focus": "#72b7f2",
        "focus-half": "rgba(114, 183, 242, 0.30)",
        "focus-most": "rgba(114, 183, 242, 0.13)",
        "rival": "#d0d2d4",
        "other": "#5d636a",
        "warm": "#f2945c",
        "warm-soft": "rgba(242, 148, 92, 0.60)",
        "sand": "#c7a558",
    },
}

INK, MUTED, FAINT, RULE, GRID = (f"var(--{name})" for name in ("ink", "muted", "faint", "rule", "grid"))
FOCUS, FOCUS_HALF, FOCUS_MOST = (f"var(--{name})" for name in ("focus", "focus-half", "focus-most"))
RIVAL, OTHER, WARM, WARM_SOFT, SAND = (f"var(--{name})" for name in ("rival", "other", "warm", "warm-soft", "sand"))
PAPER = "var(--paper)"

SANS = '"Inter", "Helvetica Neue", "Segoe UI", "Liberation Sans", Arial, sans-serif'
TEXT = 11  # px: every word in a figure


def variables(mode: str) -> str:
    """The palette as CSS custom properties."""
    return " ".join(f"--{name}: {colour};" for name, colour in PALETTE[mode].items())


def resolve(figure: go.Figure, mode: str = "light") -> go.Figure:
    """The figure with its tokens replaced by colours, for a place without the page's style sheet."""
    text = figure.to_json()
    for name, colour in PALETTE[mode].items():
        text = text.replace(f"var(--{name})", colour)
    return go.Figure(json.loads(text))


def blank(x: str = "", right: int = 64, left: int = 40) -> go.Figure:
    """An empty figure in the house style. ``x``: what the horizontal axis measures, with its unit."""
    axis: dict[str, Any] = {
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"color": MUTED, "size": TEXT},
        "title": {"font": {"color": MUTED, "size": TEXT}, "standoff": 6},
        "automargin": False,
        "ticklabelstandoff": 4,
        "fixedrange": True,
        "separatethousands": True,
    }
    layout = {  # given to the constructor whole: ten times faster than an update
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": SANS, "size": TEXT, "color": INK},
        "margin": {"l": left, "r": right, "t": 8, "b": 38},
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": RULE, "font": {"family": SANS, "size": TEXT + 1, "color": INK}},
        "xaxis": {**axis, "title": {**axis["title"], "text": x}, "nticks": 6},
        "yaxis": {**axis, "showgrid": True, "gridcolor": GRID, "gridwidth": 1, "nticks": 6},
        "separators": ".,",
    }
    return go.Figure(layout=layout)


def name(text: str, length: int = 16) -> str:
    """A user's name as figure text: shortened in the middle, and never read as markup."""
    return html.escape(shortened(text, length), quote=False)


def rule(figure: go.Figure, y: float, colour: str = FAINT, width: float = 1, dash: str = "solid") -> None:
    """A line across the figure at ``y``, behind the data; by default the zero line."""
    line = {"color": colour, "width": width, "dash": dash}
    figure.add_shape(type="line", xref="paper", x0=0, x1=1, y0=y, y1=y, line=line, layer="below")


def label_lines(
    figure: go.Figure, labels: Sequence[tuple[float, str, str]], low: float, high: float, gap: float = 0.075
) -> None:
    """Write (y, text, colour) beside the right end of lines, moved apart where they would overlap.

    ``low, high``: the range of the vertical axis, which is set to it. ``gap``: the least distance, as a share of it.
    """
    figure.update_yaxes(range=[low, high])
    labels = sorted((label for label in labels if low <= label[0] <= high), key=lambda label: label[0])
    places = apart([label[0] for label in labels], gap * (high - low), high)
    for y, (_, text, colour) in zip(places, labels, strict=True):
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=5, y=y, text=text, showarrow=False, align="left",
            font={"color": colour, "size": TEXT},
        )  # fmt: skip


def apart(positions: Sequence[float], gap: float, top: float) -> list[float]:
    """Ascending positions moved as little as a single sweep can so that neighbours are ``gap`` apart below ``top``."""
    placed = list(positions)
    for _ in range(50):
        moved = False
        for i in range(len(placed) - 1):
            short = gap - (placed[i + 1] - placed[i])
            if short > 1e-12 * max(1.0, abs(gap)):
                placed[i], placed[i + 1], moved = placed[i] - short / 2, placed[i + 1] + short / 2, True
        if not moved:
            break
    excess = max(0.0, placed[-1] - top) if placed else 0.0
    return [y - excess for y in placed]
