"""A replay buffer for stacked images that stores every frame once.

An observation of k stacked frames shares k - 1 of them with the one before, and the "next" observation of a transition
is the observation of the following one. SB3's ReplayBuffer stores all 2k frames of every transition; this one stores
about one. It finds the repetitions by comparing, so it is exact for any input: what does not repeat is stored in full.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_carla.buffers.frame_store import NO_PLANE, FrameStore, Ids, Planes


class FrameReplayBuffer(NStepReplayBuffer):
    """Samples exactly what SB3's ReplayBuffer (or NStepReplayBuffer) would, from about an eighth of its memory.

    Memory is taken as the buffer fills, `bytes_when_full` says how much it will be.

    >>> space = spaces.Box(0, 255, (4, 84, 84), "uint8")
    >>> buffer = FrameReplayBuffer(1_000_000, space, spaces.Box(-1, 1, (2,)))
    >>> round(buffer.bytes_when_full / 1e9, 1), round(buffer.stock_bytes / 1e9, 1)
    (7.1, 56.5)

    :param buffer_size: transitions to keep
    :param observation_space: ``Box(0, 255, (frames, height, width), uint8)``, as `is_stacked_image` tells
    :param action_space: action space
    :param device: where samples go
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: must stay False: SB3's saving at the price of exactness is not needed here
    :param handle_timeout_termination: do not treat the end of a time limit as terminal
    :param n_steps: rewards to sum up for n-step returns, with SB3's conventions
    :param gamma: discount of the n-step returns
    """

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
    ) -> None:
        if not is_stacked_image(observation_space):
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

        rows = (self.buffer_size, n_envs)
        self.actions = np.zeros((*rows, self.action_dim), self._maybe_cast_dtype(action_space.dtype))
        self.rewards = np.zeros(rows, np.float32)
        self.dones = np.zeros(rows, np.float32)
        self.timeouts = np.zeros(rows, np.float32)

        self.n_frames, height, width = self.obs_shape
        self.store = FrameStore(height, width)
        self.observation_ids: Ids = np.full((*rows, self.n_frames), NO_PLANE, np.int32)
        self.next_observation_ids: Ids = np.full((*rows, self.n_frames), NO_PLANE, np.int32)
        # Each environment's latest next observation, which the following observation is compared with
        self._latest: Planes = np.zeros((n_envs, *self.obs_shape), np.uint8)
        self._latest_ids: Ids = np.full((n_envs, self.n_frames), NO_PLANE, np.int32)
        self._warn_if_too_large()

    @property
    def bytes_when_full(self) -> int:
        """Memory of the full buffer [bytes] if episodes are much longer than the stack."""
        plane = int(np.prod(self.obs_shape[1:])) + FrameStore.REFERENCES.itemsize
        return self.buffer_size * self.n_envs * plane + self._row_bytes

    @property
    def nbytes(self) -> int:
        """Memory in use [bytes]; the rows are counted in full."""
        return self.store.nbytes + self._row_bytes

    @property
    def stock_bytes(self) -> int:
        """Memory of SB3's ReplayBuffer of the same size [bytes]."""
        rows = self.actions.nbytes + self.rewards.nbytes + self.dones.nbytes + self.timeouts.nbytes
        return rows + 2 * self.buffer_size * self.n_envs * int(np.prod(self.obs_shape))

    def describe_memory(self) -> str:
        """Say in one sentence what the buffer will need."""
        return (
            f"Replay buffer for {self.buffer_size * self.n_envs:,d} transitions of "
            f"{'x'.join(map(str, self.obs_shape))}: {self.bytes_when_full / 1e9:.2f} GB when full, taken as it fills "
            f"(SB3's ReplayBuffer: {self.stock_bytes / 1e9:.2f} GB)."
        )

    @property
    def _row_bytes(self) -> int:
        arrays = (
            self.actions,
            self.rewards,
            self.dones,
            self.timeouts,
            self.observation_ids,
            self.next_observation_ids,
        )
        return sum(array.nbytes for array in arrays)

    def _warn_if_too_large(self) -> None:
        memory = physical_memory()
        if memory is not None and self.bytes_when_full > memory:
            warnings.warn(
                f"{self.describe_memory()} This machine has {memory / 1e9:.1f} GB. Lower buffer_size.", stacklevel=3
            )

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one transition of every environment.

        :param obs: (n_envs, frames, height, width)
        :param next_obs: the same, the terminal observation where an episode ended
        :param action: (n_envs, action_dim)
        :param reward: (n_envs,)
        :param done: (n_envs,)
        :param infos: one per environment, ``TimeLimit.truncated`` is read
        """
        for env in range(self.n_envs):
            self._add_frames(env, np.asarray(obs[env], np.uint8), np.asarray(next_obs[env], np.uint8))
        self.actions[self.pos] = action.reshape((self.n_envs, self.action_dim))
        self.rewards[self.pos] = reward
        self.dones[self.pos] = done
        if self.handle_timeout_termination:
            self.timeouts[self.pos] = [info.get("TimeLimit.truncated", False) for info in infos]
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    def _add_frames(self, env: int, obs: Planes, next_obs: Planes) -> None:
        ids = self._store_stack(obs, self._latest[env], self._latest_ids[env])
        # Held before the next lookup may need its place, and before the row that is overwritten lets its planes go
        self.store.hold(ids)
        next_ids = self._store_stack(next_obs, obs, ids)
        self.store.hold(next_ids)
        self.store.release(self.observation_ids[self.pos, env])
        self.store.release(self.next_observation_ids[self.pos, env])
        self.observation_ids[self.pos, env] = ids
        self.next_observation_ids[self.pos, env] = next_ids
        self._latest[env] = next_obs
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

    # SB3's own sampling below reads these two like the arrays that it would have allocated.

    @property
    def observations(self) -> StackView:  # type: ignore[override]
        """The observation of every row, [row, environment]."""
        return StackView(self.store, self.observation_ids)

    @property
    def next_observations(self) -> StackView:  # type: ignore[override]
        """The next observation of every row, [row, environment]."""
        return StackView(self.store, self.next_observation_ids)

    def _get_samples(self, batch_inds: NDArray[Any], env: VecNormalize | None = None) -> ReplayBufferSamples:
        if self.n_steps > 1:
            return super()._get_samples(batch_inds, env)
        # A one-step batch of the n-step buffer would carry discounts, which plain TD3 does not expect
        return ReplayBuffer._get_samples(self, batch_inds, env)

    def to_torch(self, array: NDArray[Any], copy: bool = False) -> th.Tensor:
        """Convert a sampled array to a tensor, without SB3's extra copy: sampling has made one already.

        :param array: a fresh array
        :param copy: copy it nevertheless
        """
        return super().to_torch(array, copy)


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


def is_stacked_image(space: spaces.Space[Any]) -> bool:
    """Whether a space is one of uint8 images with several channels in front, which may be stacked frames.

    :param space: an observation space
    """
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
        and 1 < space.shape[0] < min(space.shape[1:])
    )


def physical_memory() -> int | None:
    """Memory of this machine [bytes], None where the operating system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
