"""Image planes by number, each freed when nothing refers to it any more; in memory or in a file."""

from __future__ import annotations

import os
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.uint8]  # (..., height, width)
Ids = NDArray[np.int32]  # numbers of planes

NO_PLANE = -1


class FrameStore:
    """Counts the references to each stored plane and reuses the place of one that has none left.

    Memory grows as planes come in and stays at the largest number that was ever in use at once.

    With a folder, the planes are in a memory-mapped file of their own there, and a pickled store holds its name only.
    Planes that the latest pickle refers to are not overwritten before the next one, so that it stays valid whatever
    happens in between; an earlier one is refused once its planes may have been. A file that no pickle refers to is
    removed with the store.

    :param height: of a plane [px]
    :param width: of a plane [px]
    :param folder: where to keep the planes on the disk; None keeps them in memory
    """

    GROWTH = 64  # each growth adds this fraction of what is there ...
    LEAST_GROWTH = 256  # ... but at least so many planes
    REFERENCES = np.dtype(np.int32)  # a plane of the same content may be in all rows

    def __init__(self, height: int, width: int, folder: Path | None = None) -> None:
        self.file = None if folder is None else folder / f"frames-{uuid.uuid4().hex}.bin"
        self.planes: Planes = np.zeros((0, height, width), np.uint8)
        self._references: NDArray[np.int32] = np.zeros(0, self.REFERENCES)
        self._pickled: NDArray[np.bool_] = np.zeros(0, np.bool_)  # the latest pickle refers to them
        self._free: list[int] = []
        self._free_after_pickling: list[int] = []
        self._used = 0  # planes that were ever in use: those from here on are untouched
        self._pickles = 0  # made so far
        self._oldest_valid_pickle = 0  # as the file beside the planes says
        self._remove_file: weakref.finalize[..., FrameStore] | None = None

    @property
    def nbytes(self) -> int:
        """Memory or disk space in use [bytes]."""
        return self.planes.nbytes + self._references.nbytes + self._pickled.nbytes

    @classmethod
    def bytes_per_plane(cls, height: int, width: int) -> int:
        """Memory or disk space that one plane takes [bytes].

        :param height: of a plane [px]
        :param width: of a plane [px]
        """
        return height * width + cls.REFERENCES.itemsize + 1

    def put(self, plane: Planes) -> int:
        """Store a plane, with no reference yet, and return its number.

        :param plane: (height, width)
        """
        if self.file is not None and self._oldest_valid_pickle != self._pickles:
            # Said before the first plane of an earlier pickle is overwritten
            self._oldest_valid_pickle = self._pickles
            self.file.parent.mkdir(parents=True, exist_ok=True)  # what was pickled so far may have been empty
            self.file.with_suffix(".oldest").write_text(str(self._pickles))
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
                (self._free_after_pickling if self._pickled[number] else self._free).append(int(number))

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
        for name in ("_references", "_pickled") if self.file is not None else ("_references", "_pickled", "planes"):
            array = getattr(self, name)
            if array.flags.owndata:
                array.resize((size, *array.shape[1:]), refcheck=False)
            else:
                grown = np.zeros((size, *array.shape[1:]), array.dtype)
                grown[: len(array)] = array
                setattr(self, name, grown)
        if self.file is not None:
            self._grow_file(self.file, size)

    def _grow_file(self, file: Path, size: int) -> None:
        shape = (size, *self.planes.shape[1:])
        if self._used == 0:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._remove_file = weakref.finalize(self, file.unlink, missing_ok=True)
        with file.open("ab") as opened:
            # Not sparse: a full disk is an error here, not a signal that kills the process at some later write
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, int(np.prod(shape)))
            else:
                opened.truncate(int(np.prod(shape)))
        self.planes = np.memmap(file, np.uint8, "r+", shape=shape)

    def __getstate__(self) -> dict[str, Any]:
        # Without the room that nothing has used yet
        state = {**self.__dict__, "_references": self._references[: self._used], "_remove_file": None}
        if self.file is None:
            return {**state, "planes": self.planes[: self._used], "_pickled": self._pickled[: self._used]}
        if isinstance(self.planes, np.memmap):
            self.planes.flush()
        if self._remove_file is not None:
            self._remove_file.detach()
        self._pickles += 1
        self._pickled[: self._used] = self._references[: self._used] > 0
        self._free += self._free_after_pickling
        self._free_after_pickling = []
        return {
            **state,
            "planes": self.planes.shape[1:],
            "_pickles": self._pickles,
            "_pickled": self._pickled[: self._used],
            "_free": list(self._free),
            "_free_after_pickling": [],
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.file is None:
            return
        shape = (self._used, *state["planes"])
        size = int(np.prod(shape))
        if size == 0:  # nothing in that file is its own, and what later pickles have there is not to be overwritten
            self.file = self.file.with_name(f"frames-{uuid.uuid4().hex}.bin")
            self._pickles = self._oldest_valid_pickle = 0
            self.planes = np.zeros(shape, np.uint8)
            return
        if not self.file.exists() or self.file.stat().st_size < size:
            raise FileNotFoundError(
                f"The frames of this replay buffer were in {self.file}, which is missing or too short. "
                "Put it back, or start without the saved buffer."
            )
        oldest = self.file.with_suffix(".oldest")
        if oldest.exists() and int(oldest.read_text()) > self._pickles:
            raise ValueError(
                f"The frames of this replay buffer were in {self.file}, where later ones have taken their place. "
                "Load what was saved last, or start without the saved buffer."
            )
        self.planes = np.memmap(self.file, np.uint8, "r+", shape=shape)
