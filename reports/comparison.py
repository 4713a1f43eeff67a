"""The designs of a run side by side, and what can be told between them."""

from __future__ import annotations

from reports import quantities
from reports.figures.designs import designs_figure
from reports.folder import Difference, Estimate, Run
from reports.markup import Markup, tag
from reports.parts import Place, plain_table, section
from reports.words import judged

DRAWN = {"pnl": "P&L", "cvar_95": "CVaR 95", "cvar_99": "CVaR 99", "max_inventory": "Peak position"}
TOLD = {"objective": "Objective", **DRAWN, "drawdown": "Drawdown", "markout_5": "Mark-out 5"}
TONES = {1: "better", -1: "worse", 0: "level"}
ROW = 30  # px: a design in a figure


def comparison(run: Run, dealers: list[str], place: Place) -> Markup:
    """Figures of all designs for each of the dealers, and the paired differences between the designs."""
    money, lots = quantities.money(run.units), quantities.lots(run.units)
    panels = []
    for dealer in dealers:
        for figure, head in DRAWN.items():
            unit = lots if figure == "max_inventory" else f"{money} an episode" if figure == "pnl" else f"loss, {money}"
            found = {d.name: d.dealers[dealer].estimate(figure) for d in run.designs.values() if dealer in d.dealers}
            drawn = designs_figure(found, unit)
            if drawn is not None:
                title = head if len(dealers) == 1 else f"{head} of {dealer}"
                body = place(drawn, f"{title} by design", 70 + ROW * len(found))
                panels.append(tag("figure", tag("figcaption", tag("h3", title)), body))
    figures = tag("div", panels, class_="panels")
    lead = "The same market, seeds and clients; 95% intervals."
    return tag("div", section("Designs compared", lead, figures), _differences(run), class_="comparison")


def _differences(run: Run) -> Markup | None:
    """The paired differences as the run judged them: a row for each pair of designs and dealer, a column a figure."""
    entries = [entry for entry in run.summary.get("comparisons") or [] if isinstance(entry, dict)]
    given = {str(entry.get("figure")) for entry in entries}
    figures = [figure for figure in TOLD if figure in given]
    rows: dict[tuple[str, str, str], dict[str, Difference]] = {}
    for entry in entries:
        design, against, dealer = (str(entry.get(key, "")) for key in ("design", "against", "dealer"))
        found = Difference(Estimate.of(entry), str(entry.get("verdict") or ""))
        rows.setdefault((design, against, dealer), {})[str(entry.get("figure"))] = found
    if not rows:
        return None
    places = {
        figure: quantities.decimals([row[figure].estimate for row in rows.values() if figure in row])
        for figure in figures
    }
    body = [
        (
            [f"{design} less {against}", tag("small", reward(run, design, dealer))],
            [tag("td", dealer), *(_cell(row.get(figure), places[figure]) for figure in figures)],
        )
        for (design, against, dealer), row in rows.items()
    ]
    return plain_table(["Design", "Dealer", *(TOLD[figure] for figure in figures)], body)


def reward(run: Run, design: str, dealer: str) -> str | None:
    """What the dealer was rewarded for under a design."""
    found = run.designs[design].dealers.get(dealer) if design in run.designs else None
    return found.reward or None if found else None


def _cell(difference: Difference | None, places: int) -> Markup:
    if difference is None or not difference.estimate.known:
        return tag("td", class_="nothing")
    sign = judged(difference)
    word = difference.verdict or {1: "better", -1: "worse", 0: "cannot tell"}[sign]
    under = quantities.interval(difference.estimate, places, plus=True)
    value = quantities.write(difference.estimate.value, places, plus=True)
    return tag("td", value, tag("small", f"{under}, {word}" if under else word), class_=TONES[sign])
