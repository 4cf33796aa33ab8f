"""Actors: what everything that lives in the world has in common, and what can be seen and hit."""

from __future__ import annotations

import math
from typing import Any, Final

from sb3_carla.simulator.attachment import Attachment, FreeWay, SpringArm
from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.collision import Box, Point, Solid
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.wire.layouts import ACTIVE, PLAIN_RECORD
from sb3_carla.simulator.wire.values import Vector

_ZERO: Final[Vector] = (0.0, 0.0, 0.0)
_PROP_TAG: Final = 20  # semantic label of props


def mounted(parent: Transform, relative: Transform) -> Transform:
    """The world pose of something mounted rigidly at ``relative`` on a parent, with the rotations truly composed.

    Parents on flat ground take a short cut: one sine and cosine.
    """
    if parent.pitch == 0.0 and parent.roll == 0.0:
        yaw = math.radians(parent.yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        heading = parent.yaw + relative.yaw
        return Transform(
            parent.x + c * relative.x - s * relative.y,
            parent.y + s * relative.x + c * relative.y,
            parent.z + relative.z,
            relative.pitch,
            heading if -180.0 <= heading <= 180.0 else math.remainder(heading, 360.0),
            relative.roll,
        )
    turned = rotation_matrix(parent.pitch, parent.yaw, parent.roll)
    x, y, z = (turned @ relative[:3]).tolist()
    matrix = (turned @ rotation_matrix(relative.pitch, relative.yaw, relative.roll)).tolist()
    pitch = math.asin(min(1.0, max(-1.0, matrix[2][0])))
    yaw = math.atan2(matrix[1][0], matrix[0][0])
    roll = math.atan2(-matrix[2][1], matrix[2][2])
    return Transform(
        parent.x + x, parent.y + y, parent.z + z, math.degrees(pitch), math.degrees(yaw), math.degrees(roll)
    )


class Actor:
    """One actor; this class alone is the spectator, a controller or anything else that neither moves nor measures.

    :param id: never used again after the actor's end
    :param blueprint: what it is
    :param attributes: the values of its attributes
    :param pose: in the world
    """

    tag = 0  # semantic label
    box_centre: Vector = _ZERO  # of the bounding box, in the actor's frame [m]
    box_extent: Vector = _ZERO  # half sizes [m]
    colour: tuple[int, int, int] = (128, 128, 128)
    token = b""  # of the stream, for sensors

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform):
        self.id = id
        self.blueprint = blueprint
        self.attributes = attributes
        self.pose = pose
        self.parent: Actor | None = None
        self.relative = Transform()  # to the parent
        self.attachment = Attachment.RIGID
        self._arm: SpringArm | None = None
        self.changed = True  # since the last snapshot

    @property
    def velocity(self) -> Vector:
        """Velocity in the world [m/s]."""
        return _ZERO

    @property
    def angular_velocity(self) -> Vector:
        """Turning rates about the world's axes [deg/s]."""
        return _ZERO

    @property
    def acceleration(self) -> Vector:
        """Acceleration in the world [m/s2]."""
        return _ZERO

    def place(self, pose: Transform) -> None:
        """Teleport."""
        self.pose = pose
        self.changed = True

    def attach(self, parent: Actor, relative: Transform, kind: Attachment = Attachment.RIGID) -> None:
        """Mount the actor on another one."""
        self.parent, self.relative, self.attachment = parent, relative, kind
        if kind is not Attachment.RIGID:
            self._arm = SpringArm(relative, ghost=kind is Attachment.SPRING_ARM_GHOST)
        self.follow()

    @property
    def swings(self) -> bool:
        """Whether the actor hangs on an arm that still turns after its parent."""
        return self._arm is not None and not self._arm.settled

    def follow(self, delta: float = 0.0, free_way: FreeWay = lambda start, end: 1.0) -> None:
        """Take the place on the parent.

        :param delta: time since the last call [s]
        :param free_way: how much of the way between two points is free
        """
        if self.parent is None:
            return
        if self._arm is None:
            self.pose = mounted(self.parent.pose, self.relative)
        else:
            end = self._arm.end(self.parent.pose, delta, free_way)
            self.pose = mounted(end, Transform(0.0, 0.0, 0.0, *self.relative[3:]))
        self.changed = True

    def write(self, snapshot: bytearray, offset: int) -> None:
        """Write this actor's record into the snapshot."""
        PLAIN_RECORD.pack_into(snapshot, offset, self.id, ACTIVE, *self.pose, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    def bounding_box(self) -> tuple[Any, ...]:
        """The bounding box as the client reads it."""
        return self.box_centre, self.box_extent, _ZERO, self.id

    def record(self) -> tuple[Any, ...]:
        """The actor as the client reads it."""
        values = [(one.name, one.type, self.attributes.get(one.name, one.value)) for one in self.blueprint.attributes]
        description = (self.blueprint.uid, self.blueprint.type_id, values)
        parent = self.parent.id if self.parent is not None else 0
        return self.id, parent, description, self.bounding_box(), bytes([self.tag]), self.token


class SolidActor(Actor, Solid):
    """An actor that can be seen and hit; props are nothing else and cannot be moved by a hit."""

    tag = _PROP_TAG
    inverse_mass = 0.0
    inverse_inertia = 0.0

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform):
        super().__init__(id, blueprint, attributes, pose)
        if blueprint.prop is not None:
            self.colour = blueprint.prop.colour
            self._shape(blueprint.prop.length, blueprint.prop.width, blueprint.prop.height)
        self.collides = True
        self.moving = False

    def _shape(self, length: float, width: float, height: float) -> None:
        self.box_centre = (0.0, 0.0, 0.5 * height)
        self.box_extent = (0.5 * length, 0.5 * width, 0.5 * height)
        self.box = Box(self, 0.5 * length, 0.5 * width)
        self.settle()

    def settle(self) -> None:
        """Move the collision box to where the actor is."""
        pose, half = self.pose, self.box_extent[2]
        middle = pose.z + self.box_centre[2]
        self.box.place(pose.x, pose.y, middle - half, middle + half, pose.yaw)

    def place(self, pose: Transform) -> None:
        """Teleport."""
        super().place(pose)
        self.settle()

    def velocity_at(self, x: float, y: float) -> Point:
        """Velocity of the body's point there [m/s]."""
        vx, vy, _ = self.velocity
        return vx, vy

    def push(self, jx: float, jy: float, spin: float) -> None:
        """Nothing: a prop stands fast."""

    def shift(self, dx: float, dy: float) -> None:
        """Nothing: a prop stands fast."""
