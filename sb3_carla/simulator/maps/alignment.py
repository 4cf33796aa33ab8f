"""The course of a road: lines, clothoids and arcs that follow each other without a kink.

Frame of reference: OpenDRIVE's, right-handed, x east, y north, headings in radians counter-clockwise from x.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

Point = tuple[float, float]


class Pose(NamedTuple):
    """A point of a course with the heading [rad] in which it is passed."""

    x: float
    y: float
    heading: float

    def ahead(self, distance: float) -> Pose:
        """The pose ``distance`` metres further along a straight line."""
        return Pose(
            self.x + distance * math.cos(self.heading), self.y + distance * math.sin(self.heading), self.heading
        )

    def to_the_right(self, distance: float) -> Pose:
        """The pose ``distance`` metres beside this one, on the right-hand side."""
        return Pose(
            self.x + distance * math.sin(self.heading), self.y - distance * math.cos(self.heading), self.heading
        )

    def reversed(self) -> Pose:
        """The same point passed the other way."""
        return Pose(self.x, self.y, self.heading + math.pi)


class Piece(NamedTuple):
    """One OpenDRIVE geometry: the curvature [1/m] changes linearly from its start to its end."""

    start: Pose
    length: float
    curvature: float = 0.0
    end_curvature: float = 0.0

    def pose_at(self, distance: float) -> Pose:
        """The pose ``distance`` metres after the start (Simpson's rule, exact to far below a millimetre here)."""
        if self.curvature == self.end_curvature == 0.0:
            return self.start.ahead(distance)
        steps = 2 * max(4, math.ceil(distance))
        width = distance / steps
        x = y = 0.0
        for i in range(steps + 1):
            weight = 1 if i in (0, steps) else 4 if i % 2 else 2
            heading = self._heading(i * width)
            x += weight * math.cos(heading)
            y += weight * math.sin(heading)
        return Pose(self.start.x + x * width / 3, self.start.y + y * width / 3, self._heading(distance))

    def _heading(self, distance: float) -> float:
        rate = (self.end_curvature - self.curvature) / self.length
        return self.start.heading + distance * (self.curvature + rate * distance / 2)

    @property
    def end(self) -> Pose:
        """The pose at the end of the piece."""
        return self.pose_at(self.length)


class Corner(NamedTuple):
    """A corner of the polygon that a road follows, rounded with ``radius`` [m] and entered over clothoids."""

    x: float
    y: float
    radius: float
    clothoid: float = 0.0  # length of the clothoid before and behind the arc [m]


def _chain(start: Pose, parts: Sequence[tuple[float, float, float]]) -> list[Piece]:
    """Pieces of (length, curvature, end curvature), each starting where the one before ends."""
    pieces: list[Piece] = []
    for length, curvature, end_curvature in parts:
        if length > 1e-6:
            pieces.append(Piece(start, length, curvature, end_curvature))
            start = pieces[-1].end
    return pieces


def _turn(before: Point, corner: Point, after: Point) -> float:
    """The change of heading [rad] at a corner, left positive."""
    heading_in = math.atan2(corner[1] - before[1], corner[0] - before[0])
    heading_out = math.atan2(after[1] - corner[1], after[0] - corner[0])
    return math.remainder(heading_out - heading_in, math.tau)


def _rounding(corner: Corner, turn: float) -> tuple[float, list[tuple[float, float, float]]]:
    """How far before a corner its rounding starts, and the (clothoid, arc, clothoid) that round it."""
    curvature = math.copysign(1 / corner.radius, turn)
    clothoid = min(corner.clothoid, 0.9 * abs(turn) * corner.radius)
    arc = abs(turn) * corner.radius - clothoid
    end = Piece(Pose(0, 0, 0), clothoid, 0.0, abs(curvature)).end if clothoid else Pose(0, 0, 0)
    shift = end.y - corner.radius * (1 - math.cos(end.heading))
    inset = end.x - corner.radius * math.sin(end.heading)
    distance = (corner.radius + shift) * math.tan(abs(turn) / 2) + inset
    return distance, [(clothoid, 0.0, curvature), (arc, curvature, curvature), (clothoid, curvature, 0.0)]


def course(start: Point, corners: Sequence[Corner], end: Point) -> list[Piece]:
    """The course from ``start`` to ``end`` along a polygon with rounded corners.

    :param start: first point [m]
    :param corners: the corners in between
    :param end: last point [m]
    :return: pieces without a kink between them
    :raise ValueError: when the legs are too short for the radii asked for
    """
    points: list[Point] = [start, *((corner.x, corner.y) for corner in corners), end]
    roundings = [_rounding(corner, _turn(points[i], points[i + 1], points[i + 2])) for i, corner in enumerate(corners)]
    parts: list[tuple[float, float, float]] = []
    used = 0.0
    for i, (a, b) in enumerate(itertools.pairwise(points)):
        ahead, rounding = roundings[i] if i < len(roundings) else (0.0, [])
        straight = math.dist(a, b) - used - ahead
        if straight < 0:
            raise ValueError(
                f"The leg from {a} to {b} is {-straight:.1f} m too short. Move a corner or make it sharper."
            )
        parts += [(straight, 0.0, 0.0), *rounding]
        used = ahead
    first = points[1]
    return _chain(Pose(*start, math.atan2(first[1] - start[1], first[0] - start[0])), parts)


def turn(start: Pose, end: Pose) -> list[Piece]:
    """The course of a turn in a junction: a line, one arc, a line; straight where the two poses are in line.

    :param start: where the turn begins
    :param end: where it ends
    :return: one to three pieces without a kink between them
    :raise ValueError: when no single arc leads from one to the other
    """
    angle = math.remainder(end.heading - start.heading, math.tau)
    dx, dy = end.x - start.x, end.y - start.y
    along = dx * math.cos(start.heading) + dy * math.sin(start.heading)
    aside = dy * math.cos(start.heading) - dx * math.sin(start.heading)
    if abs(angle) < 1e-6:
        if abs(aside) > 0.01:
            raise ValueError(f"Lanes {aside:.2f} m beside each other cannot be joined by a line. Pair other lanes.")
        return _chain(start, [(along, 0.0, 0.0)])
    leg_out = aside / math.sin(angle)
    leg_in = along - leg_out * math.cos(angle)
    tangent = min(leg_in, leg_out)
    if tangent <= 0:
        raise ValueError(f"No single arc leads from {start} to {end}. Move the junction's arms apart.")
    radius = tangent / math.tan(abs(angle) / 2)
    curvature = math.copysign(1 / radius, angle)
    return _chain(
        start,
        [(leg_in - tangent, 0.0, 0.0), (radius * abs(angle), curvature, curvature), (leg_out - tangent, 0.0, 0.0)],
    )
