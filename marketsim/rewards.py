"""What a dealer is rewarded for: a weighted sum of these terms of its step. The ledger never contains a penalty.

A dealer's risk state ``nu, kappa`` is charged on top of the sum: (r - kappa [(L' - nu)+ - (L - nu)+]) / (1 + kappa).
The charges of an episode add up to (L_T - nu)+ - (-nu)+, so that every step bears its part of the tail.

To add a term: a line in ``TERMS`` and its loop in ``reward_stage``; the schema of the experiment file follows.
Units: price units x lots. `dS` is the move of the mid, `q` the inventory after the step's requests,
`L` the loss since reset.
"""

from typing import Literal, get_args

from marketsim.compiled import stage
from marketsim.types import REQUESTED_LOTS, WON_LOTS, Ledger

Kind = Literal[
    "pnl",  # spread + inventory - hedge_cost - fees
    "spread",
    "inventory",  # q dS
    "hedge_cost",  # -hedge_cost
    "fees",  # -fees
    "inventory_penalty",  # -q^2 dt
    "terminal_inventory_penalty",  # -q_T^2 before liquidation, in the last step
    "downside",  # min(q dS, 0)
    "asymmetric_dampening",  # -max(0, q dS); add it to pnl (Spooner et al. 2018)
    "tail_loss",  # -[(L' - c)+ - (L - c)+], threshold c
    "flow_target",  # -(won / requested lots - target)^2, in the last step
    "intervention",  # -interventions
]
KINDS: tuple[str, ...] = get_args(Kind)
PARAMETERS = {"tail_loss": "threshold", "flow_target": "target"}  # the parameter a term needs

(
    _PNL,
    _SPREAD,
    _INVENTORY,
    _HEDGE_COST,
    _FEES,
    _INVENTORY_PENALTY,
    _TERMINAL_INVENTORY_PENALTY,
    _DOWNSIDE,
    _ASYMMETRIC_DAMPENING,
    _TAIL_LOSS,
    _FLOW_TARGET,
    _INTERVENTION,
) = range(len(KINDS))


@stage
def reward_stage(p, d, weight, ledger, i, held, move, loss_before, loss_after, dealer, rewarded, last, reward, lo, n):
    """The weighted sum of a dealer's terms. ``held``: q of stage 7; ``rewarded`` 0 once terminated; ``last``: step T-1."""
    spread = ledger[Ledger.SPREAD, i, lo : lo + n]
    inventory = ledger[Ledger.INVENTORY, i, lo : lo + n]
    hedge_cost = ledger[Ledger.HEDGE_COST, i, lo : lo + n]
    fees = ledger[Ledger.FEES, i, lo : lo + n]
    out = reward[i, lo : lo + n]
    spread_weight = weight[_PNL] + weight[_SPREAD]
    inventory_weight = weight[_PNL] + weight[_INVENTORY]
    cost_weight = weight[_PNL] + weight[_HEDGE_COST]
    fee_weight = weight[_PNL] + weight[_FEES]
    penalty = weight[_INVENTORY_PENALTY] * p.dt + (weight[_TERMINAL_INVENTORY_PENALTY] if last else 0.0)
    for j in range(n):
        out[j] = (
            spread_weight * spread[j]
            + inventory_weight * inventory[j]
            - cost_weight * hedge_cost[j]
            - fee_weight * fees[j]
            - penalty * held[j] * held[j]
        )
    if weight[_DOWNSIDE] != 0.0 or weight[_ASYMMETRIC_DAMPENING] != 0.0:
        for j in range(n):
            x = held[j] * move[j]
            out[j] += weight[_DOWNSIDE] * (x if x < 0.0 else 0.0)
            out[j] -= weight[_ASYMMETRIC_DAMPENING] * (x if x > 0.0 else 0.0)
    if weight[_TAIL_LOSS] != 0.0:
        c = d.tail_threshold
        for j in range(n):
            before = loss_before[j] - c if loss_before[j] > c else 0.0
            after = loss_after[j] - c if loss_after[j] > c else 0.0
            out[j] -= weight[_TAIL_LOSS] * (after - before)
    if weight[_FLOW_TARGET] != 0.0:
        won = dealer[WON_LOTS, i, lo : lo + n]
        requested = dealer[REQUESTED_LOTS, i, lo : lo + n]
        for j in range(n):
            won[j] += ledger[Ledger.BOUGHT, i, lo + j] + ledger[Ledger.SOLD, i, lo + j]
            requested[j] += ledger[Ledger.REQUESTED, i, lo + j]
    if weight[_FLOW_TARGET] != 0.0 and last:
        for j in range(n):
            share = won[j] / requested[j] if requested[j] > 0.0 else 0.0
            out[j] -= weight[_FLOW_TARGET] * (share - d.flow_target) ** 2
    if weight[_INTERVENTION] != 0.0:
        for j in range(n):
            out[j] -= weight[_INTERVENTION] * ledger[Ledger.INTERVENTIONS, i, lo + j]
    if d.kappa != 0.0:
        nu, kappa, per = d.nu, d.kappa, 1.0 / (1.0 + d.kappa)
        for j in range(n):
            before = loss_before[j] - nu if loss_before[j] > nu else 0.0
            after = loss_after[j] - nu if loss_after[j] > nu else 0.0
            out[j] = (out[j] - kappa * (after - before)) * per
    for j in range(n):
        out[j] *= rewarded[j]
