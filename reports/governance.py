"""The governance of a design on the page: the states over time, what it came to in words, and one case told in full."""

from __future__ import annotations

import math

import pandas as pd

from reports import quantities
from reports.figures.timeline import COLOURS, timeline
from reports.folder import Design, Difference, Estimate, Run, Seed
from reports.governed import Cause, Governed, Saved, governed, identities, saved, told_case
from reports.markup import Child, Markup, tag
from reports.parts import Place, panel, plain_table, section, sentence
from reports.quantities import count, decimals, many, short, write
from reports.words import Part, bracket

MOST_ROWS = 12  # of a case's story


def governance_section(run: Run, design: Design, dealer: str, place: Place) -> Markup | None:
    """None where nobody watched; about the first governed dealer where this one is not."""
    if not design.escalation:
        return None
    table = design.table("states")
    names = list(dict.fromkeys(table["dealer"])) if table is not None else []
    watched = dealer if dealer in names else next(iter(names), "")
    found = governed(design, watched)
    if found is None:
        return section("Governance", "The run kept no record of its escalation.")
    told = {"Watched": alarms(found, design), "Asked": people(found, scripted(design)), "Held back": held(found)}
    worth = saved(run, design, watched)
    if worth is not None:
        told["Worth"] = savings(run, design, watched, worth, quantities.money(run.units))
    entries = [tag("div", tag("dt", word), tag("dd", sentence(parts))) for word, parts in told.items()]
    lead = (
        _lead(design) if watched == dealer else f"About {watched}, whom the guardrails watched; {dealer} they did not."
    )
    below = tag("div", causes(found.causes, scripted(design)), _case(design, watched), class_="panels two")
    return section(
        "Governance", lead, tag("dl", entries, class_="told"), _states(run, found, place), below, _audits(design)
    )


def scripted(design: Design) -> bool:
    """Whether approvers were played by a script."""
    return bool(design.escalation.get("operator"))


def _lead(design: Design) -> str:
    names = [f"{a.get('name')} ({a.get('role')})" for a in design.escalation.get("approvers") or []]
    played = ", played by a script," if scripted(design) else ""
    return f"Limits and a drift watch move the states towards safety; {' and '.join(names) or 'people'}{played} decide."


def _states(run: Run, found: Governed, place: Place) -> Markup:
    """The figure, its ticks at the alarms."""
    x = quantities.step(run.units).replace("step", "step of a market", 1)
    first = found.first + (found.scenario.begins - 1 if found.scenario else 0)
    figure = timeline(found.shares, found.scenario, found.before.tolist(), first.tolist(), x)
    swatches = [[tag("i", style=f"background: {colour}"), state] for state, colour in COLOURS.items()]
    caption = "Share of the markets in each. Ticks: false alarms, and after the change each market's first alarm"
    key = tag("span", swatches, class_="key block")
    return panel(place, "States", [caption, key], figure, "no states were kept", height=260)


# --- in words ---------------------------------------------------------------------------------------


def alarms(found: Governed, design: Design) -> list[Part]:
    """How often the watch was wrong, and how soon it was right."""
    parts = [Part(f"{many(found.markets, 'market')} of {many(found.steps, 'step')}. ")]
    if not found.watched:
        return [*parts, Part("No alarms were kept.")]
    begins = min(found.scenario.begins, found.steps) if found.scenario else found.steps
    when = f"before {found.scenario.overlay.replace('_', ' ')} began" if found.scenario else "and nothing changed"
    parts += [Part(many(len(found.before), "false alarm"), "figure"), Part(f" {when}")]
    if len(found.before):
        parts.append(Part(f", one in {many(begins * found.markets / len(found.before), 'step')}"))
    allowed = design.escalation.get("false_alarm_every")
    if isinstance(allowed, (int, float)):
        parts.append(Part(f" (at most one in {count(allowed)} wanted)", "interval"))
    if found.scenario is None:
        return [*parts, Part(".")]
    parts += [Part("; after it "), Part(f"{count(len(found.first))} of {count(found.markets)}", "figure")]
    parts.append(Part(" markets raised the alarm"))
    if math.isfinite(found.delay):
        parts += [Part(", half of them within "), Part(many(found.delay, "step"), "figure")]
    return [*parts, Part(f" ({many(found.after, 'alarm')} in all)", "interval"), Part(".")]


def people(found: Governed, script: bool) -> list[Part]:
    """How many cases there were, and whether people or a deadline came first."""
    if found.causes is None:
        return [Part("No cases were kept.")]
    if not found.causes:
        return [Part("No case was opened.")]
    cases, answered, late, waiting = (
        sum(getattr(cause, name) for cause in found.causes) for name in ("cases", "people", "deadline", "waiting")
    )
    whom = "scripted approvers" if script else "people"
    parts = [
        Part(many(cases, "case"), "figure"),
        Part(f" went to {whom}. They answered "),
        Part(count(answered), "figure"),
    ]
    parts += [
        Part(" in time; in "),
        Part(count(late), "figure"),
        Part(" a deadline came first and its safe default fired"),
    ]
    return [*parts, Part(f"; {count(waiting)} still waited at the end." if waiting else ".")]


def held(found: Governed) -> list[Part]:
    """The share of the time that the dealer was held back."""
    parts = [Part("It quoted freely "), Part(_share(found.held("normal") + found.held("warn")), "figure")]
    if probation := found.held("probation"):
        parts.append(Part(f" of the time, within a quarter of its limits {_share(probation)}"))
    else:
        parts.append(Part(" of the time"))
    parts += [Part(", towards flat only "), Part(_share(found.held("restricted")), "figure"), Part(", not at all ")]
    return [*parts, Part(_share(found.held("halted")), "figure"), Part(".")]


def _share(share: float) -> str:
    if 0 < share < 0.0005:
        return "under 0.1%"
    return "0%" if share == 0 else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def savings(run: Run, design: Design, dealer: str, worth: Saved, money: str) -> list[Part]:
    """What it was worth; without a judged difference both figures side by side, and no word of saving."""
    name = Part(worth.against, "name")
    if not worth.cvar.estimate.known:
        mine, other = design.dealers[dealer], run.designs[worth.against].dealers[dealer]
        parts = [
            Part("CVaR 95 "),
            *_figure(mine.estimate("cvar_95")),
            Part(", and "),
            *_figure(other.estimate("cvar_95")),
        ]
        parts += [Part(" in "), name, Part("; P&L "), *_figure(mine.estimate("pnl")), Part(" and ")]
        return [*parts, *_figure(other.estimate("pnl")), Part(f". In {money} an episode.")]
    parts = [Part("Against "), name, Part(" it "), *changed(worth.cvar, 1, "CVaR 95"), Part(" and ")]
    return [*parts, *changed(worth.pnl, -1, "P&L"), Part(f". In {money} an episode.")]


def _figure(estimate: Estimate) -> list[Part]:
    places = decimals([estimate])
    return [Part(write(estimate.value, places), "figure"), *bracket(estimate, places)]


def changed(difference: Difference, sign: int, figure: str) -> list[Part]:
    """``difference``: without less with; ``sign``: -1 for a figure of which the dealer wants more."""
    estimate = difference.estimate
    if not estimate.known:
        return [Part(f"changed {figure} by what was not measured")]
    if difference.verdict == "cannot tell":
        return [
            Part(f"did not change {figure} that could be told"),
            *bracket(estimate, decimals([estimate]), plus=True),
        ]
    verb = "saved" if sign * estimate.value > 0 else "cost"
    if estimate.value < 0:
        estimate = Estimate(-estimate.value, -estimate.high, -estimate.low)
    return [Part(f"{verb} "), *_figure(estimate), Part(f" of {figure}")]


# --- cases ------------------------------------------------------------------------------------------


def causes(found: tuple[Cause, ...] | None, script: bool) -> Markup | None:
    """A row a cause."""
    if not found:
        return None
    whom = tag("small", "by scripted approvers" if script else "by people")
    heads: list[Child] = ["Cause", "Cases", ["Answered", whom], ["Too late", tag("small", "a deadline came first")]]
    heads += [["Answer after", tag("small", "steps, median")], ["Open", tag("small", "at the end")]]
    rows = []
    for cause in found:
        median = short(cause.median) if math.isfinite(cause.median) else quantities.NOTHING
        written = [*map(count, (cause.cases, cause.people, cause.deadline)), median, count(cause.open)]
        rows.append((cause.name.replace("_", " "), [tag("td", text) for text in written]))
    return tag("div", tag("h3", "Cases by cause"), plain_table(heads, rows), class_="causes")


def _case(design: Design, dealer: str) -> Markup | None:
    """One case, told in full."""
    chosen = told_case(design, dealer)
    if chosen is None:
        return None
    seed, case = chosen
    since = "not known" if pd.isna(case["since"]) else f"step {case['since']:,.0f}, as it seemed then"
    if design.scenario and case["opened"] >= design.scenario.begins:
        since += f"; the market changed at step {design.scenario.begins:,}"
    closed = "still open at the end" if pd.isna(case["closed"]) else f"{case['outcome']}, at step {case['closed']:,.0f}"
    entries: list[tuple[str, Child]] = [
        ("What changed", str(case["what"])),
        ("Since when", since),
        ("What was done", _story(seed, case)),
        ("Outcome", closed),
    ]
    head = (
        f"Case {case['id']}: {str(case['cause']).replace('_', ' ')} in market {case['market']}, step {case['opened']:,}"
    )
    return tag("div", tag("h3", head), tag("dl", [(tag("dt", a), tag("dd", b)) for a, b in entries], class_="case"))


def _story(seed: Seed, case: pd.Series) -> Child:
    rows = seed.audit.story(int(case["id"])) if seed.audit is not None else []
    if not rows:
        return str(case["did"]) or "nothing"
    shown = rows if len(rows) <= MOST_ROWS else rows[: MOST_ROWS - 1]
    items = [tag("li", tag("b", f"{row.step:,}"), tag("span", row.what)) for row in shown]
    if len(rows) > len(shown):
        items.append(tag("li", tag("b", "…"), tag("span", f"and {len(rows) - len(shown)} more")))
    return tag("ol", items)


def _audits(design: Design) -> Markup:
    """Who answers for it: how sure it is who decided, and the heads of the audit files."""
    audits = [(seed.name, seed.audit) for seed in design.seeds if seed.audit is not None]
    if not audits:
        return tag("p", "The run kept no audit file.", class_="audit")
    said = "; ".join(identities(design)) or "who decided was not recorded"
    heads = []
    for name, audit in audits:
        of = f"of seed {name} " if len(audits) > 1 else ""
        heads.append(tag("span", f"Audit {of}of {many(audit.rows, 'row')}, head ", tag("code", audit.head)))
    keep = "A head stands for all rows: keep it where nobody can write the run, for marketsim audit verify --head."
    return tag("div", tag("b", said[:1].upper() + said[1:] + "."), heads, tag("span", keep), class_="audit")
