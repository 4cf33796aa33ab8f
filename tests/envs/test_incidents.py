from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sb3_carla import CarlaEnv
from sb3_carla.envs import ConfigurationError
from sb3_carla.envs.pursuit import PursuitDriver
from sb3_carla.simulator import EmbeddedServer


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """One for this file, whose scenarios choose the town."""
    with EmbeddedServer() as server:
        yield server


def drive(
    address: str, scenario: str, *, careful: bool, seed: int = 0, **options: Any
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The states of an episode and its last info."""
    env = CarlaEnv(address, scenario, observation="dict", state="traffic", image_size=16, **options)
    task = env.scenario
    driver = PursuitDriver(0.96 * task.target_speed, max_steer=task.max_steer, max_brake=task.max_brake)
    observation, _ = env.reset(seed=seed)
    states, ended = [observation["state"]], False
    while not ended:
        state = observation["state"].copy()
        if not careful:
            state[12:] = 50.0  # blind to what is ahead
        observation, _, terminated, truncated, info = env.step(np.array(driver.act(state), np.float32))
        states.append(observation["state"])
        ended = terminated or truncated
    env.close()
    return states, info


@pytest.mark.parametrize("scenario", ["overtaking", "emergency_brake"])
def test_who_looks_ahead_drives_through_and_who_does_not_collides(scenario: str, address: str) -> None:
    _, info = drive(address, scenario, careful=True, max_episode_steps=500)
    assert info["metrics"]["infractions"] == {}
    states, info = drive(address, scenario, careful=False, max_episode_steps=1000)
    assert info["termination"] == "collision"
    assert info["metrics"]["infractions"] == {"collision_vehicle": 1}
    assert states[0][12] < 30.0, "the car ahead is seen from the beginning"


def test_scripted_road_users_leave_the_spawn_points_where_they_are(address: str) -> None:
    env = CarlaEnv(address, "pedestrian_crossing", image_size=16, isolated=False)
    env.reset(seed=0)
    client = env._client._task.client  # type: ignore[union-attr]
    assert [point.location.z for point in client.spawn_points] == [
        point.location.z for point in client.map.get_spawn_points()
    ]
    env.close()


def test_walkers_cross_before_the_car(address: str) -> None:
    states, info = drive(address, "pedestrian_crossing", careful=True, max_episode_steps=500)
    assert min(state[12] for state in states) < 20.0
    assert info["metrics"]["infractions"] == {}


@pytest.mark.parametrize("scenario", ["pedestrian_crossing", "overtaking", "emergency_brake"])
def test_who_waits_for_some_seconds_is_not_stuck(scenario: str, address: str) -> None:
    env = CarlaEnv(address, scenario, image_size=16)
    env.reset(seed=0)
    for _ in range(100):  # 5 seconds
        _, _, terminated, _, info = env.step(np.array([0.0, -1.0], np.float32))
        assert not terminated, info["termination"]
    env.close()


def test_running_a_red_light_is_an_infraction_and_waiting_is_none(address: str) -> None:
    found = []
    for seed in range(6):
        _, info = drive(address, "route", careful=False, seed=seed, route_length=150.0)
        found.append(info["metrics"]["infractions"].get("red_light", 0))
        if found[-1]:
            assert info["metrics"]["infraction_penalty"] == pytest.approx(0.7 ** found[-1])
            break
    assert found[-1] >= 1
    _, info = drive(address, "route", careful=True, seed=len(found) - 1, route_length=150.0)
    assert info["metrics"]["infractions"] == {}
    assert info["termination"] == "goal"


def test_a_scenario_whose_place_the_map_has_not_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="has no roundabout"):
        CarlaEnv(address, "roundabout", town="Town_Blocks", image_size=16)
