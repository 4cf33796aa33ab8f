"""Walkers: driven by their control, and by the client's own navigation over the mesh that the server makes."""

from __future__ import annotations

import math
from collections import Counter

import carla
import numpy as np
import pytest

from sb3_carla.simulator.catalogue import WALKER_HALF_HEIGHT
from sb3_carla.simulator.detour import Area, Polygon, navigation_mesh
from sb3_carla.simulator.roads import RoadMap, built_in_maps
from sb3_carla.simulator.walkways import _Mesh, build_navigation
from sb3_carla.simulator.wire.values import ActorDescription, WalkerControl

WALKER = ActorDescription("walker.pedestrian.0001", {})


def polygons_of(mesh):
    """Vertices of each polygon, neighbours and areas, read back from a mesh file."""
    header = np.frombuffer(mesh, "<i4", 25, 48)
    polygons, vertices = int(header[6]), int(header[7])
    start = 48 + 100
    points = np.frombuffer(mesh, "<f4", 3 * vertices, start).reshape(-1, 3)
    layout = np.dtype(
        [("link", "<u4"), ("v", "<u2", 6), ("n", "<u2", 6), ("flags", "<u2"), ("count", "u1"), ("area", "u1")]
    )
    return points, np.frombuffer(mesh, layout, polygons, start + points.nbytes)


@pytest.fixture(scope="module")
def blocks(atlas):
    return polygons_of(atlas.start.navigation)


def test_every_place_can_be_reached_from_every_other(blocks):
    _, polygons = blocks
    seen, waiting = {0}, [0]
    while waiting:
        one = polygons[waiting.pop()]
        for other in one["n"][: one["count"]].tolist():
            if other and other - 1 not in seen:
                seen.add(other - 1)
                waiting.append(other - 1)
    assert len(seen) == len(polygons)


def test_neighbours_know_each_other(blocks):
    _, polygons = blocks
    for row, one in enumerate(polygons):
        for other in one["n"][: one["count"]].tolist():
            if other:
                assert row + 1 in polygons[other - 1]["n"].tolist()


def test_polygons_are_convex_and_turn_the_way_that_detour_expects(blocks):
    points, polygons = blocks
    for one in polygons:
        ring = points[one["v"][: one["count"]]][:, [0, 2]].astype(float)
        legs = np.roll(ring, -1, axis=0) - ring
        following = np.roll(legs, -1, axis=0)
        assert (legs[:, 0] * following[:, 1] - legs[:, 1] * following[:, 0] < 0.05).all()


def test_there_are_sidewalks_crosswalks_and_roads_with_carlas_flags(blocks):
    _, polygons = blocks
    assert set(Counter(polygons["area"].tolist())) == {Area.SIDEWALK, Area.CROSSWALK, Area.ROAD}
    assert (polygons["flags"] == 1 << polygons["area"].astype(int)).all()


@pytest.mark.parametrize("town", built_in_maps())
def test_every_town_has_room_for_walkers(town):
    lanes = RoadMap.load(town).lanes
    assert len(build_navigation(lanes)) > 10_000


def test_a_map_without_any_edge_to_walk_on_has_no_mesh():
    lanes = [lane for lane in RoadMap.load("Town_Curves").lanes if lane.kind == "driving"]
    assert build_navigation(lanes) == b""


def test_sidewalks_that_end_near_each_other_are_joined():
    mesh = _Mesh()
    mesh.points = [(0, 0, 0), (0, 2, 0), (10, 2, 0), (10, 0, 0), (10.3, 0.1, 0), (10.3, 2.1, 0), (20, 2, 0), (20, 0, 0)]
    mesh.polygons = [Polygon((0, 1, 2, 3), Area.SIDEWALK), Polygon((4, 5, 6, 7), Area.SIDEWALK)]
    mesh._ends = [(0, 1), (3, 2), (4, 5), (7, 6)]
    mesh.join_ends()
    assert set(mesh.polygons[0].vertices) & set(mesh.polygons[1].vertices) == {2, 3}


def test_a_mesh_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 polygons"):
        navigation_mesh([], [])


def test_a_walker_goes_where_its_control_says(world):
    walker = world.spawn(WALKER, world.town.roads.spawn_points[0]._replace(z=1.0))
    start = walker.pose
    walker.command(WalkerControl((0.0, 1.0, 0.0), 2.0, False))
    for _ in range(20):
        world.step(0.05)
    assert walker.pose.y - start.y == pytest.approx(2.0, abs=0.01)
    assert walker.velocity == pytest.approx((0.0, 2.0, 0.0))
    assert walker.pose.yaw == pytest.approx(90.0)


def test_a_jump_leaves_the_ground_once_and_comes_back(world):
    walker = world.spawn(WALKER, world.town.roads.spawn_points[0]._replace(z=1.0))
    world.step(0.05)
    walker.command(WalkerControl((1.0, 0.0, 0.0), 0.0, True))
    heights = []
    for _ in range(60):
        world.step(0.05)
        heights.append(walker.pose.z - WALKER_HALF_HEIGHT)
    assert max(heights) > 0.5
    assert heights[-20:] == pytest.approx([0.0] * 20, abs=1e-9)


def test_a_car_knocks_a_walker_over_and_the_detector_says_whom(world):
    point = world.town.roads.spawn_points[0]
    car = world.spawn(ActorDescription("vehicle.tesla.model3", {}), point)
    detector = world.spawn(ActorDescription("sensor.other.collision", {}), type(point)(), car.id)
    yaw = math.radians(point.yaw)
    ahead = point._replace(x=point.x + 8.0 * math.cos(yaw), y=point.y + 8.0 * math.sin(yaw), z=1.0)
    walker = world.spawn(WALKER, ahead)
    car.motion.set_velocity(8.0 * math.cos(yaw), 8.0 * math.sin(yaw), 0.0)
    told = []
    for _ in range(40):
        world.step(0.05)
        told += world.collisions()
    assert (told[0][0], told[0][1]) == (detector, walker)
    assert math.dist(walker.pose[:2], ahead[:2]) > 0.5


def test_the_clients_navigation_moves_walkers_along_the_sidewalks(game):
    town = game.get_map()
    library = game.get_blueprint_library()
    game.set_pedestrians_seed(3)
    game.set_pedestrians_cross_factor(0.0)
    walkers = []
    while len(walkers) < 8:
        place = game.get_random_location_from_navigation()
        pose = carla.Transform(place + carla.Location(z=1.0))
        one = game.try_spawn_actor(library.filter("walker.pedestrian.*")[len(walkers)], pose)
        if one is not None:
            walkers.append(one)
    game.tick()
    brain = library.find("controller.ai.walker")
    controllers = [game.spawn_actor(brain, carla.Transform(), attach_to=one) for one in walkers]
    game.tick()
    for one in controllers:
        one.start()
        one.go_to_location(game.get_random_location_from_navigation())
        one.set_max_speed(1.5)
    start = [one.get_location() for one in walkers]
    kinds = Counter()
    for _ in range(200):
        game.tick()
        for one in walkers:
            lane = town.get_waypoint(one.get_location(), lane_type=carla.LaneType.Any)
            kinds[str(lane.lane_type)] += 1
    moved = [one.get_location().distance(place) for one, place in zip(walkers, start, strict=True)]
    assert max(moved) > 8.0
    assert sorted(moved)[len(moved) // 2] > 4.0
    assert kinds["Driving"] < 0.3 * sum(kinds.values())
    assert 0.5 < max(one.get_velocity().length() for one in walkers) < 2.0
    for one in controllers:
        one.stop()
    game.tick()


def test_after_a_change_of_town_the_client_has_the_new_towns_mesh(client, game):
    other = client.load_world("Town_Curves", False)
    x_min, y_min, x_max, y_max = RoadMap.load("Town_Curves").bounds
    try:
        for _ in range(20):
            place = other.get_random_location_from_navigation()
            assert x_min <= place.x <= x_max
            assert y_min <= place.y <= y_max
    finally:
        client.load_world("Town_Blocks", False)
