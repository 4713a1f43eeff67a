"""The order book on the page: an episode in it, and what the dealers earned by waiting and paid for taking."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports import quantities
from reports.figures.book_paths import book_paths, drawn_until
from reports.folder import Design, Estimate, Run
from reports.markup import Markup, tag
from reports.parts import Place, panel, plain_table, section
from reports.table import scaled

NORMAL = 1.96  # standard errors either side of a figure: 95%


def book_section(run: Run, design: Design, dealer: str, place: Place) -> Markup | None:
    """None where there is no book."""
    if not design.has_book:
        return None
    where = "Dealers quote and trade in the book" if not design.has_clients else "Dealers hedge in the book"
    lead = (
        f"{where}. What trades at a dealer’s quotes earns spread; what it takes, hedging or "
        "crossing, pays it. Both are counted from the mid at which the step began."
    )
    return section("The book", lead, _episode(run, design, dealer, place), _table(run, design, dealer))


# --- an episode -------------------------------------------------------------------------------------


def _episode(run: Run, design: Design, dealer: str, place: Place) -> Markup:
    head, missing = "An episode", "the run kept nothing of what the book showed"
    found = _first(design, dealer)
    if found is None:
        return panel(place, head, "", None, missing)
    quotes, prints, steps = found
    in_book = design.in_book(dealer)
    figure = book_paths(quotes, prints, steps, design.tick, in_book, quantities.step(run.units))
    end, last = drawn_until(quotes, steps), steps["step"].max()
    part = "" if end == last else f", its first {quantities.many(end, 'step')} of {quantities.count(last)}"
    whose = "the orders it asked for" if in_book else "what it quoted its clients"
    unit = run.units.get("price", "price units")
    which = f"Episode {quotes['episode'].iloc[0]}{part}, in {unit}"
    caption = f"{which}. Shaded is the spread of the book; the lines beside it are {whose}"
    return panel(place, head, [caption, _key()], figure, missing, height=430)


def _key() -> Markup:
    """What the marks are."""
    marks = [
        ("\N{BLACK UP-POINTING TRIANGLE}", "warm", "somebody bought at the ask"),
        ("\N{BLACK DOWN-POINTING TRIANGLE}", "focus", "somebody sold at the bid"),
        ("\N{WHITE DIAMOND}", "ink", "this dealer took, drawn at the mid"),
    ]
    entries = [
        tag("span", tag("span", mark, style=f"color: var(--{colour})"), f" {means}\N{EM SPACE}", class_="key")
        for mark, colour, means in marks
    ]
    return tag("span", [[entry, " "] for entry in entries], style="display: block")


def _first(design: Design, dealer: str) -> tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame] | None:
    """Of the first episode whose book was kept: best quotes, prints, and the dealer's steps."""
    for seed in design.seeds:
        quotes, prints, steps = seed.best_quotes, seed.prints, seed.steps
        if quotes is None or steps is None:
            continue
        number = quotes["episode"].iloc[0]
        mine = steps[(steps["episode"] == number) & (steps["dealer"] == dealer)].sort_values("step")
        if len(mine):
            there = None if prints is None else prints[prints["episode"] == number]
            return quotes[quotes["episode"] == number], there, mine
    return None


# --- the table --------------------------------------------------------------------------------------


def _table(run: Run, design: Design, dealer: str) -> Markup | None:
    episodes, taken = design.table("episodes"), lots_taken(design)
    if episodes is None:
        return None
    each = quantities.per_lot(run.units)
    word = "at its quotes" if design.has_clients else "passively"
    sampled = 0 if taken is None else taken[["seed", "episode"]].drop_duplicates().shape[0]
    heads = {
        "lots": (f"Traded {word}", "lots an episode", 1.0),
        "spread": ("Spread earned", each, 1.0),
        "share": (f"Traded {word}", "% of its lots*", 100.0),
        "cost": ("Paid for taking", f"{each}*", 1.0),
        "fees": ("Fees", f"{each} traded*", 1.0),
    }
    names = sorted(design.dealers, key=lambda name: name != dealer)
    figures = {name: earned(episodes, taken, name) for name in names}
    cells: dict[str, list[Markup]] = {name: [] for name in names}
    for key, (_, _, scale) in heads.items():
        column = [scaled(figures[name][key], scale) for name in names]
        places = quantities.decimals(column)
        for name, estimate in zip(names, column, strict=True):
            under = quantities.interval(estimate, places)
            cells[name].append(
                tag("td", quantities.write(estimate.value, places), tag("small", under) if under else None)
            )
    note = f"95% intervals. * Over the {quantities.many(sampled, 'sampled episode')}; of a step, lots taken are net. Negative fees are rebates."
    table = plain_table(
        ["Dealer", *([head, tag("small", unit)] for head, unit, _ in heads.values())],
        [(name, cells[name]) for name in names],
    )
    return tag("div", table, tag("p", note, class_="note"))


def lots_taken(design: Design) -> pd.DataFrame | None:
    """The sampled episodes with ``taken``, the lots each dealer took rather than waited for; None where none was kept."""
    steps, episodes = design.table("steps"), design.table("episodes")
    if steps is None or episodes is None:
        return None
    keys = ["seed", "episode", "dealer"]
    taken = steps.assign(taken=steps["hedge"].abs()).groupby(keys, as_index=False, observed=True)["taken"].sum()
    return taken.merge(episodes, on=keys)


def earned(episodes: pd.DataFrame, taken: pd.DataFrame | None, dealer: str) -> dict[str, Estimate]:
    """``lots`` an episode and ``spread`` a lot at its own quotes; of the sampled episodes the ``share`` of these among all
    its lots, ``cost`` a lot taken and ``fees`` a lot traded. Not known where nothing traded.
    """
    mine = episodes[episodes["dealer"] == dealer]
    passive = _passive(mine)
    figures = {"lots": ratio(passive, np.ones(len(mine))), "spread": ratio(mine["spread"], passive)}
    if taken is None:
        return figures | dict.fromkeys(("share", "cost", "fees"), Estimate())
    own = taken[taken["dealer"] == dealer]
    every = _passive(own) + own["taken"]
    ratios = {"share": (_passive(own), every), "cost": (own["hedge_cost"], own["taken"]), "fees": (own["fees"], every)}
    return figures | {name: ratio(*pair) for name, pair in ratios.items()}


def _passive(rows: pd.DataFrame) -> pd.Series:
    return rows["bought"] + rows["sold"]


def ratio(over: pd.Series, under: pd.Series | np.ndarray) -> Estimate:
    """The ratio of two sums over episodes, with its interval (delta method; Cochran, Sampling Techniques, 1977, chapter 6)."""
    x, y = np.asarray(over, float), np.asarray(under, float)
    total = y.sum()
    if not total > 0:
        return Estimate()
    value = x.sum() / total
    if len(x) < 2:
        return Estimate(value)
    half = NORMAL * math.sqrt(len(x) / (len(x) - 1) * ((x - value * y) ** 2).sum()) / total
    return Estimate(value, value - half, value + half)
