"""What a frozen policy's streams look like while nothing has changed: the calibration of its drift detector.

Played once after training, in the market of the file without overlay or governor, on episodes that the evaluation does
not meet; kept beside the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from agents.cast import Cast
from agents.config import Desk
from agents.policy import Policy
from agents.supply import Supply
from experiments import store
from marketsim.batch import MarketBatch
from marketsim.document import InputError
from marketsim.guardrails import streams
from marketsim.guardrails.calibration import Calibration, CalibrationError, fit
from marketsim.guardrails.envelope import Limits

FIRST_EPISODE = 1_000_000  # of the engine: the evaluation never gets there
MARKETS = 100
STEPS = 3_000  # at least, in each of them
_TENSORS, _DOCUMENT = "drift.safetensors", "drift.json"


def calibrate(
    desk: Desk,
    policies: Mapping[int, Policy],
    agents: list[int],
    watch: tuple[streams.Name, ...],
    seed: int,
    folder: Path,
) -> dict[int, Calibration]:
    """Agent -> calibration of its streams, kept in ``folder``, of the design and seed, beside the policy as well.

    Raises InputError, a line that names the stream and the figure, where the quiet episodes are no quiet sample, or that
    says what a policy cannot supply.
    """
    batch = MarketBatch(desk, MARKETS, seed, record=any(name in streams.RECORDED for name in watch))
    cast = Cast(desk, policies)
    watched = {agent: streams.Streams(batch, agent, watch) for agent in agents}
    every = {agent: Supply(batch, agent, policies[agent], watch, Limits()) for agent in agents}  # no limit matters here
    supply = {agent: own for agent, own in every.items() if not own.silent}
    episodes = -(-STEPS // batch.steps)
    kept = {agent: np.empty((episodes * batch.steps, len(w.names), MARKETS)) for agent, w in watched.items()}
    actions = np.zeros((MARKETS, len(batch.agents), max(batch.action_widths)), np.float32)
    for episode in range(episodes):
        observation = batch.reset(FIRST_EPISODE + episode)
        cast.reset(seed, FIRST_EPISODE + episode, 0, MARKETS)
        for each in watched.values():
            each.begin()
        for own in supply.values():
            own.begin()
        for t in range(batch.steps):
            quotes = cast.play(observation, actions)
            for own in supply.values():
                own.before(observation, actions, quotes)
            step = batch.step(actions, quotes)
            observation = step.observation
            supplied = {agent: own.after(step) for agent, own in supply.items()}
            for agent, each in watched.items():
                given = supplied[agent].streams if agent in supplied else None
                kept[agent][episode * batch.steps + t] = each.update(step, given)
    fitted = {}
    for agent, each in watched.items():
        try:
            fitted[agent] = fit(each.names, kept[agent])
        except CalibrationError as error:
            raise InputError(f"escalation.watch: {desk.agents[agent]} cannot be watched: {error}") from None
        save(fitted[agent], store.checkpoint_folder(folder, desk.agents[agent]))
    return fitted


def save(calibration: Calibration, folder: Path) -> None:
    """Keep a calibration in the folder of its policy."""
    arrays, document = calibration.state()
    folder.mkdir(parents=True, exist_ok=True)
    half = folder / f".{_TENSORS}.half"
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, half)
    half.replace(folder / _TENSORS)
    store.write_json(folder / _DOCUMENT, document)
