"""The policy of a training that is kept: the best that satisfies its constraints, not the last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch

from agents.network import Actor, Normaliser
from agents.policy import Seat
from agents.ppo import PPO
from agents.valuation import Valuation
from marketsim.tables import Tables


def move_tail(normaliser: Normaliser, seat: Seat, amount: float) -> None:
    """Let a policy that sees ``tail`` act on the same losses as before when nu moves by ``amount``.

    Without this a new nu is another policy, which nobody has measured.
    """
    if "tail" in seat.dealer.observation:
        scale = float(Tables.of(seat.config).dealers["pnl_scale"][seat.agent])
        normaliser.mean[seat.dealer.observation.index("tail")] -= amount / scale


def deployable(policy: PPO, nu: float) -> tuple[Normaliser, Actor]:
    """Copies of what plays a policy outside its training, where ``tail`` is measured from 0 and not from nu."""
    normaliser, actor = deepcopy(policy.normaliser), deepcopy(policy.actor)
    move_tail(normaliser, policy.seat, -nu)
    return normaliser, actor


class Best:
    """The best policy so far of one learner. ``steps``: at which it was kept, NaN while none was; ``mean``: its reward."""

    def __init__(self, policy: PPO):
        self.policy = policy
        self.mean, self.steps = -math.inf, math.nan
        self.networks: tuple[Normaliser, Actor] | None = None
        self.valuation: Valuation | None = None

    def keep(self, mean: float, steps: int, nu: float, valuation: Valuation) -> None:
        """Keep the policy as it is now."""
        self.mean, self.steps, self.networks = mean, float(steps), deployable(self.policy, nu)
        self.valuation = valuation

    def state(self) -> dict[str, np.ndarray]:
        state = {"mean": np.array([self.mean, self.steps])}
        for part, module in zip(("normaliser", "actor"), self.networks or (), strict=False):
            state |= {f"{part}.{name}": t.detach().cpu().numpy().copy() for name, t in module.state_dict().items()}
        return state | (self.valuation.state() if self.valuation else {})

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.mean, self.steps = state["mean"].tolist()
        if math.isfinite(self.steps):
            self.networks = deployable(self.policy, 0.0)
            for part, module in zip(("normaliser.", "actor."), self.networks, strict=True):
                arrays = {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
                module.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
            self.valuation = Valuation.of(state, self.policy.spec, self.policy.seat)
