"""Rewards: the sum of weight * term. The ledger never contains a penalty."""

from dataclasses import dataclass


@dataclass
class Facts:
    """What the terms of one dealer's step are made of, beside its ledger."""

    ledger: dict
    inventory: float  # after the requests, before liquidation
    move: float  # S_{t+1} - S_t
    dt: float
    last: bool  # the last step of the episode
    loss_before: float  # since reset, at the start of the step
    loss_after: float
    won_lots: float  # since reset
    requested_lots: float
    nu: float  # the dealer's risk state
    kappa: float


def pnl(facts):
    ledger = facts.ledger
    return ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]


def tail_loss(facts, threshold=0.0):
    return max(facts.loss_before - threshold, 0.0) - max(facts.loss_after - threshold, 0.0)


def flow_target(facts, target=0.0):
    share = facts.won_lots / facts.requested_lots if facts.requested_lots else 0.0
    return -((share - target) ** 2) if facts.last else 0.0


TERMS = {
    "pnl": pnl,
    "spread": lambda facts: facts.ledger["spread"],
    "inventory": lambda facts: facts.ledger["inventory"],
    "hedge_cost": lambda facts: -facts.ledger["hedge_cost"],
    "fees": lambda facts: -facts.ledger["fees"],
    "inventory_penalty": lambda facts: -(facts.inventory**2) * facts.dt,
    "terminal_inventory_penalty": lambda facts: -(facts.inventory**2) if facts.last else 0.0,
    "downside": lambda facts: min(facts.inventory * facts.move, 0.0),
    "asymmetric_dampening": lambda facts: -max(0.0, facts.inventory * facts.move),
    "tail_loss": tail_loss,
    "flow_target": flow_target,
    "intervention": lambda facts: -facts.ledger["interventions"],
}


def reward(terms, facts):
    """``terms`` as in an experiment file: names, or {kind, weight, the term's own parameters}."""
    total = 0.0
    for term in terms:
        parameters = {"kind": term} if isinstance(term, str) else dict(term)
        kind, weight = parameters.pop("kind"), parameters.pop("weight", 1.0)
        total += weight * TERMS[kind](facts, **parameters)
    charge = max(facts.loss_after - facts.nu, 0.0) - max(facts.loss_before - facts.nu, 0.0)
    return (total - facts.kappa * charge) / (1.0 + facts.kappa)
