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
    end: int = 0  # steps made, this one included
    inventory_before: float = 0.0  # where the step began
    own_before: tuple = (0.0, 0.0)  # markup last quoted on each side, [bid, ask], where the step began
    own: tuple = (0.0, 0.0)  # ... and where it ended
    quoted: tuple = ()  # the markups of all requests that it quoted in this step
    spreads: tuple = ()  # spread of every dealer


def pnl(facts):
    ledger = facts.ledger
    return ledger["spread"] + ledger["inventory"] - ledger["hedge_cost"] - ledger["fees"]


def tail_loss(facts, threshold=0.0):
    return max(facts.loss_before - threshold, 0.0) - max(facts.loss_after - threshold, 0.0)


def flow_target(facts, target=0.0):
    share = facts.won_lots / facts.requested_lots if facts.requested_lots else 0.0
    return -((share - target) ** 2) if facts.last else 0.0


def sampled_inventory_penalty(facts, every=1):
    return -(facts.inventory**2) * facts.dt * every if facts.end % every == 0 else 0.0


def potential(facts):
    return (0.0 if facts.last else -(facts.inventory**2)) + facts.inventory_before**2


def own_quote(facts):
    def mark(inventory, own):
        return abs(inventory) * own[1 if inventory > 0 else 0]

    return mark(facts.inventory, facts.own) - mark(facts.inventory_before, facts.own_before)


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
    "sampled_inventory_penalty": sampled_inventory_penalty,
    "potential": potential,
    "own_quote": own_quote,
    "presence": lambda facts, within=0.0: sum(markup <= within for markup in facts.quoted),
    "pooled_spread": lambda facts: sum(facts.spreads) / len(facts.spreads),
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
