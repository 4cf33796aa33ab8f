"""Scenery: houses, trees and lamp posts along the roads of any map, always the same for the same map.

Houses line the sidewalks, roads without sidewalks get mostly trees, fast ones guard rails. Nothing stands closer than a
metre to any lane, shoulder or sidewalk, and nothing stands in anything else.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.geometry import BODY
from sb3_carla.simulator.lanes import Floats, Lane, arc_length
from sb3_carla.simulator.roads import RoadMap

CLEARANCE = 1.0  # free space between scenery and any road surface [m]
MOST_BODIES = 3000  # a larger town gets its scenery less densely

_BUILDING, _POLE, _VEGETATION, _GUARD_RAIL = 3, 6, 9, 28  # CARLA's semantic labels
_FINEST = 0.5  # metres per pixel of the plan of what is taken
_MOST_PIXELS = 50_000_000  # of that plan; a vast map is planned more coarsely
_MARGIN = 40.0  # of the plan around the lanes [m]
_LAMP_EVERY = 32.0  # [m]
_FAST_KMH = 70.0  # from which a road of several lanes and without sidewalks has guard rails
_RAIL = 6.0  # length of one piece [m]
_BODIES_PER_METRE = 0.16  # of roadside, about

_WALLS = [
    (176, 92, 72), (206, 178, 140), (226, 214, 190), (150, 118, 96), (188, 140, 104), (198, 198, 192),
    (160, 168, 172), (122, 132, 142), (214, 190, 120), (172, 108, 88), (134, 146, 120), (232, 226, 216),
]  # R, G, B  # fmt: skip
_LEAVES = [(62, 104, 48), (78, 120, 54), (52, 92, 50), (92, 124, 58), (70, 96, 40)]
_BARK = (86, 68, 52)
_STOREYS = (0.12, 0.34, 0.28, 0.18, 0.08)  # share of houses of one storey, two, ...
_FARM_STOREYS = (0.5, 0.5, 0.0, 0.0, 0.0)
_STEEL = (92, 96, 100)
_ZINC = (168, 174, 178)


class _Place(NamedTuple):
    """A spot at the roadside."""

    x: float
    y: float
    yaw: float  # of the road [rad]
    away: tuple[float, float]  # unit vector away from the road


def place_scenery(roads: RoadMap, keep_clear: Iterable[tuple[float, float]] = ()) -> npt.NDArray[np.void]:
    """The static boxes of a map.

    :param roads: the map
    :param keep_clear: points (x, y) [m] around which nothing is to stand, such as traffic lights
    :return: bodies with dtype :data:`sb3_carla.simulator.geometry.BODY`, at most ``MOST_BODIES``
    """
    random = np.random.default_rng(zlib.crc32(roads.name.encode()))
    edges = [lane for lane in _outermost(roads.lanes) if lane.junction == -1]
    length = sum(arc_length(lane.outer)[-1] for lane in edges)
    spread = max(1.0, length * _BODIES_PER_METRE / MOST_BODIES)
    builder = _Builder(roads, random)
    for x, y in keep_clear:
        builder.keep_clear(x, y)
    wide_roads = {(lane.road, lane.id > 0) for lane in roads.lanes if lane.kind == "driving" and abs(lane.id) > 1}
    walls = random.permutation(len(_WALLS))[:6]  # each town has its own colours
    for lane in edges:
        for place in _along(lane, _LAMP_EVERY * spread, 12.0):
            if lane.kind == "sidewalk":
                builder.lamp(place)
        wide = (lane.road, lane.id > 0) in wide_roads
        if wide and lane.kind != "sidewalk" and roads.speed_limit_kmh(*lane.centre[len(lane.s) // 2, :2]) >= _FAST_KMH:
            for place in _along(lane, _RAIL, 0.5 * _RAIL):
                builder.guard_rail(place)
    for lane in edges:
        at = 4.0
        while at < arc_length(lane.outer)[-1] - 4.0:
            place = _at(lane, at)
            town = lane.kind == "sidewalk"
            if random.random() < (0.62 if town else 0.12):
                width = random.uniform(8.0, 12.0)
                storeys = 1 + int(random.choice(5, p=_STOREYS if town else _FARM_STOREYS))
                place = _at(lane, at + width / 2)
                builder.house(
                    place, width, storeys, random.uniform(1.4, 3.4) if town else 12.0, _WALLS[walls[random.integers(6)]]
                )
                at += (width + random.uniform(1.2, 5.0)) * spread
            else:
                builder.tree(place, random.uniform(0.0, 2.5) if town else random.uniform(2.0, 9.0))
                at += random.uniform(4.5, 9.0) * spread
    for lane in edges:  # gardens and verges further off
        for place in _along(lane, 13.0 * spread, 5.0):
            builder.tree(place, random.uniform(6.0, 22.0))
    return np.array(builder.bodies[:MOST_BODIES], BODY)


class _Builder:
    """Puts things where there is room for them."""

    def __init__(self, roads: RoadMap, random: np.random.Generator) -> None:
        self.bodies: list[tuple[object, ...]] = []
        self._roads = roads
        self._random = random
        x_min, y_min, x_max, y_max = roads.bounds
        self._origin = np.array([x_min - _MARGIN, y_min - _MARGIN])
        size = np.array([x_max + _MARGIN, y_max + _MARGIN]) - self._origin
        self._resolution = max(_FINEST, math.sqrt(float(size.prod()) / _MOST_PIXELS))
        columns, rows = np.ceil(size / self._resolution).astype(int)
        self._taken = np.zeros((rows, columns), np.uint8)
        for lane in roads.lanes:
            if lane.kind != "none":
                outline = np.concatenate([lane.inner, lane.outer[::-1]])[:, :2]
                cv2.fillPoly(self._taken, [self._pixels(outline)], 1)
        # Half a pixel of rounding on either side is added to the clearance.
        reach = math.ceil(CLEARANCE / self._resolution + 1)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        self._taken = np.asarray(cv2.dilate(self._taken, disc), np.uint8)

    def keep_clear(self, x: float, y: float) -> None:
        """Let nothing stand within about two metres of a point."""
        cv2.fillConvexPoly(self._taken, self._pixels(_rectangle(x, y, 2.0, 2.0, 0.0)), 1)

    def lamp(self, place: _Place) -> None:
        x, y = place.x + 1.9 * place.away[0], place.y + 1.9 * place.away[1]
        if self._take(_rectangle(x, y, 0.1, 0.1, place.yaw)):
            self._add(_POLE, _STEEL, x, y, 0.0, (0.08, 0.08, 3.2), place.yaw)

    def guard_rail(self, place: _Place) -> None:
        x, y = place.x + 3.0 * place.away[0], place.y + 3.0 * place.away[1]
        if self._take(_rectangle(x, y, 0.4 * _RAIL, 0.05, place.yaw)):
            self._add(_GUARD_RAIL, _ZINC, x, y, 0.0, (0.5 * _RAIL, 0.08, 0.4), place.yaw)

    def tree(self, place: _Place, setback: float) -> None:
        radius = self._random.uniform(1.3, 2.4)
        height = radius * self._random.uniform(1.0, 1.5)
        trunk = self._random.uniform(1.8, 3.0)
        leaves = _LEAVES[self._random.integers(len(_LEAVES))]
        reach = CLEARANCE + 1.2 + radius + setback
        x, y = place.x + reach * place.away[0], place.y + reach * place.away[1]
        if self._take(_rectangle(x, y, radius, radius, place.yaw)):
            self._add(_VEGETATION, _BARK, x, y, 0.0, (0.16, 0.16, trunk / 2 + 0.3), place.yaw)
            self._add(_VEGETATION, leaves, x, y, trunk, (radius, radius, height), place.yaw)

    def house(self, place: _Place, width: float, storeys: int, setback: float, colour: tuple[int, int, int]) -> None:
        depth = self._random.uniform(8.0, 11.0)
        height = 3.0 * storeys + self._random.uniform(0.5, 1.5)
        tint = self._random.uniform(0.88, 1.08)
        reach = CLEARANCE + setback + depth / 2
        x, y = place.x + reach * place.away[0], place.y + reach * place.away[1]
        if self._take(_rectangle(x, y, width / 2, depth / 2, place.yaw)):
            painted = tuple(int(min(255.0, tint * part)) for part in colour)
            self._add(_BUILDING, painted, x, y, 0.0, (width / 2, depth / 2, height / 2), place.yaw)

    def _add(
        self,
        tag: int,
        colour: tuple[int, ...],
        x: float,
        y: float,
        bottom: float,
        extent: tuple[float, float, float],
        yaw: float,
    ) -> None:
        z = self._roads.height(x, y) + bottom + extent[2]
        self.bodies.append((0, tag, colour, (x, y, z), (0.0, math.degrees(yaw), 0.0), extent))

    def _take(self, corners: Floats) -> bool:
        """Reserve a rectangle if it is free and inside the plan."""
        pixels = self._pixels(corners)
        low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
        if (low < 0).any() or (high > self._taken.shape[::-1]).any():
            return False
        window = self._taken[low[1] : high[1], low[0] : high[0]]
        patch = np.zeros_like(window)
        cv2.fillConvexPoly(patch, pixels - low, 1)
        if (window & patch).any():
            return False
        window |= patch
        return True

    def _pixels(self, points: Floats) -> npt.NDArray[np.int32]:
        return np.asarray(np.rint((points - self._origin) / self._resolution), np.int32)


def _rectangle(x: float, y: float, half_length: float, half_width: float, yaw: float) -> Floats:
    """Corners (4, 2)."""
    along = half_length * np.array([math.cos(yaw), math.sin(yaw)])
    across = half_width * np.array([-math.sin(yaw), math.cos(yaw)])
    corners: Floats = np.array([x, y]) + np.stack([along + across, along - across, -along - across, across - along])
    return corners


def _outermost(lanes: list[Lane]) -> Iterator[Lane]:
    """The last lane on either side of each road and section."""
    farthest: dict[tuple[int, float, bool], Lane] = {}
    for lane in lanes:
        key = (lane.road, round(float(lane.s[0]), 1), lane.id > 0)
        if lane.kind != "none" and (key not in farthest or abs(lane.id) > abs(farthest[key].id)):
            farthest[key] = lane
    yield from farthest.values()


def _at(lane: Lane, distance: float) -> _Place:
    """The spot so many metres along a lane's outer edge."""
    travelled = arc_length(lane.outer)
    x, y = (float(np.interp(distance, travelled, lane.outer[:, i])) for i in range(2))
    i = int(np.clip(np.searchsorted(travelled, distance), 1, len(travelled) - 1))
    away = lane.outer[i, :2] - lane.centre[i, :2]
    away = away / max(float(np.linalg.norm(away)), 1e-9)
    along = lane.outer[i, :2] - lane.outer[i - 1, :2]
    return _Place(x, y, math.atan2(float(along[1]), float(along[0])), (float(away[0]), float(away[1])))


def _along(lane: Lane, every: float, first: float) -> Iterator[_Place]:
    for distance in np.arange(first, arc_length(lane.outer)[-1] - 2.0, every).tolist():
        yield _at(lane, distance)
