"""The stacked images of one observation entry, for every row of a replay buffer.

An observation of k stacked frames shares k - 1 of them with the one before, and the "next" observation of a transition
is the observation of the following one. The repetitions are found by comparing, so any input comes back exactly; what
does not repeat is stored in full.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_carla.buffers.frame_store import NO_PLANE, FrameStore, Ids, Planes


class StackColumn:
    """Observation and next observation of every row and environment, as numbers of planes in a store.

    :param shape: (frames, height, width)
    :param rows: of the buffer
    :param n_envs: number of parallel environments
    :param folder: where to keep the planes on the disk; None keeps them in memory
    """

    def __init__(self, shape: tuple[int, ...], rows: int, n_envs: int, folder: Path | None = None) -> None:
        self.shape = shape
        self.n_frames, height, width = shape
        self.store = FrameStore(height, width, folder)
        self.ids: Ids = np.full((rows, n_envs, self.n_frames), NO_PLANE, np.int32)
        self.next_ids: Ids = np.full((rows, n_envs, self.n_frames), NO_PLANE, np.int32)
        # Each environment's latest next observation, which the following observation is compared with
        self._latest: Planes = np.zeros((n_envs, *shape), np.uint8)
        self._latest_ids: Ids = np.full((n_envs, self.n_frames), NO_PLANE, np.int32)

    @property
    def nbytes(self) -> int:
        """Memory in use [bytes]; the rows are counted in full."""
        return self.store.nbytes + self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Memory of the rows without their planes [bytes]."""
        return self.ids.nbytes + self.next_ids.nbytes

    @property
    def plane_bytes_when_full(self) -> int:
        """Memory or disk space of the planes of a full buffer [bytes] if episodes are much longer than the stack."""
        rows, n_envs = self.ids.shape[:2]
        return int(rows * n_envs * FrameStore.bytes_per_plane(*self.shape[1:]))

    def add(self, row: int, env: int, observation: Planes, next_observation: Planes) -> None:
        """Store the images of a transition, in place of those that were in this row.

        :param row: of the buffer
        :param env: number of the environment
        :param observation: (frames, height, width)
        :param next_observation: (frames, height, width)
        """
        ids = self._store_stack(observation, self._latest[env], self._latest_ids[env])
        # Held before the next lookup may need its place, and before the row that is overwritten lets its planes go
        self.store.hold(ids)
        next_ids = self._store_stack(next_observation, observation, ids)
        self.store.hold(next_ids)
        self.store.release(self.ids[row, env])
        self.store.release(self.next_ids[row, env])
        self.ids[row, env] = ids
        self.next_ids[row, env] = next_ids
        self._latest[env] = next_observation
        self._latest_ids[env] = next_ids

    def _store_stack(self, stack: Planes, before: Planes, before_ids: Ids) -> Ids:
        """Number the planes of a stack, storing those that the stack before it does not hold.

        :param stack: (frames, height, width)
        :param before: a stack that was stored already
        :param before_ids: its numbers
        """
        ids = np.full(self.n_frames, NO_PLANE, np.int32)
        known = 0
        if before_ids[0] != NO_PLANE:
            # Unmoved, moved by one frame (of one channel), by two, ...: the stack begins with the end of the one before
            for shift in (1, 0, *range(2, self.n_frames)):
                overlap = self.n_frames - shift
                if np.array_equal(stack[:overlap], before[shift:]):
                    ids[:overlap] = before_ids[shift:]
                    known = overlap
                    break
        for index in range(known, self.n_frames):
            # The first stack of an episode often repeats its first frame
            repeats = index > 0 and np.array_equal(stack[index], stack[index - 1])
            ids[index] = ids[index - 1] if repeats else self.store.put(stack[index])
        return ids


class StackView:
    """Looks like the array (rows, environments, frames, height, width) of observations, for reading.

    :param store: the planes
    :param ids: the numbers of the planes of each row and environment
    """

    def __init__(self, store: FrameStore, ids: Ids) -> None:
        self.store = store
        self.ids = ids

    def __getitem__(self, rows: tuple[Any, ...]) -> Planes:
        return self.store.take(self.ids[rows])


class DictView:
    """Looks like an array whose elements are Dict observations, for reading.

    :param entries: what is indexed, by key
    """

    def __init__(self, entries: dict[str, Any]) -> None:
        self.entries = entries

    def __getitem__(self, rows: tuple[Any, ...]) -> dict[str, Any]:
        return {key: entry[rows] for key, entry in self.entries.items()}


def is_stacked_image(space: spaces.Space[Any]) -> bool:
    """Whether a space is one of uint8 images with several channels in front, which may be stacked frames.

    :param space: an observation space, or an entry of one
    """
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and 1 < space.shape[0] < min(space.shape[1:])
    )


def has_stacked_images(space: spaces.Space[Any]) -> bool:
    """Whether a space is one of stacked images, or a Dict with such an entry.

    :param space: an observation space
    """
    entries = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return any(map(is_stacked_image, entries))
