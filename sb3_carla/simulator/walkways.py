"""Where walkers may go: the sidewalks of a map, crosswalks near the ends of its roads, and the roads between them.

The carla client moves the walkers that have a ``controller.ai.walker`` itself, over a navigation mesh that it asks the
server for. This module makes that mesh out of any map with sidewalks.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from sb3_carla.simulator.detour import Area, Polygon, Vertex, navigation_mesh
from sb3_carla.simulator.lanes import Floats, Lane, arc_length

log = logging.getLogger(__name__)

_RADIUS: Final = 0.3  # walkers keep so far from a sidewalk's edges [m]
_LONGEST: Final = 12.0  # of one polygon [m]
_BEND: Final = 0.12  # how far a polygon's edge may cut a corner [m]
_CROSSWALK: Final = (1.5, 4.5)  # begins and ends so far before the end of a road [m]
_SHORTEST_ROAD: Final = 12.0  # with crosswalks [m]
_SAME: Final = 0.7  # ends of sidewalks this near are one [m]


class _Strip(NamedTuple):
    """A sidewalk, or the road between two sidewalks, cut across at the same stations."""

    inner: Floats  # (n, 3)
    outer: Floats
    areas: tuple[Area, ...]  # n - 1


def build_navigation(lanes: Iterable[Lane]) -> bytes:
    """The navigation mesh of a map as a file; empty when nobody can walk there.

    :param lanes: all lanes of the map; one without any sidewalk has its shoulders for walkers
    """
    lanes = list(lanes)
    kind = "sidewalk" if any(lane.kind == "sidewalk" for lane in lanes) else "shoulder"
    mesh = _Mesh()
    for group in _sections(lane for lane in lanes if lane.kind == kind):
        for strip in _strips(group):
            mesh.add(strip)
    if not mesh.polygons:
        return b""
    mesh.join_ends()
    try:
        return navigation_mesh(mesh.points, mesh.polygons)
    except ValueError as error:
        log.warning("walkers have no navigation on this map: %s", error)
        return b""


def _sections(lanes: Iterable[Lane]) -> Iterator[dict[bool, Lane]]:
    """The outermost of the given lanes in each road section, by side (True: left of the road)."""
    sections: dict[tuple[int, float], dict[bool, Lane]] = {}
    for lane in lanes:
        if len(lane.s) > 1:
            sides = sections.setdefault((lane.road, round(float(lane.s[0]), 1)), {})
            side = lane.id > 0
            if side not in sides or abs(lane.id) > abs(sides[side].id):
                sides[side] = lane
    yield from sections.values()


def _strips(sides: dict[bool, Lane]) -> Iterator[_Strip]:
    """The sidewalks of a section, and the road between them where both sides have one of the same length."""
    both = list(sides.values())
    road = len(both) == 2 and len(both[0].s) == len(both[1].s) and both[0].junction == -1
    for group in [both] if road else [[one] for one in both]:
        edges = [_shrunk(lane) for lane in group]
        stations, crossings = _stations(group, road)
        cut = [[_at(line, stations) for line in pair] for pair in edges]
        for inner, outer in cut:
            yield _Strip(inner, outer, (Area.SIDEWALK,) * (len(stations) - 1))
        if road:
            areas = tuple(Area.CROSSWALK if crossing else Area.ROAD for crossing in crossings)
            yield _Strip(cut[0][0], cut[1][0], areas)


def _shrunk(lane: Lane) -> tuple[Floats, Floats]:
    """The sidewalk's edges, moved inwards by a walker's radius."""
    across = lane.outer - lane.inner
    width = np.maximum(np.linalg.norm(across[:, :2], axis=1), 1e-6)[:, None]
    share = np.minimum(_RADIUS / width, 0.4)
    return lane.inner + share * across, lane.outer - share * across


def _stations(lanes: list[Lane], road: bool) -> tuple[Floats, list[bool]]:
    """Where to cut strips (in samples, with fractions), and which pieces are crosswalks."""
    travelled = np.max([arc_length(lane.outer) for lane in lanes], axis=0)
    turned = _turned(lanes[0])
    length = float(travelled[-1])
    cuts = [0.0]
    here = 0
    for there in range(2, len(travelled)):
        run = travelled[there] - travelled[here]
        # An arc departs from its chord by an eighth of its length times the angle that it turns.
        if run > _LONGEST or run * (turned[there] - turned[here]) / 8 > _BEND:
            here = there - 1
            cuts.append(float(here))
    cuts.append(float(len(travelled) - 1))
    crossings: list[tuple[float, float]] = []
    if road and length > _SHORTEST_ROAD:
        near, far = _CROSSWALK
        for first, last in ((near, far), (length - far, length - near)):
            start, end = (float(np.interp(one, travelled, np.arange(len(travelled)))) for one in (first, last))
            cuts = [cut for cut in cuts if not start - 0.3 < cut < end + 0.3 or cut in (0.0, len(travelled) - 1)]
            cuts += [start, end]
            crossings.append((start, end))
    stations = np.array(sorted(set(cuts)))
    middles = 0.5 * (stations[1:] + stations[:-1])
    return stations, [any(first < middle < last for first, last in crossings) for middle in middles.tolist()]


def _turned(lane: Lane) -> Floats:
    """How far [rad] a lane has turned and tilted since its first sample, whichever way."""
    change = np.abs((np.diff(lane.heading, axis=0) + 180.0) % 360.0 - 180.0).sum(axis=1)
    turned: Floats = np.radians(np.concatenate([[0.0], np.cumsum(change)]))
    return turned


def _at(line: Floats, stations: Floats) -> Floats:
    rows = np.arange(len(line))
    return np.stack([np.interp(stations, rows, line[:, axis]) for axis in range(3)], axis=1)


class _Mesh:
    """Polygons over points that they share."""

    def __init__(self) -> None:
        self.points: list[Vertex] = []
        self.polygons: list[Polygon] = []
        self._index: dict[tuple[int, int, int], int] = {}
        self._ends: list[tuple[int, int]] = []  # across sidewalks where they end

    def add(self, strip: _Strip) -> None:
        inner = [self._point(point) for point in strip.inner.tolist()]
        outer = [self._point(point) for point in strip.outer.tolist()]
        for i, area in enumerate(strip.areas):
            ring = tuple(dict.fromkeys((inner[i], inner[i + 1], outer[i + 1], outer[i])))
            if len(ring) > 2:
                self.polygons.append(Polygon(ring, area))
        if strip.areas[0] == Area.SIDEWALK:
            self._ends += [(inner[0], outer[0]), (inner[-1], outer[-1])]

    def _point(self, point: list[float]) -> int:
        """The row of a point; equal points to a centimetre are one."""
        x, y, z = point
        key = round(100 * x), round(100 * y), round(100 * z)
        row = self._index.setdefault(key, len(self.points))
        if row == len(self.points):
            self.points.append((x, y, z))
        return row

    def join_ends(self) -> None:
        """Let sidewalks that end where another one begins share the points there."""
        points = np.array(self.points)
        ends = np.array(self._ends)
        middles = points[ends].mean(axis=1)
        same: dict[int, int] = {}
        for row, (a, b) in enumerate(self._ends):
            near = np.flatnonzero(np.linalg.norm(middles[:row] - middles[row], axis=1) < _SAME)
            for other in near.tolist():
                c, d = self._ends[other]
                if {a, b} == {c, d}:
                    break
                if np.linalg.norm(points[a] - points[c]) > np.linalg.norm(points[a] - points[d]):
                    c, d = d, c
                same.update({a: same.get(c, c), b: same.get(d, d)})
                break
        rings = [tuple(dict.fromkeys(same.get(one, one) for one in polygon.vertices)) for polygon in self.polygons]
        self.polygons = [
            polygon._replace(vertices=ring) for polygon, ring in zip(self.polygons, rings, strict=True) if len(ring) > 2
        ]
