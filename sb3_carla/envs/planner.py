"""Routes from where the car is to a drawn goal, planned over the map's topology, and the way along one."""

from __future__ import annotations

import bisect
import heapq
import math

import numpy as np
import numpy.typing as npt

from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.route import Lane, LaneGraph, LaneKey, LanePosition

LANE_CHANGE_COST = 30.0  # [m] of detour that a lane change is worth
LANE_CHANGE_METRES = 15.0  # along the road
LANE_CHANGE_ROOM = 45.0  # [m] of a lane, below which nobody changes
SIGNPOST = 10.0  # [m] after a junction
BEHIND, AHEAD = 15.0, 30.0  # [m] of the route that are searched for the car, around where it was


class Route(Lane):
    """A line through several lanes, as one lane.

    :param graph: the map's lanes
    :param parts: lanes in driving order, each with the arc lengths [m] between which it is used
    :param length: [m] after which the route ends
    """

    def __init__(self, parts: list[tuple[Lane, float, float]], length: float) -> None:
        points, widths, ends = [], [], []
        self.lanes: list[Lane] = []
        total = 0.0
        for lane, begin, end in parts:
            stations = np.append(np.arange(begin, end, 1.0), end)
            points += [lane.point_at(s) for s in stations]
            widths += [lane.locate(*lane.point_at(s), within=(s - 1.0, s + 1.0)).half_width * 2.0 for s in stations]
            self.lanes.append(lane)
            ends.append(len(points) - 1)
        line, kept = _without_repetitions(np.array(points))
        line_s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        last = int(np.searchsorted(line_s, length)) + 1
        super().__init__(parts[0][0].key, line[:last], np.array(widths)[kept][:last], False)
        total = self.length
        self._ends = [min(float(line_s[np.searchsorted(kept, end, side="right") - 1]), total) for end in ends]

    def lane_at(self, s: float) -> Lane:
        """The map's lane at arc length ``s`` [m]."""
        return self.lanes[min(bisect.bisect_left(self._ends, s), len(self.lanes) - 1)]

    def signposts(self) -> list[tuple[float, float]]:
        """One point [m] on each stretch between junctions, from which the turns at the junctions follow."""
        begins = [0.0, *self._ends[:-1]]
        stretches = [(a, b) for lane, a, b in zip(self.lanes, begins, self._ends, strict=True) if not lane.is_junction]
        return [self.point_at(min(begin + SIGNPOST, (begin + end) / 2.0)) for begin, end in stretches]

    def passes(self, lanes: frozenset[LaneKey]) -> bool:
        """Whether it uses one of these lanes before its end."""
        begins = [0.0, *self._ends[:-1]]
        return any(lane.key in lanes and begin < self.length for lane, begin in zip(self.lanes, begins, strict=True))


class RouteTracker:
    """Follows one vehicle along a route, with the face of a :class:`~sb3_carla.envs.route.LaneTracker`."""

    def __init__(self, route: Route, x: float, y: float) -> None:
        self.route = route
        self.position = route.locate(x, y, within=(0.0, AHEAD))

    @property
    def lane(self) -> Lane:
        """The map's lane that the route uses where the vehicle is."""
        return self.route.lane_at(self.position.s)

    def update(self, x: float, y: float, yaw_deg: float) -> LanePosition:
        """Move on to where the vehicle is now; the search stays near, since a route may cross itself."""
        s = self.position.s
        self.position = self.route.locate(x, y, within=(s - BEHIND, s + AHEAD))
        return self.position

    def ahead(self, distance: float) -> tuple[float, float]:
        """The point of the route that far ahead [m]; beyond the goal, the goal."""
        return self.route.point_at(self.position.s + distance)

    @property
    def remaining(self) -> float:
        """The way to the goal [m]."""
        return float(self.route.length - self.position.s)


def plan_route(
    graph: LaneGraph,
    start: Lane,
    s: float,
    length: float,
    rng: np.random.Generator,
    *,
    lane_changes: bool = True,
    through: frozenset[LaneKey] = frozenset(),
) -> Route:
    """A route of that length to a drawn goal by the shortest way, or by several goals where the map is small.

    :param graph: the map's lanes
    :param start: the lane to begin on
    :param s: arc length [m] to begin at
    :param length: [m]
    :param rng: draws the goals
    :param lane_changes: whether the route may change to a lane beside
    :param through: lanes of which the route has to pass one, where that is possible
    :raises ConfigurationError: where the road ends before half of that length
    """
    parts: list[tuple[Lane, float, float]] = []
    total = 0.0
    lane, begin = start, s
    while total < length:
        distances, before = shortest_ways(graph, lane, begin, lane_changes)
        del distances[lane.key]
        rest = length - total
        goals = sorted(key for key, d in distances.items() if d <= rest <= d + graph.lanes[key].length)
        goals = goals or sorted(distances)  # the map is too small for one goal so far away
        if not goals:
            break
        if through and not parts:
            passing = [goal for goal in goals if through.intersection(_way(before, lane.key, goal))]
            goals = passing or sorted(through & distances.keys()) or goals
        way = _way(before, lane.key, goals[int(rng.integers(len(goals)))])
        leg = _parts(graph, way, begin)
        parts += leg
        total += sum(end - start for _, start, end in leg)
        lane, _, begin = leg[-1]
    if total < 0.5 * length:
        raise ConfigurationError(
            f"The road ends {total:.0f} m after the spawn point, and route_length={length:g} m were asked for. "
            "Ask for less, or choose another town."
        )
    return Route(parts, length)


def shortest_ways(
    graph: LaneGraph, start: Lane, s: float, lane_changes: bool
) -> tuple[dict[LaneKey, float], dict[LaneKey, LaneKey]]:
    """The shortest ways from a point to every lane, by Dijkstra's algorithm.

    :param graph: the map's lanes
    :param start: the lane to begin on
    :param s: arc length [m] to begin at
    :param lane_changes: whether a way may change to a lane beside
    :return: the distance [m] to the beginning of each lane that can be reached, and the lane before it
    """
    distances = {start.key: -s}
    before: dict[LaneKey, LaneKey] = {}
    waiting = [(-s, start.key)]
    done: set[LaneKey] = set()
    while waiting:
        distance, key = heapq.heappop(waiting)
        if key in done:
            continue
        done.add(key)
        lane = graph.lanes[key]
        ways = [(successor.key, distance + lane.length) for successor in lane.successors]
        if lane_changes and lane.length - max(-distance, 0.0) > LANE_CHANGE_ROOM:
            ways += [(other, distance + LANE_CHANGE_COST) for other in lane.neighbours if other in graph.lanes]
        for following, way in ways:
            if way < distances.get(following, math.inf) and following not in done:
                distances[following] = way
                before[following] = key
                heapq.heappush(waiting, (way, following))
    return distances, before


def _way(before: dict[LaneKey, LaneKey], start: LaneKey, goal: LaneKey) -> list[LaneKey]:
    """The lanes from start to goal."""
    way = [goal]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def _parts(graph: LaneGraph, way: list[LaneKey], begin: float) -> list[tuple[Lane, float, float]]:
    """The stretches of the lanes of a way, lane changes early on a lane."""
    parts = []
    lane = graph.lanes[way[0]]
    for key in way[1:]:
        following = graph.lanes[key]
        if following in lane.successors:
            parts.append((lane, begin, lane.length))
            begin = following.locate(*lane.point_at(lane.length), within=(0.0, 3.0)).s  # they may overlap by a metre
        else:  # a neighbour
            change = begin + 0.2 * (lane.length - begin)
            parts.append((lane, begin, change))
            begin = following.locate(*lane.point_at(change + LANE_CHANGE_METRES)).s
        lane = following
    return [*parts, (lane, begin, lane.length)]


def _without_repetitions(
    points: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """The points without those nearer than 10 cm to the one before, and which ones are kept."""
    far = np.hypot(*np.diff(points, axis=0).T) > 0.1
    kept = np.flatnonzero(np.concatenate([[True], far]))
    return points[kept], kept
