"""Trading at the venue: what h lots cost there. The curve: half_spread |h| + slope h^2, and a fee per lot."""

from marketsim.compiled import formula


@formula
def venue_cost(half_spread, slope, h):
    """Price units x lots, >= 0."""
    return half_spread * abs(h) + slope * h * h


@formula
def venue_fee(fee, h):
    """Price units x lots, >= 0."""
    return fee * abs(h)
