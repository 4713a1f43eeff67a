"""The distribution of the loss of an episode, with VaR and CVaR."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from reports import theme
from reports.folder import Estimate
from reports.quantities import decimals, write

FEW = 30  # episodes below which each is drawn as a tick of its own


def loss_distribution(
    losses: np.ndarray, var: Estimate, cvar: Estimate, cvar_far: Estimate, money: str, rival: np.ndarray | None = None
) -> go.Figure | None:
    """``losses``: of each episode, + = lost, money; ``var, cvar``: at 95%; ``cvar_far``: at 99%; ``rival``: its losses.

    None where no loss is finite.
    """
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return None
    figure = theme.blank(x=f"loss of an episode, {money}", right=14, left=14)
    figure.update_yaxes(visible=False, rangemode="tozero")
    zero = {"color": theme.FAINT, "width": 1}
    figure.add_shape(type="line", x0=0, x1=0, y0=0, y1=0.68, yref="paper", line=zero, layer="below")
    if len(losses) < FEW:
        _ticks(figure, losses)
        top = 1.0
    else:
        edges = _edges(losses, rival)
        top = _histogram(figure, losses, edges, var.value)
        if rival is not None and len(rival) >= FEW:
            shares = np.histogram(np.clip(rival, edges[0], edges[-1]), edges)[0] / len(rival)
            top = max(top, shares.max())
            figure.add_scatter(
                x=edges, y=np.append(shares, shares[-1]), line={"color": theme.RIVAL, "width": 1, "shape": "hv"},
                mode="lines", hoverinfo="skip",
            )  # fmt: skip
        figure.update_xaxes(range=[edges[0], edges[-1]])
    figure.update_yaxes(range=[0, 1.5 * top])
    marks = [("VaR 95", var, 0.75), ("CVaR 95", cvar, 0.86), ("CVaR 99", cvar_far, 0.97)]
    for word, estimate, height in marks:
        if estimate.known:
            _mark(figure, word, estimate, height, bold=word == "CVaR 95")
    return figure


def _edges(losses: np.ndarray, rival: np.ndarray | None) -> np.ndarray:
    """Bin edges from all but the luckiest 0.1% of episodes to the largest loss, or, where that lies too far out,
    as far again as 99.9% of losses; what is beyond is counted in the last bins.
    """
    both = losses if rival is None else np.concatenate([losses, rival[np.isfinite(rival)]])
    low, middle, high = np.quantile(both, [0.001, 0.5, 0.999])
    high = min(both.max(), 2 * high - middle)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, 61)


def _histogram(figure: go.Figure, losses: np.ndarray, edges: np.ndarray, var: float) -> float:
    """Bars as one outline, the tail beyond VaR in the warm colour. Returns the height of the tallest."""
    shares = np.histogram(np.clip(losses, edges[0], edges[-1]), edges)[0] / len(losses)
    middle = (edges[1:] + edges[:-1]) / 2
    colour = np.where(middle > var, theme.WARM_SOFT, theme.FOCUS_HALF)
    figure.add_bar(
        x=middle, y=shares, width=np.diff(edges), marker={"color": colour, "line": {"width": 0}},
        hovertemplate="loss %{x:,.3~g}: %{y:.1%} of episodes<extra></extra>",
    )  # fmt: skip
    figure.update_layout(bargap=0)
    return float(shares.max())


def _ticks(figure: go.Figure, losses: np.ndarray) -> None:
    figure.add_scatter(
        x=losses, y=np.full(len(losses), 0.25), mode="markers", hovertemplate="loss %{x:,.4~g}<extra></extra>",
        marker={"symbol": "line-ns", "size": 22, "line": {"color": theme.FOCUS, "width": 1.6}},
    )  # fmt: skip


def _mark(figure: go.Figure, word: str, estimate: Estimate, height: float, bold: bool) -> None:
    """A vertical at the estimate up to ``height`` (share of the figure), its words to the left, where there is room."""
    value = estimate.value
    figure.add_shape(
        type="line", x0=value, x1=value, y0=0, y1=height, yref="paper", line={"color": theme.WARM, "width": 1.2}
    )
    text = f"{word}  {write(value, decimals([estimate]))}"
    figure.add_annotation(
        x=value, y=height, yref="paper", text=f"<b>{text}</b>" if bold else text, showarrow=False, xanchor="right",
        yanchor="middle", xshift=-4, font={"color": theme.WARM, "size": theme.TEXT},
    )  # fmt: skip
