"""What the agent sees: the stack of pictures and, on request, a state vector.

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

With ``state="traffic"`` three more follow, 50 where there is nothing:

===== ===========================================================================
12    distance to the next road user on the lane [m]
13    speed of that road user along the lane [m/s]
14    distance to the stop line of the next red or yellow light [m]
===== ===========================================================================
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.scenario import Scenario

POINTS_AHEAD = (5.0, 10.0, 15.0, 20.0)  # [m]
STATE_SIZE = 4 + 2 * len(POINTS_AHEAD)
STATE_SIZES = {"lane": STATE_SIZE, "traffic": STATE_SIZE + 3}
CHANNELS = {"gray": 1, "rgb": 3, "semantic": 1, "depth": 1, "birdview": 3}

State = npt.NDArray[np.float32]  # (one of STATE_SIZES,)
Picture = npt.NDArray[np.uint8]  # (channels, height, width)
Parts = tuple[Picture, State | None]  # what one observation is made of: the newest picture, the state if asked for


def observation_space(scenario: Scenario) -> gym.Space[Any]:
    """The image stack alone, or a Dict of ``image`` and ``state``, as the scenario's ``observation`` says."""
    shape = (scenario.frame_stack * CHANNELS[scenario.camera], *scenario.image_shape)
    image = gym.spaces.Box(0, 255, shape, np.uint8)
    if scenario.observation == "image":
        return image
    state = gym.spaces.Box(-np.inf, np.inf, (STATE_SIZES[scenario.state],), np.float32)
    return gym.spaces.Dict({"image": image, "state": state})


def state_vector(
    speed: float,
    steer: float,
    lateral_deviation: float,
    heading_error_deg: float,
    pose: tuple[float, float, float],
    points: list[tuple[float, float]],
    ahead: Sequence[float] = (),
) -> State:
    """Put the state vector together.

    :param speed: [m/s]
    :param steer: -1 to 1
    :param lateral_deviation: [m]
    :param heading_error_deg: [deg]
    :param pose: world x, y [m] and yaw [deg] of the car
    :param points: world x, y [m] of the lane centre at :data:`POINTS_AHEAD`
    :param ahead: what ``state="traffic"`` adds

    >>> state_vector(3.0, 0.0, 0.5, 0.0, (10, 0, 90), [(10, 5), (10, 10), (9, 15), (8, 20)]).round(1).tolist()
    [3.0, 0.0, 0.5, 0.0, 5.0, 0.0, 10.0, 0.0, 15.0, 1.0, 20.0, 2.0]
    """
    x, y, yaw_deg = pose
    cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
    state = [speed, steer, lateral_deviation, math.radians(heading_error_deg)]
    for point_x, point_y in points:
        dx, dy = point_x - x, point_y - y
        state += [dx * cos + dy * sin, dy * cos - dx * sin]
    return np.array([*state, *ahead], np.float32)


class Sensing:
    """Noise and delay between what there is and what the agent gets; both are off by default.

    :param scenario: its ``image_noise``, ``state_noise`` and ``observation_delay``
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._noise = np.random.default_rng()
        self._late: deque[Parts] = deque()

    def seed(self, seed: int) -> None:
        """Make the noise reproducible."""
        self._noise = np.random.default_rng(seed)

    def begin(self, parts: Parts) -> Parts:
        """Begin an episode with its first observation, which stands for those before it."""
        self._late = deque([parts] * self._scenario.observation_delay)
        return self._noisy(parts)

    def __call__(self, parts: Parts) -> Parts:
        """What the agent gets when there is this."""
        self._late.append(parts)
        return self._noisy(self._late.popleft())

    def _noisy(self, parts: Parts) -> Parts:
        image, state = parts
        if self._scenario.image_noise > 0.0:
            noise = self._noise.normal(0.0, self._scenario.image_noise, image.shape)
            image = np.clip(image + noise, 0.0, 255.0).astype(np.uint8)
        if state is not None and self._scenario.state_noise > 0.0:
            state = state * self._noise.normal(1.0, self._scenario.state_noise, state.shape).astype(np.float32)
        return image, state
