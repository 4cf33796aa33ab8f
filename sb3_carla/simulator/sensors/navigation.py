"""Where the sensor is and how it moves: GNSS and IMU, with CARLA's noise models."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.sensors.base import Message, Sensor
from sb3_carla.simulator.wire.rpc import pack

if TYPE_CHECKING:
    from sb3_carla.simulator.world import World


class GnssSensor(Sensor):
    """Geographic position; bias and deviation of the noise are in degrees and, for the altitude, in metres."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = self.random()
        axes = ("lat", "lon", "alt")
        self._deviation = [self.number(f"noise_{axis}_stddev", 0.0, least=0.0) for axis in axes]
        self._bias = [self.number(f"noise_{axis}_bias", 0.0) for axis in axes]

    def measure(self, world: World) -> Message:
        """Latitude and longitude [deg], altitude [m]."""
        place = np.add(world.town.geolocation(self.pose), self._bias)
        return self.message(world, pack((place + self._random.normal(0.0, self._deviation)).tolist()))


class ImuSensor(Sensor):
    """Accelerometer (with gravity), gyroscope and compass in the sensor's axes."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = self.random()
        self._acceleration_deviation = [self.number(f"noise_accel_stddev_{axis}", 0.0, least=0.0) for axis in "xyz"]
        self._gyro_deviation = [self.number(f"noise_gyro_stddev_{axis}", 0.0, least=0.0) for axis in "xyz"]
        self._gyro_bias = [self.number(f"noise_gyro_bias_{axis}", 0.0) for axis in "xyz"]

    def measure(self, world: World) -> Message:
        """[m/s2], [rad/s], [rad]."""
        carrier = self.carrier()
        turning = np.radians(carrier.angular_velocity)
        arm = np.subtract(self.pose[:3], carrier.pose[:3])
        # Away from the carrier's origin a turn is felt too; the change of the turning rate is left out.
        acceleration = np.cross(turning, np.cross(turning, arm)) + carrier.acceleration + (0.0, 0.0, world.gravity)
        to_sensor = rotation_matrix(self.pose.pitch, self.pose.yaw, self.pose.roll).T
        felt = to_sensor @ acceleration + self._random.normal(0.0, self._acceleration_deviation)
        turn = to_sensor @ turning + self._random.normal(self._gyro_bias, self._gyro_deviation)
        compass = (math.radians(self.pose.yaw) + 0.5 * math.pi) % (2.0 * math.pi)
        return self.message(world, pack((felt.tolist(), turn.tolist(), compass)))
