"""A driver that knows the lane: the ceiling to compare a learned policy with, and a check of the env itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_carla.envs.actions import FULL_LOCK, WHEELBASE
from sb3_carla.envs.observation import STATE_SIZE

LATERAL_ACCELERATION = 2.0  # [m/s^2] that the driver accepts in a bend
COMFORTABLE_BRAKING = 2.0  # [m/s^2] with which it approaches what stands in its way
GAP = 4.0  # [m] that it keeps to what stands in its way
STOP_GAP = 1.0  # [m] that it keeps to a stop line
HEADWAY = 1.0  # [s] that it stays behind a moving vehicle


class PursuitDriver:
    """Pure pursuit for the steering and a proportional controller for the speed, from the state vector.

    It needs ``CarlaEnv(observation="dict")`` and has the ``predict`` of an SB3 model. With ``state="traffic"`` it keeps
    its distance to the vehicle ahead and stops at red lights.

    Source: R. C. Coulter, "Implementation of the Pure Pursuit Path Tracking Algorithm", CMU-RI-TR-92-01, 1992.

    :param target_speed: [m/s] on a straight road
    :param wheelbase: [m] of the car
    :param max_steer: the scenario's ``max_steer``
    :param max_brake: the scenario's ``max_brake``
    """

    def __init__(
        self, target_speed: float = 8.0, wheelbase: float = WHEELBASE, max_steer: float = 0.4, max_brake: float = 0.3
    ) -> None:
        self.target_speed = target_speed
        self.wheelbase = wheelbase
        self.max_wheel_angle = FULL_LOCK * max_steer
        self.max_brake = max_brake

    def predict(
        self, observation: dict[str, npt.NDArray[Any]], *_: object, **__: object
    ) -> tuple[npt.NDArray[np.float32], None]:
        """The action for one observation or a batch of them: (..., 2) steer and throttle/brake."""
        state = np.asarray(observation["state"], np.float64)
        actions = [self.act(row) for row in state.reshape(-1, state.shape[-1])]
        return np.array(actions, np.float32).reshape(*state.shape[:-1], 2), None

    def act(self, state: npt.NDArray[np.floating[Any]]) -> tuple[float, float]:
        """Steer and throttle/brake for one state vector."""
        speed, points = float(state[0]), state[4:STATE_SIZE].reshape(-1, 2)
        x, y = points[0 if speed < 6.0 else 1]  # look farther ahead when faster
        curvature = 2.0 * y / max(x * x + y * y, 1.0)  # of the arc through the car and the point, right positive
        steer = math.atan(self.wheelbase * curvature) / self.max_wheel_angle
        bends = 2.0 * np.abs(points[:, 1]) / np.maximum((points**2).sum(1), 1.0)
        limit = math.sqrt(LATERAL_ACCELERATION / max(float(bends.max()), 1e-3))
        pedal = 0.5 * (min(self.target_speed, limit, self._speed_for(state[STATE_SIZE:])) - speed)
        pedal = pedal if pedal > 0.0 else pedal / self.max_brake
        return min(max(steer, -1.0), 1.0), min(max(pedal, -1.0), 1.0)

    @staticmethod
    def _speed_for(ahead: npt.NDArray[np.floating[Any]]) -> float:
        """The speed [m/s] from which a halt is possible before what is ahead."""
        if len(ahead) == 0:
            return math.inf
        lead_distance, lead_speed, light_distance = (float(value) for value in ahead)
        lead_speed = max(lead_speed, 0.0)
        room = lead_distance - GAP - HEADWAY * min(lead_speed, 5.0)
        behind = max(lead_speed + 0.5 * room, 0.0)
        if room > 0.0:
            behind = math.sqrt(lead_speed**2 + 2.0 * COMFORTABLE_BRAKING * room)
        before = math.sqrt(2.0 * COMFORTABLE_BRAKING * max(light_distance - STOP_GAP, 0.0))
        return min(behind if lead_distance < 50.0 else math.inf, before if light_distance < 50.0 else math.inf)
