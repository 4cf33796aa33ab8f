"""The lane that the ego vehicle follows, out of the client's map: lane graph, tracking, points ahead.

Frame of reference: CARLA's world (left-handed, x forward, y right, metres, yaw in degrees clockwise from above).
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import carla

LaneKey = tuple[int, int, int]  # road id, section id, lane id

SPACING = 1.0  # [m] between the points of a lane's centre line
SWITCH_MARGIN = 0.3  # [m] another lane must be this much nearer before the tracker changes over
LOST = 2.0  # half widths of its lane from the centre, beyond which the tracker looks for the vehicle on all lanes
BESIDE = 4.0  # half widths that a lane along the vehicle's direction may be farther away than the nearest one


class LanePosition(NamedTuple):
    """Where a point lies relative to a lane's centre line."""

    s: float  # [m] along the lane
    lateral: float  # [m] from the centre, right positive
    yaw_deg: float  # [deg] direction of the lane here
    half_width: float  # [m]
    distance: float  # [m] to the nearest point of the centre line, beyond the ends too


@dataclass
class Lane:
    """One lane of one lane section: its centre line in driving direction and its neighbours in the graph."""

    key: LaneKey
    points: npt.NDArray[np.float64]  # (n, 2) [m]
    widths: npt.NDArray[np.float64]  # (n,) [m]
    is_junction: bool
    neighbours: tuple[LaneKey, ...] = ()  # lanes beside it in the same direction
    successors: list[Lane] = field(default_factory=list, repr=False)
    predecessors: list[Lane] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        steps = np.diff(self.points, axis=0)
        lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)
        self._x, self._y = (np.ascontiguousarray(column) for column in self.points[:-1].T)
        self._step_x, self._step_y = (np.ascontiguousarray(column) for column in steps.T)
        self._per_squared_length = 1.0 / lengths**2
        self._s: list[float] = np.concatenate([[0.0], np.cumsum(lengths)]).tolist()
        self.length = self._s[-1]
        end = math.atan2(self._step_y[-1], self._step_x[-1])
        start = math.atan2(self._step_y[0], self._step_x[0])
        # How much the lane bends from its start to its end [deg], absolute.
        self.turn_deg = abs(angle_difference(math.degrees(end), math.degrees(start)))

    def locate(self, x: float, y: float, within: tuple[float, float] | None = None) -> LanePosition:
        """Project a world point onto the centre line; the cost grows with the number of its points.

        :param within: arc lengths [m] between which to search; None: everywhere
        """
        part = slice(None)
        if within is not None:
            part = slice(max(bisect.bisect_right(self._s, within[0]) - 1, 0), bisect.bisect_right(self._s, within[1]))
        steps_x, steps_y = self._step_x[part], self._step_y[part]
        dx, dy = x - self._x[part], y - self._y[part]
        share = (dx * steps_x + dy * steps_y) * self._per_squared_length[part]
        share = np.minimum(np.maximum(share, 0.0), 1.0)
        miss_x, miss_y = dx - share * steps_x, dy - share * steps_y
        squared = miss_x * miss_x + miss_y * miss_y
        nearest = int(squared.argmin())
        index = nearest + (part.start or 0)
        step_x, step_y = float(steps_x[nearest]), float(steps_y[nearest])
        length = self._s[index + 1] - self._s[index]
        return LanePosition(
            s=self._s[index] + float(share[nearest]) * length,
            lateral=(step_x * float(dy[nearest]) - step_y * float(dx[nearest])) / length,
            yaw_deg=math.degrees(math.atan2(step_y, step_x)),
            half_width=float(self.widths[index]) / 2,
            distance=math.sqrt(float(squared[nearest])),
        )

    @property
    def straightest(self) -> Lane:
        """The lane that goes on with the least turn; not for a dead end."""
        return min(self.successors, key=lambda lane: lane.turn_deg)

    def point_at(self, s: float) -> tuple[float, float]:
        """The world point [m] at arc length ``s``, the end points beyond the ends."""
        index = min(max(bisect.bisect_right(self._s, s) - 1, 0), len(self._x) - 1)
        share = (s - self._s[index]) / (self._s[index + 1] - self._s[index])
        share = min(max(share, 0.0), 1.0)
        return (
            float(self._x[index]) + share * float(self._step_x[index]),
            float(self._y[index]) + share * float(self._step_y[index]),
        )


class LaneGraph:
    """All driving lanes of a map and how they continue.

    :param town: the client's map; read once, so that following a lane costs no further map query
    """

    def __init__(self, town: carla.Map) -> None:
        pairs = town.get_topology()
        starts = {key_of(waypoint): waypoint for pair in pairs for waypoint in pair}
        self.lanes: dict[LaneKey, Lane] = {key: _lane(key, waypoint) for key, waypoint in starts.items()}
        for start, following in pairs:
            lane, successor = self.lanes[key_of(start)], self.lanes[key_of(following)]
            if successor not in lane.successors:
                lane.successors.append(successor)
                successor.predecessors.append(lane)

    def nearest(self, x: float, y: float, yaw_deg: float | None = None) -> Lane:
        """The lane with the nearest centre line; of those hardly farther away, one along ``yaw_deg`` comes first."""
        found = [(lane.locate(x, y), lane) for lane in self.lanes.values()]
        position, nearest = min(found, key=lambda one: one[0].distance)
        if yaw_deg is None:
            return nearest
        reach = position.distance + BESIDE * position.half_width
        along = [
            (other.distance, number)
            for number, (other, _) in enumerate(found)
            if other.distance <= reach and abs(angle_difference(other.yaw_deg, yaw_deg)) <= 90.0
        ]
        return found[min(along)[1]][1] if along else nearest


class LaneTracker:
    """Follows one vehicle along the lane graph.

    At a junction every legal branch counts as the lane: the tracker takes the straightest one first and changes over
    to the branch that the vehicle turns into. A change to a neighbouring lane of the same direction is followed too. A
    vehicle that leaves a junction by a way that no lane leads along, such as a U-turn, is found again on its new lane.
    """

    def __init__(self, graph: LaneGraph, x: float, y: float, yaw_deg: float) -> None:
        self.graph = graph
        self.lane = graph.nearest(x, y, yaw_deg)
        self.position = self.lane.locate(x, y)

    def update(self, x: float, y: float, yaw_deg: float) -> LanePosition:
        """Move on to where the vehicle is now.

        :param x: world position [m]
        :param y: world position [m]
        :param yaw_deg: the vehicle's direction [deg]
        :return: the position relative to the lane that it follows
        """
        position = self.lane.locate(x, y)
        while position.s >= self.lane.length - 1e-6 and self.lane.successors:
            straightest = self.lane.straightest
            following = straightest.locate(x, y)
            if following.s <= 0.0 and following.distance > position.distance + SWITCH_MARGIN:
                break
            self.lane, position = straightest, following
            if position.s <= 0.0:
                break
        if position.distance > SWITCH_MARGIN:  # nearer than this to its lane's centre, no other lane can win
            for candidate in self._alternatives(position):
                other = candidate.locate(x, y)
                if other.distance < position.distance - SWITCH_MARGIN:
                    self.lane, position = candidate, other
        if position.distance > LOST * position.half_width:  # asks every lane of the map, so only then
            self.lane = self.graph.nearest(x, y, yaw_deg)
            position = self.lane.locate(x, y)
        self.position = position
        return position

    def ahead(self, distance: float) -> tuple[float, float]:
        """The point of the lane's centre line that far ahead [m], by the straightest branch."""
        lane, s = self.lane, self.position.s + distance
        while s > lane.length and lane.successors:
            s -= lane.length
            lane = lane.straightest
        return lane.point_at(s)

    def _alternatives(self, position: LanePosition) -> list[Lane]:
        branches = [lane for before in self.lane.predecessors for lane in before.successors if lane is not self.lane]
        if abs(position.lateral) > position.half_width:
            branches += [self.graph.lanes[key] for key in self.lane.neighbours if key in self.graph.lanes]
        return branches


def angle_difference(a_deg: float, b_deg: float) -> float:
    """The signed angle from ``b`` to ``a`` in [-180, 180).

    >>> angle_difference(-170, 170)
    20.0
    """
    return (a_deg - b_deg + 180.0) % 360.0 - 180.0


def key_of(waypoint: carla.Waypoint) -> LaneKey:
    """The lane that a waypoint lies on."""
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def _lane(key: LaneKey, start: carla.Waypoint) -> Lane:
    # In CARLA's maps this may run on into the next section of the road, which is a lane of its own here
    waypoints = [start, *takewhile(lambda w: key_of(w) == key, start.next_until_lane_end(SPACING))]
    following = waypoints[-1].next(SPACING)
    points = [(w.transform.location.x, w.transform.location.y) for w in waypoints]
    widths = [w.lane_width for w in waypoints]
    if len(following) == 1 or (following and len(points) < 2):  # close the gap to the next lane's start
        points.append((following[0].transform.location.x, following[0].transform.location.y))
        widths.append(following[0].lane_width)
    if len(points) < 2:  # a dead end shorter than the spacing
        forward = start.transform.get_forward_vector()
        points.append((points[0][0] + forward.x, points[0][1] + forward.y))
        widths.append(widths[0])
    neighbours = tuple(key_of(w) for w in _beside(start))
    return Lane(key, np.array(points), np.array(widths), bool(start.is_junction), neighbours)


def _beside(start: carla.Waypoint) -> list[Any]:
    """The waypoints of the lanes beside in the same direction (lane ids of one sign share the direction)."""
    beside = [start.get_left_lane(), start.get_right_lane()]
    return [w for w in beside if w is not None and w.lane_id * start.lane_id > 0 and "Driving" in str(w.lane_type)]
