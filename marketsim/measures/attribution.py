"""Attribution: where the P&L came from, in terms of the ledger that sum to it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# how each term of the ledger enters the P&L: costs are positive in the ledger
SIGNS = {"spread": 1, "inventory": 1, "hedge_cost": -1, "fees": -1}


def pnl(terms: Mapping[str, np.ndarray]) -> np.ndarray:
    """P&L = spread + inventory - hedge_cost - fees (price units x lots), of arrays of any one shape."""
    return sum(sign * np.asarray(terms[term]) for term, sign in SIGNS.items())  # type: ignore[return-value]
