"""The runs of ``benchmarks/detectors.py``: small tasks, five algorithms, and the faults planted in some runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib import TQC, CrossQ
from stable_baselines3 import DDPG, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize

ALGORITHMS = {"TD3": TD3, "DDPG": DDPG, "SAC": SAC, "TQC": TQC, "CrossQ": CrossQ}
STARTS = 100  # steps before the first update


@dataclass(frozen=True)
class Run:
    """One training.

    :param algorithm: a name of ``ALGORITHMS``
    :param task: a name of ``TASKS``
    :param fault: a name of ``FAULTS``; empty for a healthy run
    :param scale: factor on all rewards
    :param rate: learning rate; None for the algorithm's default
    :param seed: of the run
    """

    algorithm: str
    task: str
    fault: str = ""
    scale: float = 1.0
    rate: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Identifies the run in the results."""
        rate = "" if self.rate is None else f"/lr={self.rate:g}"
        return f"{self.algorithm}/{self.task}/{self.fault or 'healthy'}/x{self.scale:g}{rate}/{self.seed}"


class Line(gym.Env[np.ndarray, np.ndarray]):
    """A point on a line is to be kept near a goal; episodes of 50 steps. The reward is one of several functions.

    :param reward: function of (distance to the goal, action, steps since the env was made), at most 1 in magnitude
    :param images: observe random 4x16x16 frames instead of the position
    """

    def __init__(self, reward: Callable[[float, float, int], float], images: bool = False) -> None:
        self._reward, self._images, self._lifetime = reward, images, 0
        box = spaces.Box(0, 255, (4, 16, 16), np.uint8) if images else spaces.Box(-5.0, 5.0, (2,), np.float32)
        self.observation_space: spaces.Space[Any] = box
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start anywhere."""
        super().reset(seed=seed)
        self._steps, self._at, self._goal = 0, self.np_random.uniform(-1, 1), self.np_random.uniform(-1, 1)
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move."""
        self._steps, self._lifetime = self._steps + 1, self._lifetime + 1
        self._at = float(np.clip(self._at + 0.2 * action[0], -2.0, 2.0))
        reward = self._reward(abs(self._at - self._goal), float(action[0]), self._lifetime)
        return self._observe(), reward, False, self._steps >= 50, {}

    def _observe(self) -> np.ndarray:
        if self._images:
            return self.np_random.integers(0, 256, (4, 16, 16), dtype=np.uint8)
        return np.array([self._at, self._goal], np.float32)


class SmallCNN(BaseFeaturesExtractor):
    """One convolution and one layer."""

    def __init__(self, observation_space: spaces.Space[Any], features_dim: int = 32) -> None:
        super().__init__(observation_space, features_dim)
        convolution = [th.nn.Conv2d(4, 8, 4, stride=2), th.nn.ReLU(), th.nn.Flatten()]
        self.layers = th.nn.Sequential(*convolution, th.nn.Linear(8 * 49, features_dim), th.nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Compute features."""
        features: th.Tensor = self.layers(observations)
        return features


# What a task pays, and what is special about it: images, several envs with VecNormalize and n-step returns
REWARDS: dict[str, Callable[[float, float, int], float]] = {
    "near the goal": lambda distance, action, steps: 1.0 - 0.3 * distance,
    "cost": lambda distance, action, steps: -0.3 * distance,
    "constant": lambda distance, action, steps: 1.0,
    "sparse": lambda distance, action, steps: float(distance < 0.05),
    "zero at first": lambda distance, action, steps: float(steps > 350) * (1.0 - 0.3 * distance),
    "no reward": lambda distance, action, steps: 0.0,
    "images": lambda distance, action, steps: action,
    "images, constant": lambda distance, action, steps: 1.0,
    "normalised, 2 envs, n-step": lambda distance, action, steps: 1.0 - 0.3 * distance,
}
TASKS = [*REWARDS, "Pendulum"]

# Updates by which tasks whose true Q is at the bound get there with the settings below
_UPDATES = {"images": 500, "images, constant": 500, "normalised, 2 envs, n-step": 500}


def updates_of(run: Run) -> int:
    """Updates of a whole run."""
    return _UPDATES.get(run.task, 700)


def largest_reward(run: Run) -> float:
    """The largest magnitude of a reward that the task is meant to pay."""
    if run.task.startswith("normalised"):
        return math.nan  # known only afterwards
    if run.fault == "reward spike":
        return 1e4 * run.scale  # to the critic it is a reward like any other, so no bound can tell it from one
    return run.scale * (16.3 if run.task == "Pendulum" else 1.0)


def make(run: Run) -> Any:
    """Make the model of a run, its fault included where that is one of the model."""
    images = run.task.startswith("images")
    arguments: dict[str, Any] = {
        "learning_starts": STARTS,
        "batch_size": 32 if images else 64,
        "buffer_size": 2_000,
        "gamma": 0.9 if "constant" in run.task else 0.95,  # so that the true Q is reached in a few hundred updates
        "seed": run.seed,
        "device": "cpu",
        "policy_kwargs": {"net_arch": [32, 32]},
    }
    if run.algorithm != "CrossQ":
        arguments["tau"] = 0.05
    if images:
        arguments["policy_kwargs"] |= {"features_extractor_class": SmallCNN, "net_arch": [64, 64]}
    rate = run.rate or 1e-3
    env: Any = partial(_env, run)
    if run.task.startswith("normalised"):
        env = VecNormalize(make_vec_env(env, n_envs=2, seed=run.seed), gamma=arguments["gamma"])
        arguments |= {"n_steps": 3, "gradient_steps": 2} if run.algorithm != "CrossQ" else {"gradient_steps": 2}
    else:
        env = env()
    # MlpPolicy with a features extractor of our own on images as well: CrossQ has no CnnPolicy
    model = ALGORITHMS[run.algorithm]("MlpPolicy", env, learning_rate=rate, **arguments)
    if run.fault == "leak":
        leak(model)
    return model


def _env(run: Run) -> gym.Env[Any, Any]:
    env: gym.Env[Any, Any]
    if run.task == "Pendulum":
        env = gym.make("Pendulum-v1")
    else:
        env = Line(REWARDS[run.task], images=run.task.startswith("images"))
    return Rewarded(env, run)


class Rewarded(gym.Wrapper[Any, Any, Any, Any]):
    """Scales the rewards, and spoils one of them in some faulty runs."""

    def __init__(self, env: gym.Env[Any, Any], run: Run) -> None:
        super().__init__(env)
        self._scale, self._left = run.scale, STARTS + 150
        self._bad = {"NaN reward": math.nan, "infinite reward": math.inf, "reward spike": 1e4 * run.scale}.get(
            run.fault
        )

    def step(self, action: Any) -> Any:
        """Do one step."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._left -= 1
        if self._bad is not None and self._left == 0:
            return observation, self._bad, terminated, truncated, info
        return observation, float(reward) * self._scale, terminated, truncated, info


# -- faults ------------------------------------------------------------------------------------------------------------


def leak(model: Any) -> None:
    """The founding fault: in the actor update the critic reads the actor's own features, gradient included."""
    actor, critic = model.actor, model.critic
    stock = critic.forward

    def value_input(observations: th.Tensor, actions: th.Tensor) -> th.Tensor:
        return th.cat([actor.extract_features(observations, actor.features_extractor), actions], dim=1)

    def forward(observations: th.Tensor, actions: th.Tensor) -> Any:
        if not (th.is_grad_enabled() and actions.requires_grad):
            return stock(observations, actions)
        joined = value_input(observations, actions)
        values = tuple(network(joined) for network in critic.q_networks)
        return th.stack(values, dim=1) if isinstance(stock(observations, actions), th.Tensor) else values

    critic.forward = forward
    if hasattr(critic, "q1_forward"):
        critic.q1_forward = lambda observations, actions: critic.q_networks[0](value_input(observations, actions))


class Spoil(BaseCallback):
    """Faults of the updates: a critic whose output grows by itself, or a weight of NaN.

    :param fault: ``diverging critic`` or ``NaN weight``; anything else does nothing
    """

    ONSET = 150  # updates

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    def _on_rollout_start(self) -> None:
        if self.model._n_updates < self.ONSET:
            return
        with th.no_grad():
            if self._fault == "diverging critic":
                for network in (self.model.critic, getattr(self.model, "critic_target", self.model.critic)):
                    for head in network.q_networks:
                        head[-1].weight.mul_(1.05)
                        head[-1].bias.mul_(1.05).add_(0.01 * th.sign(head[-1].bias))
            elif self._fault == "NaN weight":
                next(self.model.critic.parameters()).view(-1)[0] = math.nan

    def _on_step(self) -> bool:
        return True


def onset_of(run: Run) -> int:
    """The update from which on a fault is there."""
    late = {"diverging critic", "NaN weight", "NaN reward", "infinite reward", "reward spike"}
    return Spoil.ONSET if run.fault in late else 0


# -- the battery -------------------------------------------------------------------------------------------------------


def healthy_runs() -> list[Run]:
    """Runs without a planted fault."""
    runs = []
    for algorithm in ALGORITHMS:
        for task in TASKS:
            runs.append(Run(algorithm, task))
        for task in ("near the goal", "constant"):
            runs += [Run(algorithm, task, scale=scale) for scale in (0.01, 100.0)]
        runs += [Run(algorithm, task, seed=1) for task in ("near the goal", "constant", "images, constant")]
    return runs


def faulty_runs() -> list[Run]:
    """Runs with a planted fault."""
    runs = []
    for algorithm in ALGORITHMS:
        runs += [Run(algorithm, "images", "leak", rate=rate) for rate in (1e-4, 3e-4, 1e-3)]
        runs += [Run(algorithm, "images", "leak", scale=scale) for scale in (0.01, 100.0)]
        runs += [Run(algorithm, "near the goal", "diverging critic", scale=scale) for scale in (0.01, 1.0, 100.0)]
        runs += [Run(algorithm, "near the goal", "high learning rate", rate=rate) for rate in (0.03, 0.3)]
        for fault in ("NaN reward", "infinite reward", "NaN weight", "reward spike"):
            runs.append(Run(algorithm, "near the goal", fault))
    return runs
