"""What an experiment file says of a dealer's policy: one model a kind, imported without torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from marketsim.config import Dealer, MarketConfig
from marketsim.model import Listed, Model, NonNegative, Positive, Probability, Real, as_tuple, tagged
from marketsim.observe import DEFAULT

TAIL_KINDS = ("mean_cvar", "cvar_constrained")  # of objectives that charge for the tail of the loss


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


class PID(Model):
    """Gains of a multiplier (Stooke, Achiam and Abbeel 2020), a measurement; docs/objectives.md has the units."""

    proportional: NonNegative = 0.5
    integral: NonNegative = 0.1
    derivative: NonNegative = 0.0


class Constraint(Model):
    """A mean that must stay within a limit.

    ``time_at_limit``: the share of an episode's steps that end at the position limit. ``turnover``: the lots an episode
    trades, with clients and at the venue.
    """

    kind: Literal["time_at_limit", "turnover"]
    limit: Positive


Level = Annotated[float, Field(ge=0.5, le=0.999)]


class Objective(Model):
    """What a learner maximises, over episodes; docs/objectives.md."""

    kind: str


class _Constrained(Objective):
    constraints: Listed[Constraint] = ()
    pid: PID = PID()
    episodes: Annotated[int, Field(ge=1000, le=1_000_000)] = 2000  # fresh ones, a measurement

    @model_validator(mode="after")
    def _each_once(self):
        kinds = [constraint.kind for constraint in self.constraints]
        if len(set(kinds)) != len(kinds):
            raise ValueError("constraints: each kind at most once")
        return self


class Mean(_Constrained):
    """The mean of the episode's reward."""

    kind: Literal["mean"] = "mean"


class MeanCVaR(_Constrained):
    """The mean less ``weight`` times the CVaR of the episode's loss at ``level``."""

    kind: Literal["mean_cvar"]
    weight: NonNegative
    level: Level = 0.95


class CVaRConstrained(_Constrained):
    """The mean, subject to a CVaR of the episode's loss of at most ``limit``, price units x lots."""

    kind: Literal["cvar_constrained"]
    limit: Real
    level: Level = 0.95


class Entropic(Objective):
    """The certainty equivalent -1/g log E exp(-g reward) of exponential utility, g the ``risk_aversion``."""

    kind: Literal["entropic"]
    risk_aversion: Positive


ObjectiveBlock = Annotated[Mean | MeanCVaR | CVaRConstrained | Entropic, Field(discriminator="kind"), tagged("mean")]


class TradingDealer(Dealer):
    """A dealer with the policy that plays it."""

    policy: PolicyBlock
    objective: ObjectiveBlock = Mean()

    @model_validator(mode="before")
    @classmethod
    def _sees_its_tail(cls, tree: Any) -> Any:
        """The default observation of a dealer with a tail objective has ``tail`` in it."""
        objective = tree.get("objective") if isinstance(tree, dict) else None
        kind = objective.get("kind") if isinstance(objective, dict) else objective
        seen = tree.get("observation", "default") if isinstance(tree, dict) else None
        if kind in TAIL_KINDS and (seen == "default" or isinstance(seen, list | tuple) and tuple(seen) == DEFAULT):
            return {**tree, "observation": [*DEFAULT, "tail"]}
        return tree

    @model_validator(mode="after")
    def _has_a_critic(self):
        if self.limits.critic_error is not None and not self.policy.learns:
            raise ValueError(f"limits.critic_error: policy {self.policy.kind} has no critic, only one that learns has")
        return self

    @model_validator(mode="after")
    def _objective_fits(self):
        kind, policy = self.objective.kind, self.policy
        if kind == "mean":
            return self
        if kind in TAIL_KINDS and "tail" not in self.observation:
            raise ValueError(f"objective {kind} needs the observation tail, without it the best action is not known")
        if isinstance(policy, PPOSpec) and policy.gamma != 1:
            raise ValueError(f"objective {kind} is about whole episodes, policy.gamma must be 1, not {policy.gamma:g}")
        return self


class Desk(MarketConfig):
    """A market whose dealers have policies."""

    dealers: Listed[TradingDealer]

    @model_validator(mode="after")
    def _objectives_fit(self):
        for dealer in self.dealers:
            place, objective = f"dealers.{dealer.name}.objective", dealer.objective
            if objective.kind != "mean" and self.market.horizon != "final":
                raise ValueError(f"{place}: {objective.kind} is about whole episodes, market.horizon must be final")
            limited = dealer.limits.position or self.market.inventory_limit
            if any(c.kind == "time_at_limit" for c in getattr(objective, "constraints", ())) and not limited:
                raise ValueError(f"{place}: time_at_limit needs limits.position or market.inventory_limit")
        return self

    @property
    def dealer_of(self) -> tuple[TradingDealer, ...]:
        """The block of the file behind each agent."""
        return tuple(dealer for dealer in self.dealers for _ in dealer.agents)

    @property
    def learners(self) -> tuple[int, ...]:
        """The agents that learn."""
        return tuple(i for i, dealer in enumerate(self.dealer_of) if dealer.policy.learns)
