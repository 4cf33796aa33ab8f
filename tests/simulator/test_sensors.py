"""Server-side sensors, measured without a server."""

from __future__ import annotations

import math

import carla
import msgpack
import numpy as np
import pytest

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.service import Service
from sb3_carla.simulator.wire.layouts import DVS_EVENT_DTYPE, IMAGE_HEAD, SENSOR_HEADER_DTYPE, WORLD_STREAM, SensorType
from sb3_carla.simulator.wire.values import ActorDescription, VehicleControl

CAR = ActorDescription("vehicle.tesla.model3", {})
HERE = Transform()
HEAD = 4 + SENSOR_HEADER_DTYPE.itemsize


@pytest.fixture
def car(world):
    car = world.spawn(CAR, world.town.roads.spawn_points[0])
    for _ in range(30):
        world.step(0.05)
    return car


def add(world, car, type_id, pose=HERE, **attributes):
    sensor = world.spawn(ActorDescription(type_id, {name: str(one) for name, one in attributes.items()}), pose, car.id)
    world.step(0.05)
    return sensor


def payload(world, sensor):
    message = b"".join(memoryview(part).cast("B") for part in sensor.measure(world))
    assert int.from_bytes(message[:4], "little") == len(message) - 4
    return message[HEAD:]


def test_the_header_carries_kind_frame_time_and_pose(world, car):
    sensor = add(world, car, "sensor.other.gnss", Transform(x=1.0, z=2.0))
    message = b"".join(sensor.measure(world))
    (header,) = np.frombuffer(message[4:HEAD], SENSOR_HEADER_DTYPE)
    assert (header["type"], header["frame"]) == (SensorType.GNSS, world.frame)
    assert header["timestamp"] == pytest.approx(world.elapsed)
    assert header["location"] == pytest.approx(sensor.pose[:3], abs=1e-3)


def test_an_image_has_its_size_in_the_head_and_opaque_pixels_behind(world, car):
    camera = add(world, car, "sensor.camera.rgb", Transform(1.5, 0, 2.4), image_size_x=64, image_size_y=40, fov=100)
    data = payload(world, camera)
    assert IMAGE_HEAD.unpack_from(data) == (64, 40, 100.0)
    pixels = np.frombuffer(data, np.uint8, offset=IMAGE_HEAD.size).reshape(40, 64, 4)
    assert set(pixels[..., 3].ravel().tolist()) == {255}
    assert len(np.unique(pixels[..., 0])) > 5


def test_a_semantic_image_shows_road_below_and_sky_above(world, car):
    camera = add(
        world, car, "sensor.camera.semantic_segmentation", Transform(1.5, 0, 2.4), image_size_x=64, image_size_y=64
    )
    tags = np.frombuffer(payload(world, camera), np.uint8, offset=IMAGE_HEAD.size).reshape(64, 64, 4)[..., 2]
    assert 1 in tags[-8:]
    assert tags.max() <= 28


def test_a_car_in_front_is_seen(world, car):
    camera = add(
        world, car, "sensor.camera.semantic_segmentation", Transform(2.6, 0, 1.4), image_size_x=64, image_size_y=64
    )
    before = payload(world, camera)
    world.spawn(CAR, car.pose.compose(Transform(x=12.0)))
    world.step(0.05)
    tags = np.frombuffer(payload(world, camera), np.uint8, offset=IMAGE_HEAD.size).reshape(64, 64, 4)[..., 2]
    assert (tags == 14).sum() > 40
    assert payload(world, camera) != before


def test_an_imu_at_rest_feels_gravity_only(world, car):
    acceleration, turning, compass = msgpack.unpackb(payload(world, add(world, car, "sensor.other.imu")))
    assert acceleration == pytest.approx([0.0, 0.0, 9.81], abs=1e-6)
    assert turning == [0.0, 0.0, 0.0]
    assert compass == pytest.approx((math.radians(car.pose.yaw) + math.pi / 2) % (2 * math.pi))


def test_an_imu_feels_the_throttle_ahead_and_the_turn_to_the_side(world, car):
    sensor = add(world, car, "sensor.other.imu")
    car.motion.command(VehicleControl(throttle=0.5))
    for _ in range(20):
        world.step(0.05)
    (ahead, _, _), _, _ = msgpack.unpackb(payload(world, sensor))
    assert ahead > 0.5
    car.motion.command(VehicleControl(throttle=0.1, steer=0.3))
    for _ in range(10):
        world.step(0.05)
    (_, side, _), (_, _, turning), _ = msgpack.unpackb(payload(world, sensor))
    assert side > 0.5
    assert turning > 0.05


def test_an_imu_away_from_the_carriers_origin_feels_its_turning(world, car):
    car.motion.command(VehicleControl(throttle=0.5, steer=0.4))
    for _ in range(40):
        world.step(0.05)
    middle, front = (add(world, car, "sensor.other.imu", Transform(x=x)) for x in (0.0, 2.0))
    (here, _, _), (_, _, turning), _ = msgpack.unpackb(payload(world, middle))
    (there, _, _), _, _ = msgpack.unpackb(payload(world, front))
    assert turning > 0.2
    assert there - here == pytest.approx(-2.0 * turning**2, rel=1e-3)


def test_gnss_agrees_with_the_clients_map(world, car):
    latitude, longitude, altitude = msgpack.unpackb(payload(world, add(world, car, "sensor.other.gnss")))
    place = carla.Map("x", world.town.roads.opendrive).transform_to_geolocation(carla.Location(*car.pose[:3]))
    assert (latitude, longitude, altitude) == pytest.approx((place.latitude, place.longitude, place.altitude), abs=1e-9)


def test_noise_follows_the_seed(world, car):
    def measure(seed):
        return payload(
            world, add(world, car, "sensor.other.gnss", noise_lat_stddev=0.1, noise_lat_bias=1.0, noise_seed=seed)
        )

    assert measure(3) == measure(3) != measure(4)


def test_an_obstacle_is_told_with_its_distance_to_the_nearest_face(world, car):
    sensor = add(
        world, car, "sensor.other.obstacle", Transform(x=2.4, z=0.7), distance=20, hit_radius=0.1, only_dynamics="true"
    )
    assert sensor.measure(world) is None
    other = world.spawn(CAR, car.pose.compose(Transform(x=12.0)))
    world.step(0.05)
    me, seen, distance = msgpack.unpackb(payload(world, sensor))
    assert (me[0], seen[0]) == (car.id, other.id)
    assert distance == pytest.approx(12.0 - 2.4 - other.box_extent[0], abs=0.2)


def test_fewer_events_come_from_higher_thresholds_and_none_within_the_refractory_period(world, car):
    size = {"image_size_x": 64, "image_size_y": 48}
    cameras = [
        add(world, car, "sensor.camera.dvs", Transform(2.6, 0, 1.4), **size, **attributes)
        for attributes in (
            {},
            {"positive_threshold": 0.9, "negative_threshold": 0.9},
            {"refractory_period_ns": 100_000_000},
            {"use_log": "false", "positive_threshold": 20, "negative_threshold": 20},
        )
    ]
    counts = np.zeros(4, int)
    for _ in range(6):
        car.place(car.pose.compose(Transform(x=1.0)))
        world.step(0.05)
        for row, camera in enumerate(cameras):
            message = camera.measure(world)
            if message is not None:
                events = np.frombuffer(message[1], DVS_EVENT_DTYPE)
                counts[row] += len(events)
                if row == 2:
                    assert len(np.unique(events[["x", "y"]])) == len(events)
    assert counts[0] > counts[1] > 0
    assert counts[0] > counts[2] > 0
    assert counts[3] > 0


@pytest.mark.parametrize(("interval", "expected"), [(0.0, 40), (0.05, 40), (0.1, 20), (0.2, 10), (0.12, 17)])
def test_a_sensor_measures_once_per_sensor_tick(world, car, interval, expected):
    sensor = add(world, car, "sensor.other.imu", sensor_tick=interval)
    taken = 0
    for _ in range(40):
        world.step(0.05)
        taken += sensor.due(world.elapsed)
    assert abs(taken - expected) <= 1


class Heard:
    """A publisher with a listener on every stream."""

    def __init__(self):
        self.streams = []

    def listening(self, stream_id):
        return True

    def publish(self, stream_id, message):
        self.streams.append(stream_id)


def test_a_sensor_that_fails_falls_silent_and_disturbs_no_other(world, car, monkeypatch):
    broken, good = add(world, car, "sensor.other.imu"), add(world, car, "sensor.other.imu")
    monkeypatch.setattr(broken, "measure", lambda world: 1 / 0)
    heard = Heard()
    service = Service(world, heard)
    world.settings = world.settings._replace(synchronous=True, fixed_delta=0.05)
    for _ in range(3):
        service.step()
    assert [stream for stream in heard.streams if stream != WORLD_STREAM] == [good.stream_id] * 3
