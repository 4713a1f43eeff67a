"""What an action asks for in prices: the action map outside the step, for policy maps and reports."""

import numpy as np

from marketsim.act import affine, hedge_lots, side_markup
from marketsim.compiled import kernel
from marketsim.config import MarketConfig
from marketsim.tables import Tables
from marketsim.types import Action

_LADDER, _OFFSETS = int(Action.LADDER), int(Action.OFFSETS)


@kernel
def _markups(d, cells, actions, inventory, markups, hedge):
    for m in range(actions.shape[0]):
        for c in range(cells.shape[0]):
            cell = cells[c]
            if d.action == _LADDER:
                markups[m, cell.quote] = affine(actions[m, cell.ladder], d.markup_low, d.markup_high)
            elif d.action == _OFFSETS:
                markups[m, cell.quote] = affine(actions[m, cell.side], d.markup_low, d.markup_high)
            else:
                markups[m, cell.quote] = side_markup(d, actions[m, 0], actions[m, 1], cell.side)
        hedge[m, 0] = hedge_lots(d, actions[m, d.hedge_column], inventory[m])


def markups_of(
    config: MarketConfig, agent: int, actions: np.ndarray, inventory: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What an agent's actions ask for, before the guardrails.

    ``actions``: float32 (M, components). ``inventory``: (M,) lots. Returns markups float64
    (M, 2, segments, sizes) in price units, NaN where there is no such cell, and hedge float64 (M, 1) in lots.
    """
    tables = Tables.of(config)
    shape = tables.quote_shape
    markups = np.full((len(actions), int(np.prod(shape))), np.nan)
    hedge = np.empty((len(actions), 1))
    _markups(
        tables.dealers[agent],
        tables.cells,
        np.ascontiguousarray(actions, dtype=np.float32),
        np.ascontiguousarray(inventory, dtype=np.float64),
        markups,
        hedge,
    )
    return markups.reshape(-1, *shape), hedge
