"""Rays against boxes and ground: what they meet, how far away and under which angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_maps import opendrive, straight

from sb3_carla.simulator.geometry import BODY, rotation_matrices, rotation_matrix
from sb3_carla.simulator.ray_kernel import GROUND, NOTHING
from sb3_carla.simulator.rays import RayScene
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.town import Atlas

NONE = np.zeros(0, BODY)
SLOPE = 0.1  # of the hilly road


def box(x=0.0, y=0.0, z=0.0, *, turned=(0.0, 0.0, 0.0), extent=(1.0, 1.0, 1.0), id=0, tag=3):
    return np.array([(id, tag, (0, 0, 0), (x, y, z), turned, extent)], BODY)


def rays(*directions):
    directions = np.array(directions, float)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def road():
    return RoadMap("road", opendrive(straight(400.0)), tried=True)


@pytest.fixture(scope="module")
def hill():
    rising = f'<elevation s="0" a="0" b="{SLOPE}" c="0" d="0"/>'
    return RayScene(RoadMap("hill", opendrive(straight(400.0, elevation=rising)), tried=True), NONE)


def nearest(origin, directions, reach, bodies):
    """The plain way: every ray against every box."""
    best, which = np.full(len(directions), reach), np.full(len(directions), NOTHING)
    for row, body in enumerate(bodies):
        turn = rotation_matrix(*body["rotation"])
        start, along = (np.array(origin) - body["centre"]) @ turn, directions @ turn
        if (np.abs(start) <= body["extent"] + 0.02).all():
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = (-body["extent"] - start) / along, (body["extent"] - start) / along
        near, far = np.minimum(one, other).max(axis=1), np.maximum(one, other).min(axis=1)
        closer = (near < far) & (near > 0.0) & (near < best)
        best[closer], which[closer] = near[closer], row
    return best, which


@given(
    seed=st.integers(0, 2**32 - 1),
    origin=st.tuples(st.floats(-300, 300), st.floats(-120, 120), st.floats(-5, 60)),
    reach=st.floats(1, 500),
)
def test_rays_find_the_box_that_trying_all_boxes_finds(road, seed, origin, reach):
    random = np.random.default_rng(seed)
    bodies = np.zeros(80, BODY)
    bodies["centre"] = random.uniform((-220, -60, -2), (220, 60, 20), (80, 3))
    bodies["extent"] = random.uniform(0.1, 12.0, (80, 3))
    bodies["rotation"] = random.uniform(-180, 180, (80, 3))
    directions = rays(*random.normal(size=(60, 3)))
    hits = RayScene(road, bodies[:50]).cast(origin, directions, reach, bodies[50:])
    distance, which = nearest(origin, directions, reach, bodies)
    ground = hits.target == GROUND
    assert hits.target[~ground].tolist() == which[~ground].tolist()
    assert hits.distance[~ground] == pytest.approx(distance[~ground])
    assert (hits.distance[ground] <= distance[ground]).all()


def test_many_rotations_at_once_are_those_one_by_one():
    angles = np.random.default_rng(0).uniform(-180, 180, (20, 3))
    assert rotation_matrices(angles) == pytest.approx(np.array([rotation_matrix(*one) for one in angles]))


def test_a_ray_that_meets_nothing_ends_at_its_reach(road):
    hits = RayScene(road, NONE).cast((0.0, 0.0, 2.0), rays((1, 0, 0), (0, 0, 1)), 30.0, NONE)
    assert hits.target.tolist() == [NOTHING, NOTHING]
    assert hits.distance.tolist() == [30.0, 30.0]


def test_flat_ground_is_met_where_the_ray_comes_down_to_it(road):
    hits = RayScene(road, NONE).cast((3.0, 0.0, 2.0), rays((0, 0, -1), (math.sqrt(3), 0, -1)), 30.0, NONE)
    assert hits.distance == pytest.approx([2.0, 4.0])
    assert hits.cosine == pytest.approx([1.0, 0.5])


@given(x=st.floats(-150, 100), up=st.floats(0.5, 40), down=st.floats(0.02, 5.0))
def test_a_slope_is_met_where_the_ray_comes_down_to_it(hill, x, up, down):
    """On a plane that rises by ``SLOPE``, a ray along it that falls by ``down`` per metre."""
    surface = (x + 200.0) * SLOPE
    (ray,) = directions = rays((1, 0, -down))
    hits = hill.cast((x, -1.75, surface + up), directions, 1000.0, NONE)
    ahead = up / (down + SLOPE)
    if x + ahead < 195.0:
        assert hits.target.tolist() == [GROUND]
        assert hits.distance[0] * ray[0] == pytest.approx(ahead, rel=0.02, abs=0.1)
        upwards = np.array([-SLOPE, 0, 1]) / math.hypot(1, SLOPE)
        assert hits.cosine[0] == pytest.approx(-ray @ upwards, abs=0.02)


def test_the_upper_of_two_roads_is_met_from_above_and_the_lower_one_from_below_it():
    high = '<elevation s="0" a="8" b="0" c="0" d="0"/>'
    crossing = opendrive(straight(200.0), straight(200.0, road_id=1, heading=math.pi / 2, elevation=high))
    scene = RayScene(RoadMap("crossing", crossing, tried=True), NONE)
    down = rays((0, 0, -1))
    assert scene.cast((0.0, 0.0, 20.0), down, 50.0, NONE).distance[0] == pytest.approx(12.0, abs=0.1)
    assert scene.cast((0.0, 0.0, 5.0), down, 50.0, NONE).distance[0] == pytest.approx(5.0, abs=0.1)


def test_a_body_that_holds_the_sensor_is_not_seen(road):
    scene = RayScene(road, NONE)
    holding, other = box(z=1.0, extent=(2.4, 1.0, 0.8)), box(10.0, z=1.0)
    hits = scene.cast((0.0, 0.0, 1.0), rays((1, 0, 0)), 50.0, np.concatenate([holding, other]))
    assert (hits.distance.tolist(), hits.target.tolist()) == ([9.0], [1])


def test_a_body_far_outside_the_map_is_met_too(road):
    hits = RayScene(road, NONE).cast((900.0, 0.0, 1.0), rays((1, 0, 0)), 50.0, box(920.0, z=1.0))
    assert hits.distance.tolist() == [19.0]


def test_ids_and_labels_are_those_of_what_was_met(road):
    scene = RayScene(road, box(0.0, 20.0, 2.0, tag=9))
    bodies = box(10.0, 0.0, 1.0, id=7, tag=14)
    origin = np.array([0.0, 0.0, 2.0])
    directions = rays((1, 0, -0.05), (0, 1, 0), (-1, 0, -1), (0.0, -1, -0.2))
    hits = scene.cast(tuple(origin), directions, 50.0, bodies)
    ids, labels = scene.ids_and_labels(hits, origin + hits.distance[:, None] * directions, bodies)
    assert ids.tolist() == [7, 0, 0, 0]
    assert labels.tolist() == [14, 9, 1, 10]


def test_more_bodies_than_there_was_room_for_are_all_met(road):
    scene = RayScene(road, NONE)
    many = np.concatenate([box(5.0 + 2.5 * n, 30.0, 1.0, id=n + 1) for n in range(300)])
    for row in (0, 150, 299):
        origin = (float(many["centre"][row, 0]), 0.0, 1.0)
        assert scene.cast(origin, rays((0, 1, 0)), 50.0, many).target.tolist() == [row]


def test_the_labels_of_a_towns_ground_tell_road_and_sidewalk():
    town = Atlas("Town_Blocks").start
    lanes = {lane.kind: lane for lane in town.roads.lanes if lane.junction == -1}
    for kind, label in (("driving", 1), ("sidewalk", 2)):
        x, y, z = lanes[kind].centre[5].tolist()
        hits = town.rays.cast((x, y, z + 1.0), rays((0, 0, -1)), 5.0, NONE)
        assert town.rays.ids_and_labels(hits, np.array([[x, y]]), NONE)[1].tolist() == [label]
