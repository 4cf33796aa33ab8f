"""A binary tree of sums: draws an index with a probability proportional to its value, for many indices at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SumTree:
    """Values of 0 to n - 1, zero at first.

    :param n: number of values
    """

    def __init__(self, n: int) -> None:
        self._depth = max(n - 1, 1).bit_length()
        self._first_leaf = 2**self._depth
        self._sums = np.zeros(2 * self._first_leaf)  # node i has the children 2i and 2i + 1; the root is 1

    @property
    def total(self) -> float:
        """Sum of all values."""
        return float(self._sums[1])

    def get(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Look up values.

        :param indices: which
        """
        values: NDArray[np.float64] = self._sums[self._first_leaf + indices]
        return values

    def set(self, indices: NDArray[np.int64], values: NDArray[np.float64] | float) -> None:
        """Set values; of an index that comes twice, the last.

        :param indices: which
        :param values: zero or more
        """
        nodes = self._first_leaf + indices
        self._sums[nodes] = values
        for _ in range(self._depth):
            nodes = np.unique(nodes // 2)
            self._sums[nodes] = self._sums[2 * nodes] + self._sums[2 * nodes + 1]

    def find(self, prefixes: NDArray[np.float64]) -> NDArray[np.int64]:
        """Find the index in whose share of the cumulative sum each number falls.

        :param prefixes: numbers in [0, total)
        """
        nodes = np.ones(len(prefixes), np.int64)
        remaining = prefixes.astype(np.float64)
        for _ in range(self._depth):
            left = self._sums[2 * nodes]
            # Rounding may leave a number at the upper end of a subtree whose right half is empty
            right = (remaining >= left) & (self._sums[2 * nodes + 1] > 0)
            remaining -= np.where(right, left, 0.0)
            nodes = 2 * nodes + right
        indices: NDArray[np.int64] = nodes - self._first_leaf
        return indices
