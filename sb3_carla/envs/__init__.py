"""The CARLA Gymnasium environment.

Contents:

- :class:`~sb3_carla.envs.carla_env.CarlaEnv`: the Gymnasium face (reset, step, render, close)
- :class:`~sb3_carla.envs.scenario.Scenario`: everything that can be set about a driving task, by name or by argument
- :class:`~sb3_carla.envs.errors.CarlaEnvError` and its children: what it raises

Nothing here imports torch or Stable-Baselines3, and only the client process imports ``carla``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sb3_carla.envs.errors import CarlaEnvError, ConfigurationError, ServerUnavailableError
from sb3_carla.envs.scenario import SCENARIOS, RewardWeights, Scenario

if TYPE_CHECKING:
    from sb3_carla.envs.carla_env import CarlaEnv

__all__ = [
    "SCENARIOS",
    "CarlaEnv",
    "CarlaEnvError",
    "ConfigurationError",
    "RewardWeights",
    "Scenario",
    "ServerUnavailableError",
]


def __getattr__(name: str) -> Any:
    """Load CarlaEnv on first use: the client process needs this package, but not the trainer's side of it."""
    if name == "CarlaEnv":
        from sb3_carla.envs.carla_env import CarlaEnv

        return CarlaEnv
    raise AttributeError(f"module 'sb3_carla.envs' has no attribute {name!r}")
