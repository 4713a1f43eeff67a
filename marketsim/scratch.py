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
    GROUPS,
) = range(18)
MARKUP, CAN, WEIGHT, QUOTING, REDUCING, HEDGE, ASKED, SKEW, LOSS, REWARDED, AFTER = range(11)
# Rows of integers; REASONS and on: one a dealer.
WHO, CELL, INFORMED, COLUMN, REASONS = range(5)
FEATURES = 16  # one a name of the catalogue of observations


def scratch(dealers: int, markets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Working memory of one thread: floats, integers, keys."""
    width = min(BLOCK, markets)
    return (
        np.zeros((GROUPS + AFTER * dealers + FEATURES, width)),
        np.zeros((REASONS + dealers, width), dtype=np.uint32),
        np.zeros((3, width), dtype=np.uint64),
    )
