"""All cameras see the same scene: colour, labels, instances, depth and motion agree pixel for pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import opendrive, straight

from sb3_carla.simulator.camera import Camera, Scene
from sb3_carla.simulator.geometry import BODY, Transform, rotation_matrix
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.scenery import place_scenery
from sb3_carla.simulator.weather import Weather

ROAD, TERRAIN, SKY, CAR, STATIC = 1, 10, 11, 14, 20
FAR = 1000.0
NOTHING = np.zeros(0, BODY)
POSES = st.builds(
    Transform,
    st.floats(-400, 400), st.floats(-400, 400), st.floats(-5, 60),
    st.floats(-90, 90), st.floats(-180, 180), st.floats(-180, 180),
)  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> Scene:
    roads = RoadMap.load("Town_Blocks")
    return Scene(roads, place_scenery(roads))


@pytest.fixture(scope="module")
def bare(scene: Scene) -> Scene:
    return Scene(scene.roads, NOTHING)


@pytest.fixture(scope="module")
def hills() -> RoadMap:
    """A road that rises and falls by several metres."""
    wave = '<elevation s="0" a="3" b="0.08" c="0" d="0"/><elevation s="60" a="7.8" b="-0.1" c="0" d="0"/>'
    return RoadMap("Hills", opendrive(straight(160, elevation=wave)), tried=True)


@pytest.fixture(scope="module")
def wooded_hills(hills: RoadMap) -> Scene:
    return Scene(hills, place_scenery(hills))


def box(number: int, place: Transform, extent: tuple[float, float, float] = (1.5, 0.8, 0.7), tag: int = STATIC) -> Any:
    """A plain box whose middle is at a place."""
    result = np.zeros(1, BODY)
    result[0] = (number, tag, (200, 40, 40), place[:3], place[3:], extent)
    return result


def metres(picture: Any) -> Any:
    """CARLA's depth code undone."""
    blue, green, red = (picture[..., i].astype(np.int64) for i in range(3))
    return (red + 256 * green + 65536 * blue) * FAR / (2**24 - 1)


def numbers(picture: Any) -> Any:
    """The instances' numbers."""
    return picture[..., 1].astype(int) + 256 * picture[..., 0].astype(int)


def rays(camera: Camera, pose: Transform) -> Any:
    """The direction of every pixel (height, width, 3) in the world, one metre along the camera's axis."""
    axes = rotation_matrix(pose.pitch, pose.yaw, pose.roll)
    u = (np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal
    v = (np.arange(camera.height) + 0.5 - camera.height / 2) / camera.focal
    return axes[:, 0] + u[None, :, None] * axes[:, 1] - v[:, None, None] * axes[:, 2]


def distance_to_box(eye: Any, directions: Any, body: Any) -> Any:
    """Slab test: the depth at which each ray enters a box, inf where it does not."""
    turn = rotation_matrix(*body["rotation"].tolist())
    local, away = (eye - body["centre"]) @ turn, directions @ turn
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (-body["extent"] - local) / away, (body["extent"] - local) / away
    enter, leave = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
    return np.where((enter <= leave) & (enter > 0), enter, math.inf)


@given(pose=POSES, yaw=st.floats(-180, 180), forward=st.floats(4, 40), side=st.floats(-8, 8))
@settings(max_examples=40, deadline=None)
def test_labels_instances_and_depth_change_at_the_same_pixels(
    scene: Scene, pose: Transform, yaw: float, forward: float, side: float
) -> None:
    camera = Camera(scene, 48, 36)
    thing = box(777, pose.compose(Transform(forward, side, 0.0, 0.0, yaw, 0.0)))
    before, after = camera.semantic(pose, NOTHING), camera.semantic(pose, thing)
    mine = numbers(camera.instance(pose, thing)) == 777
    assert (camera.instance(pose, thing)[..., 2] == after[..., 2]).all()
    assert (mine == (after[..., 2] == STATIC)).all()
    assert (after[~mine] == before[~mine]).all()
    nearer = metres(camera.depth(pose, thing)) < metres(camera.depth(pose, NOTHING))
    assert (nearer == mine).all()
    assert (metres(camera.depth(pose, thing))[after[..., 2] == SKY] > FAR - 0.01).all()
    colour = camera.rgb(pose, thing)
    changed = (colour != camera.rgb(pose, NOTHING)).any(axis=2)
    assert changed[mine].sum() >= 0.9 * mine.sum()


@given(
    places=st.lists(st.tuples(st.floats(3, 30), st.floats(-10, 10), st.floats(-3, 3)), min_size=1, max_size=4),
    turns=st.tuples(st.floats(-180, 180), st.floats(-60, 60), st.floats(-180, 180)),
    pitch=st.floats(-40, 40),
    roll=st.floats(-180, 180),
)
@settings(max_examples=40, deadline=None)
def test_depth_is_that_of_rays_cast_at_boxes_and_ground(
    bare: Scene, places: list[tuple[float, float, float]], turns: tuple[float, float, float], pitch: float, roll: float
) -> None:
    camera = Camera(bare, 64, 48)
    pose = Transform(30.0, 20.0, 12.0, pitch, 40.0, roll)
    boxes = np.concatenate(
        [box(i + 1, pose.compose(Transform(*place))._replace(yaw=turns[0], pitch=turns[1], roll=turns[2]))
         for i, place in enumerate(places)]
    )  # fmt: skip
    directions, eye = rays(camera, pose), np.array(pose[:3])
    with np.errstate(divide="ignore"):
        ground = np.where(directions[..., 2] < 0, -eye[2] / directions[..., 2], math.inf)
    expected = np.minimum.reduce([ground, *(distance_to_box(eye, directions, one) for one in boxes)])
    expected[expected > FAR] = FAR
    seen = metres(camera.depth(pose, boxes))
    # A pixel whose centre lies on an edge to within rounding may fall on either side.
    assert (np.abs(seen - expected) < 1e-3 + 1e-5 * expected).mean() > 0.995


@pytest.mark.parametrize("lean", [Transform(z=1.5), Transform(z=2.5, roll=20.0), Transform(z=25.0, pitch=-50.0)])
def test_depth_over_hills_is_where_a_ray_meets_the_road_maps_height(hills: RoadMap, lean: Transform) -> None:
    camera = Camera(Scene(hills, NOTHING), 60, 60)
    start = Transform(-60.0, 1.75, hills.height(-60.0, 1.75))
    pose = start.compose(lean)
    seen = metres(camera.depth(pose, NOTHING))
    directions = rays(camera, pose)
    checked = 0
    for row, column in np.argwhere(seen < 90.0).tolist():
        at = np.array(pose[:3]) + seen[row, column] * directions[row, column]
        if abs(at[1]) < 4.0 and abs(at[0]) < 78.0:
            assert at[2] == pytest.approx(hills.height(*at[:2].tolist()), abs=0.02)
            # Nothing of the ground stands in between.
            for share in np.linspace(0.1, 0.95, 12).tolist():
                x, y, z = (np.array(pose[:3]) + share * seen[row, column] * directions[row, column]).tolist()
                assert z > hills.height(x, y) - 0.05
            checked += 1
    assert checked > 100


def test_a_crest_hides_the_road_behind_it(hills: RoadMap) -> None:
    camera, car = Camera(Scene(hills, NOTHING), 84, 84), []
    for x in (-30.0, 60.0):
        car.append(box(5, Transform(x, 1.75, hills.height(x, 1.75) + 0.7)))
    pose = Transform(-60.0, 1.75, hills.height(-60.0, 1.75) + 1.2, 4.0)
    shown = [(camera.semantic(pose, one)[..., 2] == STATIC).sum() for one in car]
    assert shown[0] >= 4
    assert shown[1] == 0


def test_every_house_and_tree_is_an_instance_of_its_own(scene: Scene) -> None:
    camera = Camera(scene, 160, 120)
    picture = camera.instance(Transform(100.0, 49.75, 1.5), NOTHING)
    ground = np.isin(picture[..., 2], (ROAD, TERRAIN, SKY))
    assert (numbers(picture)[ground] == 0).all()
    assert (numbers(picture)[np.isin(picture[..., 2], (3, 9))] > 30000).all()
    assert len(np.unique(numbers(picture))) > 10


def test_nothing_moves_in_the_flow_of_a_camera_that_stands_still(scene: Scene) -> None:
    camera, pose = Camera(scene, 48, 36), Transform(100.0, 49.75, 1.5)
    thing = box(3, Transform(110.0, 50.0, 0.7))
    assert np.abs(camera.optical_flow(pose, thing, pose, thing)).max() < 1e-6


def test_the_flow_of_what_moves_is_the_way_that_a_pinhole_sees_it_go(bare: Scene) -> None:
    camera, pose = Camera(bare, 100, 100), Transform(0.0, -5.0, 1.5)
    was, now = box(3, Transform(10.0, -5.0, 1.5)), box(3, Transform(10.0, -4.8, 1.6))
    flow = camera.optical_flow(pose, now, pose, was)
    mine = numbers(camera.instance(pose, now)) == 3
    # 0.2 m to the right and 0.1 m up at 8.5 m, the near face; half the width is 50 pixels, the focal length too.
    assert flow[mine][:, 0].mean() == pytest.approx(0.2 / 8.5, rel=0.02)
    assert flow[mine][:, 1].mean() == pytest.approx(0.1 / 8.5, rel=0.02)
    assert np.abs(flow[~mine]).max() < 1e-6


def test_driving_on_makes_the_ground_flow_down_and_outwards(bare: Scene) -> None:
    camera = Camera(bare, 64, 64)
    flow = camera.optical_flow(Transform(101.0, 50.0, 1.5), NOTHING, Transform(100.0, 50.0, 1.5), NOTHING)
    below = flow[48:]
    assert (below[..., 1] < 0).all()
    assert (below[:, :31, 0] < 0).all()
    assert (below[:, 33:, 0] > 0).all()
    assert np.abs(flow[:28]).max() < 1e-6  # the sky


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 700), (1920, 1080)])
def test_every_camera_works_in_every_size(scene: Scene, width: int, height: int) -> None:
    camera, pose = Camera(scene, width, height), Transform(100.0, 49.75, 1.5, 0.0, 0.0, 1.0)
    thing = box(3, Transform(110.0, 50.0, 0.7))
    for picture in (
        camera.rgb(pose, thing),
        camera.semantic(pose, thing),
        camera.depth(pose, thing),
        camera.instance(pose, thing),
    ):
        assert picture.shape == (height, width, 4)
        assert (picture[..., 3] == 255).all()
    assert camera.optical_flow(pose, thing, pose, thing).shape == (height, width, 2)


@given(pose=POSES)
@settings(max_examples=30, deadline=None)
def test_any_pose_over_hills_gives_pictures(wooded_hills: Scene, pose: Transform) -> None:
    camera = Camera(wooded_hills, 24, 18)
    depth = metres(camera.depth(pose, NOTHING))
    assert (depth > 0).all()
    sky = camera.semantic(pose, NOTHING)[..., 2] == SKY
    assert (depth[sky] > FAR - 0.01).all()
    assert (camera.rgb(pose, NOTHING, Weather(precipitation=80, wetness=90))[..., 3] == 255).all()


def test_a_shadow_lies_where_the_sun_does_not_reach(bare: Scene) -> None:
    camera, pose = Camera(bare, 100, 100), Transform(100.0, 49.75, 14.0, -90.0)
    car = box(3, Transform(100.0, 49.75, 0.7), extent=(2.0, 1.0, 0.7), tag=CAR)
    weather = Weather(sun_azimuth_angle=90.0, sun_altitude_angle=30.0)  # the sun stands to the right, in +y
    darker = camera.rgb(pose, NOTHING, weather)[..., 1].astype(int) - camera.rgb(pose, car, weather)[..., 1]
    free = numbers(camera.instance(pose, car)) == 0
    left, right = (darker[:, :46] * free[:, :46]).sum(), (darker[:, 54:] * free[:, 54:]).sum()
    assert left > 500
    assert right <= 0.05 * left
    overcast = Weather(cloudiness=100.0, sun_azimuth_angle=90.0, sun_altitude_angle=30.0)
    change = camera.rgb(pose, NOTHING, overcast)[..., 1].astype(int) - camera.rgb(pose, car, overcast)[..., 1]
    assert np.abs(change[:, :40]).max() == 0
