"""Inventory over an episode, with its limits."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from reports import theme
from reports.figures import fan
from reports.folder import Limits
from reports.quantities import short, step

FAR = 5.0  # a limit this many times beyond the fan is written, not drawn: it would flatten the fan


def inventory_fan(quantiles: pd.DataFrame, dealer: str, limits: Limits, units: dict[str, str]) -> go.Figure | None:
    """``quantiles``: a run's table of that name with a column ``seed``. None where the dealer has no rows."""
    mine = fan.of_seeds(quantiles, dealer)
    if not mine or mine[0]["inventory_50"].isna().all():
        return None
    figure = theme.blank(x=step(units), right=86)
    theme.rule(figure, 0)
    fan.draw(figure, mine[0], "inventory")
    fan.other_seeds(figure, mine[1:], "inventory")
    reach = max(1.0, mine[0]["inventory_95"].max(), -mine[0]["inventory_05"].min())
    labels = fan.end_labels(mine[0], "inventory")
    hard = limits.position_hard
    if hard <= FAR * reach:
        for sign in (1, -1):
            theme.rule(figure, sign * hard, theme.WARM, 1.4)
            labels.append((sign * hard, f"limit {short(sign * hard)}", theme.WARM))
            if math.isfinite(limits.position_soft) and limits.position_soft < hard:
                theme.rule(figure, sign * limits.position_soft, theme.WARM, 0.8, "dot")
                labels.append((sign * limits.position_soft, f"soft {short(sign * limits.position_soft)}", theme.WARM))
        reach = max(reach, hard)
    else:
        words = f"limit ±{short(hard)}, far outside" if math.isfinite(hard) else "no position limit"
        figure.add_annotation(
            x=0, y=1, xref="paper", yref="paper", xanchor="left", yanchor="top", text=words, showarrow=False,
            font={"color": theme.WARM, "size": theme.TEXT},
        )  # fmt: skip
    theme.label_lines(figure, labels, -1.12 * reach, 1.12 * reach)
    return figure
