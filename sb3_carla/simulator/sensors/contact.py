"""What is touched and what is in the way: collision and obstacle detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sb3_carla.simulator.actors import Actor, SolidActor
from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.collision import Box, first_on_ray
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.sensors.base import Message, Sensor
from sb3_carla.simulator.wire.rpc import pack
from sb3_carla.simulator.wire.values import Vector

if TYPE_CHECKING:
    from sb3_carla.simulator.world import World


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
        return self.message(world, pack((me.record(), record, impulse)))


class ObstacleSensor(Sensor):
    """The first thing in front of the sensor, within a distance; the ground is none."""

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._reach = self.number("distance", 5.0, 0.0, 1000.0)
        self._radius = self.number("hit_radius", 0.5, 0.0, 100.0)
        self._only_dynamics = self.flag("only_dynamics", False)

    def measure(self, world: World) -> Message | None:
        """The nearest obstacle on the sensor's axis; None when the way is clear."""
        pose = self.pose
        forward: Vector = tuple(rotation_matrix(pose.pitch, pose.yaw, pose.roll)[:, 0].tolist())
        half = 0.5 * self._reach
        around = Box(None, half + self._radius, half + self._radius)
        around.place(
            pose.x + forward[0] * half, pose.y + forward[1] * half, pose.z - self._reach, pose.z + self._reach, 0.0
        )
        carrier = self.carrier()
        boxes = [solid.box for solid in world.solids if solid is not carrier]
        if not self._only_dynamics:
            boxes += world.town.scenery.within(around)
        found = first_on_ray(boxes, pose[:3], forward, self._reach, self._radius)
        if found is None:
            return None
        distance, box = found
        me: Actor = self.parent if self.parent is not None else self
        other = box.owner.record() if isinstance(box.owner, Actor) else world.town.scenery_record(box.owner)
        return self.message(world, pack((me.record(), other, distance)))
