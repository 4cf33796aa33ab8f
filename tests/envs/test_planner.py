from __future__ import annotations

import math

import carla
import numpy as np
import pytest

from sb3_carla.envs import CarlaEnv, ConfigurationError
from sb3_carla.envs.places import FORCED_TURN, lanes_of, spawn_points_before, spawn_points_straight_on
from sb3_carla.envs.planner import RouteTracker, plan_route
from sb3_carla.envs.route import LaneGraph, angle_difference
from sb3_carla.simulator.roads import RoadMap


@pytest.fixture(scope="module")
def town() -> carla.Map:
    road_map = RoadMap.load("Town_Blocks")
    return carla.Map(road_map.name, road_map.opendrive)


@pytest.fixture(scope="module")
def graph(town: carla.Map) -> LaneGraph:
    return LaneGraph(town)


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
        driven = [tracker.update(x, y, 0.0).s for x, y in route.points]
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


def turns_ahead(town: carla.Map, point: carla.Transform, distance: float) -> list[float]:
    """How far [deg] each junction turns a car that always goes as straight on as it can, by CARLA's waypoints."""
    turns: list[float] = []
    waypoint, driven = town.get_waypoint(point.location), 0.0
    while driven < distance:
        yaw = waypoint.transform.rotation.yaw
        lane = [waypoint, *waypoint.next_until_lane_end(2.0)]
        if waypoint.is_junction:
            turns.append(abs(angle_difference(lane[-1].transform.rotation.yaw, yaw)))
        driven += 2.0 * len(lane)
        branches = [(one, [one, *one.next_until_lane_end(2.0)][-1]) for one in lane[-1].next(2.5)]
        ahead = lane[-1].transform.rotation.yaw
        waypoint, _ = min(branches, key=lambda pair: abs(angle_difference(pair[1].transform.rotation.yaw, ahead)))
    return turns


@pytest.fixture(scope="module")
def roadside(graph: LaneGraph) -> list[carla.Transform]:
    """The middle of every longer lane outside the junctions."""
    points = []
    for lane in graph.lanes.values():
        if not lane.is_junction and lane.length > 10.0:
            x, y = lane.point_at(lane.length / 2)
            yaw = lane.locate(x, y).yaw_deg
            points.append(carla.Transform(carla.Location(x, y, 0.5), carla.Rotation(yaw=yaw)))
    return points


def test_from_the_starts_of_a_free_route_no_turn_is_forced(
    town: carla.Map, graph: LaneGraph, roadside: list[carla.Transform]
) -> None:
    kept = spawn_points_straight_on(town, graph, roadside, 400.0)
    left_out = [point for point in roadside if point not in kept]
    assert len(kept) > 10
    assert len(left_out) > 10
    for point in kept:
        assert max(turns_ahead(town, point, 390.0), default=0.0) <= FORCED_TURN
    for point in left_out:
        assert max(turns_ahead(town, point, 440.0), default=0.0) > FORCED_TURN


def test_where_every_road_ends_soon_a_free_route_begins_where_it_is_longest(
    town: carla.Map, graph: LaneGraph, roadside: list[carla.Transform]
) -> None:
    far = spawn_points_straight_on(town, graph, roadside, 400.0)
    near = [point for point in roadside if point not in far]
    kept = spawn_points_straight_on(town, graph, near, 400.0)
    assert 0 < len(kept) < len(near)


def test_forced_turns_lie_ahead_only_of_a_free_route_that_asked_for_them(town: carla.Map, address: str) -> None:
    host, port = address.split(":")
    world = carla.Client(host, int(port)).get_world()
    forced = {}
    for wanted in (False, True):
        env = CarlaEnv(address, forced_turns=wanted, max_episode_steps=500)  # 500 steps of 0.05 s at 30 km/h: 208 m
        turns = []
        for seed in range(12):
            env.reset(seed=seed)
            (ego,) = world.get_actors().filter("vehicle.*")
            turns.append(max(turns_ahead(town, ego.get_transform(), 200.0), default=0.0))
        env.close()
        forced[wanted] = [turn > FORCED_TURN for turn in turns]
    assert not any(forced[False])
    assert any(forced[True])
    assert not all(forced[True])
