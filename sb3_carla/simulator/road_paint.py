"""What is painted on the road besides the lines along it: stop lines and crosswalks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from sb3_carla.simulator.lanes import Floats, Lane, Mark
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.signals import Post, Signals, StopLane

_STOP_LINE: Final = 0.4  # width [m]
_STRIPE: Final = 0.5  # width of a crosswalk's stripes, and about of the gaps between them [m]
_SMALLEST: Final = 0.5  # a crosswalk with a shorter side is none [m]


def paint(roads: RoadMap, signals: Signals) -> list[Lane]:
    """A map's lanes with the stop lines of its signals and its crosswalks among their marks.

    :param roads: the map
    :param signals: its traffic lights and signs
    """
    extra: dict[tuple[int, int], list[Mark]] = {}
    stops = (post for post in (*signals.lights, *signals.signs) if post.lanes)
    for lane, mark in (*_stop_lines(stops), *_crosswalks(roads.carla_map)):
        extra.setdefault(lane, []).append(mark)
    lanes = []
    for one in roads.lanes:
        marks = extra.pop((one.road, one.id), None)  # to the lane's first section
        lanes.append(one if marks is None else one._replace(marks=(*one.marks, *marks)))
    return lanes


def _stop_lines(posts: Iterable[Post]) -> Iterator[tuple[tuple[int, int], Mark]]:
    for post in posts:
        kind = "Broken" if post.type_id == "traffic.yield" else "Solid"
        for lane in post.lanes:
            yield (lane.road, lane.lane), Mark(kind, "White", _STOP_LINE, _across(lane))


def _across(lane: StopLane) -> Floats:
    """The stop line's two ends."""
    (x1, y1), (x2, y2) = list(lane.corners())[:2]
    ends = np.array([[x1, y1, lane.z], [x2, y2, lane.z]])
    inset = 0.06 * (ends[1] - ends[0])
    return np.stack([ends[0] + inset, ends[1] - inset])


def _crosswalks(carla_map: Any) -> Iterator[tuple[tuple[int, int], Mark]]:
    for ring in _rings(carla_map.get_crosswalks()):
        if len(ring) != 4:
            continue
        points = np.array([(one.x, one.y, one.z) for one in ring])
        if np.linalg.norm(points[1] - points[0]) > np.linalg.norm(points[2] - points[1]):
            points = np.roll(points, -1, axis=0)  # now the way over the road goes from points 0, 1 to points 3, 2
        over = float(np.linalg.norm(points[3] - points[0]))
        waypoint = carla_map.get_waypoint(ring[0])
        if waypoint is None or min(over, float(np.linalg.norm(points[1] - points[0]))) < _SMALLEST:
            continue
        count = max(2, round(over / (2 * _STRIPE)))
        for share in ((np.arange(count) + 0.5) / count).tolist():
            stripe = np.stack(
                [points[0] + share * (points[3] - points[0]), points[1] + share * (points[2] - points[1])]
            )
            yield (waypoint.road_id, waypoint.lane_id), Mark("Solid", "White", _STRIPE, stripe)


def _rings(locations: Iterable[Any]) -> Iterator[list[Any]]:
    """The client lists crosswalks one after the other, each closed by its first corner."""
    ring: list[Any] = []
    for location in locations:
        if len(ring) > 1 and location.distance(ring[0]) < 1e-3:
            yield ring
            ring = []
        else:
            ring.append(location)
