"""The table of dealers: one row each, one figure a column, intervals under the figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from reports import quantities
from reports.folder import Dealer, Design, Estimate
from reports.markup import Markup, tag
from reports.words import judged

NOT_KNOWN = "\N{EN DASH}"
VERDICTS = {1: "better", -1: "worse", 0: "level"}


class Column(NamedTuple):
    """A figure of the table. ``scale``: what the stored figure is multiplied by."""

    head: str
    unit: str
    meaning: str
    figure: Callable[[Dealer], Estimate]
    scale: float = 1.0


def columns(units: dict[str, str], clients: bool = True) -> list[Column]:
    """``clients``: whether somebody requests quotes; without, there is nothing to hit."""
    money, lots = quantities.money(units), quantities.lots(units)
    of = _summary_figure
    hit = [Column("Hit ratio", "% of requests", "Requests won of those it was asked for", of("hit_ratio"), 100.0)]
    return [
        Column("Objective", money, "Mean reward of an episode: P&L less what the objective charges", of("objective")),
        Column("P&L", money, "Mean profit of an episode", of("pnl")),
        Column("CVaR 95", money, "Mean loss of the worst 5% of episodes", of("cvar_95")),
        Column("CVaR 99", money, "Mean loss of the worst 1% of episodes", of("cvar_99")),
        Column("Drawdown", money, "Mean of an episode's largest fall from a peak of P&L", of("drawdown")),
        Column("Peak position", lots, "Mean of an episode's largest inventory, long or short", of("max_inventory")),
        *(hit if clients else []),
        Column(
            "Mark-out 5",
            quantities.per_lot(units),
            "How far the mid moved in its favour in the five steps after a trade",
            _markout,
        ),
        Column("Interventions", "in 1,000 steps", "How often a limit changed its order", of("interventions_per_1000")),
    ]


def dealer_table(design: Design, focus: str, units: dict[str, str], kinds: dict[str, str]) -> Markup:
    """``focus``: the dealer this view is about; ``kinds``: dealer -> what kind of policy plays it."""
    dealers = list(design.dealers.values())
    heads: list[Markup] = []
    cells: dict[str, list[Markup]] = {dealer.name: [] for dealer in dealers}
    for column in columns(units, design.has_clients):
        estimates = [scaled(column.figure(dealer), column.scale) for dealer in dealers]
        places = quantities.decimals(estimates)
        heads.append(_head(column.head, column.unit, column.meaning))
        for dealer, estimate in zip(dealers, estimates, strict=True):
            cells[dealer.name].append(_cell(f"{column.head}, {column.unit}", estimate, places))
    heads.append(_head("Of optimum", "%", "Objective over the exact optimum of the same objective and limits"))
    for dealer in dealers:
        cells[dealer.name].append(_optimum(dealer))
    if len(dealers) > 1:
        same = "on the same clients" if design.has_clients else "in the same episodes"
        meaning = f"The objective of {focus} less this dealer's, {same}"
        heads.append(_head("Trails by", "objective", meaning))
        leads = {dealer.name: design.against(focus, dealer.name, "objective") for dealer in dealers}
        places = quantities.decimals(difference.estimate for difference in leads.values())
        for name, lead in leads.items():
            cell = _cell(f"Trails {focus} by", lead.estimate, places, plus=True, tone=VERDICTS[judged(lead)])
            cells[name].append(tag("td", class_="self") if name == focus else cell)
    rows = [
        tag(
            "tr",
            tag("th", quantities.shortened(name, 22), tag("small", kinds.get(name, "")), scope="row", title=name),
            row,
            class_="focus" if name == focus else None,
        )
        for name, row in cells.items()
    ]
    head = tag("thead", tag("tr", _head("Dealer", "95% intervals", ""), heads))
    return tag("table", head, tag("tbody", rows), class_="dealers")


def scaled(estimate: Estimate, by: float) -> Estimate:
    return Estimate(*(by * x for x in estimate))


def _summary_figure(name: str) -> Callable[[Dealer], Estimate]:
    return lambda dealer: dealer.estimate(name)


def _markout(dealer: Dealer) -> Estimate:
    return dealer.markout.get(5, Estimate())


def _head(text: str, unit: str, meaning: str) -> Markup:
    return tag("th", text, tag("small", unit, title=unit), scope="col", title=meaning or None)


def _cell(label: str, estimate: Estimate, places: int, plus: bool = False, tone: str | None = None) -> Markup:
    if not estimate.known:
        return _empty(label, "not measured")
    under = quantities.interval(estimate, places, plus)
    value = quantities.write(estimate.value, places, plus)
    return tag("td", value, tag("small", under) if under else None, data_label=label, class_=tone)


def _optimum(dealer: Dealer) -> Markup:
    optimum = dealer.optimum
    if not math.isfinite(optimum.percent):
        return _empty("Of optimum, %", optimum.reason or "no exact answer was computed")
    ceiling = optimum.ceiling / optimum.optimal if optimum.optimal > 0 else math.nan
    under = f"at most {quantities.write(100 * ceiling, 1)}" if math.isfinite(ceiling) else None
    meaning = "exact; at most: the best that its kind of action can reach"
    percent = quantities.write(optimum.percent, 1)
    return tag("td", percent, tag("small", under) if under else None, data_label="Of optimum, %", title=meaning)


def _empty(label: str, reason: str) -> Markup:
    return tag("td", NOT_KNOWN, class_="nothing", data_label=label, title=reason)
