"""What the agent's actions are and how they become the car's controls."""

from __future__ import annotations

import itertools
import math
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_carla.envs.scenario import Scenario

# The pairs of steer and pedal that a discrete action stands for: action 5 * pedal + steer.
STEERS = (-1.0, -0.4, 0.0, 0.4, 1.0)  # left to right
PEDALS = (-1.0, 0.0, 1.0)  # brake, roll, throttle
FULL_LOCK = math.radians(70.0)  # [rad] of the front wheels at steer = 1, of CARLA's cars
WHEELBASE = 3.0  # [m] about that of CARLA's Model 3
CRUISE_GAIN = 0.5  # [1/(m/s)] share of full throttle or brake per difference to the wanted speed
DISCRETE_ACTIONS = tuple((steer, pedal) for pedal, steer in itertools.product(PEDALS, STEERS))


def action_space(scenario: Scenario) -> gym.Space[Any]:
    """``Box(-1, 1, (2,), float32)`` of steer and throttle/brake or steer and wanted speed, or ``Discrete(15)``."""
    if scenario.actions == "discrete":
        return gym.spaces.Discrete(len(DISCRETE_ACTIONS))
    return gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def discrete_action(index: int) -> tuple[float, float]:
    """Steer and pedal of a discrete action.

    >>> discrete_action(12)
    (0.0, 1.0)
    """
    return DISCRETE_ACTIONS[index]


def pedals_for(wanted: float, speed: float, max_brake: float) -> tuple[float, float]:
    """Throttle and brake, both 0 to 1, that bring the car to a speed.

    An agent that chooses the speed and not the pedals drives from its first action on: 0 is half the target speed, and
    not a car that stands. So did Kendall et al., "Learning to Drive in a Day", 2018 (their section III).

    :param wanted: [m/s]
    :param speed: [m/s] of the car
    :param max_brake: the hardest that it may brake

    >>> pedals_for(8.0, 7.0, 0.3), pedals_for(0.0, 8.0, 0.3)
    ((0.5, 0.0), (0.0, 0.3))
    """
    pedal = CRUISE_GAIN * (wanted - speed)
    return min(max(pedal, 0.0), 1.0), min(max(-pedal, 0.0), max_brake)


def bend_speed(steer: float, lateral_acceleration: float) -> float:
    """The speed [m/s] at which steering takes the car round with a lateral acceleration.

    A kinematic bicycle drives a circle of the curvature k = tan(wheel angle) / wheelbase, and v^2 * k pulls outwards.

    :param steer: of full lock, -1 to 1
    :param lateral_acceleration: [m/s^2]

    >>> round(bend_speed(0.25, 2.5), 1), bend_speed(0.0, 2.5)
    (4.9, inf)
    """
    curvature = math.tan(abs(steer) * FULL_LOCK) / WHEELBASE
    return math.sqrt(lateral_acceleration / curvature) if curvature > 0.0 else math.inf


class ControlFilter:
    """Smooths the controls and limits how fast the steering changes, as a scenario asks; both are off by default.

    :param scenario: its ``action_smoothing`` and ``steer_rate``
    """

    def __init__(self, scenario: Scenario) -> None:
        self._old_share = scenario.action_smoothing
        self._greatest_change = scenario.steer_rate * scenario.step_seconds / scenario.max_steer
        self.begin()

    def begin(self) -> None:
        """Begin an episode: wheels straight, no pedal."""
        self._steer = self._pedal = 0.0

    def __call__(self, steer: float, pedal: float) -> tuple[float, float]:
        """The controls for an action, both -1 to 1."""
        if self._old_share > 0.0:
            steer += self._old_share * (self._steer - steer)
            pedal += self._old_share * (self._pedal - pedal)
        if self._greatest_change > 0.0:
            steer = min(max(steer, self._steer - self._greatest_change), self._steer + self._greatest_change)
        self._steer, self._pedal = steer, pedal
        return steer, pedal
