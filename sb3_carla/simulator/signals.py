"""Traffic lights and signs as a map's OpenDRIVE text has them: where they stand and which lanes they concern.

What stands at the roadside is described here once per map; :mod:`~sb3_carla.simulator.traffic_lights` lets the lights
change. Poses are in CARLA's world.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.opendrive import read_light_phases
from sb3_carla.simulator.roads import RoadMap

_LIGHT: Final = "1000001"  # OpenDRIVE's signal types, as CARLA's maps and client use them
_SPEED_LIMIT: Final = "274"
_SIGNS: Final = {"206": "traffic.stop", "205": "traffic.yield"}
_BACK: Final = 1.0  # step of the way back from a junction to the stop line [m]
_FARTHEST_BACK: Final = 80  # of these steps
_BRAKING: Final = 7.0  # with which a car can comfortably stop in front of the line, roughly [m/s2]
_SHORTEST, _LONGEST = 5.0, 20.0  # of the stretch before a line in which a light concerns a car [m]
_TALL: Final = 3.0  # of the trigger volumes [m]

Vector = tuple[float, float, float]


class StopLane(NamedTuple):
    """The stretch of one lane that ends at a stop line."""

    x: float  # of the line's middle [m]
    y: float
    z: float
    yaw: float  # of traffic [deg]
    width: float  # [m]
    length: float  # in which cars stand before the line [m]
    road: int  # OpenDRIVE's ids
    lane: int

    def holds(self, x: float, y: float, cos: float, sin: float) -> bool:
        """Whether a point is on the stretch, of something that heads (cos, sin) as the lane's traffic does."""
        yaw = math.radians(self.yaw)
        ahead_x, ahead_y = math.cos(yaw), math.sin(yaw)
        along = (self.x - x) * ahead_x + (self.y - y) * ahead_y
        if not 0.0 <= along <= self.length:
            return False
        aside = (y - self.y) * ahead_x - (x - self.x) * ahead_y
        return abs(aside) <= 0.5 * self.width and cos * ahead_x + sin * ahead_y > 0.5

    def corners(self) -> Iterator[tuple[float, float]]:
        """The stretch's corners."""
        yaw = math.radians(self.yaw)
        c, s, half = math.cos(yaw), math.sin(yaw), 0.5 * self.width
        for back in (0.0, self.length):
            for aside in (-half, half):
                yield self.x - back * c - aside * s, self.y - back * s + aside * c


class Post(NamedTuple):
    """A traffic light or a sign."""

    id: str  # OpenDRIVE's
    type_id: str  # CARLA's: traffic.traffic_light, traffic.stop, traffic.speed_limit.30, ...
    pose: Transform  # foot of the post; as in CARLA its forward axis points to the right of the traffic concerned
    lanes: tuple[StopLane, ...]
    trigger_centre: Vector  # of the volume around the stretches, in the post's frame [m]
    trigger_extent: Vector  # its half sizes [m]


class Signals(NamedTuple):
    """Everything of a map that directs traffic."""

    lights: tuple[Post, ...]
    groups: tuple[tuple[tuple[int, ...], ...], ...]  # per junction its phases, per phase rows of ``lights``
    signs: tuple[Post, ...]


def read_signals(roads: RoadMap) -> Signals:
    """Find a map's traffic lights and signs.

    :param roads: the map; lights whose lanes cannot be found are left out
    """
    by_id: dict[str, list[Any]] = {}
    for landmark in roads.carla_map.get_all_landmarks():
        by_id.setdefault(landmark.id, []).append(landmark)
    lights, signs = [], []
    for landmarks in by_id.values():
        first = landmarks[0]
        if first.type == _LIGHT:
            lanes = tuple(_stop_lanes(roads, landmarks))
            if lanes:
                lights.append(_post(roads, first, "traffic.traffic_light", lanes))
        elif first.type in _SIGNS:
            signs.append(_post(roads, first, _SIGNS[first.type], tuple(_stop_lanes(roads, landmarks))))
        elif first.type == _SPEED_LIMIT and first.value > 0:
            signs.append(_post(roads, first, f"traffic.speed_limit.{first.value:.0f}", ()))
    lights.sort(key=lambda post: (len(post.id), post.id))
    return Signals(tuple(lights), tuple(_groups(roads, lights)), tuple(signs))


def _groups(roads: RoadMap, lights: list[Post]) -> Iterator[tuple[tuple[int, ...], ...]]:
    rows = {post.id: row for row, post in enumerate(lights)}
    for group in read_light_phases(roads.opendrive):
        # A signal that two controllers name keeps its first place.
        phases = [tuple(rows.pop(one) for one in phase if one in rows) for phase in group]
        phases = [phase for phase in phases if phase]
        if phases:
            yield tuple(phases)
    for row in rows.values():  # without a controller: alone at its place
        yield ((row,),)


def _stop_lanes(roads: RoadMap, landmarks: Iterable[Any]) -> Iterator[StopLane]:
    """The lanes that signals concern, back from inside a junction to the end of the road that leads to it."""
    seen = set()
    for landmark in landmarks:
        for lane in _valid_lanes(landmark):
            waypoint = roads.carla_map.get_waypoint_xodr(landmark.road_id, lane, landmark.s)
            for _ in range(_FARTHEST_BACK):
                if waypoint is None or not waypoint.is_junction:
                    break
                waypoint = next(iter(waypoint.previous(_BACK)), None)
            if waypoint is None or waypoint.is_junction or str(waypoint.lane_type) != "Driving":
                continue
            if (waypoint.road_id, waypoint.lane_id) not in seen:
                seen.add((waypoint.road_id, waypoint.lane_id))
                yield _stop_lane(roads, waypoint)


def _valid_lanes(landmark: Any) -> Iterator[int]:
    for first, last in landmark.get_lane_validities():
        yield from (lane for lane in range(min(first, last), max(first, last) + 1) if lane)


def _stop_lane(roads: RoadMap, waypoint: Any) -> StopLane:
    at, yaw = waypoint.transform.location, math.remainder(waypoint.transform.rotation.yaw, 360.0)
    speed = roads.speed_limit_kmh(at.x, at.y) / 3.6
    length = min(_LONGEST, max(_SHORTEST, 0.3 * speed * speed / _BRAKING + 3.0))
    return StopLane(at.x, at.y, at.z, yaw, waypoint.lane_width, length, waypoint.road_id, waypoint.lane_id)


def _post(roads: RoadMap, landmark: Any, type_id: str, lanes: tuple[StopLane, ...]) -> Post:
    at = landmark.transform.location
    yaw = lanes[0].yaw if lanes else landmark.transform.rotation.yaw + 180.0  # a sign's front looks at the traffic
    pose = Transform(at.x, at.y, roads.height(at.x, at.y, at.z), 0.0, math.remainder(yaw + 90.0, 360.0), 0.0)
    c, s = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    corners = [(x - pose.x, y - pose.y) for lane in lanes for x, y in lane.corners()] or [(0.0, 0.0)]
    forward = [c * x + s * y for x, y in corners]
    right = [c * y - s * x for x, y in corners]
    centre = (0.5 * (min(forward) + max(forward)), 0.5 * (min(right) + max(right)), 0.5 * _TALL)
    extent = (0.5 * (max(forward) - min(forward)), 0.5 * (max(right) - min(right)), 0.5 * _TALL)
    return Post(landmark.id, type_id, pose, lanes, centre, extent)
