"""What a policy does in every state of (step, inventory), all else that it observes at its neutral 0."""

from __future__ import annotations

import math

import numpy as np

from agents.policy import Policy, Seat
from marketsim.quotes import markups_of
from marketsim.tables import Tables

_CHUNK = 65_536  # states asked at once


def policy_map(policy: Policy, seat: Seat, inventory: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Markups (T, Q, C), price units, cells in arrival order, and hedge (T, Q), lots, before the guardrails.

    Q = 2 K + 1 inventories -K .. K, before that step's hedge; K = ``inventory``, default ``widest_inventory``. Raises
    ValueError for a policy that draws or remembers: it has no map.
    """
    if hasattr(policy, "reset"):
        raise ValueError(
            f"dealers.{seat.dealer.name}.policy: {seat.dealer.policy.kind} draws or remembers, it has no map"
        )
    tables = Tables.of(seat.config)
    steps = seat.config.market.steps
    edge = widest_inventory(seat) if inventory is None else inventory
    q = np.arange(-edge, edge + 1.0)
    names = seat.dealer.observation
    columns = {
        "time_left": np.repeat((steps - np.arange(steps)) / steps, len(q)),
        "inventory": np.tile(q * (1.0 / tables.dealers[seat.agent]["inventory_scale"]), steps),
    }
    observation = np.zeros((steps * len(q), len(names)), dtype=np.float32)
    for name, column in columns.items():
        if name in names:
            observation[:, names.index(name)] = column
    markups = np.empty((len(observation), len(tables.cells)))
    hedge = np.empty(len(observation))
    held = np.tile(q, steps)
    for low in range(0, len(observation), _CHUNK):
        rows = slice(low, low + _CHUNK)
        if policy.native:
            quotes, lots = policy.quote(observation[rows])
        else:
            quotes, lots = markups_of(seat.config, seat.agent, policy.act(observation[rows]), held[rows])
        markups[rows] = np.reshape(quotes, (len(lots), -1))[:, tables.cells["quote"]]
        hedge[rows] = lots[:, 0]
    return markups.reshape(steps, len(q), -1), hedge.reshape(steps, len(q))


def widest_inventory(seat: Seat) -> int:
    """Lots that a policy is not carried past: its position limit, else eight standard deviations of the busiest flow.

    In a book: of one that fills its largest order every step and returns as often as it goes. The busiest flow wins every request of one side; the spread about it that of all requests. A dealer hedges towards
    flat, or by a number of lots a step, which is added.
    """
    tables, steps = Tables.of(seat.config), seat.config.market.steps
    cells, dealer = tables.cells, tables.dealers[seat.agent]
    lots = cells["rate"] * cells["size"]
    mean = steps * max(lots[cells["signed_size"] > 0].sum(), lots[cells["signed_size"] < 0].sum())
    spread = 8.0 * math.sqrt(steps * float((lots * cells["size"]).sum()))
    spread += 8.0 * math.sqrt(steps) * dealer["size_high"]
    return int(min(dealer["position_hard"], math.ceil(mean + spread + steps * dealer["hedge_lots"])))
