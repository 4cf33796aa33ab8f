from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from sb3_carla.envs import ConfigurationError
from sb3_carla.envs.places import lanes_of, spawn_points_before
from sb3_carla.envs.planner import RouteTracker, plan_route
from sb3_carla.envs.route import LaneGraph
from sb3_carla.simulator.roads import RoadMap


@pytest.fixture(scope="module")
def graph() -> LaneGraph:
    road_map = RoadMap.load("Town_Blocks")
    return LaneGraph(carla.Map(road_map.name, road_map.opendrive))


def starts(graph: LaneGraph, count: int) -> list[tuple[object, float]]:
    rng = np.random.default_rng(0)
    lanes = sorted(graph.lanes.values(), key=lambda lane: lane.key)
    chosen = [lanes[int(i)] for i in rng.integers(len(lanes), size=count)]
    return [(lane, float(rng.uniform(0.0, 0.9 * lane.length))) for lane in chosen]


@pytest.mark.parametrize("length", [100.0, 300.0, 1500.0])
def test_a_route_begins_at_the_car_has_its_length_and_no_gap_or_kink(graph: LaneGraph, length: float) -> None:
    rng = np.random.default_rng(1)
    for lane, s in starts(graph, 12):
        route = plan_route(graph, lane, s, length, rng)
        assert route.length == pytest.approx(length, abs=1.1)
        assert tuple(route.points[0]) == pytest.approx(lane.point_at(s))
        steps = np.diff(route.points, axis=0)
        turns = np.degrees(np.abs(np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))))
        assert np.hypot(*steps.T).max() < 17.0  # a lane change
        assert turns.max() < 25.0


def test_the_way_along_a_route_is_tracked_to_its_goal_though_it_crosses_itself(graph: LaneGraph) -> None:
    rng = np.random.default_rng(2)
    for lane, s in starts(graph, 5):
        route = plan_route(graph, lane, s, 2000.0, rng)
        tracker = RouteTracker(route, *route.points[0])
        driven = [tracker.update(x, y).s for x, y in route.points]
        assert np.diff(driven).min() > -0.5
        assert tracker.remaining < 1.0
        assert tracker.ahead(50.0) == pytest.approx(tuple(route.points[-1]), abs=1.0)


def test_without_lane_changes_every_lane_follows_the_one_before(graph: LaneGraph) -> None:
    rng = np.random.default_rng(3)
    for lane, s in starts(graph, 12):
        route = plan_route(graph, lane, s, 500.0, rng, lane_changes=False)
        for before, after in zip(route.lanes, route.lanes[1:], strict=False):
            assert after is before or after in before.successors


def test_the_next_generator_draws_another_goal(graph: LaneGraph) -> None:
    lane, s = starts(graph, 1)[0]
    ends = {tuple(plan_route(graph, lane, s, 300.0, np.random.default_rng(seed)).points[-1]) for seed in range(8)}
    assert len(ends) > 2


def test_a_road_that_ends_too_early_is_refused(graph: LaneGraph) -> None:
    import copy

    lane, s = starts(graph, 1)[0]
    dead_end = copy.copy(lane)
    dead_end.successors, dead_end.neighbours = [], ()
    alone = copy.copy(graph)
    alone.lanes = {dead_end.key: dead_end}
    with pytest.raises(ConfigurationError, match="route_length"):
        plan_route(alone, dead_end, s, 10.0 * math.ceil(dead_end.length), np.random.default_rng(0))


@pytest.mark.parametrize(("place", "town"), [("junction", "Town_Blocks"), ("roundabout", "Town_Circle")])
def test_a_route_from_before_a_place_passes_it(place: str, town: str) -> None:
    road_map = RoadMap.load(town)
    the_map = carla.Map(road_map.name, road_map.opendrive)
    graph = LaneGraph(the_map)
    lanes = lanes_of(place, graph, town)
    starts = [waypoint.transform for waypoint in the_map.generate_waypoints(15.0)]
    points = spawn_points_before(lanes, graph, starts, reach=120.0)
    assert points
    rng = np.random.default_rng(4)
    for point in points[:: max(len(points) // 15, 1)]:
        x, y = point.location.x, point.location.y
        start = graph.nearest(x, y, point.rotation.yaw)
        assert plan_route(graph, start, start.locate(x, y).s, 200.0, rng, through=lanes).passes(lanes)


def test_a_map_without_a_roundabout_is_refused(graph: LaneGraph) -> None:
    with pytest.raises(ConfigurationError, match="Town_Blocks has no roundabout"):
        lanes_of("roundabout", graph, "Town_Blocks")
