"""Rotating lidars: one with intensities, noise and drop-off, one with the labels and ids of what its points lie on.

Angles, point order, intensity and drop-off follow the documentation of CARLA's lidar sensors (Docs, "Sensors
reference"): the beams of a scan are spread evenly from the upper to the lower limit, points come channel by channel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.rays import Floats, Hits, RayScene
from sb3_carla.simulator.sensors.base import Message, Sensor
from sb3_carla.simulator.wire.layouts import LIDAR_HEAD, LIDAR_POINT_DTYPE, SEMANTIC_LIDAR_POINT_DTYPE

if TYPE_CHECKING:
    from sb3_carla.simulator.town import Town
    from sb3_carla.simulator.world import World

_MOST_CHANNELS: Final = 1024
_MOST_POINTS: Final = 1_000_000  # of one scan; one that would have more has fewer per channel
_FARTHEST: Final = 10_000.0  # [m]

Mask = npt.NDArray[np.bool_]


class SemanticLidarSensor(Sensor):
    """A lidar whose points carry the cosine of incidence, the actor's id and the semantic label; without any noise."""

    late = True

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._channels = int(self.number("channels", 32, 1, _MOST_CHANNELS))
        self._reach = self.number("range", 10.0, 0.01, _FARTHEST)
        self._per_second = self.number("points_per_second", 56_000, 0, 1e9)
        self._frequency = self.number("rotation_frequency", 10.0, 0.0, 1e6)
        self._fov = self.number("horizontal_fov", 360.0, 0.01, 360.0)
        upper, lower = self.number("upper_fov", 10.0, -90.0, 90.0), self.number("lower_fov", -30.0, -90.0, 90.0)
        self._beams = np.radians(np.linspace(upper, lower, self._channels))
        self._angle = 0.0  # where the last scan ended, from the left limit [deg]
        self._scene: RayScene | None = None

    def prepare(self, town: Town) -> None:
        """Have the town's boxes and ground ready: the first sensor of a town waits for them."""
        self._scene = town.rays

    def measure(self, world: World) -> Message:
        """The points of what the lidar turned through since its last scan, in its own axes."""
        scene = self._scene
        assert scene is not None
        rays = self._scan(self.span(world))
        keep = self._fired(len(rays))
        rays = rays[keep]
        turn = rotation_matrix(self.pose.pitch, self.pose.yaw, self.pose.roll)
        bodies = world.bodies()
        hits = scene.cast(self.pose[:3], rays @ turn.T, self._reach, bodies)
        channel = np.repeat(np.arange(self._channels), len(keep) // self._channels)[keep]
        met = hits.distance < self._reach
        met[met] = self._detected(hits.distance[met])
        rays, hits, channel = rays[met], hits.only(met), channel[met]
        ends = rays * hits.distance[:, None]
        points = self._points(rays, hits, ends, scene, ends @ turn.T + self.pose[:3], bodies)
        counts = np.bincount(channel, minlength=self._channels).astype("<u4")
        head = LIDAR_HEAD.pack(math.radians(self._angle), self._channels)
        return self.message(world, head + counts.tobytes() + points.tobytes())

    def _scan(self, span: float) -> Floats:
        """The rays of one scan (channels * points per channel, 3) in the lidar's axes; turns the lidar on."""
        count = min(int(self._per_second * span / self._channels + 0.5), _MOST_POINTS // self._channels)
        if count == 0:
            return np.zeros((0, 3))
        swept = self._frequency * self._fov * span
        yaw = np.radians((self._angle + swept / count * np.arange(count)) % self._fov - 0.5 * self._fov)
        self._angle = (self._angle + swept) % self._fov
        rays = np.empty((self._channels, count, 3))
        level = np.cos(self._beams)[:, None]
        rays[..., 0], rays[..., 1] = level * np.cos(yaw), level * np.sin(yaw)
        rays[..., 2] = np.sin(self._beams)[:, None]
        return rays.reshape(-1, 3)

    def _fired(self, count: int) -> Mask:
        """Which rays are cast at all."""
        return np.ones(count, np.bool_)

    def _detected(self, distance: Floats) -> Mask:
        """Which of the rays that met something give a point."""
        return np.ones(len(distance), np.bool_)

    def _points(
        self, rays: Floats, hits: Hits, ends: Floats, scene: RayScene, places: Floats, bodies: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """The points as the client reads them.

        :param rays: (points, 3) in the lidar's axes, of length one
        :param hits: what they met
        :param ends: where, in the lidar's axes [m]
        :param scene: what was cast into
        :param places: where, in the world [m]
        :param bodies: what moves
        """
        points = np.empty(len(rays), SEMANTIC_LIDAR_POINT_DTYPE)
        points["point"], points["cosine"] = ends, hits.cosine
        points["id"], points["tag"] = scene.ids_and_labels(hits, places, bodies)
        return points


class LidarSensor(SemanticLidarSensor):
    """A lidar whose points carry the intensity, which the air weakens; weak points may be lost."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = self.random()
        self._attenuation = self.number("atmosphere_attenuation_rate", 0.004, least=0.0)  # [1/m]
        self._lost = self.number("dropoff_general_rate", 0.45)
        self._safe = self.number("dropoff_intensity_limit", 0.8)
        self._lost_at_zero = self.number("dropoff_zero_intensity", 0.4)
        self._deviation = self.number("noise_stddev", 0.0, least=0.0)  # along the ray [m]

    def _fired(self, count: int) -> Mask:
        if self._lost <= 0.0:
            return np.ones(count, np.bool_)
        return np.asarray(self._random.random(count) >= self._lost)

    def _detected(self, distance: Floats) -> Mask:
        """All above the safe intensity; below, the chance to be lost grows to what it is at intensity zero."""
        intensity = self._intensity(distance)
        if self._lost_at_zero <= 0.0 or self._safe <= 0.0:
            return np.ones(len(distance), np.bool_)
        kept = 1.0 - self._lost_at_zero * (1.0 - intensity / self._safe)
        return np.asarray((intensity > self._safe) | (self._random.random(len(distance)) < kept))

    def _points(
        self, rays: Floats, hits: Hits, ends: Floats, scene: RayScene, places: Floats, bodies: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        points = np.empty(len(rays), LIDAR_POINT_DTYPE)
        points["point"], points["intensity"] = ends, self._intensity(hits.distance)
        if self._deviation > 0.0:
            points["point"] += rays * self._random.normal(0.0, self._deviation, len(rays))[:, None]
        return points

    def _intensity(self, distance: Floats) -> Floats:
        return np.asarray(np.exp(-self._attenuation * distance))
