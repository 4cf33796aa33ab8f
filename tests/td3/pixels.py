"""Small environments and batches for the tests of TD3."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.type_aliases import ReplayBufferSamples


class PixelEnv(gym.Env[np.ndarray, np.ndarray]):
    """A stack of four frames in which a bright column moves as the first action says; the reward is where it is."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, size: int = 42, episode: int = 20) -> None:
        self.size, self.episode = size, episode
        self.observation_space = spaces.Box(0, 255, (4, size, size), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time, self.column = 0, int(self.np_random.integers(self.size))
        self.stack = np.repeat(self._frame()[None], 4, axis=0)
        return self.stack, {}

    def _frame(self) -> np.ndarray:
        frame = self.np_random.integers(0, 64, (self.size, self.size), dtype=np.uint8)
        frame[:, self.column] = 255
        return frame

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        self.column = int(np.clip(self.column + round(3 * float(action[0])), 0, self.size - 1))
        self.stack = np.concatenate([self.stack[1:], self._frame()[None]])
        at_the_edge = self.column == self.size - 1
        return self.stack, self.column / self.size, at_the_edge, self.time >= self.episode, {}


class DictEnv(gym.Env[dict[str, np.ndarray], np.ndarray]):
    """A random image and a random vector; the reward is the first action."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self) -> None:
        self.observation_space = spaces.Dict(
            image=spaces.Box(0, 255, (4, 42, 42), np.uint8), state=spaces.Box(-1, 1, (3,), np.float32)
        )
        self.observation_space.seed(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self.observation_space.sample(), float(action[0]), False, self.time >= 20, {}


class FixedBatches:
    """Stands where a model's replay buffer stands and hands out given batches, the last one for ever."""

    def __init__(self, *batches: ReplayBufferSamples) -> None:
        self.batches = list(batches)

    def sample(self, batch_size: int, env: object = None) -> ReplayBufferSamples:
        return self.batches.pop(0) if len(self.batches) > 1 else self.batches[0]
