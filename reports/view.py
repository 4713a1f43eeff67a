"""One dealer of one design: the first screen and what lies below it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reports import evidence, quantities, words
from reports.acceptance import acceptance_section, acceptances, constraint, verdict
from reports.book import book_section
from reports.figures import attribution as attribution_figure
from reports.figures.hedge import hedge_figure
from reports.figures.inventory_fan import inventory_fan
from reports.figures.loss import FEW, loss_distribution
from reports.figures.markouts import markouts
from reports.figures.pnl_fan import pnl_fan
from reports.figures.quotes import Cell, cells, quotes_figure
from reports.figures.training import training_curve
from reports.folder import Design, Run, number
from reports.governance import governance_section
from reports.markup import Markup, join, tag
from reports.parts import Place, panel, plain_table, section, sentence
from reports.table import dealer_table

MOST_CELLS = 8
DISTANCE = "distance from the mid"  # of an order in a book, which has no cells: the map's one stands for either side


class View:
    """The parts of the view, each as markup; figures are handed to ``place``."""

    def __init__(self, run: Run, design: Design, dealer: str, place: Place):
        self.run, self.design, self.name, self.place = run, design, dealer, place
        self.me = design.dealers[dealer]
        self.rival = design.best_rival(dealer)
        self.money, self.lots = quantities.money(run.units), quantities.lots(run.units)

    def sentence(self) -> list[words.Part]:
        """What the dealer earned, what it cost, and whom it beat."""
        rivalry = None
        if self.rival is not None:
            differences = (self.design.against(self.name, self.rival, figure) for figure in ("pnl", "objective"))
            rivalry = words.Rivalry(self.rival, *differences)
        earned = words.verdict(self.me, self.money, evidence.percents(self.design, self.name), rivalry)
        return [*earned, *verdict(acceptances(self.design, self.name))]

    def verdict(self) -> Markup:
        return sentence(self.sentence())

    def table(self) -> Markup:
        kinds = {}
        for name in self.design.dealers:
            policy = self.design.block(name).get("policy") or {}
            kind = str(policy.get("kind", "") if isinstance(policy, dict) else policy).replace("_", " ")
            kinds[name] = f"{kind}, learned" if kind and name in self.run.learners else kind
        return dealer_table(self.design, self.name, self.run.units, kinds)

    def doubts(self) -> Markup:
        return join(tag("li", doubt.sentence) for doubt in evidence.doubts(self.run, self.design, self.name))

    def four(self) -> Markup:
        return join([self._pnl(), self._loss(), self._inventory(), self._quotes()])

    def below(self) -> Markup:
        governance = governance_section(self.run, self.design, self.name, self.place)
        acceptance = acceptance_section(self.design, self.name, self.run.units)
        book = book_section(self.run, self.design, self.name, self.place)
        return join([self._money(), book, acceptance, governance, self._limits(), self._cells(), self._training()])

    # --- the four figures ----------------------------------------------------------------------------

    def _pnl(self) -> Markup:
        table = self.design.table("quantiles")
        figure = None if table is None else pnl_fan(table, self.name, self.rival, self.run.units)
        grey = ", the rivals' medians in grey" if len(self.design.dealers) > 1 else ""
        caption = f"{self.money} since the episode began; median, middle half and 90%{grey}"
        return panel(self.place, "Cumulative P&L", caption, figure, "no P&L by step was kept")

    def _loss(self) -> Markup:
        losses = self._losses(self.name)
        figure = None
        if losses is not None:
            var, cvar, cvar_far = (self.me.estimate(figure) for figure in ("var_95", "cvar_95", "cvar_99"))
            rival = self._losses(self.rival) if self.rival else None
            figure = loss_distribution(losses, var, cvar, cvar_far, self.money, rival)
        caption = f"Share of {quantities.many(0 if losses is None else len(losses), 'episode')}"
        if self.rival and losses is not None and len(losses) >= FEW:
            caption += f"; the outline is {quantities.shortened(self.rival, 24)}"
        return panel(self.place, "Loss of an episode", caption, figure, "no episodes were kept")

    def _losses(self, dealer: str) -> np.ndarray | None:
        table = self.design.table("episodes", dealer)
        return None if table is None else -table["pnl"].to_numpy(dtype=float)

    def _inventory(self) -> Markup:
        table = self.design.table("quantiles")
        limits = self.design.limits(self.name)
        figure = None if table is None else inventory_fan(table, self.name, limits, self.run.units)
        caption = f"In {self.lots}, + = long; median, middle half and 90%"
        return panel(self.place, "Inventory", caption, figure, "no inventory by step was kept")

    def _quotes(self) -> Markup:
        mine = self._map()
        if mine is None:
            return panel(self.place, "Quotes against inventory", "", None, "no policy map of this dealer was kept")
        cell = cells(mine)[0]
        unit = self.run.units.get("price", "price units")
        reason = None if (mine["source"] == "optimal").any() else self.me.optimum.reason or "none was computed"
        what = f"Orders: {DISTANCE} in {unit}" if self._in_book else f"Markup in {unit}, {describe(cell)}"
        caption = [f"{what}, mid‑episode", key(reason)]
        figure = self._quote(mine, cell)
        return panel(self.place, "Quotes against inventory", caption, figure, "the policy quotes nothing here")

    def _map(self) -> pd.DataFrame | None:
        """The policy map of the first seed that kept one."""
        table = self.design.table("quotes", self.name)
        return None if table is None else table[table["seed"] == table["seed"].iloc[0]]

    def _quote(self, mine: pd.DataFrame, cell: Cell) -> go.Figure | None:
        return quotes_figure(mine, cell, self._held(), "lots")

    @property
    def _in_book(self) -> bool:
        return self.design.in_book(self.name)

    def _held(self) -> tuple[float, float] | None:
        """The inventories it holds 90% of the time."""
        held = self.me.entry.get("inventory") or {}
        low, high = number(held.get("q05")), number(held.get("q95"))
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None

    # --- below the fold ------------------------------------------------------------------------------

    def _money(self) -> Markup:
        names = sorted(self.design.dealers, key=lambda name: name != self.name)
        terms = {name: self.design.dealers[name].attribution for name in names}
        colours = attribution_figure.TERMS.values()
        legend = tag("span", [[tag("i", style=f"background: {c}"), term] for term, c, _ in colours], class_="key block")
        drawn = attribution_figure.attribution(terms, self.money)
        means = ["Mean of an episode; the bar marks the P&L", legend]
        bars = panel(self.place, "Attribution", means, drawn, "the run attributed nothing")
        marks = {name: self.design.dealers[name].markout for name in names}
        caption = f"Move of the mid in the dealer's favour, {quantities.per_lot(self.run.units)}; 95% intervals"
        drawn = markouts(marks, self.name, self.rival)
        curves = panel(self.place, "Mark-outs", caption, drawn, "no mark-outs were measured")
        lead = "Spread is what the quotes earned at the mid; inventory is what the market did to what was held."
        return section("Where the money came from", lead, tag("div", bars, curves, class_="panels two"))

    def _cells(self) -> Markup | None:
        mine = self._map()
        if mine is None:
            return None
        every = cells(mine)
        nothing = "the policy quotes nothing here"
        panels = [
            panel(
                self.place,
                DISTANCE.capitalize() if self._in_book else describe(cell),
                "",
                self._quote(mine, cell),
                nothing,
            )
            for cell in every[:MOST_CELLS]
        ]
        hedge = hedge_figure(mine, every[0].step, self._held(), "lots")
        if hedge is not None:
            panels.append(panel(self.place, "Hedge", "", hedge, ""))
        lead = "Mid-episode. Solid is learned, dashed is optimal where it is known; the hedge is in lots, + = it buys."
        if len(every) > MOST_CELLS:
            lead += f" The first {MOST_CELLS} of {len(every)} cells."
        return section("What it does at each inventory", lead, tag("div", panels, class_="panels"))

    def _limits(self) -> Markup:
        table = self.design.table("interventions")
        if table is None:
            return section("Limits", "No limit acted, or the run kept no record of it.", None)
        rates = table.pivot_table("per_1000_steps", "dealer", "reason", aggfunc="mean", sort=False, observed=True)
        rates = rates.loc[:, (rates.fillna(0) != 0).any()]
        if rates.empty:
            return section("Limits", "No limit acted, and no soft level was passed.", None)
        heads = ["Dealer", *(str(reason).replace("_", " ") for reason in rates.columns)]
        rows = [
            (str(dealer), [tag("td", quantities.short(rate)) for rate in row])
            for dealer, row in zip(rates.index, rates.to_numpy(), strict=True)
        ]
        lead = "How often each acted, in 1,000 steps of a dealer. Soft levels only warn."
        return section("Limits", lead, plain_table(heads, rows))

    def _training(self) -> Markup | None:
        if self.name not in self.run.learners:
            return None
        table = self.design.table("training", self.name)
        if table is None:
            return section("Training", "The run kept no record of the training.", None)
        panels = [
            panel(self.place, head, caption, training_curve(table, column), "not recorded")
            for column, head, caption in (
                ("objective", "Objective", "mean reward of the episodes that ended"),
                ("explained_variance", "Explained variance", "of the returns, by the value function"),
                ("kl", "KL divergence", "of an update, from the policy before it"),
                ("entropy", "Entropy", "of the action distribution"),
            )
        ]
        panels += self._multipliers(table)
        seeds = table["seed"].nunique()
        lead = f"{seeds} seeds, one thread each." if seeds > 1 else "One seed."
        return section("Training", lead, tag("div", panels, class_="panels"))

    def _multipliers(self, table: pd.DataFrame) -> list[Markup]:
        """Each constraint as it was measured in training against its limit, and its multiplier."""
        panels = []
        for tried in acceptances(self.design, self.name)[:1]:
            for name, bound in tried.constraints(tried.deployed).items():
                head, unit = constraint(name, self.design, self.name, self.run.units)
                figure = training_curve(table, name, bound.limit)
                panels.append(panel(self.place, head, f"on fresh episodes, {unit}", figure, "not recorded"))
                column = "lambda" if name == "cvar" else f"lambda_{name}"
                caption = "the price of a unit beyond the limit"
                figure = training_curve(table, column)
                panels.append(panel(self.place, f"Multiplier of {head}", caption, figure, "not recorded"))
        return panels


def key(reason: str | None) -> Markup:
    """Which line is which, in the caption. ``reason``: why there is no optimal one."""
    other = [tag("i", class_="line dash"), "optimal"]
    if reason is not None:
        other = [tag("span", " (no exact optimum)", title=reason)]
    return tag("span", tag("i", class_="line"), "learned", other, class_="key block")


def describe(cell: Cell) -> str:
    return f"{cell.segment}, size {quantities.short(cell.size)}"
