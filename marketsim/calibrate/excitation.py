"""What an exponential kernel remembers of past events: the recursion of Ozaki (1979, Ann. Inst. Stat. Math. 31:145)."""

from __future__ import annotations

import math

from marketsim.compiled import kernel


@kernel
def remembered(time, side, decay, out):
    """Fill ``out`` (2, 3, n): before event i, the sums over earlier events of a side of age^p e^(-decay age), p = 0, 1, 2.

    ``time`` (n,) rising, ``side`` (n,) 0 or 1. An event at the same time is earlier if its row is.
    """
    n = time.shape[0]
    for j in range(2):
        for p in range(3):
            out[j, p, 0] = 0.0
    for i in range(1, n):
        gap = time[i] - time[i - 1]
        kept = math.exp(-decay * gap)
        for j in range(2):
            zeroth = out[j, 0, i - 1] + (1.0 if side[i - 1] == j else 0.0)
            first, second = out[j, 1, i - 1], out[j, 2, i - 1]
            out[j, 0, i] = kept * zeroth
            out[j, 1, i] = kept * (first + gap * zeroth)
            out[j, 2, i] = kept * (second + gap * (2.0 * first + gap * zeroth))
