"""What the agent sees: the stack of camera frames and, on request, a state vector.

The state vector is ``Box(shape=(12,), float32)``; frame of reference of its points: the car, x forward, y right.

===== ===========================================================================
index value
===== ===========================================================================
0     speed [m/s]
1     steering of the last action, -1 (left) to 1 (right)
2     lateral deviation from the lane centre [m], right positive
3     heading error against the lane [rad], clockwise positive
4-11  x and y [m] of the points of the lane centre 5, 10, 15 and 20 m ahead
===== ===========================================================================
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.scenario import Scenario

POINTS_AHEAD = (5.0, 10.0, 15.0, 20.0)  # [m]
STATE_SIZE = 4 + 2 * len(POINTS_AHEAD)

State = npt.NDArray[np.float32]  # (STATE_SIZE,)


def observation_space(scenario: Scenario) -> gym.Space[Any]:
    """The image stack alone, or a Dict of ``image`` and ``state``, as the scenario's ``observation`` says."""
    shape = (scenario.frame_stack, scenario.image_size, scenario.image_size)
    image = gym.spaces.Box(0, 255, shape, np.uint8)
    if scenario.observation == "image":
        return image
    state = gym.spaces.Box(-np.inf, np.inf, (STATE_SIZE,), np.float32)
    return gym.spaces.Dict({"image": image, "state": state})


def state_vector(
    speed: float,
    steer: float,
    lateral_deviation: float,
    heading_error_deg: float,
    pose: tuple[float, float, float],
    points: list[tuple[float, float]],
) -> State:
    """Put the state vector together.

    :param speed: [m/s]
    :param steer: -1 to 1
    :param lateral_deviation: [m]
    :param heading_error_deg: [deg]
    :param pose: world x, y [m] and yaw [deg] of the car
    :param points: world x, y [m] of the lane centre at :data:`POINTS_AHEAD`

    >>> state_vector(3.0, 0.0, 0.1, 0.0, (10, 0, 90), [(10, 5), (10, 10), (9, 15), (8, 20)]).round(1).tolist()
    [3.0, 0.0, 0.1, 0.0, 5.0, 0.0, 10.0, 0.0, 15.0, 1.0, 20.0, 2.0]
    """
    x, y, yaw_deg = pose
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    state = [speed, steer, lateral_deviation, math.radians(heading_error_deg)]
    for point_x, point_y in points:
        dx, dy = point_x - x, point_y - y
        state += [dx * cos + dy * sin, dy * cos - dx * sin]
    return np.array(state, np.float32)
