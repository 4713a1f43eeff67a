"""What the tables say against the result: gathered here, put into words by ``words``."""

from __future__ import annotations

import math

import numpy as np

from reports import words
from reports.acceptance import acceptances
from reports.folder import Design, Run, number
from reports.governed import identities


def doubts(run: Run, design: Design, dealer: str) -> list[words.Doubt]:
    """Everything about this dealer's figures that a careful reader should not take on trust."""
    me = design.dealers[dealer]
    own = [
        words.tail_doubt(evaluated(run, design, dealer), me),
        words.seeds_doubt(objectives(design, dealer), dealer in run.learners),
        _edge(design, dealer),
        words.limit_doubt(at_limit(design, dealer), design.limits(dealer)),
        words.intervention_doubt(me.estimate("interventions_per_1000").value, bool(design.escalation)),
        words.optimum_doubt(me),
        words.scenario_doubt(design.scenario, design.scenario is not None and design.scenario.begins == 0),
        words.identity_doubt(identities(design)),
        words.kept_doubt([tried.kept for tried in acceptances(design, dealer)]),
    ]
    rival = design.best_rival(dealer)
    if rival in design.dealers:
        own.append(words.yardstick_doubt(me, design.dealers[rival]))
    others = [name for name in design.dealers if name != dealer]
    return words.merged(own, [doubt for doubt in design.doubts if not words.speaks_of(doubt, others)])


def evaluated(run: Run, design: Design, dealer: str) -> int:
    """Evaluation episodes of all seeds."""
    table = design.table("episodes", dealer)
    return len(table) if table is not None else run.episodes * max(1, len(design.seeds))


def objectives(design: Design, dealer: str) -> list[float]:
    """The mean episode reward of each training seed."""
    table = design.table("episodes", dealer)
    if table is None:
        return []
    return [float(mean) for mean in table.groupby("seed", sort=False)["reward"].mean() if math.isfinite(mean)]


def percents(design: Design, dealer: str) -> list[float]:
    """The exact % of optimum of each training seed; empty where there is no exact answer."""
    table = design.table("benchmarks", dealer)
    found = [float(p) for p in table["percent"] if math.isfinite(number(p))] if table is not None else []
    summarised = design.dealers[dealer].optimum.percent
    return found or ([summarised] if math.isfinite(summarised) else [])


def at_limit(design: Design, dealer: str) -> float:
    """The share of episodes in which the inventory reached the hard limit; 0 where that cannot be known."""
    hard, table = design.limits(dealer).position_hard, design.table("episodes", dealer)
    if table is None or not math.isfinite(hard):
        return 0.0
    return float((table["max_inventory"] >= hard).mean())


def _edge(design: Design, dealer: str) -> words.Doubt | None:
    """How often the sampled quotes of a ladder, or of orders in a book, stand at an end of their range."""
    action, table = design.block(dealer).get("action") or {}, design.table("steps", dealer)
    if table is None or not isinstance(action, dict):
        return None
    name, unit = {"ladder": ("markup", 1.0), "offsets": ("offset", design.tick)}.get(
        action.get("kind", "ladder"), ("", math.nan)
    )
    low, high = (unit * number(level) for level in (action.get(name) or (math.nan, math.nan)))
    quotes = table[["bid", "ask"]].to_numpy(dtype=float).ravel()
    quotes = quotes[np.isfinite(quotes)]
    if not high > low or not len(quotes):
        return None
    room = 1e-3 * (high - low)
    return words.edge_doubt(float(((quotes <= low + room) | (quotes >= high - room)).mean()), low, high)
