"""The working memory of a block of markets: which intermediate figure of the step stands in which row."""

import numpy as np

BLOCK = 1024  # markets a stage handles at once: large enough that rounds of few requests cost little

# Rows of floats: single ones, then groups of one row a dealer, then the features.
(
    POSITION,  # where the arrival process of a market stands
    BACKWARDS,  # 1 where the cells run backwards in this step
    SIGNED_SIZE,
    BEST,
    SECOND,
    LEADER,  # who shows the best quote, and who wins: dealers counted in floats, so that loops vectorise
    WINNER,
    TOTAL,
    INTERCEPT,  # of the request's cell, or the reservation's floor
    SENSITIVITY,  # ... or its scale
    LOGIT,
    TAKEN,
    TOTAL_HEDGE,
    MOVE,
    HELD,
    LOSS_AFTER,
    FINITE,
    VALUE,
    REFERENCE,  # markup of the request's cell
    DESK,  # the desk's inventory
    NEXT,  # S_{t+1}
    GROUPS,
) = range(22)
(
    *(MARKUP, CAN, WEIGHT, QUOTING, LIMIT, LARGEST_BID, LARGEST_ASK, HEDGE, ASKED, SKEW, LOSS, REWARDED),
    LIQUIDATION,  # what it costs to trade the inventory at the end, fees not counted
    AFTER,
) = range(14)
# Rows of integers, then groups of one row a dealer. FIRED: the bits of a block's orders together, in its first entry.
WHO, CELL, INFORMED, COLUMN, INTEGER_GROUPS = range(5)
REASONS, WARNINGS, ORDERS, FIRED, INTEGERS_AFTER = range(5)
FEATURES = 16  # one a name of the catalogue of observations


def scratch(dealers: int, markets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Working memory of one thread: floats, integers, keys."""
    width = min(BLOCK, markets)
    return (
        np.zeros((GROUPS + AFTER * dealers + FEATURES, width)),
        np.zeros((INTEGER_GROUPS + INTEGERS_AFTER * dealers, width), dtype=np.uint32),
        np.zeros((3, width), dtype=np.uint64),
    )
