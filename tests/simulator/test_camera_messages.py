"""What the real carla client reads from the cameras that are not rgb: depth, labels, instances and motion."""

from __future__ import annotations

import carla
import numpy as np
import pytest
from test_sensor_messages import CAR, ROAD, Listener, ahead, car, put, street  # noqa: F401  (fixtures)

from sb3_carla.simulator.geometry import rotation_matrix
from sb3_carla.simulator.wire.values import ActorDescription
from sb3_carla.simulator.world import World

MOUNT = carla.Transform(carla.Location(x=2.6, z=1.4))
SIZE = {"image_size_x": 96, "image_size_y": 64, "fov": 90}
SKY, BUS, SIDEWALK, BUILDING, LINES = 11, 16, 2, 3, 24


@pytest.fixture
def bus(game, street):  # noqa: F811
    """A bus with its end 10 m ahead of the camera, across the whole picture's middle."""
    bus = put(game, "vehicle.mitsubishi.fusorosa", ahead(street, 50.0), frozen=True)
    bus.set_transform(ahead(street, 12.6 + bus.bounding_box.extent.x))
    return bus


def pixels(image):
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


def metres(image):
    blue, green, red, _ = np.moveaxis(pixels(image).astype(np.float64), 2, 0)
    return 1000.0 * (red + 256.0 * green + 65536.0 * blue) / (256.0**3 - 1.0)


def test_the_pictures_of_one_pose_agree_and_carry_their_size(game, car, bus):  # noqa: F811
    kinds = ("semantic_segmentation", "instance_segmentation", "depth")
    listeners = [Listener(game, f"sensor.camera.{kind}", MOUNT, car, **SIZE) for kind in kinds]
    images = [listener.tick() if i == 0 else None for i, listener in enumerate(listeners)]
    images = [image or listener.data.get(timeout=20.0) for image, listener in zip(images, listeners, strict=True)]
    assert len({image.frame for image in images}) == 1
    assert {(image.width, image.height, image.fov) for image in images} == {(96, 64, 90.0)}
    labels, instances, depth = pixels(images[0])[..., 2], pixels(images[1]), metres(images[2])
    assert (instances[..., 2] == labels).all()
    assert {SKY, ROAD, BUS} <= set(labels.ravel().tolist())
    seen = labels == BUS
    assert seen[20:34, 40:56].all()
    numbers = instances[..., 1] + 256 * instances[..., 0].astype(int)
    assert set(numbers[seen].tolist()) == {bus.id}
    assert np.median(depth[seen]) == pytest.approx(10.0, abs=0.3)
    assert (depth[labels == SKY] > 900.0).all()
    assert depth[-1, 48] == pytest.approx(1.4 * 48 / 31.5, abs=0.05)  # the road at the picture's lower edge


def test_the_clients_converters_take_the_pictures(game, car, bus):  # noqa: F811
    depth = Listener(game, "sensor.camera.depth", MOUNT, car, **SIZE).tick()
    depth.convert(carla.ColorConverter.LogarithmicDepth)
    assert len(np.unique(pixels(depth)[..., 0])) > 10
    labels = Listener(game, "sensor.camera.semantic_segmentation", MOUNT, car, **SIZE).tick()
    labels.convert(carla.ColorConverter.CityScapesPalette)
    assert (128, 64, 128) in {tuple(colour[2::-1]) for colour in pixels(labels)[..., :3].reshape(-1, 3).tolist()}


def test_a_picture_of_motion_tells_how_far_things_moved_in_it(game, car, bus, street):  # noqa: F811
    """The bus moves half a metre to the right, ten metres ahead; the picture is twenty metres wide there."""
    listener = Listener(game, "sensor.camera.optical_flow", MOUNT, car, **SIZE)
    still = np.frombuffer(listener.tick().raw_data, np.float32)
    assert np.abs(still).max() < 1e-6
    pose = bus.get_transform()
    pose.location += 0.5 * street.get_right_vector()
    bus.set_transform(pose)
    image = listener.tick()
    flow = np.frombuffer(image.raw_data, np.float32).reshape(image.height, image.width, 2)
    assert (image.width, image.height, image.fov) == (96, 64, 90.0)
    assert (image[0].x, image[0].y) == tuple(flow[0, 0].tolist())
    moved = flow[25:35, 44:52, 0]
    assert moved == pytest.approx(0.05, abs=0.005)  # halves of the width
    assert np.abs(flow[-1]).max() < 1e-6
    assert image.get_color_coded_flow().width == 96


def test_without_rendering_the_pictures_are_empty(game, car):  # noqa: F811
    settings = game.get_settings()
    settings.no_rendering_mode = True
    game.apply_settings(settings)
    try:
        for kind in ("rgb", "depth", "optical_flow"):
            image = Listener(game, f"sensor.camera.{kind}", MOUNT, car, **SIZE).tick()
            if kind == "optical_flow":
                assert not any(bytes(image.raw_data))
            else:
                assert not pixels(image)[..., :3].any()
    finally:
        settings.no_rendering_mode = False
        game.apply_settings(settings)


@pytest.mark.parametrize("town", ["Town_Blocks", "Town_Hills"])
def test_a_lidar_and_the_cameras_see_the_same_world(atlas, town):
    """Points of a lidar, projected into pictures of the same pose, have the pictures' labels and depths."""
    world = World(atlas, stream_port=1)
    world.load(town, reset_settings=True)
    points = world.town.roads.spawn_points
    for place in points[:40]:
        world.spawn(ActorDescription("vehicle.tesla.model3", {}), place)
    labels_agree, off = [], []
    for place in points[40::20]:
        pose = place._replace(z=place.z + 1.5)
        camera = world.town.camera(256, 192, 90.0)
        world.step(0.05)
        bodies = world.bodies()
        labels = camera.semantic(pose, bodies)[..., 2]
        blue, green, red, _ = np.moveaxis(camera.depth(pose, bodies).astype(np.float64), 2, 0)
        depth = 1000.0 * (red + 256.0 * green + 65536.0 * blue) / (256.0**3 - 1.0)
        u, v = (part.ravel() for part in np.meshgrid(np.arange(2, 256, 5), np.arange(2, 192, 5)))
        rays = np.stack([np.full(len(u), 128.0), u - 127.5, 95.5 - v], axis=1)
        length = np.linalg.norm(rays, axis=1, keepdims=True)
        ahead = rays / length @ rotation_matrix(pose.pitch, pose.yaw, pose.roll).T
        hits = world.town.rays.cast(pose[:3], ahead, 100.0, bodies)
        _, met = world.town.rays.ids_and_labels(hits, pose[:3] + hits.distance[:, None] * ahead, bodies)
        near = (hits.distance < 60.0) & np.isin(met, (ROAD, SIDEWALK, BUILDING))
        off.append(np.abs(hits.distance[near] * 128.0 / length[near, 0] / depth[v[near], u[near]] - 1.0))
        drawn = labels[v[near], u[near]]
        labels_agree.append((drawn == met[near]) | (drawn == LINES))
    assert np.median(np.concatenate(off)) < 0.01
    assert np.quantile(np.concatenate(off), 0.9) < 0.1
    assert np.mean(np.concatenate(labels_agree)) > 0.95


def test_the_cosmos_camera_shows_labels_in_the_colours_of_the_clients_palette(game, car, bus):  # noqa: F811
    listeners = [
        Listener(game, f"sensor.camera.{kind}", MOUNT, car, **SIZE)
        for kind in ("semantic_segmentation", "cosmos_visualization")
    ]
    labels, cosmos = listeners[0].tick(), listeners[1].data.get(timeout=20.0)
    labels.convert(carla.ColorConverter.CityScapesPalette)
    assert (pixels(labels) == pixels(cosmos)).all()
    assert len(np.unique(pixels(cosmos).reshape(-1, 4), axis=0)) > 4


def test_the_normals_camera_shows_which_way_surfaces_face(game, car, bus):  # noqa: F811
    kinds = ("normals", "semantic_segmentation")
    listeners = [Listener(game, f"sensor.camera.{kind}", MOUNT, car, **SIZE) for kind in kinds]
    normals, labels = pixels(listeners[0].tick())[..., 2::-1], pixels(listeners[1].data.get(timeout=20.0))[..., 2]
    facing = normals.astype(float) / 127.5 - 1.0
    road = np.abs(facing[labels == ROAD] - (0.0, 0.0, 1.0)).max(axis=1)
    assert np.quantile(road, 0.98) < 0.02  # a pixel between the road and the bus may be of neither
    back = -np.array(rotation_matrix(0.0, bus.get_transform().rotation.yaw, 0.0))[:, 0]
    rear = facing[25:32, 44:52]  # the bus's end, which looks back at the camera
    assert np.abs(rear - back).max() < 0.05
    assert np.abs(facing[labels == SKY]).max() < 0.02
    lengths = np.linalg.norm(facing[labels != SKY], axis=-1)
    assert np.median(lengths) == pytest.approx(1.0, abs=0.02)
