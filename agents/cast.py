"""The dealers of a market that are played by policies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.config import Desk
from agents.policy import Policy


class Cast:
    """Plays some dealers of a batch: those that do not learn and, in evaluation, the learned ones too.

    ``policies``: agent index -> policy.
    """

    def __init__(self, desk: Desk, policies: Mapping[int, Policy]):
        self.policies = dict(policies)
        self._widths = [len(dealer.observation) for dealer in desk.dealer_of]

    def reset(self, seed: int, episode: int, first_market: int, markets: int, step: int = 0) -> None:
        """Tell the policies that draw or remember that an episode starts, or is taken up at ``step``."""
        for policy in self.policies.values():
            if hasattr(policy, "reset"):
                policy.reset(seed, episode, first_market, markets, step)

    def play(self, observation: np.ndarray, actions: np.ndarray) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """One step: fill ``actions`` (M, N, components) for the dealers that think in actions, and return the
        quotes of those that think in prices, {agent: (markups (M, 2, segments, sizes), hedge (M, 1))}.

        ``observation``: float32 (M, N, width), padded to the widest dealer's.
        """
        quotes = {}
        for agent, policy in self.policies.items():
            seen = observation[:, agent, : self._widths[agent]]
            if policy.native:
                quotes[agent] = policy.quote(seen)
            else:
                action = policy.act(seen)
                actions[:, agent, : action.shape[1]] = action
        return quotes
