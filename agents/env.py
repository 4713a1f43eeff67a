"""A desk as a PettingZoo parallel environment of its learning dealers; policies play the others."""

from __future__ import annotations

from agents.cast import Cast
from agents.config import Desk
from agents.policy import Seat, build
from marketsim.config import MarketConfig
from marketsim.document import parse
from marketsim.env import DealerMarketEnv


class LearnerEnv(DealerMarketEnv):
    """``DealerMarketEnv`` with only the learning dealers as agents."""

    def __init__(self, desk: Desk, seed: int = 0):
        if not desk.learners:
            raise ValueError("dealers: none of them learns; give one a policy that does, such as ppo")
        super().__init__(desk, seed)
        others = {i: build(d.policy, Seat(desk, i)) for i, d in enumerate(desk.dealer_of) if not d.policy.learns}
        self._cast = Cast(desk, others)
        self.possible_agents = [desk.agents[i] for i in desk.learners]

    def reset(self, seed: int | None = None, options: dict | None = None):
        """As ``DealerMarketEnv.reset``; the policies start an episode too."""
        started = super().reset(seed, options)
        self._tell_policies()
        return started

    def __setstate__(self, state) -> None:
        super().__setstate__(state)
        if self.agents:
            self._tell_policies()

    def _tell_policies(self) -> None:
        """They are in an episode, at this step."""
        batch = self._batch
        self._cast.reset(batch.seed, batch.episode, batch.first_market, 1, int(batch.state["step"]))

    def _quotes_of_others(self) -> dict:
        return self._cast.play(self._batch.results[0].observation, self._actions)


def learner_env(config: MarketConfig, seed: int = 0) -> LearnerEnv:
    """A ``pettingzoo.ParallelEnv`` of the learning dealers; the others are played by their policies.

    ``config``: a ``Desk``, or what ``marketsim.load_config`` returned, which remembers the policies of its file.
    """
    if isinstance(config, Desk):
        return LearnerEnv(config, seed)
    if config._document is None:
        raise ValueError("this config names no policies; give a Desk, or what marketsim.load_config returned")
    return LearnerEnv(parse(Desk, config._document), seed)
