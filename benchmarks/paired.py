"""What measurements in pairs say: two things done in turns, so that a busy machine slows both of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The median with its 95 % interval, from the order statistics (no assumption about the distribution)."""
    ordered, count = sorted(ratios), len(ratios)
    below, rank = 0.0, 0
    while rank < count // 2:
        below += math.comb(count, rank) / 2.0**count
        if below > 0.025:
            break
        rank += 1
    rank = max(0, rank - 1)
    return ordered[rank], float(np.median(ordered)), ordered[count - 1 - rank]
