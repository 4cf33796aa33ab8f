"""Time one TD3 update on 4x84x84 images, in turns with Stable-Baselines3's TD3.

    python benchmarks/train_step.py [--batch-sizes 100 256] [--threads 1 2] [--rounds 7] [--only NAME ...]

For each variant: milliseconds per update (median over the rounds), the speed-up over SB3 and the cost over the variant
that it adds something to (with the interval that holds the true median with 95 %), both as medians of ratios taken
round by round, so that a busy machine slows both sides of them; and the time as a multiple of the GEMM floor, the time
of the matrix products alone that an update of SB3's network needs (float32, in the same rounds). Two updates
make a pair, since every second one updates the actor as well. CPU time with one thread, wall time otherwise. Before
that, the memory of the replay buffers.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3 as sb3
import torch as th
from gymnasium import spaces
from paired import interval
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import NatureCNN as StockCNN

from sb3_carla.buffers import FrameReplayBuffer, PrioritizedReplayBuffer
from sb3_carla.td3 import TD3

TRANSITIONS = 2_000
SB3 = "SB3's TD3"


class RandomImages(gym.Env[np.ndarray, np.ndarray]):
    """Spaces only; the buffers are filled directly."""

    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Not used."""
        return self.observation_space.sample(), {}


@dataclass(frozen=True)
class Variant:
    """A way to update, and the variant that it adds something to."""

    base: str | None = None
    policy: str = "CnnPolicy"
    arguments: dict[str, Any] = field(default_factory=dict)
    policy_kwargs: dict[str, Any] = field(default_factory=dict)

    def make(self, device: str) -> sb3.TD3:
        """Make the model."""
        algorithm = sb3.TD3 if self.base is None else TD3
        return algorithm(
            self.policy,
            RandomImages(),
            buffer_size=TRANSITIONS,
            device=device,
            seed=0,
            policy_kwargs=dict(self.policy_kwargs),
            **self.arguments,
        )


BITWISE = {"features_extractor_class": StockCNN}
# SB3's network with LeakyReLU
SAME_SIZE = {"features_extractor_kwargs": {"features_dim": 512, "trunk": "leaky_relu"}}
VARIANTS = {
    SB3: Variant(),
    "SB3's network, no clipping": Variant(SB3, arguments={"max_grad_norm": None}, policy_kwargs=BITWISE),
    "SB3's network, clipped": Variant("SB3's network, no clipping", policy_kwargs=BITWISE),
    "NatureCNN 512, no clipping": Variant(SB3, arguments={"max_grad_norm": None}, policy_kwargs=SAME_SIZE),
    "NatureCNN 512": Variant("NatureCNN 512, no clipping", policy_kwargs=SAME_SIZE),
    "NatureCNN 512, bf16": Variant("NatureCNN 512", arguments={"precision": "bf16"}, policy_kwargs=SAME_SIZE),
    "CnnPolicy, no clipping": Variant(SB3, arguments={"max_grad_norm": None}),
    "CnnPolicy": Variant("CnnPolicy, no clipping"),
    "CnnPolicy, clipped by value": Variant("CnnPolicy, no clipping", arguments={"max_grad_value": 1.0}),
    "CnnPolicy, bf16": Variant("CnnPolicy", arguments={"precision": "bf16"}),
    "CnnPolicy, encoder of the critic": Variant("CnnPolicy", policy_kwargs={"encoder": "critic"}),
    "CnnPolicy, random shift": Variant("CnnPolicy", arguments={"random_shift": 4}),
    "CnnPolicy, prioritized": Variant("CnnPolicy", arguments={"replay_buffer_class": PrioritizedReplayBuffer}),
    "CnnPolicy, n-step": Variant("CnnPolicy", arguments={"n_steps": 3}),
    "CnnPolicy, MPG target": Variant("CnnPolicy", arguments={"target": "mpg"}),
    "CnnPolicy, smooth, penalty": Variant("CnnPolicy", arguments={"smoothness": 0.3, "action_penalty": 0.1}),
    "MaxPoolCnnPolicy": Variant("CnnPolicy", "MaxPoolCnnPolicy"),
    "GruCnnPolicy": Variant("CnnPolicy", "GruCnnPolicy"),
    "GruCnnPolicy, LSTM": Variant(
        "CnnPolicy", "GruCnnPolicy", policy_kwargs={"features_extractor_kwargs": {"cell": "lstm"}}
    ),
}


def fill(model: sb3.TD3) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (TRANSITIONS + 5, 84, 84), dtype=np.uint8)
    for row in range(TRANSITIONS):
        observation, following = frames[row : row + 4][None], frames[row + 1 : row + 5][None]
        action, reward = rng.uniform(-1, 1, (1, 2)), rng.normal(size=1)
        assert model.replay_buffer is not None
        model.replay_buffer.add(observation, following, action, reward, np.array([row % 100 == 99]), [{}])


def gemm_floor(batch_size: int, device: str) -> Callable[[], None]:
    """The matrix products of two updates of SB3's network: four encoders forward each, three backward in both."""
    layers = [  # rows, inputs, outputs, whether its input needs a gradient
        (batch_size * 20 * 20, 4 * 8 * 8, 32, False),
        (batch_size * 9 * 9, 32 * 4 * 4, 64, True),
        (batch_size * 7 * 7, 64 * 3 * 3, 64, True),
        (batch_size, 3136, 512, True),
        (batch_size, 514, 256, True),
        (batch_size, 256, 256, True),
    ]
    tensors = [
        (th.randn(m, k, device=device), th.randn(k, n, device=device), th.randn(m, n, device=device))
        for m, k, n, _ in layers
    ]

    def two_updates() -> None:
        for (x, weight, gradient), (*_, needs_input) in zip(tensors, layers, strict=True):
            for _ in range(8):
                x @ weight
            for _ in range(3):
                x.T @ gradient
                if needs_input:
                    gradient @ weight.T

    return two_updates


def print_memory() -> None:
    buffer = FrameReplayBuffer(TRANSITIONS, RandomImages.observation_space, RandomImages.action_space)
    ours, stock = (size / TRANSITIONS for size in (buffer.bytes_when_full, buffer.stock_bytes))
    print(f"bytes per transition: FrameReplayBuffer {ours:,.0f}, SB3's ReplayBuffer {stock:,.0f}")


def measure(models: dict[str, sb3.TD3], batch_size: int, rounds: int, clock: Callable[[], float], device: str) -> None:
    updates: dict[str, Callable[[], None]] = {"GEMM floor": gemm_floor(batch_size, device)}
    for name, model in models.items():
        updates[name] = lambda model=model: model.train(gradient_steps=2, batch_size=batch_size)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in updates}
    for lap in range(-1, rounds):  # one to warm up
        for name, update in updates.items():
            start = clock()
            update()
            if device != "cpu":
                th.cuda.synchronize()
            if lap >= 0:
                times[name].append((clock() - start) / 2 * 1e3)
    taken = {name: np.array(of_rounds) for name, of_rounds in times.items()}
    print(f"\n{f'batch {batch_size}':<34s}ms/update  over SB3  times floor  cost")
    for name, milliseconds in taken.items():
        line = f"{name:<34s}{np.median(milliseconds):9.1f}"
        if name in models:
            line += f"     x{np.median(taken[SB3] / milliseconds):.2f}"
            line += f"        {np.median(milliseconds / taken['GEMM floor']):.2f}"
            base = VARIANTS[name].base
            if base is not None and base != SB3 and base in taken:
                low, middle, high = (100 * (ratio - 1) for ratio in interval((milliseconds / taken[base]).tolist()))
                line += f"  {middle:+.1f} % ({low:+.1f} to {high:+.1f}) over {base}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[100, 256])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=None, choices=VARIANTS, help="variants besides SB3's")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()

    print_memory()
    models = {}
    for name, variant in VARIANTS.items():
        if arguments.only is not None and name not in (SB3, *arguments.only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models[name] = variant.make(arguments.device)
        models[name].set_logger(Logger(None, []))
        fill(models[name])
    for threads in arguments.threads:
        th.set_num_threads(threads)
        # CPU time of several threads, or of a program that waits for a GPU, is not what a user waits for
        wall = threads > 1 or arguments.device != "cpu"
        clock = time.perf_counter if wall else time.process_time
        print(f"\ntorch {th.__version__}, {arguments.device}, {threads} thread(s), {'wall' if wall else 'CPU'} time")
        for batch_size in arguments.batch_sizes:
            measure(models, batch_size, arguments.rounds, clock, arguments.device)


if __name__ == "__main__":
    main()
