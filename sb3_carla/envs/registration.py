"""The gym ids: ``Carla-v0`` and one id per scenario."""

from __future__ import annotations

import gymnasium as gym

from sb3_carla.envs.catalogue import SCENARIOS

ENTRY_POINT = "sb3_carla.envs.carla_env:CarlaEnv"


def gym_id(scenario: str) -> str:
    """The gym id of a scenario.

    >>> gym_id("lane_following")
    'CarlaLaneFollowing-v0'
    """
    return "Carla" + "".join(word.capitalize() for word in scenario.split("_")) + "-v0"


def register_envs() -> None:
    """Register ``Carla-v0`` (lane following) and every scenario's own id; safe to call again."""
    if "Carla-v0" not in gym.registry:
        gym.register("Carla-v0", entry_point=ENTRY_POINT)
    for name in SCENARIOS:
        if gym_id(name) not in gym.registry:
            gym.register(gym_id(name), entry_point=ENTRY_POINT, kwargs={"scenario": name})
