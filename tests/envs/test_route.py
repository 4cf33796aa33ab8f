from __future__ import annotations

import math
import random

import carla
import pytest

from sb3_carla.envs.route import Lane, LaneGraph, LaneTracker, angle_difference
from sb3_carla.simulator.roads import RoadMap, built_in_maps


@pytest.fixture(scope="module", params=built_in_maps())
def graph(request: pytest.FixtureRequest) -> LaneGraph:
    road_map = RoadMap.load(request.param)
    return LaneGraph(carla.Map(road_map.name, road_map.opendrive))


def walk(graph: LaneGraph, metres: float, seed: int) -> list[tuple[Lane, float, float]]:
    """Points along lane centres, turning at random at every fork."""
    rng = random.Random(seed)
    lane = rng.choice(sorted(graph.lanes.values(), key=lambda lane: lane.key))
    path: list[tuple[Lane, float, float]] = []
    while len(path) < metres:
        path += [(lane, *lane.point_at(s)) for s in range(int(lane.length) + 1)]
        lane = rng.choice(lane.successors)
    return path


@pytest.mark.parametrize("seed", range(5))
def test_a_walk_along_lane_centres_is_tracked_through_every_junction(graph: LaneGraph, seed: int) -> None:
    path = walk(graph, 500, seed)
    _, x, y = path[0]
    tracker = LaneTracker(graph, x, y, path[0][0].locate(x, y).yaw_deg)
    for lane, x, y in path:
        assert tracker.update(x, y, lane.locate(x, y).yaw_deg).distance < 0.6


def test_a_car_that_turns_back_where_no_lane_does_is_found_on_its_new_lane(graph: LaneGraph) -> None:
    lane = max((lane for lane in graph.lanes.values() if not lane.is_junction), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 2)
    yaw = lane.locate(x, y).yaw_deg
    tracker = LaneTracker(graph, x, y, yaw)
    back = graph.nearest(x, y, yaw + 180.0)
    start = back.locate(x, y).s
    for metres in range(int(back.length - start)):
        x, y = back.point_at(start + metres)
        position = tracker.update(x, y, yaw + 180.0)
    assert tracker.lane.key == back.key
    assert position.distance < 0.1


def test_lateral_deviation_is_positive_to_the_right(graph: LaneGraph) -> None:
    lane = max(graph.lanes.values(), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 2)
    yaw = math.radians(lane.locate(x, y).yaw_deg)
    right = lane.locate(x - math.sin(yaw), y + math.cos(yaw))
    assert right.lateral == pytest.approx(1.0, abs=0.05)
    assert right.s == pytest.approx(lane.length / 2, abs=0.5)


def test_the_point_ahead_lies_that_far_along_the_lane(graph: LaneGraph) -> None:
    lane = max((lane for lane in graph.lanes.values() if not lane.is_junction), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 3)
    tracker = LaneTracker(graph, x, y, lane.locate(x, y).yaw_deg)
    tracker.update(x, y, tracker.position.yaw_deg)
    ahead = tracker.lane.locate(*tracker.ahead(5.0))
    assert ahead.s - tracker.position.s == pytest.approx(5.0, abs=0.1)


def test_a_lane_in_the_direction_of_the_car_is_preferred(graph: LaneGraph) -> None:
    lane = max((lane for lane in graph.lanes.values() if not lane.is_junction), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 2)
    yaw = lane.locate(x, y).yaw_deg
    behind = graph.nearest(x, y, yaw + 180.0)
    assert abs(angle_difference(behind.locate(x, y).yaw_deg, yaw)) > 90.0
