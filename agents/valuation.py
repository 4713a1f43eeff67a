"""What a learner expected: its value function, and the charges that it learned it under. Kept beside its policy.

Without the charges a critic cannot be held against what happens: it values rewards less what the tail and the constraints
cost, and those prices moved while it learned.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from agents.config import PPOSpec
from agents.network import Critic
from agents.objectives import Dual, charged
from agents.policy import Seat

_CRITIC, _RISK, _PRICE = "critic.", "critic_risk", "critic_price."


class Valuation:
    """``dual``: its risk state and prices are those of the rewards that the critic learned from."""

    def __init__(self, critic: Critic, dual: Dual, spec: PPOSpec, seat: Seat):
        self.critic, self.dual, self.gamma = critic, dual, spec.gamma
        self.ends = seat.config.market.horizon == "final"  # nothing is worth anything at an episode's end

    @torch.no_grad()
    def value(self, normalised: Tensor) -> np.ndarray:
        """The value (rows,) float64 of normalised observations (width, rows)."""
        return self.critic.value(normalised).cpu().numpy()

    def error(
        self,
        value: np.ndarray,
        next_value: np.ndarray,
        reward: np.ndarray,
        loss: tuple[np.ndarray, np.ndarray],
        costs: Mapping[str, np.ndarray],
        over: np.ndarray,
    ) -> np.ndarray:
        """The temporal-difference error of a step: what it brought, and what it led to, less what was expected.

        delta = r + gamma V(s') - V(s) (Sutton 1988, Machine Learning 3:9), (M,) in the reward's units, + = better than
        expected. ``reward``: without the tail's charge; ``loss``: since reset, before and after; ``costs``: the step's
        part of each constraint; ``over``: where nothing can be earned after it.
        """
        credit, discount = self.dual.credit(charged(reward, *loss, self.dual.nu, self.dual.kappa), costs)
        return credit + self.gamma * discount * np.where(over, 0.0, next_value) - value

    def state(self) -> dict[str, np.ndarray]:
        """Everything, by name."""
        arrays = {_CRITIC + name: t.detach().cpu().numpy().copy() for name, t in self.critic.state_dict().items()}
        prices = {_PRICE + name: np.array([price]) for name, price in self.dual.prices.items()}
        return arrays | prices | {_RISK: np.array([self.dual.nu, self.dual.kappa])}

    @classmethod
    def of(cls, state: Mapping[str, np.ndarray], spec: PPOSpec, seat: Seat) -> Valuation | None:
        """From what ``state`` gave, among other arrays; None where it is not among them."""
        if _RISK not in state:
            return None
        critic, prices = (
            {name.removeprefix(mark): array for name, array in state.items() if name.startswith(mark)}
            for mark in (_CRITIC, _PRICE)
        )
        network = Critic(len(seat.dealer.observation), spec.hidden, spec.activation, torch.Generator())
        network.load_state_dict({name: torch.tensor(array) for name, array in critic.items()})
        dual = Dual(seat.dealer.objective)
        dual.nu, dual.kappa = state[_RISK].tolist()
        dual.prices = {name: float(price[0]) for name, price in prices.items()}
        return cls(network, dual, spec, seat)
