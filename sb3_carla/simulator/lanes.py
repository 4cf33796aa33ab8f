"""Lanes: the geometry of every lane of a map, sampled out of ``carla.Map``.

Asking the very class that client programs use means that the picture, the spawn points and the client's waypoints
agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.opendrive import RoadEntry

_STEP = 2.0  # between samples along a lane [m]
_STEP_IN_JUNCTION = 1.0  # keeps tight arcs round [m]

Floats = npt.NDArray[np.float64]


class Mark(NamedTuple):
    """A line painted along a lane's edge."""

    kind: str  # CARLA's name: Solid, Broken, SolidSolid, Curb, ...
    colour: str  # White, Yellow, ...
    width: float  # [m]
    points: Floats  # (n, 3), along s


class Lane(NamedTuple):
    """One lane over one lane section, sampled along s. Points are in CARLA's world."""

    road: int
    id: int
    kind: str  # OpenDRIVE's type: driving, shoulder, sidewalk, ...
    junction: int  # -1 outside junctions
    s: Floats  # (n,) [m]
    centre: Floats  # (n, 3)
    inner: Floats  # (n, 3) edge nearer to the road's middle
    outer: Floats  # (n, 3) the other edge
    heading: Floats  # (n, 2) pitch, yaw [deg] of traffic
    marks: tuple[Mark, ...]


def arc_length(points: Floats) -> Floats:
    """The distance [m] travelled in plan at each point (n, 2 or 3) of a line."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1))])


def lanes_of(carla_map: Any, road: RoadEntry) -> list[Lane]:
    """Every lane of a road, section by section."""
    lanes = []
    for section in road.sections:
        length = section.end - section.start
        if length < 0.01:
            continue
        # Both ends of a section belong to two sections: stay just inside.
        step = _STEP if road.junction == -1 else _STEP_IN_JUNCTION
        count = max(2, int(np.ceil(length / step)) + 1)
        stations = np.linspace(section.start + 1e-3, section.end - 1e-3, count)
        for lane_id, kind in section.lanes:
            lane = _sample_lane(carla_map, road, lane_id, kind, stations)
            if lane is not None:
                lanes.append(lane)
    return lanes


def _sample_lane(carla_map: Any, road: RoadEntry, lane_id: int, kind: str, stations: Floats) -> Lane | None:
    rows, painted, kept = [], [], []
    for s in stations.tolist():
        waypoint = carla_map.get_waypoint_xodr(road.id, lane_id, s)
        if waypoint is None:  # carla.Map knows no lane where its width is zero
            continue
        pose = waypoint.transform
        at, turned = pose.location, pose.rotation
        rows.append((at.x, at.y, at.z, waypoint.lane_width, turned.pitch, turned.yaw))
        painted.append((waypoint.left_lane_marking, waypoint.right_lane_marking))
        kept.append(s)
    if len(rows) < 2:
        return None
    table = np.array(rows)
    centre, width, heading = table[:, :3], table[:, 3], table[:, 4:]
    yaw = np.radians(heading[:, 1])
    to_right = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1) * (width / 2)[:, None]
    left, right = centre - to_right, centre + to_right
    marks = _marks([pair[1] for pair in painted], right)
    if abs(lane_id) == 1:  # the line in the road's middle belongs to no side: the innermost lane paints it
        marks += _marks([pair[0] for pair in painted], left)
    return Lane(road.id, lane_id, kind, road.junction, np.array(kept), centre, left, right, heading, tuple(marks))


def _marks(markings: list[Any], edge: Floats) -> list[Mark]:
    """The lines along an edge, cut where the marking changes."""
    keys = [(m.type.name, m.color.name, float(m.width)) if m is not None else ("NONE", "", 0.0) for m in markings]
    marks = []
    first = 0
    for i in range(1, len(keys) + 1):
        if i == len(keys) or keys[i] != keys[first]:
            kind, colour, width = keys[first]
            points = edge[first : i + 1]  # on to where the next one starts
            if kind != "NONE" and len(points) > 1:
                marks.append(Mark(kind, colour, width, points))
            first = i
    return marks
