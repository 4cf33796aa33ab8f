"""The scenarios by name, and how to add one's own.

from sb3_carla.envs import Scenario, register_scenario

register_scenario(Scenario("rush_hour", npc_vehicles=80, weather=("ClearNoon", "HardRainNoon")))
env = gymnasium.make("CarlaRushHour-v0")
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sb3_carla.envs.checks import replaced
from sb3_carla.envs.errors import ConfigurationError, did_you_mean
from sb3_carla.envs.reward import reward_weights
from sb3_carla.envs.scenario import Scenario

# Weathers to train in and others to test in, after Codevilla et al., "Exploring the Limitations of Behavior Cloning for
# Autonomous Driving" (NoCrash), 2019.
TRAIN_WEATHERS = ("ClearNoon", "WetNoon", "HardRainNoon", "ClearSunset")
TEST_WEATHERS = ("WetSunset", "SoftRainSunset")
# Of the embedded simulator; Town_Curves and Town_Circle are left to test in.
TRAIN_TOWNS = (
    "Town_Blocks", "Town_Quarter", "Town_Ring", "Town_Hills", *(f"Town_Random{number}" for number in range(1, 13)),
)  # fmt: skip

_LANE = Scenario("lane_following")
_TRAFFIC = Scenario(
    "light_traffic", npc_vehicles=20, traffic_rules=True, max_brake=1.0, route_length=150.0, max_episode_steps=2000,
    stuck_seconds=20.0,
)  # fmt: skip
# To a goal that the image does not show: the state vector holds the points of the route ahead.
_ROUTE = Scenario(
    "route", route="planned", route_length=300.0, observation="dict", state="traffic", traffic_rules=True,
    max_brake=1.0, max_episode_steps=3000, stuck_seconds=20.0,
)  # fmt: skip
# Something on the road that the brakes are for; who waits for it may stand.
_INCIDENT = dataclasses.replace(_LANE, max_brake=1.0, stuck_seconds=20.0)


def _variant(base: Scenario, name: str, **changes: Any) -> Scenario:
    return dataclasses.replace(base, name=name, **changes)


_SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _LANE,
        _variant(_LANE, "rain", weather="HardRainNoon"),
        _variant(_LANE, "night", weather="ClearNight"),
        _variant(_LANE, "changing_weather", weather=TRAIN_WEATHERS),
        _variant(_LANE, "changing_weather_test", weather=TEST_WEATHERS),
        _variant(_LANE, "changing_town", town=TRAIN_TOWNS),
        _TRAFFIC,
        _variant(_TRAFFIC, "medium_traffic", npc_vehicles=50),
        _variant(_TRAFFIC, "heavy_traffic", npc_vehicles=100),
        _ROUTE,
        _variant(_ROUTE, "intersection", place="junction", route_length=100.0, npc_vehicles=10, max_episode_steps=2000),
        _variant(
            _ROUTE,
            "roundabout",
            town="Town_Circle",
            place="roundabout",
            route_length=200.0,
            npc_vehicles=10,
            max_episode_steps=2000,
        ),
        _variant(_INCIDENT, "pedestrian_crossing", incident="pedestrians"),
        _variant(_INCIDENT, "overtaking", incident="slow_vehicle", max_episode_steps=2000),
        _variant(_INCIDENT, "emergency_brake", incident="braking_vehicle"),
    )
}
SCENARIOS: Mapping[str, Scenario] = MappingProxyType(_SCENARIOS)


def make_scenario(name: str, overrides: Mapping[str, Any]) -> Scenario:
    """The scenario of that name with single fields replaced.

    :param name: one of :data:`SCENARIOS`
    :param overrides: fields of :class:`Scenario`; ``reward`` may be a preset's name or a mapping over single weights
    :raises ConfigurationError: for an unknown name, an unknown field or a value that cannot be

    >>> make_scenario("light_traffic", {"npc_vehicles": 5, "reward": {"collision": 3}}).reward.collision
    3
    >>> make_scenario("lane_folowing", {})
    Traceback (most recent call last):
    ...
    sb3_carla.envs.errors.ConfigurationError: There is no scenario 'lane_folowing'. Did you mean 'lane_following'?
    """
    if name not in SCENARIOS:
        raise ConfigurationError(f"There is no scenario {name!r}. {did_you_mean(name, SCENARIOS)}")
    scenario, changes = SCENARIOS[name], dict(overrides)
    if "reward" in changes:
        changes["reward"] = reward_weights(changes["reward"], scenario.reward)
    return replaced(scenario, changes, "option of CarlaEnv")


def register_scenario(scenario: Scenario) -> str:
    """Add a scenario of one's own to :data:`SCENARIOS` and register its gym id; replaces one of the same name.

    :param scenario: its name is of lower-case letters, digits and ``_``
    :return: the gym id
    :raises ConfigurationError: for a name that cannot be
    """
    from sb3_carla.envs.registration import gym_id, register_envs

    if re.fullmatch(r"[a-z][a-z0-9_]*", scenario.name) is None:
        raise ConfigurationError(
            f"A scenario cannot be called {scenario.name!r}. Use lower-case letters, digits and '_', such as 'my_road'."
        )
    _SCENARIOS[scenario.name] = scenario
    register_envs()
    return gym_id(scenario.name)
