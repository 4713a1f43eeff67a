"""``marketsim validate``: what a colleague would say of an experiment before it is run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import AvellanedaStoikovSpec, PolicySpec
from agents.policy import Seat, build
from experiments.config import Experiment, ExperimentConfig, load
from experiments.progress import duration
from experiments.run import prepare, trained_alike
from marketsim.actions import Ladder, Offsets
from marketsim.batch import MarketBatch
from marketsim.clients import Logit, Segment
from marketsim.guardrails.identity import ASSERTED
from marketsim.tables import Tables


def validate(source: str | Path, set: Any = None, seed: int | None = None, allow_plugins: bool = False) -> list[str]:
    """Sentences about an experiment. Raises InputError where it cannot be run."""
    experiment = load(source, set, seed, allow_plugins)
    prepare(experiment)
    base = experiment.base
    return [*_flow(base), *_markups(base), *_risks(base), *_people(base), *_cost(experiment)]


def _flow(desk: ExperimentConfig) -> Iterator[str]:
    tables = Tables.of(desk)
    lots = float((tables.cells["rate"] * tables.cells["size"]).sum())
    yield f"{float(tables.market['intensity'][0]):.3g} requests a step, {lots:.3g} lots, over {desk.market.steps} steps"
    if desk.market.has_book:
        traders = sum(trader.count for trader in desk.market.traders)
        yield f"an order book of {desk.market.book.levels} ticks of {desk.market.book.tick:g} and {traders} background traders"
    for segment in desk.market.segments:
        chances = _won_at_mid(segment)
        percents = ", ".join(f"{100 * chance:.0f}" for chance in chances)
        sizes = f" of sizes {', '.join(str(s) for s in segment.sizes)}" if len(chances) > 1 else ""
        informed = ""
        if segment.informed is not None and segment.informed.share > 0:
            right = segment.informed.share * segment.informed.accuracy + (1 - segment.informed.share) / 2
            informed = f"; {100 * right:.0f}% of its requests are on the side that the mid moves to"
        yield f"{segment.name}: alone and at mid you win {percents}%{sizes}{informed}"


def _won_at_mid(segment: Segment) -> list[float]:
    """Chance of each size that a dealer alone wins at markup 0."""
    if not isinstance(segment.choice, Logit):
        reservation = segment.choice.reservation
        return [float(getattr(reservation, "value", 0.0) >= 0)]
    intercept = np.broadcast_to(np.asarray(segment.choice.intercept, float), len(segment.sizes))
    return list(1 / (1 + np.exp(intercept)))


def _markups(desk: ExperimentConfig) -> Iterator[str]:
    """Whether the learners' ranges hold the quotes that theory and the rivals would give at the start."""
    batch = MarketBatch(desk, markets=1)
    observation = batch.reset()
    for agent in desk.learners:
        action, name = desk.dealer_of[agent].action, desk.agents[agent]
        if isinstance(action, Offsets):
            low, high = (ticks * desk.market.book.tick for ticks in action.offset)
        else:
            low, high = action.markup if isinstance(action, Ladder) else action.half_spread
        theory = AvellanedaStoikovSpec(kind="avellaneda_stoikov")
        quotes = {"the Avellaneda-Stoikov quote": _first_markup(theory, Seat(desk, agent), observation)}
        for other, dealer in enumerate(desk.dealer_of):
            if not dealer.policy.learns:
                whose = f"the {dealer.policy.kind.replace('_', ' ')} quote of {dealer.name}"
                quotes[whose] = _first_markup(dealer.policy, Seat(desk, other), observation)
        for quote, markup in quotes.items():
            if math.isfinite(markup) and not low <= markup <= high:
                yield f"{name}: the markup range [{low:g}, {high:g}] excludes {quote} {markup:.3g}"


def _first_markup(spec: PolicySpec, seat: Seat, observation: np.ndarray) -> float:
    """The mean markup of a policy's first quotes, price units; NaN where it has none or thinks in actions."""
    try:
        policy = build(spec, seat)
    except ValueError:  # theory has nothing to say about this market
        return math.nan
    if not policy.native:
        return math.nan
    markups, _ = policy.quote(observation[:, seat.agent, : len(seat.dealer.observation)])
    known = markups[np.isfinite(markups)]
    return float(known.mean()) if len(known) else math.nan


def _risks(desk: ExperimentConfig) -> Iterator[str]:
    for agent in desk.learners:
        dealer, name = desk.dealer_of[agent], desk.agents[agent]
        if dealer.limits.position is None and desk.market.inventory_limit is None:
            yield f"{name}: nothing limits its inventory; market.inventory_limit or limits.position would"
        if {term.kind for term in dealer.reward} == {"pnl"}:
            yield f"{name}: is rewarded for P&L alone, so nothing keeps it from betting on the mid"
    tail = desk.evaluate.episodes / 100
    yield f"CVaR 99 will rest on {tail:g} episodes" + (", too few to trust" if tail < 100 else "")
    if desk.learners and desk.train.seeds == 1:
        yield "one training seed: what it learned and what it was lucky to learn cannot be told apart"


_BY = {"files": "marketsim inbox", "terminal": "in the terminal of the run"}


def _people(desk: ExperimentConfig) -> Iterator[str]:
    """What a colleague would say of how people are asked."""
    escalation, evaluation = desk.escalation, desk.evaluate
    if escalation is None:
        return
    watched = max(1, len(desk.learners))
    steps = evaluation.episodes * desk.market.steps
    yield (
        f"escalation: false alarms will open at most about {steps * watched / escalation.false_alarm_every:.3g} cases in "
        f"{steps:,} market steps"
    )
    if evaluation.in_a_row * desk.market.steps < 500:
        yield (
            f"a market plays {evaluation.in_a_row * desk.market.steps} steps in a row: too few for a small drift to be seen, "
            f"evaluate.in_a_row makes it more"
        )
    if escalation.operator is None:
        yield (
            f"no operator: people answer the cases of {evaluation.markets} markets, each for up to "
            f"{escalation.people_timeout:g} seconds ({_BY[escalation.channel]})"
        )
    if any(approver.key is None for approver in escalation.approvers):
        yield f"{ASSERTED}: approvers without a key file can be played by anybody"


def _cost(experiment: Experiment) -> Iterator[str]:
    """Time of the second of two updates, the first pays for warming up, times all that there are."""
    if not experiment.base.learners:
        return
    from agents.trainer import Trainer

    seconds = 0.0
    trained = {name: desk for name, desk in experiment.designs.items() if trained_alike(experiment, name) is None}
    for desk in trained.values():
        markets = min(desk.train.markets, 256)
        trainer = Trainer(desk, seed=0, markets=markets, total_steps=10 * markets * desk.market.steps)
        trainer.update()
        began = time.perf_counter()
        trainer.update()
        rate = markets * trainer.rollout_steps / (time.perf_counter() - began)
        seconds += desk.train.steps / rate * len(experiment.training_seeds)
    designs = f" for {len(trained)} designs" if len(trained) > 1 else ""
    yield f"training takes about {duration(seconds)} here{designs}"
