"""The ``limits:`` of a dealer and of a desk as an experiment file has them; what each does stands in docs/market.md."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from marketsim.model import NAME, Listed, Model, NonNegative, Positive, Real, ordered


class MarkupLimit(Model):
    """The band of markups, price units."""

    low: Real
    high: Real
    on_breach: Literal["reject", "clip"] = "clip"
    owner: str = "desk"

    @model_validator(mode="after")
    def _band(self):
        ordered((self.low, self.high))
        return self


class _Limit(Model):
    """``soft``: from here on people are warned; ``hard``: nothing beyond it reaches the market; ``owner``: who answers."""

    soft: Positive | None = None
    hard: Positive
    owner: str = "desk"

    @model_validator(mode="after")
    def _soft_below_hard(self):
        if self.soft is not None and self.soft > self.hard:
            raise ValueError(f"the soft level {self.soft:g} is above the hard level {self.hard:g}")
        return self


_Response = Literal["reject", "reduce_only", "flatten", "widen", "halt"]


class PositionLimit(_Limit):
    """Inventory, lots either way."""

    on_breach: Literal["reject", "clip", "reduce_only", "flatten", "widen"] = "clip"


class WorstCaseLimit(Model):
    """Inventory plus the largest size quoted on that side, lots."""

    hard: Positive
    owner: str = "desk"


class SizeLimit(Model):
    """Lots of a request that a dealer may quote."""

    hard: Positive
    owner: str = "desk"


class LossLimit(_Limit):
    """Loss since reset, price units x lots; in force until reset."""

    on_breach: _Response = "flatten"


class DrawdownLimit(_Limit):
    """Highest P&L since reset less the P&L; in force until reset."""

    on_breach: _Response = "flatten"


class RollingLossLimit(_Limit):
    """Loss over the last ``steps`` steps."""

    steps: Annotated[int, Field(ge=1, le=1000)] = 20
    on_breach: _Response = "reduce_only"


class FeedLimit(Model):
    """The price that is seen: ``jump`` in sd of a step's move, ``frozen`` in steps without a move, ``above`` in price units."""

    jump: Positive | None = None
    frozen: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    above: Real = 0.0
    on_breach: _Response = "reject"
    owner: str = "desk"


class TimeAtLimit(_Limit):
    """Steps in a row begun with an inventory of ``level`` lots or more either way."""

    level: Positive
    on_breach: _Response = "reduce_only"


class HedgeLimit(Model):
    """Lots hedged in a step; 0: the venue is closed to this dealer."""

    hard: NonNegative
    on_breach: Literal["reject", "clip"] = "clip"
    owner: str = "desk"


class SlippageLimit(Model):
    """Cost a lot of a hedge, fee included, price units."""

    hard: NonNegative
    on_breach: Literal["reject", "clip"] = "clip"
    owner: str = "desk"


class OrderRateLimit(Model):
    """Messages to the book in ``steps`` steps, counted afresh at their multiples; those beyond are not sent."""

    hard: Positive
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    owner: str = "desk"


class SelfTradeLimit(Model):
    """Trades with its own or its desk's orders that the book had to prevent since reset."""

    hard: NonNegative
    on_breach: _Response = "halt"
    owner: str = "compliance"


class RepeatedExecutionLimit(_Limit):
    """Trades of its orders in ``steps`` steps, counted afresh at their multiples."""

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    on_breach: _Response = "halt"


class _Supplied(Model):
    """Soft only: the figure is the agent's word about itself, which may call people and take nothing away."""

    soft: Positive
    owner: str = "desk"

    @model_validator(mode="before")
    @classmethod
    def _soft_only(cls, tree: Any) -> Any:
        for key in ("hard", "on_breach"):
            if isinstance(tree, dict) and key in tree:
                raise ValueError(
                    f"{key}: the agent supplies this figure, and what is enforced must not hang on its word: "
                    f"only a soft level is allowed"
                )
        return tree


class ReferenceDistanceLimit(_Supplied):
    """Distance of the quotes from the reference policy: mean over the cells of |markup - reference| / reference."""


class CriticErrorLimit(_Supplied):
    """Recent mean size of the critic's temporal-difference error, in the reward's units; of learned dealers."""


class CVaRBudget(_Supplied):
    """CVaR at ``level`` of the losses of a market's last ``episodes``, the present one as it stands; price units x lots."""

    level: Annotated[float, Field(ge=0.5, le=0.999)] = 0.9
    episodes: Annotated[int, Field(ge=1, le=1000)] = 20


class Limits(Model):
    """What a dealer is held to, whoever it is. ``widen``: by how many reference markups; ``pace``: lots a step, to flatten."""

    markup: MarkupLimit | None = None
    size: SizeLimit | None = None
    position: PositionLimit | None = None
    worst_case: WorstCaseLimit | None = None
    loss: LossLimit | None = None
    rolling_loss: RollingLossLimit | None = None
    drawdown: DrawdownLimit | None = None
    feed: FeedLimit | None = None
    time_at_limit: TimeAtLimit | None = None
    hedge: HedgeLimit | None = None
    slippage: SlippageLimit | None = None
    order_rate: OrderRateLimit | None = None
    self_trade: SelfTradeLimit | None = None
    repeated_execution: RepeatedExecutionLimit | None = None
    reference_distance: ReferenceDistanceLimit | None = None
    critic_error: CriticErrorLimit | None = None
    cvar_budget: CVaRBudget | None = None
    widen: NonNegative = 1.0
    pace: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


class DeskLimits(Model):
    """Limits on several dealers together. ``dealers``: names of their blocks, default all; ``position``: on the sum, lots."""

    dealers: Listed[Annotated[str, Field(pattern=NAME)]] | None = None
    position: SizeLimit
