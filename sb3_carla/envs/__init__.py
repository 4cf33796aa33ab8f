"""The CARLA Gymnasium environment.

Contents:

- :class:`~sb3_carla.envs.carla_env.CarlaEnv`: the Gymnasium face (reset, step, render, close)
- :class:`~sb3_carla.envs.scenario.Scenario`: everything that can be set about a driving task, by name or by argument
- :func:`~sb3_carla.envs.catalogue.register_scenario`: adds one of your own, with its gym id
- :data:`~sb3_carla.envs.reward.REWARD_PRESETS`: rewards by name
- :class:`~sb3_carla.envs.errors.CarlaEnvError` and its children: what it raises

Nothing here imports torch or Stable-Baselines3, and only the client process imports ``carla``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sb3_carla.envs.catalogue import SCENARIOS, register_scenario
from sb3_carla.envs.errors import CarlaEnvError, ConfigurationError, ServerUnavailableError
from sb3_carla.envs.reward import REWARD_PRESETS, RewardWeights
from sb3_carla.envs.scenario import Scenario

if TYPE_CHECKING:
    from sb3_carla.envs.carla_env import CarlaEnv

__all__ = [
    "REWARD_PRESETS",
    "SCENARIOS",
    "CarlaEnv",
    "CarlaEnvError",
    "ConfigurationError",
    "RewardWeights",
    "Scenario",
    "ServerUnavailableError",
    "register_scenario",
]


def __getattr__(name: str) -> Any:
    """Load CarlaEnv on first use: the client process needs this package, but not the trainer's side of it."""
    if name == "CarlaEnv":
        from sb3_carla.envs.carla_env import CarlaEnv

        return CarlaEnv
    raise AttributeError(f"module 'sb3_carla.envs' has no attribute {name!r}")
