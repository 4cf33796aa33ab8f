"""A radar: points spread at random over a cone, each with the speed at which what it met comes nearer or goes away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.rays import RayScene
from sb3_carla.simulator.sensors.base import Message, Sensor
from sb3_carla.simulator.wire.layouts import RADAR_DETECTION_DTYPE

if TYPE_CHECKING:
    from sb3_carla.simulator.town import Town
    from sb3_carla.simulator.world import World

_MOST_POINTS: Final = 1_000_000  # of one measurement


class RadarSensor(Sensor):
    """Detections with velocity (negative: it comes nearer), azimuth (positive: right), altitude (up) and depth."""

    late = True

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = self.random()
        self._reach = self.number("range", 100.0, 0.01, 10_000.0)
        self._per_second = self.number("points_per_second", 1500, 0, 1e9)
        self._width, self._height = (
            math.tan(math.radians(0.5 * self.number(f"{name}_fov", 30.0, 0.0, 179.0)))
            for name in ("horizontal", "vertical")
        )
        self._scene: RayScene | None = None

    def prepare(self, town: Town) -> None:
        """Have the town's boxes and ground ready: the first sensor of a town waits for them."""
        self._scene = town.rays

    def measure(self, world: World) -> Message:
        """Detections; a ray that meets nothing gives none."""
        scene = self._scene
        assert scene is not None
        count = min(int(self._per_second * self.span(world)), _MOST_POINTS)
        radius, angle = self._random.random(count), self._random.random(count) * 2.0 * math.pi
        rays = np.stack(
            [np.ones(count), self._width * radius * np.cos(angle), self._height * radius * np.sin(angle)], axis=1
        )
        # The cone's base, not a sphere, bounds what is in reach.
        lengths = np.linalg.norm(rays, axis=1)
        rays /= lengths[:, None]
        turn = rotation_matrix(self.pose.pitch, self.pose.yaw, self.pose.roll)
        bodies = world.bodies()
        ahead = rays @ turn.T
        hits = scene.cast(self.pose[:3], ahead, self._reach * float(lengths.max(initial=1.0)), bodies)
        met = hits.distance < self._reach * lengths
        found = np.zeros(int(met.sum()), RADAR_DETECTION_DTYPE)
        x, y, z = rays[met].T
        found["azimuth"], found["altitude"] = np.arctan2(y, x), np.arcsin(z)
        found["depth"] = hits.distance[met]
        moving = np.zeros((len(bodies) + 1, 3))  # the last row for all that stands still
        for row, one in enumerate(bodies["id"].tolist()):
            if one in world.actors:
                moving[row] = world.actors[one].velocity
        target = hits.target[met] - scene.still
        target[target < 0] = len(bodies)
        found["velocity"] = ((moving[target] - self.velocity_here()) * ahead[met]).sum(axis=1)
        return self.message(world, found.tobytes())
