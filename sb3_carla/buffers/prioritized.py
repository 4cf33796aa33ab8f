"""Prioritized experience replay (Schaul et al., 2016), proportional variant.

A transition is drawn with probability p^alpha / sum of p^alpha, where p is its absolute TD error when it was last
replayed plus a small constant; a new one has the largest p so far. The loss of a drawn transition is weighted by (n
P)^-beta, divided by the largest weight of the batch, which makes up for drawing unevenly. Our TD3 applies the weights
and gives the errors back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_carla.buffers.frame_buffer import FrameReplayBuffer
from sb3_carla.buffers.stacks import has_stacked_images
from sb3_carla.buffers.sum_tree import SumTree


class PrioritizedSamples(NamedTuple):
    """SB3's ReplayBufferSamples with the weights of the losses and the places of the transitions."""

    observations: th.Tensor
    actions: th.Tensor
    next_observations: th.Tensor
    dones: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor | None
    weights: th.Tensor  # (batch, 1)
    places: NDArray[np.int64]  # (batch,), for update_priorities


class PrioritizedReplayBuffer(NStepReplayBuffer):
    """Draws transitions by their TD error; with TD3 and stacked images, `PrioritizedFrameReplayBuffer` takes its place.

    :param args: as SB3's ReplayBuffer takes them
    :param alpha: 0 draws uniformly, 1 in proportion to the TD error
    :param beta: exponent of the weights at first
    :param beta_samples: batches after which the exponent has risen to 1
    :param epsilon: added to every absolute TD error, so that none is never drawn again
    :param n_steps: rewards to sum up for n-step returns (with one environment only)
    :param kwargs: as SB3's ReplayBuffer takes them
    """

    def __init__(
        self,
        *args: Any,
        alpha: float = 0.6,
        beta: float = 0.4,
        beta_samples: int = 100_000,
        epsilon: float = 1e-6,
        n_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, n_steps=n_steps, **kwargs)
        if not (alpha >= 0 and 0 <= beta <= 1 and beta_samples >= 1 and epsilon > 0):
            raise ValueError(
                f"alpha is {alpha}, beta {beta}, beta_samples {beta_samples}, epsilon {epsilon}. "
                "Give alpha >= 0, beta in [0, 1], beta_samples >= 1 and epsilon > 0."
            )
        if n_steps > 1 and self.n_envs > 1:
            raise ValueError(f"n_steps is {n_steps} with {self.n_envs} environments. Use n_steps=1 or one environment.")
        self.alpha, self.beta, self.beta_samples, self.epsilon = alpha, beta, beta_samples, epsilon
        self._tree = SumTree(self.buffer_size * self.n_envs)
        self._largest = 1.0  # p^alpha of a new transition
        self._n_samples = 0

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Store one transition of every environment, with the largest priority so far.

        :param args: as SB3's ReplayBuffer takes them
        :param kwargs: as SB3's ReplayBuffer takes them
        """
        self._tree.set(self.pos * self.n_envs + np.arange(self.n_envs), self._largest)
        super().add(*args, **kwargs)

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> PrioritizedSamples:  # type: ignore[override]
        """Draw transitions.

        :param batch_size: how many
        :param env: normalizes observations and rewards
        """
        # One draw from each of batch_size equal shares of the total, from numpy's generator that SB3 seeds
        shares = (np.arange(batch_size) + np.random.random_sample(batch_size)) / batch_size  # noqa: NPY002
        places = self._tree.find(shares * self._tree.total)
        probabilities = self._tree.get(places) / self._tree.total
        beta = self.beta + (1 - self.beta) * min(self._n_samples / self.beta_samples, 1.0)
        self._n_samples += 1
        weights = (self.size() * self.n_envs * probabilities) ** -beta
        weights = (weights / weights.max()).astype(np.float32).reshape(-1, 1)
        return PrioritizedSamples(*self._get_places(places, env), self.to_torch(weights), places)

    def _get_places(self, places: NDArray[np.int64], env: VecNormalize | None) -> ReplayBufferSamples:
        rows, envs = places // self.n_envs, places % self.n_envs
        if self.n_steps > 1:
            return NStepReplayBuffer._get_samples(self, rows, env)  # of the only environment
        dones = self.dones[rows, envs] * (1 - self.timeouts[rows, envs])
        rewards = self._normalize_reward(self.rewards[rows, envs].reshape(-1, 1), env)
        arrays: tuple[Any, ...] = (
            self._normalize_obs(self.observations[rows, envs], env),
            self.actions[rows, envs],
            self._normalize_obs(self.next_observations[rows, envs], env),
            dones.reshape(-1, 1),
            rewards,
        )
        return ReplayBufferSamples(*(self.to_torch(array) for array in arrays))

    def update_priorities(self, places: NDArray[np.int64], td_errors: NDArray[np.float64]) -> None:
        """Set the priorities of transitions that were just replayed.

        :param places: from the samples
        :param td_errors: of any sign, (batch,)
        """
        priorities = (np.abs(td_errors) + self.epsilon) ** self.alpha
        self._tree.set(places, priorities)
        self._largest = max(self._largest, float(priorities.max()))


class PrioritizedFrameReplayBuffer(PrioritizedReplayBuffer, FrameReplayBuffer):
    """`PrioritizedReplayBuffer` that stores every frame once, as `FrameReplayBuffer` does."""


def frame_storing(
    buffer_class: type[ReplayBuffer] | None, observation_space: spaces.Space[Any]
) -> type[FrameReplayBuffer] | None:
    """Tell which buffer stores each frame once and samples as another one does; None if there is none.

    :param buffer_class: the other one; None stands for SB3's default
    :param observation_space: what is to be stored; without stacked images there is nothing to gain
    """
    if not has_stacked_images(observation_space):
        return None
    if buffer_class is None or buffer_class is FrameReplayBuffer:
        return FrameReplayBuffer
    if buffer_class in (PrioritizedReplayBuffer, PrioritizedFrameReplayBuffer):
        return PrioritizedFrameReplayBuffer
    return None
