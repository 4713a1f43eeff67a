"""``marketsim policy-map``: what a dealer of a finished run quotes and hedges in every state, as CSV."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from agents import policy_map as maps
from agents.policy import Policy, Seat
from experiments import config, store
from experiments.finished import open_run
from experiments.players import players
from marketsim.document import InputError
from marketsim.tables import Tables

COLUMNS = ("step", "inventory", "rival_inventory", "side", "segment", "size", "markup", "hedge")


def policy_map(folder: str | Path, dealer: str, out: Path | None = None) -> None:
    """Print the map of a dealer, of the file itself and its first training seed, or write it to ``out``."""
    run = open_run(folder)
    experiment = config.load(run.path / store.EXPERIMENT)
    desk = experiment.base
    if dealer not in desk.agents:
        near = get_close_matches(dealer, desk.agents, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"{run.path}: has no dealer {dealer}, allowed are {', '.join(desk.agents)}{hint}")
    agent = desk.agents.index(dealer)
    policy = players(desk, store.design_folder(run.path, config.BASE, experiment.training_seeds[0]))[agent]
    try:
        text = table(policy, Seat(desk, agent)).to_csv(index=False, lineterminator="\n")
    except ValueError as error:
        raise InputError(str(error)) from None
    if out is None:
        sys.stdout.write(text)
    else:
        store.write_text(out, text)


def table(policy: Policy, seat: Seat) -> pd.DataFrame:
    """A row a (step, inventory, cell): markup in price units and hedge in lots of the deterministic action.

    Inventory is that before the step's hedge; what else the dealer observes is at its neutral value, the rivals'
    inventory at 0, or empty where it is not observed.
    """
    return rows(*maps.policy_map(policy, seat), seat)


def rows(markups: np.ndarray, hedge: np.ndarray, seat: Seat) -> pd.DataFrame:
    """The table of a map: markups (T, Q, C), cells in arrival order, and hedge (T, Q)."""
    steps, inventories, cells = markups.shape
    tables = Tables.of(seat.config)
    segments = np.array([segment.name for segment in seat.config.market.cells])
    observed = "rival_inventory" in seat.dealer.observation
    edge = inventories // 2
    columns = {
        "step": np.repeat(np.arange(steps), inventories * cells),
        "inventory": np.tile(np.repeat(np.arange(-edge, edge + 1), cells), steps),
        "rival_inventory": np.full(markups.size, 0.0 if observed else np.nan),
        "side": np.tile(np.array(["bid", "ask"])[tables.cells["side"]], steps * inventories),
        "segment": np.tile(segments[tables.cells["segment"]], steps * inventories),
        "size": np.tile(tables.cells["size"].astype(int), steps * inventories),
        "markup": markups.ravel(),
        "hedge": np.repeat(hedge.ravel(), cells) + 0.0,  # no -0.0
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))
