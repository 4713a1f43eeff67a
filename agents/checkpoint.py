"""What learning leaves on disk: a policy that plays without its trainer, and a training that can go on.

Tensors in safetensors, the rest in JSON. Every file is written beside its place and moved there, so that an
interrupted write leaves the file that was there before.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save
from scipy.special import entr, ndtr
from torch import Tensor

from agents.config import PPOSpec
from agents.network import Actor, Normaliser
from agents.policy import Seat
from agents.reading import Reading
from agents.valuation import Valuation
from marketsim.batch import MarketBatch
from marketsim.document import InputError
from marketsim.quotes import markups_of

VERSION = 1  # of the format of a policy
STATE_VERSION = 3  # of a training state; 3: with the value function of what is kept
GENERATIONS = 2  # training states kept


# --- a policy ----------------------------------------------------------------------------------------


class LearnedPolicy:
    """A learned dealer: the mean action of its Gaussian policy. Made by ``load_policy``, or of networks that learn.

    ``valuation``: what it expected; None in a checkpoint that was written before it was kept, or without a seat.
    """

    native = False

    def __init__(self, normaliser: Normaliser, actor: Actor, seat: Seat | None, valuation: Valuation | None = None):
        self.normaliser, self.actor, self.seat, self.valuation = normaliser, actor, seat, valuation

    def to(self, device: torch.device) -> LearnedPolicy:
        self.normaliser.to(device)
        self.actor.to(device)
        if self.valuation is not None:
            self.valuation.critic.to(device)
        return self

    @property
    def log_sd(self) -> Tensor:
        return self.actor.log_sd.detach()

    @torch.no_grad()
    def mean(self, observation: Tensor) -> Tensor:
        """The mean action (components, rows) of observations (rows, width), before it is clipped."""
        return self.actor(self.normaliser(observation))

    def act(self, observation: np.ndarray) -> np.ndarray:
        """float32 (M, width) -> float32 (M, components) in [-1, 1]."""
        return np.clip(self.mean(self._rows(observation)).t().cpu().numpy(), -1.0, 1.0, order="C")

    def value(self, observation: np.ndarray) -> np.ndarray:
        """What it expects of observations (M, width): (M,), in the units of the reward that it learned from."""
        if self.valuation is None:
            raise ValueError("this policy was kept without its value function")
        return self.valuation.value(self.normaliser(self._rows(observation)))

    def entropy(self, observation: np.ndarray) -> np.ndarray:
        """Entropy (M,) of its distribution at observations (M, width), as the market executes it: clipped."""
        mean = self.mean(self._rows(observation)).double().cpu().numpy()
        return clipped_entropy(mean, self.log_sd.double().cpu().numpy()[:, None])

    def _rows(self, observation: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(observation, np.float32)).to(self.log_sd.device)

    def quote(self, observation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the action asks for: markups (M, 2, segments, sizes) in price units, hedge (M, 1) in lots.

        Needs a seat, and an observation of the inventory, of which the hedge is a fraction.
        """
        if self.seat is None:
            raise ValueError("a policy quotes in a seat: load_policy(path, Seat(config, agent))")
        inventory = Reading(self.seat, "inventory").inventory(observation)
        return markups_of(self.seat.config, self.seat.agent, self.act(observation), inventory)


def clipped_entropy(mean: np.ndarray, log_sd: np.ndarray) -> np.ndarray:
    """Entropy, summed over components, of Gaussian actions (components, rows) that are clipped to [-1, 1]: (rows,).

    The Gaussian's own is the same in every state, since its sd is. Clipped, it has atoms of mass P at -1 and 1, and its
    entropy is -sum P log P less the integral of f log f between them: it falls where a policy wants the end of its range.
    """
    sd = np.exp(log_sd)
    low, high = (-1.0 - mean) / sd, (1.0 - mean) / sd
    inside = ndtr(high) - ndtr(low)
    density = [np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) for z in (low, high)]
    between = inside * (log_sd + 0.5 * math.log(2.0 * math.pi * math.e)) + 0.5 * (low * density[0] - high * density[1])
    return (between + entr(ndtr(low)) + entr(ndtr(-high))).sum(axis=0)


def save_policy(
    folder: str | Path,
    spec: PPOSpec,
    seat: Seat,
    normaliser: Normaliser,
    actor: Actor,
    valuation: Valuation | None = None,
) -> None:
    """Write ``policy.safetensors`` and ``policy.json`` of what was learned in a seat into a folder, which is made."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {"version": VERSION, "kind": "ppo", "spec": spec.model_dump(mode="json"), **_fitting(seat)}
    parts = {"normaliser": normaliser, "actor": actor}
    arrays = {
        f"{part}.{name}": tensor.detach().cpu().numpy()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    } | (valuation.state() if valuation else {})
    _write(folder / "policy.json", (json.dumps(about, indent=2) + "\n").encode())
    _write(folder / "policy.safetensors", save(arrays))


def load_policy(path: str | Path, seat: Seat | None = None) -> LearnedPolicy:
    """The policy of a checkpoint folder; in a ``seat``, whose observation and action must be those it learned with."""
    folder = Path(path)
    try:
        about = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "policy.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: no policy checkpoint (policy.json, policy.safetensors): {error}") from error
    if not isinstance(about, dict) or about.get("version") != VERSION or about.get("kind") != "ppo":
        raise InputError(f"{folder / 'policy.json'}: this version reads policies of kind ppo, version {VERSION}")
    if seat is not None:
        for key, wanted in _fitting(seat).items():
            if about[key] != wanted:
                raise InputError(
                    f"{folder}: the policy learned with {key} {_short(about[key])}, "
                    f"dealer {seat.name} has {_short(wanted)}"
                )
    try:
        spec = PPOSpec.model_validate({**about["spec"], "hidden": tuple(about["spec"]["hidden"])})
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        valuation = Valuation.of(arrays, spec, seat) if seat is not None else None
        return LearnedPolicy(*_networks(about, spec, tensors), seat, valuation)
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{folder}: policy.json and policy.safetensors do not fit together: {error}") from error


def _networks(about: Mapping[str, Any], spec: PPOSpec, tensors: Mapping[str, Tensor]) -> tuple[Normaliser, Actor]:
    inputs, outputs = len(about["observation"]), len(about["components"])
    generator = torch.Generator()  # its weights are replaced at once
    networks = Normaliser(inputs), Actor(inputs, spec.hidden, outputs, spec.activation, spec.initial_sd, generator)
    for part, module in zip(("normaliser.", "actor."), networks, strict=True):
        module.load_state_dict({k.removeprefix(part): t for k, t in tensors.items() if k.startswith(part)})
    return networks


def _fitting(seat: Seat) -> dict[str, Any]:
    """What a policy and the seat that it plays in must agree on."""
    dealer = seat.dealer
    return {
        "observation": list(dealer.observation),
        "action": dealer.action.model_dump(mode="json"),
        "components": list(MarketBatch(seat.config, markets=1).action_names[seat.name]),
    }


def _short(value: Any) -> str:
    return json.dumps(value).replace('"', "")


# --- a training --------------------------------------------------------------------------------------


def save_state(folder: str | Path, number: int, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> Path:
    """Write generation ``number`` of a training: arrays, and a JSON document inside the same file.

    The newest ``GENERATIONS`` are kept. A full disk raises OSError and leaves the older ones.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"state-{number:08d}.safetensors"
    document = {"version": STATE_VERSION, "number": number, **document}
    _write(path, save(dict(arrays), metadata={"document": json.dumps(document)}))
    for old in sorted(folder.glob("state-*.safetensors"))[:-GENERATIONS]:
        old.unlink()
    return path


def load_state(folder: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The newest state in a folder that can be read whole, or None: its arrays and its document."""
    for path in sorted(Path(folder).glob("state-*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="numpy") as file:
                document = json.loads((file.metadata() or {})["document"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, KeyError, ValueError, SafetensorError):
            continue
        if document.get("version") == STATE_VERSION:
            return arrays, document
    return None


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(path.name + ".tmp")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
