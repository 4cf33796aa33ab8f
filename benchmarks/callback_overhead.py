"""What the stability callbacks cost, in per cent of training time.

    python benchmarks/callback_overhead.py [--pairs 150] [--steps 40] [--only SAC]

Within one training, blocks of steps with the callbacks at work alternate with blocks without, and each block is
compared with its neighbour: a machine that is busy or slow is so for both. CPU time of one thread; the median over the
pairs, and the interval that holds the true median with 95 %.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from paired import interval
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from sb3_stability import (
    StabilityMonitor,
    StopTrainingOnActorLossExplosion,
    StopTrainingOnNonFinite,
    StopTrainingOnQValueExplosion,
)
from sb3_stability.readings import Readings


class Alternating(BaseCallback):
    """Lets its callbacks work in every second block of steps and takes the time of each block.

    :param callbacks: what is measured
    :param steps: of one block
    :param pairs: of blocks
    """

    def __init__(self, callbacks: list[BaseCallback], steps: int, pairs: int) -> None:
        super().__init__()
        self._children = CallbackList(callbacks)
        self._block, self._blocks = steps, 2 * pairs
        self._working = True
        self.seconds: list[float] = []
        self._started = math.nan

    def _init_callback(self) -> None:
        self._children.init_callback(self.model)

    def _on_training_start(self) -> None:
        self._children.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        if self._working:
            self._children.on_rollout_start()
        updates = self.model._n_updates
        if updates > 0 and updates % self._block == 0:
            now = time.process_time()
            if not math.isnan(self._started):
                self.seconds.append(now - self._started)
            self._switch(not self._working)
            self._started = time.process_time()

    def _switch(self, working: bool) -> None:
        self._working = working
        readings = Readings.of(self.model)
        if working:
            readings.watch()
        else:
            readings.unwatch()

    def _on_rollout_end(self) -> None:
        if self._working:
            self._children.on_rollout_end()

    def _on_step(self) -> bool:
        going_on = not self._working or self._children.on_step()
        return going_on and len(self.seconds) < self._blocks

    def _on_training_end(self) -> None:
        self._children.on_training_end()

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """Pass on the locals of collect_rollouts()."""
        self._children.update_locals(locals_)

    @property
    def ratios(self) -> list[float]:
        """Time with the callbacks over time without, pair by pair. The first block of all is one without."""
        return [second / first for first, second in zip(self.seconds[0::2], self.seconds[1::2], strict=False)]


class RandomImages(gym.Env[np.ndarray, np.ndarray]):
    """4x84x84 noise."""

    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start."""
        super().reset(seed=seed)
        self._frames = self.np_random.integers(0, 256, (4, 84, 84), dtype=np.uint8)
        return self._frames, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Go on."""
        return self._frames, float(action[0]), False, False, {}


def stops() -> list[BaseCallback]:
    return [StopTrainingOnQValueExplosion(), StopTrainingOnActorLossExplosion(), StopTrainingOnNonFinite()]


SETS: dict[str, Callable[[], list[BaseCallback]]] = {
    "the three StopTrainingOn...": stops,
    "StabilityMonitor": lambda: [StabilityMonitor(check_leak=False, verbose=0)],
}


def models() -> dict[str, tuple[Callable[[], Any], int]]:
    """What is trained with SB3's default settings, and a divisor of the number of steps per block."""
    return {
        "SAC, MLP": (lambda: SAC("MlpPolicy", "Pendulum-v1", seed=0, device="cpu"), 1),
        "TD3, MLP": (lambda: TD3("MlpPolicy", "Pendulum-v1", seed=0, device="cpu"), 1),
        "TD3, 4x84x84 images, batch 64": (
            lambda: TD3("CnnPolicy", RandomImages(), seed=0, device="cpu", buffer_size=2000, batch_size=64),
            5,
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--steps", type=int, default=40, help="updates per block (20 on images)")
    parser.add_argument("--only", default="", help="only models with this in their name")
    arguments = parser.parse_args()
    th.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"{'model':32}{'callbacks':30}{'overhead':>10}   95 % interval of the median")
    for name, (make, divisor) in models().items():
        if arguments.only not in name:
            continue
        for callbacks, make_callbacks in SETS.items():
            model, block = make(), max(20, arguments.steps // divisor)
            clock = Alternating(make_callbacks(), block, arguments.pairs)
            model.learn(10_000_000, callback=clock, log_interval=1000)
            low, middle, high = interval(clock.ratios)
            print(f"{name:32}{callbacks:30}{middle - 1:>+10.2%}   {low - 1:+.2%} to {high - 1:+.2%}", flush=True)


if __name__ == "__main__":
    main()
