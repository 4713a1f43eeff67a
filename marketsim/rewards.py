"""What a dealer is rewarded for: a weighted sum of these terms of its step. The ledger never contains a penalty.

A dealer's risk state ``nu, kappa`` is charged on top of the sum: (r - kappa [(L' - nu)+ - (L - nu)+]) / (1 + kappa).
The charges of an episode add up to (L_T - nu)+ - (-nu)+, so that every step bears its part of the tail.

To add a term: a line in ``TERMS`` and its loop in ``reward_stage``; the schema of the experiment file follows.
Units: price units x lots. `dS` is the move of the mid, `q` the inventory after the step's requests,
`L` the loss since reset.
"""

from typing import Literal, get_args

from marketsim.compiled import stage
from marketsim.types import (
    OWN_ASK,
    OWN_BID,
    OWN_MARK,
    POTENTIAL,
    PRESENT,
    REQUESTED_LOTS,
    WON_LOTS,
    Ledger,
)

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
    "sampled_inventory_penalty",  # -q^2 dt every, in each step whose end is a multiple of ``every``
    "potential",  # P' - P with P = -q^2 and 0 at the end: shaping that leaves the optimum alone (Ng et al. 1999)
    "own_quote",  # the change of |q| m, m the markup last quoted on the side that would reduce q; add it to pnl
    "presence",  # requests quoted at a markup of at most ``within``, filled or not
    "pooled_spread",  # the mean spread of all dealers
]
KINDS: tuple[str, ...] = get_args(Kind)
PARAMETERS = {  # the parameter a term needs
    "tail_loss": "threshold",
    "flow_target": "target",
    "sampled_inventory_penalty": "every",
    "presence": "within",
}
OF_QUOTES = ("own_quote", "presence")  # terms made of what is quoted, not of what trades

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
    _SAMPLED_INVENTORY_PENALTY,
    _POTENTIAL,
    _OWN_QUOTE,
    _PRESENCE,
    _POOLED_SPREAD,
) = range(len(KINDS))


@stage
def reward_stage(p, d, weight, ledger, i, held, move, loss_before, loss_after, dealer, rewarded, end, reward, lo, n):
    """The weighted sum of a dealer's terms. ``held``: q of stage 7; ``rewarded`` 0 once terminated; ``end``: t + 1."""
    last = end == p.steps
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
    if weight[_SAMPLED_INVENTORY_PENALTY] != 0.0 and end % d.every == 0:
        penalty += weight[_SAMPLED_INVENTORY_PENALTY] * p.dt * d.every
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
    if weight[_POTENTIAL] != 0.0:
        before = dealer[POTENTIAL, i, lo : lo + n]
        for j in range(n):
            now = 0.0 if last else -held[j] * held[j]
            out[j] += weight[_POTENTIAL] * (now - before[j])
            before[j] = now
    if weight[_OWN_QUOTE] != 0.0:
        before = dealer[OWN_MARK, i, lo : lo + n]
        for j in range(n):
            q = held[j]
            now = q * dealer[OWN_ASK, i, lo + j] if q > 0.0 else -q * dealer[OWN_BID, i, lo + j]
            out[j] += weight[_OWN_QUOTE] * (now - before[j])
            before[j] = now
    if weight[_PRESENCE] != 0.0:
        present = dealer[PRESENT, i, lo : lo + n]
        for j in range(n):
            out[j] += weight[_PRESENCE] * present[j]
            present[j] = 0.0
    if weight[_POOLED_SPREAD] != 0.0:
        share = weight[_POOLED_SPREAD] / ledger.shape[1]
        for l in range(ledger.shape[1]):
            for j in range(n):
                out[j] += share * ledger[Ledger.SPREAD, l, lo + j]
    if d.kappa != 0.0:
        nu, kappa, per = d.nu, d.kappa, 1.0 / (1.0 + d.kappa)
        for j in range(n):
            before = loss_before[j] - nu if loss_before[j] > nu else 0.0
            after = loss_after[j] - nu if loss_after[j] > nu else 0.0
            out[j] = (out[j] - kappa * (after - before)) * per
    for j in range(n):
        out[j] *= rewarded[j]
