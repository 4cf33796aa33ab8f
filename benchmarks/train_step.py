"""Time one TD3 update on 4x84x84 images, in turns with Stable-Baselines3's TD3.

    python benchmarks/train_step.py [--batch-sizes 100 256] [--threads 1] [--rounds 7]

Prints CPU milliseconds per update (median over the rounds) and the ratio to SB3's, taken round by round, so that a busy
machine slows both sides of it. Two updates make a pair, since every second one updates the actor as well.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch as th
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import NatureCNN as StockCNN

from sb3_carla import TD3, NatureCNN
from sb3_carla.buffers import PrioritizedReplayBuffer

TRANSITIONS = 2_000


class RandomImages(gym.Env[np.ndarray, np.ndarray]):
    """Spaces only; the buffers are filled directly."""

    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Not used."""
        return self.observation_space.sample(), {}


def fill(model: sb3.TD3) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (TRANSITIONS + 5, 84, 84), dtype=np.uint8)
    for row in range(TRANSITIONS):
        observation, following = frames[row : row + 4][None], frames[row + 1 : row + 5][None]
        action, reward = rng.uniform(-1, 1, (1, 2)), rng.normal(size=1)
        model.replay_buffer.add(observation, following, action, reward, np.array([row % 100 == 99]), [{}])


def variants() -> dict[str, Callable[[], sb3.TD3]]:
    common: dict[str, Any] = {"buffer_size": TRANSITIONS, "device": "cpu", "seed": 0}
    stock_network = {"features_extractor_class": StockCNN}
    same_size = {"features_extractor_class": NatureCNN}
    return {
        "SB3's TD3": lambda: sb3.TD3("CnnPolicy", RandomImages(), **common),
        "same network, no clipping": lambda: TD3(
            "CnnPolicy", RandomImages(), max_grad_norm=None, policy_kwargs=stock_network, **common
        ),
        "same network, clipped": lambda: TD3("CnnPolicy", RandomImages(), policy_kwargs=stock_network, **common),
        "NatureCNN, 512 features": lambda: TD3("CnnPolicy", RandomImages(), policy_kwargs=same_size, **common),
        "CnnPolicy": lambda: TD3("CnnPolicy", RandomImages(), **common),
        "CnnPolicy, random shift": lambda: TD3("CnnPolicy", RandomImages(), random_shift=4, **common),
        "CnnPolicy, prioritized": lambda: TD3(
            "CnnPolicy", RandomImages(), replay_buffer_class=PrioritizedReplayBuffer, **common
        ),
        "MaxPoolCnnPolicy": lambda: TD3("MaxPoolCnnPolicy", RandomImages(), **common),
        "GruCnnPolicy": lambda: TD3("GruCnnPolicy", RandomImages(), **common),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[100, 256])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=None, help="variants to time (SB3's is always there)")
    arguments = parser.parse_args()
    th.set_num_threads(arguments.threads)
    # CPU time of several threads is not what a user waits for
    clock = time.process_time if arguments.threads == 1 else time.perf_counter

    models = {}
    for name, make in variants().items():
        if arguments.only and name not in ("SB3's TD3", *arguments.only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models[name] = make()
        models[name].set_logger(Logger(None, []))
        fill(models[name])

    print(f"torch {th.__version__}, {arguments.threads} thread(s), {'CPU' if arguments.threads == 1 else 'wall'} time")
    for batch_size in arguments.batch_sizes:
        times: dict[str, list[float]] = {name: [] for name in models}
        for model in models.values():
            model.train(gradient_steps=2, batch_size=batch_size)  # warm up
        for _ in range(arguments.rounds):
            for name, model in models.items():
                start = clock()
                model.train(gradient_steps=2, batch_size=batch_size)
                times[name].append((clock() - start) / 2 * 1e3)
        baseline = np.array(times["SB3's TD3"])
        print(f"\nbatch {batch_size:<23d} ms/update   speed-up over SB3")
        for name, milliseconds in times.items():
            print(f"{name:<30s} {np.median(milliseconds):8.1f}   x{np.median(baseline / np.array(milliseconds)):.2f}")


if __name__ == "__main__":
    main()
