"""``summary.json``: the figures of every design with their intervals, and what one should doubt of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.config import TradingDealer
from experiments import governed, store
from experiments.config import BASE, Experiment, ExperimentConfig
from experiments.differences import Measured, differences, measure
from marketsim.config import Replay
from marketsim.measures.attribution import SIGNS
from marketsim.measures.figures import NAMES
from marketsim.measures.intervals import contrast, intervals
from marketsim.measures.markouts import HORIZONS
from marketsim.rewards import PARAMETERS

_WITH_INTERVAL = (
    "objective", "pnl", "var_95", "cvar_95", "var_99", "cvar_99", "drawdown", "max_inventory", "hit_ratio",
)  # fmt: skip


def summarise(run: Path, experiment: Experiment) -> dict[str, Any]:
    """The summary of the tables in a run's folder, as docs/run-folder.md has it; NaN where a figure is not known.

    Intervals are 95%, each figure's on its own. Verdicts are over simultaneous ones: of a learner against all its
    rivals, and of all figures of two designs.
    """
    base = experiment.base
    designs, comparisons = {}, []
    of_base: Measured = {}
    for name, desk in experiment.designs.items():
        folders = {seed: store.design_folder(run, name, seed) for seed in experiment.training_seeds}
        tables = {seed: store.read_table(folder, "episodes") for seed, folder in folders.items()}
        measured = measure(tables, desk.agents, desk.market.steps)
        designs[name] = _design(desk, folders, tables, measured)
        if name == BASE:
            of_base = measured
        else:
            comparisons += _against_base(name, desk, base, measured, of_base)
    return {
        "name": experiment.name, "units": base.units, "dealers": list(base.agents), "learners": _learners(base),
        "episodes": base.evaluate.episodes, "seeds": len(experiment.training_seeds), "steps": base.market.steps,
        "designs": designs, "comparisons": comparisons,
    }  # fmt: skip


def _learners(desk: ExperimentConfig) -> list[str]:
    return [desk.agents[i] for i in desk.learners]


def _design(
    desk: ExperimentConfig, folders: Mapping[int, Path], tables: Mapping[int, pd.DataFrame], measured: Measured
) -> dict[str, Any]:
    quantiles = pd.concat([store.read_table(folder, "quantiles") for folder in folders.values()])
    benchmarks = pd.concat([store.read_table(folder, "benchmarks") for folder in folders.values()])
    dealers = {}
    for agent, dealer in zip(desk.agents, desk.dealer_of, strict=True):
        dealers[agent] = _dealer(measured, agent) | {
            "reward": reward_in_words(dealer),
            "optimum": _optimum(benchmarks[benchmarks["dealer"] == agent]),
        }
        dealers[agent]["inventory"] |= _inventory(quantiles[quantiles["dealer"] == agent])
    learners = _learners(desk)
    rivals = {learner: [agent for agent in desk.agents if agent != learner] for learner in learners}
    return (
        {
            "seeds": list(folders),
            "dealers": dealers,
            "against": {learner: _against(measured, learner, others) for learner, others in rivals.items() if others},
            "best_rival": {
                learner: max(others, key=lambda agent: dealers[agent]["objective"]["value"])
                for learner, others in rivals.items()
                if others
            },
            "doubts": _doubts(desk, tables, dealers),
        }
        | _acceptance(folders)
        | ({"governance": governed.figures(desk, folders)} if desk.escalation is not None else {})
    )


def _acceptance(folders: Mapping[int, Path]) -> dict[str, Any]:
    """What ``acceptance.json`` says of each training seed, where a learner has a constraint."""
    found = {str(seed): store.read_json(folder / store.ACCEPTANCE) for seed, folder in folders.items()}
    return {"acceptance": found} if all(found.values()) else {}


def _dealer(measured: Measured, agent: str) -> dict[str, Any]:
    rows = zip(NAMES, *intervals(contrast(measured[agent])), strict=True)
    figures = {name: {"value": float(v), "low": float(low), "high": float(high)} for name, v, low, high in rows}
    figures["pnl"]["sd"] = figures["pnl_sd"]["value"]
    return {name: figures[name] for name in _WITH_INTERVAL} | {
        "inventory": {"half_life": figures["half_life"]["value"]},
        "markout": {str(h): figures[f"markout_{h}"] for h in HORIZONS},
        "attribution": {term: figures[term]["value"] for term in SIGNS},
        "interventions_per_1000": figures["interventions_per_1000"]["value"],
    }


def _inventory(quantiles: pd.DataFrame) -> dict[str, float]:
    """The quantiles across episodes, averaged over the steps and the training seeds."""
    return {f"q{level}": float(quantiles[f"inventory_{level}"].mean()) for level in ("05", "50", "95")}


def _optimum(benchmarks: pd.DataFrame) -> dict[str, Any]:
    """The mean over the training seeds; NaN and the reason in words where there is no exact answer."""
    figures = {name: float(benchmarks[name].mean()) for name in ("percent", "value", "optimal", "ceiling")}
    return figures | {"reason": next((str(reason) for reason in benchmarks["reason"].dropna()), None)}


def _against(measured: Measured, learner: str, others: Sequence[str]) -> dict[str, Any]:
    pairs = [(measured[learner], measured[other]) for other in others]
    found = differences(pairs, ("objective", "pnl"))
    return {
        other: {row.figure: {k: v for k, v in asdict(row).items() if k != "figure"} for row in rows}
        for other, rows in zip(others, found, strict=True)
    }


def _against_base(
    name: str, desk: ExperimentConfig, base: ExperimentConfig, measured: Measured, of_base: Measured
) -> list[dict[str, Any]]:
    """How the learners do under a design, less how they do in the base."""
    rows = []
    # where nobody learns, it is the dealer that is watched
    for i in sorted({*desk.learners, *base.learners} or {0}):
        agent = desk.agents[i]
        same_reward = desk.dealer_of[i].reward == base.dealer_of[i].reward
        figures = [figure for figure in NAMES if figure != "objective" or same_reward]
        for row in differences([(measured[agent], of_base[agent])], figures)[0]:
            rows.append({"design": name, "against": BASE, "dealer": agent} | asdict(row))
    return rows


def reward_in_words(dealer: TradingDealer) -> str:
    """``pnl + 0.01 inventory_penalty``: objectives are comparable where these are the same."""
    terms = []
    for term in dealer.reward:
        parameter = getattr(term, PARAMETERS.get(term.kind, ""), None)
        weight = "" if term.weight == 1 else f"{term.weight:g} "
        terms.append(f"{weight}{term.kind}" + ("" if parameter is None else f"({parameter:g})"))
    return " + ".join(terms)


# --- what to doubt ----------------------------------------------------------------------------------


def _doubts(desk: ExperimentConfig, tables: Mapping[int, pd.DataFrame], dealers: Mapping[str, Any]) -> list[str]:
    episodes, seeds = desk.evaluate.episodes, len(tables)
    worst = max(1, round(episodes / 100))
    doubts = [f"CVaR 99 rests on {worst} episodes" + (": too few to be believed" if worst < 10 else "")]
    if desk.learners:
        doubts.append(
            "one training seed: the intervals hold for this policy, how much luck there is in training is not known"
            if seeds == 1
            else f"{seeds} training seeds: the intervals are over seeds and episodes"
        )
    if isinstance(desk.market.price, Replay):
        doubts.append("all episodes are cut from one recorded path: the intervals do not reach beyond it")
    if desk.evaluate.in_a_row > 1:
        doubts.append(f"{desk.evaluate.markets} markets played {desk.evaluate.in_a_row} episodes in a row each")
    if desk.evaluate.stochastic:
        doubts.append("learners were measured while exploring")
    for agent in _learners(desk):
        doubts += _dealer_doubts(desk, agent, tables, dealers[agent])
    return doubts


def _dealer_doubts(
    desk: ExperimentConfig, agent: str, tables: Mapping[int, pd.DataFrame], figures: Mapping[str, Any]
) -> list[str]:
    doubts = []
    rows = pd.concat([table[table["dealer"] == agent] for table in tables.values()])
    own = desk.dealer_of[desk.agents.index(agent)].limits.position
    levels = [level for level in (own.hard if own else None, desk.market.inventory_limit) if level is not None]
    if levels and (share := float(np.mean(rows["max_inventory"] >= min(levels)))) >= 0.001:
        doubts.append(f"{agent} stood at its position limit of {min(levels):g} lots in {share:.1%} of episodes")
    if (per_1000 := figures["interventions_per_1000"]) >= 0.05:
        doubts.append(f"the guardrails intervened against {agent} {per_1000:.2g} times in 1,000 steps")
    if rows["terminated"].any():
        doubts.append(f"{agent} was ruined in {rows['terminated'].mean():.1%} of episodes")
    if desk.market.segments and not rows["won"].any():
        doubts.append(f"{agent} won no request")
    optimum = figures["optimum"]
    if optimum["reason"]:
        doubts.append(f"no exact optimum to hold {agent} against: {optimum['reason']}")
    return doubts
