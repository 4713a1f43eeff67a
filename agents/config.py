"""What an experiment file says of a dealer's policy: one model a kind, imported without torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from marketsim.config import Dealer, MarketConfig
from marketsim.model import Listed, Model, NonNegative, Positive, Probability, as_tuple, tagged


class PolicySpec(Model):
    """A ``policy:`` block."""

    learns: ClassVar[bool] = False
    kind: str


class FixedSpec(PolicySpec):
    """The same markups always. ``markup``: one number or one per cell (side, segment, size); default the reference."""

    kind: Literal["fixed"]
    markup: Annotated[float | tuple[float, ...], BeforeValidator(as_tuple)] | None = None
    hedge: Probability = 0.0  # fraction of the inventory hedged each step


class RandomSpec(PolicySpec):
    """Uniform actions over the action range."""

    kind: Literal["random"]


class AvellanedaStoikovSpec(PolicySpec):
    """Avellaneda and Stoikov (2008): reservation price and spread under exponential utility."""

    kind: Literal["avellaneda_stoikov"]
    risk_aversion: Positive = 0.1
    rate: Positive | None = None  # fill decay k; default: from the clients' choice
    volatility: NonNegative | None = None  # default: the market's


class OptimalSpec(PolicySpec):
    """The exact optimum of a single dealer with integer lots."""

    kind: Literal["optimal"]
    max_inventory: Annotated[int, Field(ge=1, le=2000)] | None = None


class PluginSpec(PolicySpec):
    """A policy of the user's, imported in a process of its own, and only where that is allowed (``--allow-plugins``).

    ``factory``: ``package.module:name``, called with facts about the seat (a dict) and returning a policy.
    ``timeout``: seconds for an answer.
    """

    kind: Literal["plugin"]
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    native: bool = False
    timeout: Annotated[float, Field(gt=0, le=3600)] = 10.0


class PPOSpec(PolicySpec):
    """Proximal policy optimisation (Schulman et al. 2017); names as in the literature."""

    learns: ClassVar[bool] = True
    kind: Literal["ppo"]
    hidden: Listed[Annotated[int, Field(ge=1, le=4096)]] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    rollout: Annotated[int, Field(ge=1, le=100_000)] | None = None  # steps a rollout; default: the episode
    epochs: Annotated[int, Field(ge=1, le=100)] = 4
    minibatches: Annotated[int, Field(ge=1, le=4096)] = 8
    learning_rate: Positive = 1e-3
    anneal: bool = True  # learning rate falls linearly to 0
    gamma: Probability = 1.0
    gae_lambda: Probability = 0.5  # low: the mid's moves are noise that a longer sum only adds up
    clip: Positive = 0.2
    entropy: NonNegative = 0.0
    value: NonNegative = 0.5
    max_grad_norm: Positive = 0.5
    target_kl: Positive | None = None
    initial_sd: Positive = 0.5
    reference_kl: NonNegative = 0.0  # weight of KL(policy || reference policy)
    reference: str | None = None  # a checkpoint folder
    shared: bool = False  # one policy for all ``count`` dealers of the block


PolicyBlock = Annotated[
    FixedSpec | RandomSpec | AvellanedaStoikovSpec | OptimalSpec | PluginSpec | PPOSpec,
    Field(discriminator="kind"),
    tagged(),
]


class Objective(Model):
    """What a learner maximises: the mean of its episode reward."""

    kind: Literal["mean"] = "mean"


class TradingDealer(Dealer):
    """A dealer with the policy that plays it."""

    policy: PolicyBlock
    objective: Annotated[Objective, tagged("mean")] = Objective()


class Desk(MarketConfig):
    """A market whose dealers have policies."""

    dealers: Listed[TradingDealer]

    @property
    def dealer_of(self) -> tuple[TradingDealer, ...]:
        """The block of the file behind each agent."""
        return tuple(dealer for dealer in self.dealers for _ in dealer.agents)

    @property
    def learners(self) -> tuple[int, ...]:
        """The agents that learn."""
        return tuple(i for i, dealer in enumerate(self.dealer_of) if dealer.policy.learns)
