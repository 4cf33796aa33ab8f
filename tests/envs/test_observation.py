from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_carla import CarlaEnv
from sb3_carla.envs.actions import DISCRETE_ACTIONS, FULL_LOCK, WHEELBASE, ControlFilter, bend_speed
from sb3_carla.envs.observation import Sensing
from sb3_carla.envs.scenario import Scenario

THROTTLE = np.array([0.0, 0.6], np.float32)


def seen(address: str, steps: int = 3, **options: Any) -> list[Any]:
    """The observations of the first steps."""
    env = CarlaEnv(address, seed=0, **options)
    observations = [env.reset()[0]]
    for _ in range(steps):
        observations.append(env.step(THROTTLE)[0])
    assert all(env.observation_space.contains(observation) for observation in observations)
    env.close()
    return observations


@pytest.mark.parametrize(("camera", "channels"), [("rgb", 3), ("semantic", 1), ("depth", 1), ("birdview", 3)])
def test_every_camera_gives_a_picture_of_its_channels_and_any_size(camera: str, channels: int, address: str) -> None:
    observation = seen(address, camera=camera, image_size=40, image_width=64, frame_stack=2)[-1]
    assert observation.shape == (2 * channels, 40, 64)
    assert observation.std() > 1.0


def test_the_birds_eye_view_shows_the_lane_the_way_and_the_car_driving_up(address: str) -> None:
    lanes, way, road_users = seen(address, camera="birdview", image_size=80, frame_stack=1)[-1]
    assert lanes[64, 40] == 255, "the car is on a lane"
    assert way[44, 38:43].any(), "the way leads up from it"
    rows, columns = np.nonzero(road_users)
    assert (rows.mean(), columns.mean()) == pytest.approx((64, 40), abs=2)
    assert np.ptp(rows) > 1.5 * np.ptp(columns), "it points up"


def test_semantic_pixels_are_tags_times_eight(address: str) -> None:
    tags = np.unique(seen(address, camera="semantic", image_size=84, frame_stack=1)[-1] // 8)
    assert 1 in tags, "road"
    assert 11 in tags, "sky"


def test_the_traffic_state_says_that_nothing_is_ahead_on_an_empty_road(address: str) -> None:
    state = seen(address, observation="dict", state="traffic", image_size=16)[-1]["state"]
    assert state.shape == (15,)
    assert state[12:].tolist() == [50.0, 50.0, 50.0]


def test_a_delayed_observation_is_the_one_of_two_steps_before(address: str) -> None:
    prompt, late = (
        seen(address, 6, image_size=36, frame_stack=1),
        seen(address, 6, image_size=36, frame_stack=1, observation_delay=2),
    )
    for now, then in zip(prompt[:-2], late[2:], strict=True):
        np.testing.assert_array_equal(now, then)


def test_noise_is_added_and_reproducible(address: str) -> None:
    clean = seen(address, image_size=36, frame_stack=1)
    noisy, again = (seen(address, image_size=36, frame_stack=1, image_noise=8.0) for _ in range(2))
    for quiet, loud, same in zip(clean, noisy, again, strict=True):
        np.testing.assert_array_equal(loud, same)
        assert 5.0 < np.abs(loud.astype(float) - quiet).mean() < 8.0


def test_noise_of_the_state_is_a_share_of_each_value() -> None:
    sensing = Sensing(Scenario(observation="dict", state_noise=0.1))
    sensing.seed(0)
    state = np.full(2000, 50.0, np.float32)
    _, noisy = sensing.begin((np.zeros((1, 2, 2), np.uint8), state))
    assert noisy is not None
    assert (noisy / state).std() == pytest.approx(0.1, rel=0.1)


def test_a_discrete_action_drives_as_the_pair_that_it_stands_for(address: str) -> None:
    pair = (0.4, 1.0)
    speeds = []
    for kind, action in (("discrete", DISCRETE_ACTIONS.index(pair)), ("continuous", np.array(pair, np.float32))):
        env = CarlaEnv(address, seed=0, actions=kind, image_size=16)
        env.reset()
        for _ in range(15):
            *_, info = env.step(action)
        speeds.append((info["speed_kmh"], info["lateral_deviation"]))
        env.close()
    assert speeds[0] == pytest.approx(speeds[1], abs=1e-4)


def test_a_speed_action_is_held_and_its_least_stops_the_car(address: str) -> None:
    env = CarlaEnv(address, seed=0, actions="speed", image_size=16, target_speed_kmh=20.0, stuck_seconds=60.0)
    env.reset()
    reached = []
    for action in (0.0, 1.0, -1.0):
        for _ in range(120):
            *_, info = env.step(np.array([0.0, action], np.float32))
        reached.append(info["speed_kmh"])
    env.close()
    assert reached == pytest.approx([10.0, 20.0, 0.0], abs=1.5)


def test_the_steering_bounds_the_wanted_speed(address: str) -> None:
    fastest = {}
    for limit in (1.0, math.inf):
        env = CarlaEnv(address, actions="speed", image_size=16, max_steer=0.25, max_lateral_acceleration=limit)
        env.reset(seed=0)
        terminated, speeds = False, []
        while not terminated:  # round to the right until the road ends
            *_, terminated, _, info = env.step(np.ones(2, np.float32))
            speeds.append(info["speed_kmh"] / 3.6)
        env.close()
        fastest[limit] = max(speeds)
    assert fastest[1.0] < 1.1 * bend_speed(0.25, 1.0) < fastest[math.inf]


@given(steer=st.floats(0.01, 1.0), limit=st.floats(0.1, 20.0))
def test_at_the_bend_speed_the_lateral_acceleration_is_the_limit(steer: float, limit: float) -> None:
    radius = WHEELBASE / math.tan(steer * FULL_LOCK)
    assert bend_speed(steer, limit) ** 2 / radius == pytest.approx(limit)
    assert bend_speed(-steer, limit) == bend_speed(steer, limit)


def test_smoothing_and_the_steering_rate_slow_the_controls_down() -> None:
    plain = ControlFilter(Scenario())
    assert plain(1.0, -1.0) == (1.0, -1.0)
    smooth = ControlFilter(Scenario(action_smoothing=0.5))
    assert [smooth(1.0, 0.0)[0] for _ in range(3)] == [0.5, 0.75, 0.875]
    limited = ControlFilter(Scenario(steer_rate=1.0, max_steer=0.5, fixed_delta_seconds=0.05))
    assert [limited(1.0, 0.0)[0] for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    limited.begin()
    assert limited(-1.0, 0.0)[0] == pytest.approx(-0.1)
