"""How a mounted actor hangs on its parent: rigidly, or at the far end of a spring arm that swings behind it.

The arm is Unreal's, as CARLA sets it up: it starts at the parent, is as long as the mount is far away, keeps level when
the parent pitches or rolls, turns after it with a delay, and what hangs on it looks along it towards the parent. One
that is not a ghost starts a little higher and is drawn in where something stands in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final

from sb3_carla.simulator.collision import Box, Scenery, Solid, first_on_ray
from sb3_carla.simulator.geometry import Transform

Point = tuple[float, float, float]
# How much of the way from one point to another is free, 0..1.
FreeWay = Callable[[Point, Point], float]

_LAG_RATE: Final = 8.0  # the arm makes up for this much of its lag [1/s]
_LIFT: Final = 0.3  # of an arm that is no ghost [m]
_RADIUS: Final = 0.12  # how far the arm keeps clear of things [m]
_STILL: Final = 1e-3  # lag at which the arm has caught up [deg]


class Attachment(IntEnum):
    """The kinds of attachment, as clients name them."""

    RIGID = 0
    SPRING_ARM = 1
    SPRING_ARM_GHOST = 2


class SpringArm:
    """The arm of one mounted actor.

    :param mount: place of the actor relative to its parent; its rotation is not the arm's
    :param ghost: goes through everything
    """

    def __init__(self, mount: Transform, *, ghost: bool):
        self._ghost = ghost
        self._length = math.dist(mount[:3], (0.0, 0.0, 0.0))
        self._pitch = math.degrees(math.atan2(-mount.z, math.hypot(mount.x, mount.y)))
        self._yaw = math.degrees(math.atan2(-mount.y, -mount.x)) if mount.x or mount.y else 0.0
        self._heading: float | None = None
        self.settled = True  # it need not be moved unless the parent moves

    def end(self, parent: Transform, delta: float, free_way: FreeWay) -> Transform:
        """The pose of the arm's far end, which looks along the arm.

        :param parent: pose of the parent
        :param delta: time since the last call [s]
        :param free_way: what asks how far the arm may reach
        """
        heading = parent.yaw + self._yaw
        if self._heading is not None:
            lag = math.remainder(heading - self._heading, 360.0) * math.exp(-_LAG_RATE * delta)
            self.settled = abs(lag) < _STILL
            heading -= 0.0 if self.settled else lag
        self._heading = heading
        x, y, z = parent.x, parent.y, parent.z + (0.0 if self._ghost else _LIFT)
        level = self._length * math.cos(math.radians(self._pitch))
        dx, dy = -level * math.cos(math.radians(heading)), -level * math.sin(math.radians(heading))
        dz = -self._length * math.sin(math.radians(self._pitch))
        share = 1.0 if self._ghost else free_way((x, y, z), (x + dx, y + dy, z + dz))
        return Transform(x + share * dx, y + share * dy, z + share * dz, self._pitch, heading, 0.0)


def free_way(solids: Sequence[Solid], scenery: Scenery, parent: Any, start: Point, end: Point) -> float:
    """How much of the way from a parent to what hangs on it nothing stands in, 0..1.

    :param solids: what moves
    :param scenery: what never moves
    :param parent: is not in the way
    :param start: of the way [m]
    :param end: of the way [m]
    """
    reach = math.dist(start, end)
    if reach == 0.0:
        return 1.0
    ahead = ((end[0] - start[0]) / reach, (end[1] - start[1]) / reach, (end[2] - start[2]) / reach)
    around = Box(None, 0.5 * reach + _RADIUS, 0.5 * reach + _RADIUS)
    around.place(0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]), -math.inf, math.inf, 0.0)
    boxes = [one.box for one in solids if one is not parent] + scenery.within(around)
    found = first_on_ray(boxes, start, ahead, reach, _RADIUS)
    return 1.0 if found is None else found[0] / reach
