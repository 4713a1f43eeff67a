"""Where the money came from: spread, inventory, hedging, fees; one row a dealer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import plotly.graph_objects as go

from reports import theme
from reports.quantities import short

TERMS = {  # term of the ledger -> (words, colour, sign in the P&L)
    "spread": ("spread", theme.FOCUS, 1),
    "inventory": ("inventory", theme.SAND, 1),
    "hedge_cost": ("hedge cost", theme.WARM, -1),
    "fees": ("fees", theme.OTHER, -1),
}


def attribution(dealers: Mapping[str, Mapping[str, float]], money: str) -> go.Figure | None:
    """``dealers``: name -> mean per episode of each ledger term (costs positive). None where there are none."""
    known = {name: terms for name, terms in dealers.items() if any(math.isfinite(v) for v in terms.values())}
    if not known:
        return None
    figure = theme.blank(x=f"{money} an episode", right=52, left=110)
    rows = list(known)
    places = [theme.name(name, 15) for name in rows]
    for term, (words, colour, sign) in TERMS.items():
        values = [sign * known[name].get(term, math.nan) for name in rows]
        figure.add_bar(
            y=list(range(len(rows))), x=values, orientation="h", marker={"color": colour, "line": {"width": 0}},
            width=0.36, opacity=0.82, hovertemplate=[f"{words} {short(value)}<extra></extra>" for value in values],
        )  # fmt: skip
    totals = [sum(TERMS[t][2] * v for t, v in known[name].items() if t in TERMS and math.isfinite(v)) for name in rows]
    ends = [sum(max(0.0, TERMS[t][2] * v) for t, v in known[name].items() if t in TERMS) for name in rows]
    figure.add_scatter(
        x=totals, y=list(range(len(rows))), mode="markers", hoverinfo="skip",
        marker={"symbol": "line-ns", "size": 20, "line": {"color": theme.INK, "width": 2}},
    )  # fmt: skip
    for y, (total, end) in enumerate(zip(totals, ends, strict=True)):
        figure.add_annotation(
            x=max(end, total), y=y, text=f"<b>{short(total)}</b>", showarrow=False, xanchor="left", xshift=6,
            font={"size": theme.TEXT},
        )  # fmt: skip
    figure.update_layout(barmode="relative")
    figure.update_xaxes(zeroline=True, zerolinecolor=theme.FAINT, showgrid=True, gridcolor=theme.GRID)
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=places, autorange="reversed", showgrid=False,
        tickfont={"color": theme.INK, "size": theme.TEXT},
    )  # fmt: skip
    return figure
