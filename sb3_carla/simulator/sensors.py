"""Sensors that measure on the server: cameras, GNSS, IMU, obstacle detector and collision detector.

Each makes finished stream messages, length and header included, out of buffers that it keeps from frame to frame.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sb3_carla.simulator.actors import Actor, SolidActor
from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.collision import Box, first_on_ray
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.wire.layouts import IMAGE_HEAD, SensorType
from sb3_carla.simulator.wire.rpc import pack
from sb3_carla.simulator.wire.streams import HEADED, write_head
from sb3_carla.simulator.wire.values import Vector

if TYPE_CHECKING:
    from sb3_carla.simulator.camera import Camera
    from sb3_carla.simulator.town import Town
    from sb3_carla.simulator.world import World

# One message as the parts that the socket sends one after the other.
Message = Sequence[Any]

_LARGEST_IMAGE: Final = 8192  # [pixels] in either direction
_SLACK: Final = 1e-6  # [s]; a sensor_tick of two steps must not miss its time by a rounding error


class AttributeRefused(ValueError):
    """A blueprint attribute has a value that the sensor cannot work with."""


class Sensor(Actor):
    """What all sensors share: a stream, and when they measure.

    :param stream_id: of the stream that carries the data
    """

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose)
        assert blueprint.sensor is not None
        self.kind: SensorType = blueprint.sensor
        self.stream_id = stream_id
        self._interval = max(0.0, self.number("sensor_tick", 0.0))
        self._next = -math.inf

    def number(self, name: str, default: float) -> float:
        """An attribute as a number.

        :raises AttributeRefused: when it is none
        """
        text = self.attributes.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise AttributeRefused(f"{self.blueprint.type_id}: attribute {name} is {text!r}, it must be a number")
        return value

    def due(self, time: float) -> bool:
        """Whether it is time to measure; asking counts as measuring.

        :param time: simulation time [s]
        """
        if self._interval == 0.0:
            return True
        if time < self._next - _SLACK:
            return False
        # Keep the rhythm; only a sensor that was not asked for long starts a new one.
        self._next = self._next + self._interval if time < self._next + self._interval else time + self._interval
        return True

    def prepare(self, town: Town) -> None:
        """Make ready to measure in a town."""

    def measure(self, world: World) -> Message | None:
        """The message for this frame, or None when there is nothing to tell."""
        return None

    def event(self, world: World, payload: bytes) -> Message:
        """A message whose payload is small and new each time."""
        head = bytearray(HEADED)
        write_head(head, len(payload), self.kind, world.frame, world.elapsed, self.pose)
        return (head + payload,)


class CameraSensor(Sensor):
    """An rgb or semantic segmentation camera."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        width, height = self.number("image_size_x", 800), self.number("image_size_y", 600)
        for name, size in (("image_size_x", width), ("image_size_y", height)):
            if not 1 <= size <= _LARGEST_IMAGE:
                raise AttributeRefused(f"{name} is {size:g}, it must lie between 1 and {_LARGEST_IMAGE}")
        self.width, self.height = int(width), int(height)
        self.fov = self.number("fov", 90.0)
        if not 0.0 < self.fov < 180.0:
            raise AttributeRefused(f"fov is {self.fov:g} degrees, it must lie between 0 and 180")
        self._head = bytearray(HEADED + IMAGE_HEAD.size)
        IMAGE_HEAD.pack_into(self._head, HEADED, self.width, self.height, self.fov)
        self._size = IMAGE_HEAD.size + 4 * self.width * self.height
        self._camera: Camera | None = None

    def prepare(self, town: Town) -> None:
        """Make the camera now: the first one of a town takes long, and the spawn can wait better than a tick."""
        self._camera = town.camera(self.width, self.height, self.fov)

    def measure(self, world: World) -> Message:
        """Head and pixels of this frame's picture."""
        camera = self._camera
        assert camera is not None
        pose = self.pose
        bodies = world.bodies()
        if world.settings.no_rendering:
            image = np.zeros((self.height, self.width, 4), np.uint8)
        elif self.kind is SensorType.RGB:
            image = camera.rgb(pose, bodies, world.weather)
        else:
            image = camera.semantic(pose, bodies)
        write_head(self._head, self._size, self.kind, world.frame, world.elapsed, pose)
        return self._head, image


class GnssSensor(Sensor):
    """Geographic position, with CARLA's noise model: bias and normal deviation, in degrees and metres."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = random.Random(int(self.number("noise_seed", 0)))
        self._noise = [
            (self.number(f"noise_{axis}_stddev", 0.0), self.number(f"noise_{axis}_bias", 0.0))
            for axis in ("lat", "lon", "alt")
        ]

    def measure(self, world: World) -> Message:
        """Latitude and longitude [deg], altitude [m]."""
        exact = world.town.geolocation(self.pose)
        return self.event(
            world, pack([_noisy(self._random, value, *noise) for value, noise in zip(exact, self._noise, strict=True)])
        )


class ImuSensor(Sensor):
    """Accelerometer (with gravity), gyroscope and compass in the sensor's frame, with CARLA's noise model."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = random.Random(int(self.number("noise_seed", 0)))
        self._accel = [(self.number(f"noise_accel_stddev_{axis}", 0.0), 0.0) for axis in "xyz"]
        self._gyro = [
            (self.number(f"noise_gyro_stddev_{axis}", 0.0), self.number(f"noise_gyro_bias_{axis}", 0.0))
            for axis in "xyz"
        ]

    def measure(self, world: World) -> Message:
        """[m/s2], [rad/s], [rad]."""
        carrier: Actor = self.parent if self.parent is not None else self
        ax, ay, az = carrier.acceleration
        to_sensor = rotation_matrix(self.pose.pitch, self.pose.yaw, self.pose.roll).T
        felt = (to_sensor @ (ax, ay, az + world.gravity)).tolist()
        turning = (to_sensor @ [math.radians(rate) for rate in carrier.angular_velocity]).tolist()
        compass = math.fmod(math.radians(self.pose.yaw) + 0.5 * math.pi, 2.0 * math.pi)
        return self.event(
            world,
            pack(
                (
                    [_noisy(self._random, value, *noise) for value, noise in zip(felt, self._accel, strict=True)],
                    [_noisy(self._random, value, *noise) for value, noise in zip(turning, self._gyro, strict=True)],
                    compass if compass >= 0.0 else compass + 2.0 * math.pi,
                )
            ),
        )


class ObstacleSensor(Sensor):
    """The first thing in front of the sensor, within a distance."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._reach = max(0.0, self.number("distance", 5.0))
        self._radius = max(0.0, self.number("hit_radius", 0.5))
        self._only_dynamics = attributes.get("only_dynamics", "false") == "true"

    def measure(self, world: World) -> Message | None:
        """The nearest obstacle on the sensor's axis; None when the way is clear."""
        pose = self.pose
        forward: Vector = tuple(rotation_matrix(pose.pitch, pose.yaw, pose.roll)[:, 0].tolist())
        half = 0.5 * self._reach
        around = Box(None, half + self._radius, half + self._radius)
        around.place(
            pose.x + forward[0] * half, pose.y + forward[1] * half, pose.z - self._reach, pose.z + self._reach, 0.0
        )
        boxes = [solid.box for solid in world.solids if solid is not self.parent]
        if not self._only_dynamics:
            boxes += world.town.scenery.within(around)
        found = first_on_ray(boxes, pose[:3], forward, self._reach, self._radius)
        if found is None:
            return None
        distance, box = found
        me: Actor = self.parent if self.parent is not None else self
        other = box.owner.record() if isinstance(box.owner, Actor) else world.town.scenery_record(box.owner)
        return self.event(world, pack((me.record(), other, distance)))


class CollisionSensor(Sensor):
    """Tells of every contact of its parent; the world hands it the contacts of a step."""

    def due(self, time: float) -> bool:
        """Never: contacts come as events."""
        return False

    def report(self, world: World, other: SolidActor | int, impulse: Vector) -> Message:
        """One contact.

        :param other: the actor that was hit, or the row of the scenery
        :param impulse: on the parent [N s]
        """
        me: Actor = self.parent if self.parent is not None else self
        record = other.record() if isinstance(other, Actor) else world.town.scenery_record(other)
        return self.event(world, pack((me.record(), record, impulse)))


SENSOR_CLASSES: Final[dict[SensorType, type[Sensor]]] = {
    SensorType.RGB: CameraSensor,
    SensorType.SEMANTIC_SEGMENTATION: CameraSensor,
    SensorType.GNSS: GnssSensor,
    SensorType.IMU: ImuSensor,
    SensorType.OBSTACLE: ObstacleSensor,
    SensorType.COLLISION: CollisionSensor,
}


def _noisy(source: random.Random, value: float, deviation: float, bias: float) -> float:
    return value + bias + (source.gauss(0.0, deviation) if deviation else 0.0)
