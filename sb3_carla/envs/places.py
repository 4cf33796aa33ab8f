"""Kinds of places that a scenario's route has to pass, found in the map's topology."""

from __future__ import annotations

import math

import carla

from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.planner import shortest_ways
from sb3_carla.envs.route import Lane, LaneGraph, LaneKey, key_of

ROUNDABOUT_LENGTH = 250.0  # [m] around; a longer circle is a block of houses
FORCED_TURN = 45.0  # [deg] from which on even the straightest branch of a junction is a turn
APPROACH = 10.0  # [m] at least from a spawn point to the place


def lanes_of(place: str, graph: LaneGraph, town: str) -> frozenset[LaneKey]:
    """The lanes of all places of a kind.

    :param place: ``"junction"`` or ``"roundabout"``: a short circle of lanes
    :param graph: the map's lanes
    :param town: the map's name, for the error
    :raises ConfigurationError: when the map has no such place
    """
    if place == "junction":
        found = {key for key, lane in graph.lanes.items() if lane.is_junction}
    else:
        found = {key for key, lane in graph.lanes.items() if _way_round(graph, key) < ROUNDABOUT_LENGTH}
    if not found:
        raise ConfigurationError(f"The map {town} has no {place}, which this scenario needs. Choose another town.")
    return frozenset(found)


def spawn_points_before(
    lanes: frozenset[LaneKey], graph: LaneGraph, points: list[carla.Transform], reach: float
) -> list[carla.Transform]:
    """The spawn points from which a place is ahead within reach.

    :param lanes: of the place
    :param graph: the map's lanes
    :param points: the map's spawn points
    :param reach: [m]
    """
    found = []
    for point in points:
        x, y = point.location.x, point.location.y
        start = graph.nearest(x, y, point.rotation.yaw)
        if start.key in lanes:
            continue
        distances, _ = shortest_ways(graph, start, start.locate(x, y).s, lane_changes=False)
        if any(APPROACH < distances.get(key, math.inf) < reach for key in lanes):
            found.append(point)
    return found


def spawn_points_straight_on(
    town: carla.Map, graph: LaneGraph, points: list[carla.Transform], distance: float
) -> list[carla.Transform]:
    """The spawn points before which the road goes on that far without a forced turn.

    Where a road ends at another one, nothing in the picture says whether left or right is meant: that is for a route
    with a destination. On a map without such points, those with the longest way.

    :param town: the map
    :param graph: its lanes
    :param points: its spawn points
    :param distance: [m]
    """
    ways = [_way_straight_on(town, graph, point, distance) for point in points]
    enough = max(ways, default=0.0)
    return [point for point, way in zip(points, ways, strict=True) if way >= enough]


def _way_straight_on(town: carla.Map, graph: LaneGraph, point: carla.Transform, distance: float) -> float:
    """How far [m] the road goes on from a spawn point before it ends or forces a turn, at most ``distance``."""
    waypoint = town.get_waypoint(point.location)
    x, y = point.location.x, point.location.y
    lane: Lane = graph.lanes.get(key_of(waypoint)) or graph.nearest(x, y, point.rotation.yaw)
    way: float = -lane.locate(x, y).s
    while not (lane.is_junction and lane.turn_deg > FORCED_TURN):
        way += lane.length
        if way >= distance or not lane.successors:
            break
        lane = lane.straightest
    return min(max(way, 0.0), distance)


def _way_round(graph: LaneGraph, key: LaneKey) -> float:
    """The length [m] of the shortest way from a lane's beginning back to it."""
    lane = graph.lanes[key]
    distances, _ = shortest_ways(graph, lane, 0.0, lane_changes=False)
    ways = [distances[before.key] + before.length for before in lane.predecessors if before.key in distances]
    return min(ways, default=math.inf)
