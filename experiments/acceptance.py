"""Acceptance: whether a learned policy keeps its constraints, on episodes that nobody has seen before.

Not those of its training, of the choice among its checkpoints, or of the evaluation. Accepted where every measured
value plus 1.645 standard errors, a one-sided 95% bound, is within its limit: for the policy as it would be deployed, in
the market as it is. Under the overlays the same is asked and reported; what a shock may cost is not what a limit is for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from agents import episodes
from agents.cast import Cast
from agents.objectives import Dual, Estimate
from experiments import progress, store
from experiments.config import ExperimentConfig
from experiments.players import players
from marketsim import scenarios
from marketsim.batch import MarketBatch

EPISODES = 100_000  # fewer accept nobody
ERRORS = 1.645  # standard errors above a value
AT_ONCE = 2_000
MODES = ("deterministic", "stochastic")  # as deployed: by ``evaluate.stochastic``
SEED = 1 << 62  # added to the evaluation's; training seeds are at most 100 beyond it

SHARE_UNDER_OVERLAYS = 20  # one in so many of the episodes is played under each overlay, too

Overlays = Mapping[str, Callable[[ExperimentConfig], episodes.Overlay]]
# name -> the overlay in a market, DoesNotApply where it has nothing to change there
OVERLAYS: Overlays = {name: partial(scenarios.overlay, name) for name in scenarios.NAMES}


def accept(desk: ExperimentConfig, folder: Path, name: str, overlays: Overlays = OVERLAYS) -> dict[str, Any]:
    """Accept or refuse the learners with constraints of one design and seed; writes ``acceptance.json`` to ``folder``.

    ``kept_steps`` of a dealer: the market steps after which its policy was kept, null where none kept its constraints in
    training and it is the last one. ``evaluate.acceptance`` fresh episodes of the market as it is, and a twentieth as many
    under every overlay that applies, deterministic and exploring.
    """
    number = desk.evaluate.acceptance
    duals = {agent: Dual(desk.dealer_of[agent].objective) for agent in desk.learners}
    duals = {agent: dual for agent, dual in duals.items() if dual.limits}
    base = _measured(desk, folder, duals, number, None, f"accepting {name}")
    shocked = {
        overlay: _measured(desk, folder, duals, _few(number), made, f"accepting {name} under {overlay}")
        for overlay, made in _applying(desk, overlays)
    }
    deployed = MODES[desk.evaluate.stochastic]
    kept = store.read_table(folder, "training").groupby("dealer")["kept"].last()
    dealers = {}
    for agent, found in base.items():
        reasons = _reasons(found[deployed]["constraints"], number)
        about = {"accepted": not reasons, "reasons": reasons, "kept_steps": float(kept[desk.agents[agent]])}
        under = {overlay: figures[agent] for overlay, figures in shocked.items()}
        dealers[desk.agents[agent]] = about | found | {"overlays": under}
    report = {
        "episodes": number,
        "under_overlays": _few(number),
        "errors": ERRORS,
        "deployed": deployed,
        "dealers": dealers,
    }
    store.write_json(folder / store.ACCEPTANCE, report)
    return report


def _few(number: int) -> int:
    return max(100, number // SHARE_UNDER_OVERLAYS)


def _applying(desk: ExperimentConfig, overlays: Overlays) -> Iterator[tuple[str, episodes.Overlay]]:
    for name, make in overlays.items():
        with suppress(scenarios.DoesNotApply):
            yield name, make(desk)


def _measured(
    desk: ExperimentConfig,
    folder: Path,
    duals: Mapping[int, Dual],
    number: int,
    overlay: episodes.Overlay | None,
    title: str,
) -> dict[int, dict[str, Any]]:
    """Of each learner its figures, deterministic and exploring."""
    found: dict[int, dict[str, Any]] = {agent: {} for agent in duals}
    with progress.task(title, len(MODES) * number, "episodes") as advance:
        for k, mode in enumerate(MODES):
            cast = Cast(desk, players(desk, folder, explores=mode == "stochastic"))
            totals = _play(desk, cast, number, overlay, partial(_shifted, advance, k * number))
            for agent, dual in duals.items():
                found[agent][mode] = _figures(dual, dual.measure(totals.of([agent])))
    return found


def _shifted(advance: progress.Advance, before: int, done: int) -> None:
    advance(before + done, "")


def _play(
    desk: ExperimentConfig,
    cast: Cast,
    number: int,
    overlay: episodes.Overlay | None,
    advance: Callable[[int], None],
) -> episodes.Totals:
    batch = MarketBatch(desk, min(AT_ONCE, number), (desk.seed + SEED) % (1 << 63))
    played = []
    for k in range(math.ceil(number / batch.markets)):
        played.append(episodes.play(batch, cast, k, overlay))
        advance(min((k + 1) * batch.markets, number))
    return episodes.joined(played)


def _figures(dual: Dual, found: Mapping[str, Estimate]) -> dict[str, Any]:
    """Every constraint with its value, standard error, bound and limit; the mean reward beside them."""
    constraints = {
        name: {
            "value": found[name].value,
            "se": found[name].se,
            "bound": found[name].bound(ERRORS),
            "limit": limit,
            "within": found[name].bound(ERRORS) <= limit,
        }
        for name, limit in dual.limits.items()
    }
    mean = found["mean"]
    return {
        "within": all(figures["within"] for figures in constraints.values()),
        "objective": {"value": mean.value, "se": mean.se},
        "constraints": constraints,
    }


def _reasons(constraints: Mapping[str, Mapping[str, Any]], number: int) -> list[str]:
    """Why a learner is refused, in words; empty where it is accepted."""
    reasons = [
        f"{name} {c['value']:.4g} + {ERRORS} x {c['se']:.2g} is not within {c['limit']:.4g}"
        for name, c in constraints.items()
        if not c["within"]
    ]
    return reasons + [f"{number} episodes are fewer than {EPISODES}"] * (number < EPISODES)
