"""A replay buffer for stacked images that stores every frame once (how: `stacks`)."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_carla.buffers.stacks import DictView, StackColumn, StackView, has_stacked_images, is_stacked_image

ONLY = "image"  # the name of the only entry where observations are no Dict


class FrameReplayBuffer(NStepReplayBuffer):
    """Samples exactly what SB3's ReplayBuffer (or NStep-, DictReplayBuffer) would, from about an eighth of its memory.

    Memory is taken as the buffer fills, `describe_memory` says how much it will be. With a folder, the frames are in a
    memory-mapped file there: ``save_replay_buffer`` then writes little more than their numbers, and the frames survive
    a restart. A saved buffer needs its file, which is not overwritten before the next save; clear the folder when you
    no longer need either.

    >>> space = spaces.Box(0, 255, (4, 84, 84), "uint8")
    >>> buffer = FrameReplayBuffer(1_000_000, space, spaces.Box(-1, 1, (2,)))
    >>> round(buffer.bytes_when_full / 1e9, 1), round(buffer.stock_bytes / 1e9, 1)
    (7.1, 56.5)

    :param buffer_size: transitions to keep
    :param observation_space: ``Box(0, 255, (frames, height, width), uint8)``, as `is_stacked_image` tells, or a Dict
        with at least one such entry; other entries are stored as SB3 does
    :param action_space: action space
    :param device: where samples go
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: must stay False: SB3's saving at the price of exactness is not needed here
    :param handle_timeout_termination: do not treat the end of a time limit as terminal
    :param n_steps: rewards to sum up for n-step returns, with SB3's conventions
    :param gamma: discount of the n-step returns
    :param folder: where to keep the frames on the disk; None keeps them in memory
    """

    observation_space: spaces.Space[Any]

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
        folder: str | Path | None = None,
    ) -> None:
        if not has_stacked_images(observation_space):
            raise ValueError(
                f"FrameReplayBuffer stores uint8 images of shape (frames, height, width), not {observation_space}. "
                "Use SB3's ReplayBuffer or DictReplayBuffer."
            )
        if optimize_memory_usage:
            raise ValueError(
                "FrameReplayBuffer does not take optimize_memory_usage=True. Leave it out: "
                "the buffer needs less memory than that and is exact."
            )
        if n_steps < 1:
            raise ValueError(f"n_steps is {n_steps}. Give 1 or more.")
        # Not ReplayBuffer's constructor, which allocates both observation arrays in full
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps = n_steps
        self.gamma = gamma
        self.folder = None if folder is None else Path(folder)

        rows = (self.buffer_size, n_envs)
        self.actions = np.zeros((*rows, self.action_dim), self._maybe_cast_dtype(action_space.dtype))
        self.rewards = np.zeros(rows, np.float32)
        self.dones = np.zeros(rows, np.float32)
        self.timeouts = np.zeros(rows, np.float32)

        self.images: dict[str, StackColumn] = {}
        self.others: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}  # observations and next observations
        shapes: dict[str, Any] = self.obs_shape if isinstance(self.obs_shape, dict) else {ONLY: self.obs_shape}
        for key, shape in shapes.items():
            space = observation_space[key] if isinstance(observation_space, spaces.Dict) else observation_space
            if is_stacked_image(space):
                self.images[key] = StackColumn(shape, *rows, self.folder)
            else:
                self.others[key] = (np.zeros((*rows, *shape), space.dtype), np.zeros((*rows, *shape), space.dtype))
        self._warn_if_too_large()

    @property
    def bytes_when_full(self) -> int:
        """Memory and disk space of the full buffer [bytes] if episodes are much longer than the stack."""
        return self._row_bytes + sum(column.plane_bytes_when_full for column in self.images.values())

    @property
    def nbytes(self) -> int:
        """Memory and disk space in use [bytes]; the rows are counted in full."""
        return self._row_bytes + sum(column.store.nbytes for column in self.images.values())

    @property
    def bytes_to_save(self) -> int:
        """What ``save_replay_buffer`` writes now, roughly [bytes]; frames in a folder stay where they are."""
        return self.nbytes if self.folder is None else self._row_bytes

    @property
    def stock_bytes(self) -> int:
        """Memory of SB3's buffer of the same size [bytes]."""
        arrays = self.actions, self.rewards, self.dones, self.timeouts
        stacks = sum(int(np.prod(column.shape)) for column in self.images.values())
        return sum(array.nbytes for array in arrays) + self._other_bytes + 2 * self.buffer_size * self.n_envs * stacks

    @property
    def _row_bytes(self) -> int:
        arrays = self.actions, self.rewards, self.dones, self.timeouts
        ids = sum(column.row_bytes for column in self.images.values())
        return sum(array.nbytes for array in arrays) + self._other_bytes + ids

    @property
    def _other_bytes(self) -> int:
        return sum(array.nbytes for pair in self.others.values() for array in pair)

    def describe_memory(self) -> str:
        """Say in one sentence what the buffer will need."""
        shapes = " and ".join("x".join(map(str, column.shape)) for column in self.images.values())
        where = (
            "" if self.folder is None else f", {self._bytes_on_disk / 1e9:.2f} GB of it on the disk in {self.folder}"
        )
        return (
            f"Replay buffer for {self.buffer_size * self.n_envs:,d} transitions of {shapes}: "
            f"{self.bytes_when_full / 1e9:.2f} GB when full{where}, taken as it fills "
            f"(SB3's: {self.stock_bytes / 1e9:.2f} GB)."
        )

    @property
    def _bytes_on_disk(self) -> int:
        if self.folder is None:
            return 0
        return sum(column.plane_bytes_when_full for column in self.images.values())

    def _warn_if_too_large(self) -> None:
        memory, disk = physical_memory(), free_space(self.folder)
        if memory is not None and self.bytes_when_full - self._bytes_on_disk > memory:
            warnings.warn(
                f"{self.describe_memory()} This machine has {memory / 1e9:.1f} GB of memory. "
                "Lower buffer_size, or keep the frames on the disk with replay_buffer_kwargs=dict(folder=...).",
                stacklevel=3,
            )
        if disk is not None and self._bytes_on_disk > disk:
            warnings.warn(
                f"{self.describe_memory()} The disk has {disk / 1e9:.1f} GB left. Lower buffer_size.", stacklevel=3
            )

    def add(
        self,
        obs: NDArray[Any] | dict[str, NDArray[Any]],
        next_obs: NDArray[Any] | dict[str, NDArray[Any]],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one transition of every environment.

        :param obs: (n_envs, frames, height, width), or a dict of entries
        :param next_obs: the same, the terminal observation where an episode ended
        :param action: (n_envs, action_dim)
        :param reward: (n_envs,)
        :param done: (n_envs,)
        :param infos: one per environment, ``TimeLimit.truncated`` is read
        """
        before, after = (entries if isinstance(entries, dict) else {ONLY: entries} for entries in (obs, next_obs))
        for key, column in self.images.items():
            for env in range(self.n_envs):
                stacks = (np.asarray(entries[key][env], np.uint8) for entries in (before, after))
                column.add(self.pos, env, *stacks)
        for key, pair in self.others.items():
            for array, entries in zip(pair, (before, after), strict=True):
                array[self.pos] = np.asarray(entries[key]).reshape(array.shape[1:])
        self.actions[self.pos] = action.reshape((self.n_envs, self.action_dim))
        self.rewards[self.pos] = reward
        self.dones[self.pos] = done
        if self.handle_timeout_termination:
            self.timeouts[self.pos] = [info.get("TimeLimit.truncated", False) for info in infos]
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    # SB3's own sampling below reads these two like the arrays that it would have allocated.

    @property
    def observations(self) -> StackView | DictView:  # type: ignore[override]
        """The observation of every row, [row, environment]."""
        views: dict[str, Any] = {key: StackView(column.store, column.ids) for key, column in self.images.items()}
        return self._view(views, 0)

    @property
    def next_observations(self) -> StackView | DictView:  # type: ignore[override]
        """The next observation of every row, [row, environment]."""
        views: dict[str, Any] = {key: StackView(column.store, column.next_ids) for key, column in self.images.items()}
        return self._view(views, 1)

    def _view(self, images: dict[str, Any], which: int) -> StackView | DictView:
        if not isinstance(self.observation_space, spaces.Dict):
            view: StackView = images[ONLY]
            return view
        entries = {**images, **{key: pair[which] for key, pair in self.others.items()}}
        return DictView({key: entries[key] for key in self.observation_space.spaces})

    def _get_samples(self, batch_inds: NDArray[Any], env: VecNormalize | None = None) -> ReplayBufferSamples:
        if self.n_steps > 1:
            samples = super()._get_samples(batch_inds, env)
        else:
            # A one-step batch of the n-step buffer would carry discounts, which plain TD3 does not expect
            samples = ReplayBuffer._get_samples(self, batch_inds, env)
        if isinstance(self.observation_space, spaces.Dict):
            return DictReplayBufferSamples(*samples)  # type: ignore[return-value,arg-type]  # same fields
        return samples

    def to_torch(self, array: Any, copy: bool = False) -> Any:
        """Convert a sampled array, or a dict of them, to tensors, without SB3's extra copy: sampling has made one.

        To a GPU they travel from pinned memory while the program goes on.

        :param array: fresh arrays
        :param copy: copy them nevertheless
        """
        if isinstance(array, dict):
            return {key: self.to_torch(entry, copy) for key, entry in array.items()}
        if th.device(self.device).type == "cuda":
            return th.as_tensor(array).pin_memory().to(self.device, non_blocking=True)
        return super().to_torch(array, copy)


def physical_memory() -> int | None:
    """Memory of this machine [bytes], None where the operating system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_space(folder: Path | None) -> int | None:
    """Free space on the disk of a folder that need not exist yet [bytes]; None without a folder.

    :param folder: the folder
    """
    if folder is None:
        return None
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
