"""Acceptance of a learner with constraints: the verdict of each training seed, and the figures that it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reports import quantities
from reports.folder import Design, Estimate, number
from reports.markup import Markup, tag
from reports.parts import plain_table, section
from reports.words import Part

MODES = ("deterministic", "stochastic")


class Bound(NamedTuple):
    """A constraint as it was measured; ``bound``: the value plus its standard errors, held against the limit."""

    value: float
    se: float
    bound: float
    limit: float
    within: bool


@dataclass(frozen=True)
class Acceptance:
    """What was found about one dealer with one training seed."""

    seed: str
    episodes: int
    errors: float
    deployed: str
    entry: Mapping[str, Any]

    @property
    def accepted(self) -> bool:
        return self.entry.get("accepted") is True

    @property
    def reasons(self) -> list[str]:
        return [str(reason) for reason in self.entry.get("reasons") or []]

    @property
    def kept(self) -> bool:
        """Whether a policy kept its constraints in training; if none did, the last one was tried."""
        return math.isfinite(number(self.entry.get("kept_steps")))

    @property
    def overlays(self) -> list[str]:
        return list(self.entry.get("overlays") or {})

    def figures(self, mode: str, overlay: str | None = None) -> Mapping[str, Any]:
        place = self.entry if overlay is None else (self.entry.get("overlays") or {}).get(overlay) or {}
        return place.get(mode) or {}

    def constraints(self, mode: str, overlay: str | None = None) -> dict[str, Bound]:
        found = {}
        for name, entry in (self.figures(mode, overlay).get("constraints") or {}).items():
            value, se, bound, limit = (number(entry.get(key)) for key in ("value", "se", "bound", "limit"))
            found[str(name)] = Bound(value, se, bound, limit, entry.get("within") is True)
        return found


def acceptances(design: Design, dealer: str) -> list[Acceptance]:
    """One for each training seed that was tried; none where the dealer has no constraint."""
    found = []
    for seed in design.seeds:
        report = seed.acceptance or {}
        entry = (report.get("dealers") or {}).get(dealer)
        if entry:
            about = (int(number(report.get("episodes")) or 0), number(report.get("errors")))
            found.append(Acceptance(seed.name, *about, str(report.get("deployed") or MODES[0]), entry))
    return found


def verdict(tried: list[Acceptance]) -> list[Part]:
    """Accepted or refused, for the sentence at the top of the page."""
    if not tried:
        return []
    accepted = sum(a.accepted for a in tried)
    if len(tried) > 1 and 0 < accepted < len(tried):
        return [Part(" It was "), Part("accepted", "figure"), Part(f" for {accepted} of {len(tried)} training seeds.")]
    of = (
        ""
        if len(tried) == 1
        else " for both training seeds"
        if len(tried) == 2
        else f" for all {len(tried)} training seeds"
    )
    if accepted:
        return [
            Part(" It was "),
            Part("accepted", "figure"),
            Part(f"{of}: it keeps its limits in the market as configured."),
        ]
    beyond = sum(not a.figures(a.deployed).get("within") for a in tried)
    why = "it was not shown to keep its limits" if beyond == len(tried) else "too few episodes were tried"
    if 0 < beyond < len(tried):
        why = f"{beyond} were not shown to keep their limits, for the others too few episodes were tried"
    return [Part(" It was "), Part("refused", "figure"), Part(f"{of}: {why}.")]


def acceptance_section(design: Design, dealer: str, units: dict[str, str]) -> Markup | None:
    """None where the dealer has no constraint that was tried."""
    tried = acceptances(design, dealer)
    if not tried:
        return None
    first = tried[0]
    other = next(mode for mode in MODES if mode != first.deployed)
    played: list[tuple[str, str, str | None]] = [
        (f"as deployed, {first.deployed}", first.deployed, None),
        (f"{other} instead", other, None),
    ]
    played += [(f"under {overlay.replace('_', ' ')}", first.deployed, overlay) for overlay in first.overlays]
    names = list(first.constraints(first.deployed))
    heads = ["Played", *(_head(name, first.constraints(first.deployed)[name], design, dealer, units) for name in names)]
    rows = []
    for label, mode, overlay in played:
        cells = [_cell([a.constraints(mode, overlay).get(name) for a in tried], len(tried)) for name in names]
        rows.append((label, [*cells, _objective(tried, mode, overlay)]))
    heads.append(["Objective", tag("small", "mean ± standard error")])
    return section("Acceptance", _lead(tried), plain_table(heads, rows))


def _lead(tried: list[Acceptance]) -> list[Markup | str]:
    """Accepted or refused in one line, and what that means."""
    first, accepted = tried[0], sum(a.accepted for a in tried)
    word = (
        "Accepted" if accepted == len(tried) else "Refused" if not accepted else f"Accepted {accepted} of {len(tried)}"
    )
    tone = "better" if accepted == len(tried) else "worse"
    reasons = list(dict.fromkeys(reason for a in tried for reason in a.reasons))
    why = f": {'; '.join(reasons)}" if reasons and accepted < len(tried) else ""
    text = (
        f"{why}. On {quantities.many(first.episodes, 'fresh episode')}, every value plus "
        f"{quantities.short(first.errors)} standard errors is held against its limit; what a shock costs is told, and "
        "does not decide."
    )
    if len(tried) > 1:
        text += f" Of {len(tried)} training seeds, each cell has the one with the highest bound."
    return [tag("b", word, class_=tone), text]


def _head(name: str, bound: Bound, design: Design, dealer: str, units: dict[str, str]) -> list[Markup | str]:
    words, unit = constraint(name, design, dealer, units)
    return [words, tag("small", f"at most {quantities.short(bound.limit)} {unit}")]


def constraint(name: str, design: Design, dealer: str, units: dict[str, str]) -> tuple[str, str]:
    """What a constraint is of, in words, and its unit."""
    if name != "cvar":
        unit = {"time_at_limit": "of steps", "turnover": f"{quantities.lots(units)} an episode"}.get(name, "")
        return name.replace("_", " ").capitalize(), unit
    objective = design.block(dealer).get("objective")
    level = number(objective.get("level")) if isinstance(objective, dict) else math.nan
    return f"CVaR {100 * level:g}" if math.isfinite(level) else "CVaR", quantities.money(units)


def _cell(bounds: list[Bound | None], seeds: int) -> Markup:
    known = [bound for bound in bounds if bound is not None]
    if not known:
        return tag("td", quantities.NOTHING, class_="nothing")
    worst = max(known, key=lambda bound: bound.bound if math.isfinite(bound.bound) else math.inf)
    within = sum(bound.within for bound in known)
    word = "within" if within == len(known) else "beyond" if not within else f"within for {within} of {seeds}"
    value = _with_error(worst.value, worst.se)
    return tag("td", value, tag("small", word), class_="better" if within == len(known) else "worse")


def _objective(tried: list[Acceptance], mode: str, overlay: str | None) -> Markup:
    """Of the seed with the lowest."""
    found = [a.figures(mode, overlay).get("objective") or {} for a in tried]
    known = [(number(entry.get("value")), number(entry.get("se"))) for entry in found if entry]
    return tag("td", _with_error(*min(known))) if known else tag("td", quantities.NOTHING, class_="nothing")


def _with_error(value: float, se: float) -> str:
    places = quantities.decimals([Estimate(value, value - se, value + se)])
    return f"{quantities.write(value, places)} ± {quantities.write(se, places)}"
