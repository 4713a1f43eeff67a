"""Against the provable optimum: what every policy quotes where, what that is exactly worth, and what is best.

% of optimum = 100 J / J*: the same reward and limits, the deterministic policy, exact evaluation of both. Where there
is no exact answer the row is empty and says why; it never holds a proxy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents import exact, optimal
from agents.config import Desk
from agents.policy import Policy, Seat
from agents.policy_map import policy_map
from experiments import store
from experiments.policy_map import rows
from marketsim.tables import Tables

STATE = {"time_left", "inventory"}  # what an exactly valued policy may see
_STEPS = 13  # of the maps kept, at most
_COLUMNS = ("dealer", "value", "optimal", "ceiling", "percent", "gap", "exact", "reason")


def write(desk: Desk, policies: Mapping[int, Policy], folder: Path, reached: np.ndarray) -> None:
    """Write the tables ``quotes`` and ``benchmarks``; ``reached`` (dealers,): the largest abs(inventory) that was met.

    The maps kept are of some steps, the first and the last among them, and of the inventories reached or within the
    position limit; the verb ``policy-map`` gives a whole one.
    """
    maps: list[pd.DataFrame] = []
    table = []
    for agent, policy in sorted(policies.items()):
        seat = Seat(desk, agent)
        widest = max(float(reached[agent]), _finite(Tables.of(desk).dealers["position_hard"][agent]))
        quotes = None if hasattr(policy, "reset") else policy_map(policy, seat)
        if quotes is not None:
            maps.append(_kept(*quotes, seat, "policy", widest))
        figures, solution = _benchmark(policy, seat, quotes)
        if solution is not None:
            maps.append(_kept(solution.markups, solution.hedge, seat, "optimal", widest))
        table.append({"dealer": seat.name} | figures)
    if maps:
        store.write_table(folder, "quotes", pd.concat(maps, ignore_index=True))
    store.write_table(folder, "benchmarks", pd.DataFrame(table, columns=list(_COLUMNS)))


def _benchmark(
    policy: Policy, seat: Seat, quotes: tuple[np.ndarray, np.ndarray] | None
) -> tuple[dict[str, Any], optimal.Solution | None]:
    """The dealer's row of ``benchmarks``, and the optimum where it is known."""
    figures: dict[str, Any] = dict.fromkeys(("value", "optimal", "ceiling", "percent", "gap"), math.nan)
    figures |= {"exact": False, "reason": exact.support(seat.config, seat.agent)}
    if figures["reason"] is not None:
        return figures, None
    try:
        solution = optimal.solve(seat.config, seat.agent)
        best = solution.optimal
        ceiling = best if policy.native else optimal.ceiling(seat.config, seat.agent)
    except ValueError as error:
        return figures | {"reason": str(error)}, None
    figures |= {"optimal": best, "ceiling": ceiling}
    beyond = [name for name in seat.dealer.observation if name not in STATE]
    if quotes is None:
        return figures | {"reason": f"policy {seat.dealer.policy.kind} draws or remembers"}, solution
    if beyond and seat.dealer.policy.learns:  # the others, whatever they are shown, read step and inventory alone
        return figures | {"reason": f"its policy also sees {', '.join(beyond)}"}, solution
    try:
        start = exact.evaluate(seat.config, *quotes, seat.agent)[0]
    except ValueError as error:
        return figures | {"reason": str(error)}, solution
    value = float(start[len(start) // 2])
    figures |= {"value": value, "gap": best - value, "exact": True}
    if best > 0:
        return figures | {"percent": 100 * value / best}, solution
    return figures | {"reason": f"the optimum, {best:.4g}, is not above 0: see the gap"}, solution


def _kept(markups: np.ndarray, hedge: np.ndarray, seat: Seat, source: str, widest: float) -> pd.DataFrame:
    last = seat.config.market.steps - 1
    steps = np.unique(np.linspace(0, last, min(_STEPS, last + 1)).round().astype(int))
    edge = hedge.shape[1] // 2
    cut = slice(edge - int(min(edge, widest)), edge + int(min(edge, widest)) + 1)
    table = rows(markups[steps][:, cut], hedge[steps][:, cut], seat)
    table["step"] = steps[table["step"]]
    table.insert(0, "dealer", seat.name)
    table.insert(1, "source", source)
    return table


def _finite(limit: float) -> float:
    return float(limit) if math.isfinite(limit) else 0.0
