"""Image planes by number, each freed when nothing refers to it any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.uint8]  # (..., height, width)
Ids = NDArray[np.int32]  # numbers of planes

NO_PLANE = -1


class FrameStore:
    """Counts the references to each stored plane and reuses the place of one that has none left.

    Memory grows as planes come in and stays at the largest number that was ever in use at once.

    :param height: of a plane [px]
    :param width: of a plane [px]
    """

    GROWTH = 64  # each growth adds this fraction of what is there ...
    LEAST_GROWTH = 256  # ... but at least so many planes
    REFERENCES = np.dtype(np.int32)  # a plane of the same content may be in all rows

    def __init__(self, height: int, width: int) -> None:
        self.planes: Planes = np.zeros((0, height, width), np.uint8)
        self._references: NDArray[np.int32] = np.zeros(0, self.REFERENCES)
        self._free: list[int] = []
        self._used = 0  # planes that were ever in use: those from here on are untouched

    @property
    def nbytes(self) -> int:
        """Memory in use [bytes]."""
        return self.planes.nbytes + self._references.nbytes

    def put(self, plane: Planes) -> int:
        """Store a plane, with no reference yet, and return its number.

        :param plane: (height, width)
        """
        if self._free:
            number = self._free.pop()
        else:
            if self._used == len(self.planes):
                self._grow()
            number = self._used
            self._used += 1
        self.planes[number] = plane
        return number

    def hold(self, numbers: Sequence[int] | Ids) -> None:
        """Add a reference to each of some planes.

        :param numbers: the planes; one may come several times
        """
        for number in numbers:
            self._references[number] += 1

    def release(self, numbers: Sequence[int] | Ids) -> None:
        """Drop a reference to each of some planes, and free those that have none left.

        :param numbers: the planes; `NO_PLANE` is skipped
        """
        for number in numbers:
            if number == NO_PLANE:
                continue
            self._references[number] -= 1
            if self._references[number] == 0:
                self._free.append(int(number))

    def take(self, numbers: Ids) -> Planes:
        """Copy planes out.

        :param numbers: (batch, n)
        :return: (batch, n, height, width)
        """
        return np.take(self.planes, numbers, axis=0)

    def _grow(self) -> None:
        size = self._used + max(self._used // self.GROWTH, self.LEAST_GROWTH)
        # In place, so that the operating system can extend the memory instead of copying gigabytes. No view of the
        # planes leaves this class, so nothing can point to the old memory. Unpickled arrays do not own their memory
        # and are copied.
        for name in ("planes", "_references"):
            array = getattr(self, name)
            if array.flags.owndata:
                array.resize((size, *array.shape[1:]), refcheck=False)
            else:
                grown = np.zeros((size, *array.shape[1:]), array.dtype)
                grown[: len(array)] = array
                setattr(self, name, grown)

    def __getstate__(self) -> dict[str, Any]:
        # Without the room that nothing has used yet
        return {**self.__dict__, "planes": self.planes[: self._used], "_references": self._references[: self._used]}
