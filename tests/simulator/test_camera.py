"""What the camera shows, checked against geometry worked out here independently."""

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

ROAD, SIDEWALK, BUILDING, VEGETATION, TERRAIN, SKY, CAR, LINE = 1, 2, 3, 9, 10, 11, 14, 24
NOTHING = np.zeros(0, BODY)


@pytest.fixture(scope="module")
def roads() -> RoadMap:
    return RoadMap.load("Town_Blocks")


@pytest.fixture(scope="module")
def scene(roads: RoadMap) -> Scene:
    return Scene(roads, place_scenery(roads))


@pytest.fixture(scope="module")
def bare(roads: RoadMap) -> Scene:
    """The roads alone."""
    return Scene(roads, NOTHING)


@pytest.fixture(scope="module")
def avenue() -> Transform:
    """A place on the ground of the straight avenue, in the inner lane, looking along it."""
    return Transform(100.0, 49.75, 0.0, 0.0, 0.0, 0.0)


def body(
    pose: Transform, extent: tuple[float, float, float] = (2.4, 1.0, 0.75), tag: int = CAR, colour: Any = (200, 30, 30)
) -> Any:
    """One body that stands on the ground at a pose."""
    result = np.zeros(1, BODY)
    result[0] = (7, tag, colour, (pose.x, pose.y, pose.z + extent[2]), (pose.pitch, pose.yaw, pose.roll), extent)
    return result


def pixel(camera: Camera, pose: Transform, point: Any) -> tuple[float, float, float]:
    """Where a pinhole camera sees a point: column and row (pixel i covers i .. i + 1), and its depth."""
    forward, right, up = rotation_matrix(pose.pitch, pose.yaw, pose.roll).T @ (np.array(point) - pose[:3])
    scale = camera.width / 2 / math.tan(math.radians(90) / 2) / forward
    return camera.width / 2 + right * scale, camera.height / 2 - up * scale, forward


def labels(camera: Camera, pose: Transform, bodies: Any = NOTHING) -> Any:
    return camera.semantic(pose, bodies)[..., 2]


def grey(image: Any) -> Any:
    return image[..., :3].astype(float) @ (0.114, 0.587, 0.299)


@pytest.mark.parametrize(
    "lean", [Transform(), Transform(pitch=-12), Transform(roll=9), Transform(pitch=-70, roll=30, z=9)]
)
def test_painted_lines_appear_where_a_pinhole_sees_them(bare: Scene, avenue: Transform, lean: Transform) -> None:
    camera = Camera(bare, 400, 400)
    pose = avenue.compose(Transform(z=1.5)).compose(lean)
    seen, image = labels(camera, pose), grey(camera.rgb(pose, NOTHING))
    checked = 0
    for mark in (mark for lane in bare.roads.lanes for mark in lane.marks if mark.kind == "Solid"):
        for point in np.concatenate([mark.points, (mark.points[1:] + mark.points[:-1]) / 2]):
            if math.dist(point[:2], pose[:2]) > 16:
                continue
            u, v, depth = pixel(camera, pose, point)
            if depth > 1 and 5 < u < 395 and 5 < v < 395:
                row, column = int(v), int(u)
                # Along the row or the column: a line seen from the side is thinner than a pixel in one of them.
                assert (seen[row, column - 3 : column + 4] == LINE).any() or (
                    seen[row - 3 : row + 4, column] == LINE
                ).any()
                assert image[row - 1 : row + 2, column - 1 : column + 2].max() > 140
                checked += 1
    assert checked > 10


@given(
    forward=st.floats(6, 60),
    right=st.floats(-4, 4),
    up=st.floats(0, 3),
    yaw=st.floats(-180, 180),
    facing=st.floats(-180, 180),
)
@settings(max_examples=40, deadline=None)
def test_a_box_covers_the_pixels_of_its_corners_hull(
    bare: Scene, forward: float, right: float, up: float, yaw: float, facing: float
) -> None:
    camera = Camera(bare, 200, 200)
    pose = Transform(20.0, -10.0, 1.5, 0.0, yaw, 0.0)
    extent = (1.2, 0.7, 0.9)
    box = body(pose.compose(Transform(forward, right, up - 1.5, 0, facing, 0)), extent, tag=20)
    turned = rotation_matrix(0.0, float(box["rotation"][0][1]), 0.0)
    corners = [
        box["centre"][0] + turned @ (np.array(extent) * sign)
        for sign in np.ndindex(2, 2, 2)
        for sign in [2 * np.array(sign) - 1]
    ]
    us, vs, _ = zip(*(pixel(camera, pose, corner) for corner in corners), strict=True)
    rows, columns = (labels(camera, pose, box) == 20).nonzero()
    low, high = max(min(us), 0), min(max(us), 200)
    if high - low > 2:
        assert columns.min() == pytest.approx(low, abs=1.6)
        assert columns.max() + 1 == pytest.approx(high, abs=1.6)
        assert rows.min() == pytest.approx(min(vs), abs=1.6)
        assert rows.max() + 1 == pytest.approx(max(vs), abs=1.6)


def test_a_street_shows_every_kind_of_surface(scene: Scene, avenue: Transform) -> None:
    camera = Camera(scene, 320, 240)
    seen = labels(camera, avenue.compose(Transform(z=1.5)), body(avenue.compose(Transform(15))))
    assert {ROAD, SIDEWALK, BUILDING, VEGETATION, TERRAIN, SKY, CAR, LINE} <= set(np.unique(seen).tolist())
    assert (seen[-1] == ROAD).mean() > 0.4
    assert (seen[0] == SKY).any()
    assert not (seen[130:] == SKY).any()


def test_the_same_inputs_give_the_same_bytes_whatever_was_seen_before(
    scene: Scene, roads: RoadMap, avenue: Transform
) -> None:
    pose, cars = avenue.compose(Transform(z=1.5)), body(avenue.compose(Transform(12, 3)))
    travelled, fresh = Camera(scene, 84, 84), Camera(Scene(roads, place_scenery(roads)), 84, 84)
    for point in roads.spawn_points[::40]:
        travelled.rgb(point, NOTHING, Weather(cloudiness=90, precipitation=40))
    assert travelled.rgb(pose, cars).tobytes() == fresh.rgb(pose, cars).tobytes()
    assert travelled.semantic(pose, cars).tobytes() == fresh.semantic(pose, cars).tobytes()


@pytest.mark.parametrize("roll", [0.0, 7.0])
def test_colour_and_labels_show_the_same_shapes(scene: Scene, avenue: Transform, roll: float) -> None:
    camera = Camera(scene, 200, 150)
    pose = avenue.compose(Transform(z=1.5, roll=roll))
    car = body(avenue.compose(Transform(9, 0.5, 0, 0, 20, 0)))
    changed_labels = labels(camera, pose, car) != labels(camera, pose)
    changed_colours = (camera.rgb(pose, car) != camera.rgb(pose, NOTHING)).any(axis=2)
    assert changed_labels.sum() > 200
    assert (changed_colours | ~changed_labels).mean() > 0.999
    # What changes in colour alone is the car's shadow on the ground.
    assert set(labels(camera, pose)[changed_colours & ~changed_labels].tolist()) <= {ROAD, LINE, SIDEWALK}


def test_sky_and_ground_part_at_the_same_row_in_colour_and_labels(bare: Scene, avenue: Transform) -> None:
    camera = Camera(bare, 64, 64)
    for pitch in (-20.0, -3.3, 0.0, 8.0):
        pose = avenue.compose(Transform(z=1.5, pitch=pitch))
        horizon = 32 + 32 * math.tan(math.radians(pitch))
        sky_rows = (labels(camera, pose) == SKY).all(axis=1).sum()
        assert sky_rows == pytest.approx(horizon, abs=1)
        image = camera.rgb(pose, NOTHING)[..., 0].astype(int)  # blue
        if 4 < sky_rows < 60:
            assert image[sky_rows - 3].mean() > image[sky_rows + 3].mean() + 40


def test_the_own_car_is_not_in_the_way_but_seen_from_behind(bare: Scene, avenue: Transform) -> None:
    camera, car = Camera(bare, 84, 84), body(avenue)
    assert CAR not in labels(camera, avenue.compose(Transform(2.0, 0.0, 1.5)), car)
    assert (labels(camera, avenue.compose(Transform(-7.0, 0.0, 3.0, -10.0)), car) == CAR).sum() > 150


def test_nearer_cars_hide_farther_ones(bare: Scene, avenue: Transform) -> None:
    camera, pose = Camera(bare, 84, 84), avenue.compose(Transform(z=1.0))
    near = body(avenue.compose(Transform(10)), colour=(255, 0, 0))
    far = body(avenue.compose(Transform(30)), colour=(0, 255, 0))
    for both in (np.concatenate([near, far]), np.concatenate([far, near])):
        assert (camera.rgb(pose, both) == camera.rgb(pose, near)).mean() > 0.99


def test_a_house_hides_what_is_behind_it(scene: Scene) -> None:
    house = next(box for box in scene_boxes(scene) if box["extent"][2] > 4)
    away = np.array(
        [math.cos(math.radians(house["rotation"][1] + 90)), math.sin(math.radians(house["rotation"][1] + 90))]
    )
    eye = house["centre"][:2] - 18 * away
    pose = Transform(*eye.tolist(), 1.5, 0.0, float(house["rotation"][1]) + 90, 0.0)
    behind = body(Transform(*(house["centre"][:2] + 12 * away).tolist(), 0.0))
    assert CAR not in labels(Camera(scene, 84, 84), pose, behind)
    assert (labels(Camera(scene, 84, 84), pose)[38:42, 38:46] == BUILDING).all()


def scene_boxes(scene: Scene) -> Any:
    bodies = place_scenery(scene.roads)
    return bodies[bodies["tag"] == BUILDING]


def test_seen_from_straight_above_the_picture_is_a_map(bare: Scene, avenue: Transform) -> None:
    camera = Camera(bare, 200, 200)
    pose = Transform(avenue.x, avenue.y, 40.0, -90.0, 0.0, 0.0)
    car = body(avenue.compose(Transform(10.0, 4.0)), extent=(2.4, 1.0, 0.02))
    rows, columns = (labels(camera, pose, car) == CAR).nonzero()
    # 100 pixels per 40 m at the ground; up is forward (x), right is right (y).
    assert rows.mean() + 0.5 == pytest.approx(100 - 10 * 2.5, abs=1)
    assert columns.mean() + 0.5 == pytest.approx(100 + 4 * 2.5, abs=1)
    assert np.ptp(rows) > np.ptp(columns)


def test_turning_right_moves_the_picture_to_the_left(bare: Scene, avenue: Transform) -> None:
    camera, car = Camera(bare, 84, 84), body(avenue.compose(Transform(12)))
    columns = [
        (labels(camera, avenue.compose(Transform(z=1.5, yaw=yaw)), car) == CAR).nonzero()[1].mean() for yaw in (0, 8)
    ]
    assert columns[1] < columns[0] - 4


def test_a_hardly_rolled_camera_sees_what_an_upright_one_sees(scene: Scene, avenue: Transform) -> None:
    # Upright pictures are painted row by row, tilted ones pixel by pixel; the step between the two must not show.
    camera = Camera(scene, 84, 84)
    upright, tilted = (
        camera.rgb(avenue.compose(Transform(z=1.5, roll=roll)), NOTHING).astype(int) for roll in (0.3, 0.4)
    )
    assert (np.abs(upright - tilted).max(axis=2) > 40).mean() < 0.02


def test_lines_stay_visible_in_a_small_grey_picture_far_ahead(scene: Scene, roads: RoadMap) -> None:
    camera, contrasts = Camera(scene, 84, 84), []
    pose = Transform(92.0, 51.5, 1.5, 0.0, 0.0, 0.0)  # the avenue; its right edge line lies 7 m from the middle
    image = grey(camera.rgb(pose, NOTHING))
    points = np.concatenate([m.points for lane in roads.lanes for m in lane.marks if m.kind == "Solid"])
    for distance in (8.0, 15.0, 22.0, 28.0):
        near = points[(np.abs(points[:, 0] - pose.x - distance) < 1.2) & (np.abs(points[:, 1] - 55) < 1)]
        right = near[0]
        u, v, _ = pixel(camera, pose, right)
        line = image[int(v), max(int(u) - 1, 0) : int(u) + 2].max()
        contrasts.append(line - image[int(v), int(u) - 6 : int(u) - 2].mean())
    assert min(contrasts) > 15


@given(
    st.builds(
        Transform,
        st.floats(-400, 400), st.floats(-400, 400), st.floats(-5, 300),
        st.floats(-180, 180), st.floats(-720, 720), st.floats(-180, 180),
    )
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_pose_gives_a_picture(scene: Scene, pose: Transform) -> None:
    camera = Camera(scene, 40, 30)
    crowd = np.concatenate(
        [
            body(pose.compose(Transform(x, y, z)), tag=tag)
            for x, y, z, tag in [(0, 0, 0, 14), (2.6, 0.3, 0, 15), (0.1, -1.2, 1, 12), (-3, 0, 0, 18)]
        ]
    )
    for image in (
        camera.rgb(pose, crowd),
        camera.rgb(pose, crowd, Weather(precipitation=50, fog_density=30)),
        camera.semantic(pose, crowd),
    ):
        assert image.shape == (30, 40, 4)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert (image[..., 3] == 255).all()


@pytest.mark.parametrize(("width", "height", "fov"), [(1, 1, 90), (3, 200, 20), (200, 3, 150), (640, 480, 60)])
def test_any_size_and_field_of_view_gives_a_picture(
    scene: Scene, avenue: Transform, width: int, height: int, fov: float
) -> None:
    camera = Camera(scene, width, height, fov)
    assert camera.rgb(avenue.compose(Transform(z=1.5)), NOTHING).shape == (height, width, 4)


def test_a_narrow_field_of_view_enlarges(bare: Scene, avenue: Transform) -> None:
    pose, car = avenue.compose(Transform(z=1.5)), body(avenue.compose(Transform(25)))
    wide, narrow = ((labels(Camera(bare, 84, 84, fov), pose, car) == CAR).sum() for fov in (90, 30))
    assert narrow > 8 * wide > 0


WEATHERS = {
    "night": Weather(sun_altitude_angle=-60),
    "sunset": Weather(sun_altitude_angle=4),
    "clouds": Weather(cloudiness=95),
    "fog": Weather(fog_density=80),
    "rain": Weather(precipitation=90),
    "wet road": Weather(wetness=90),
    "puddles": Weather(precipitation_deposits=90),
    "dust": Weather(dust_storm=80),
    "sun behind": Weather(sun_azimuth_angle=180),
}


@pytest.mark.parametrize("name", WEATHERS)
def test_weather_changes_the_picture_always_in_the_same_way(scene: Scene, avenue: Transform, name: str) -> None:
    camera, pose = Camera(scene, 84, 84), avenue.compose(Transform(z=1.5))
    usual, changed = camera.rgb(pose, NOTHING), camera.rgb(pose, NOTHING, WEATHERS[name])
    assert np.abs(usual.astype(int) - changed).mean() > 2
    assert camera.rgb(pose, NOTHING).tobytes() == usual.tobytes()
    assert Camera(scene, 84, 84).rgb(pose, NOTHING, WEATHERS[name]).tobytes() == changed.tobytes()


def test_the_usual_weather_is_clear_noon_and_so_is_carlas_default_preset(scene: Scene, avenue: Transform) -> None:
    camera, pose = Camera(scene, 84, 84), avenue.compose(Transform(z=1.5))
    usual = camera.rgb(pose, NOTHING).tobytes()
    assert camera.rgb(pose, NOTHING, Weather()).tobytes() == usual
    assert camera.rgb(pose, NOTHING, Weather(*[-1.0] * 9)).tobytes() == usual


def test_nights_are_dark_and_fog_hides_what_is_far(scene: Scene, avenue: Transform) -> None:
    camera, pose = Camera(scene, 84, 84), avenue.compose(Transform(z=1.5))
    assert grey(camera.rgb(pose, NOTHING, WEATHERS["night"])).mean() < 0.5 * grey(camera.rgb(pose, NOTHING)).mean()
    cars = [body(avenue.compose(Transform(distance))) for distance in (8, 60)]
    shown = []
    for weather in (Weather(), WEATHERS["fog"]):
        empty = camera.rgb(pose, NOTHING, weather).astype(int)
        shown.append([np.abs(camera.rgb(pose, car, weather) - empty).max() for car in cars])
    assert shown[1][0] > 0.5 * shown[0][0]
    assert shown[1][1] < 0.3 * shown[0][1]


@given(st.lists(st.floats(), min_size=14, max_size=14))
@settings(max_examples=40, deadline=None)
def test_no_weather_is_too_strange(scene: Scene, values: list[float]) -> None:
    image = Camera(scene, 16, 12).rgb(Transform(100, 50, 1.5), NOTHING, Weather(*values))
    assert (image[..., 3] == 255).all()


@pytest.mark.parametrize("rise", [0.0, 0.06, -0.06])
def test_on_a_slope_lines_appear_where_a_pinhole_sees_them(rise: float) -> None:
    text = opendrive(straight(120, elevation=f'<elevation s="0" a="3" b="{rise}" c="0" d="0"/>'))
    roads = RoadMap("Hill", text, tried=True)
    camera = Camera(Scene(roads, NOTHING), 200, 200)
    start = Transform(-10.0, 1.75, roads.height(-10, 1.75), math.degrees(math.atan(rise)), 0.0, 0.0)
    pose = start.compose(Transform(z=1.5))
    seen = labels(camera, pose)
    marks = np.concatenate([mark.points for lane in roads.lanes for mark in lane.marks])
    found = [pixel(camera, pose, point) for point in marks if math.dist(point[:2], pose[:2]) < 25]
    found = [(int(u), int(v)) for u, v, depth in found if depth > 1 and 2 < u < 198 and 2 < v < 198]
    assert len(found) > 10
    assert all((seen[v - 1 : v + 2, u - 1 : u + 2] == LINE).any() for u, v in found)


@pytest.mark.parametrize("arguments", [(0, 84, 90), (84, -1, 90), (84, 84, 0), (84, 84, 180), (84, 84, math.nan)])
def test_impossible_cameras_are_refused(bare: Scene, arguments: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match="not possible"):
        Camera(bare, *arguments)


def test_a_pose_that_is_no_number_is_refused(bare: Scene) -> None:
    with pytest.raises(ValueError, match="not finite"):
        Camera(bare, 8, 8).rgb(Transform(math.nan), NOTHING)


def test_bodies_of_another_type_are_refused(bare: Scene) -> None:
    with pytest.raises(TypeError, match="BODY"):
        Camera(bare, 8, 8).rgb(Transform(z=1.5), np.zeros((1, 3)))
