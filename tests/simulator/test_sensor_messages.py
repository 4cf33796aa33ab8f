"""What the real carla client reads from every server-side sensor, field by field."""

from __future__ import annotations

import math
import queue

import carla
import numpy as np
import pytest

STEP = 0.05
TIMEOUT = 20.0
ROOF = carla.Transform(carla.Location(z=2.4))
CAR, ROAD, SIDEWALK, TERRAIN = 14, 1, 2, 10


class Listener:
    """A sensor and what it has sent."""

    def __init__(self, world, type_id, mount=ROOF, parent=None, attachment=carla.AttachmentType.Rigid, **attributes):
        blueprint = world.get_blueprint_library().find(type_id)
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        self.world = world
        self.sensor = world.spawn_actor(blueprint, mount, attach_to=parent, attachment_type=attachment)
        self.data = queue.Queue()
        self.sensor.listen(self.data.put)

    def tick(self):
        """Step the world and return what the sensor measured in that step."""
        frame = self.world.tick()
        while True:
            data = self.data.get(timeout=TIMEOUT)
            if data.frame == frame:
                return data


def put(world, type_id, pose, *, frozen=False, **attributes):
    blueprint = world.get_blueprint_library().find(type_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    actor = world.spawn_actor(blueprint, pose)
    if frozen:
        actor.set_simulate_physics(False)
    return actor


def ahead(pose, metres, height=0.0):
    """The pose so many metres further on."""
    to = pose.location + metres * pose.get_forward_vector()
    return carla.Transform(carla.Location(to.x, to.y, to.z + height), pose.rotation)


@pytest.fixture
def street(game):
    """A pose at the start of a straight lane, on the ground."""
    pose = game.get_map().get_spawn_points()[0]
    pose.location.z = game.get_map().get_waypoint(pose.location).transform.location.z
    return pose


@pytest.fixture
def car(game, street):
    car = put(game, "vehicle.tesla.model3", street, frozen=True)
    game.tick()
    return car


def floats(measurement, columns):
    return np.frombuffer(measurement.raw_data, np.float32).reshape(-1, columns)


def test_every_measurement_has_the_ticks_frame_and_time_and_the_sensors_pose(game, car):
    listener = Listener(game, "sensor.lidar.ray_cast", parent=car)
    data = listener.tick()
    snapshot = game.get_snapshot()
    assert (data.frame, data.timestamp) == (snapshot.frame, snapshot.timestamp.elapsed_seconds)
    assert data.transform == listener.sensor.get_transform()
    assert data.transform.location.z == pytest.approx(car.get_location().z + 2.4, abs=1e-3)


def test_a_lidar_tells_its_channels_and_their_points_in_the_sensors_axes(game, car, street):
    wall = put(game, "vehicle.carlamotors.firetruck", ahead(street, 15.0), frozen=True)
    listener = Listener(
        game, "sensor.lidar.ray_cast", parent=car, channels=16, range=60, points_per_second=64_000,
        rotation_frequency=20, dropoff_general_rate=0, upper_fov=5, lower_fov=-25,
    )  # fmt: skip
    data = listener.tick()
    points = floats(data, 4)
    counts = [data.get_point_count(channel) for channel in range(16)]
    assert (data.channels, sum(counts), len(data)) == (16, len(points), len(points))
    assert data.horizontal_angle == pytest.approx(0.0, abs=1e-3)  # one whole turn
    assert data[0].point.x == points[0, 0]
    assert data[0].intensity == points[0, 3]
    for channel, scan in enumerate(np.split(points, np.cumsum(counts)[:-1])):
        pitch = np.degrees(np.arcsin(scan[:, 2] / np.linalg.norm(scan[:, :3], axis=1)))
        assert pitch == pytest.approx(5 - 2 * channel, abs=0.01)
    distance = np.linalg.norm(points[:, :3], axis=1)
    assert points[:, 3] == pytest.approx(np.exp(-0.004 * distance), abs=1e-5)
    back = 15.0 - wall.bounding_box.extent.x
    straight = (np.abs(points[:, 1]) < 0.5) & (points[:, 0] > 3.0) & (points[:, 2] > -2.0)
    assert np.median(points[straight, 0]) == pytest.approx(back, abs=0.05)
    assert points[:, 2].min() == pytest.approx(-2.4, abs=0.05)


def test_a_lidar_turns_on_from_scan_to_scan(game, car):
    listener = Listener(
        game, "sensor.lidar.ray_cast_semantic", parent=car, rotation_frequency=5, range=80, points_per_second=40_000
    )
    angles = []
    for expected in (0.25, 0.5, 0.75, 0.0):
        data = listener.tick()
        assert math.degrees(data.horizontal_angle) % 360 == pytest.approx(360 * expected, abs=0.01)
        points = np.frombuffer(data.raw_data, np.dtype([("p", "<f4", 3), ("rest", "V12")]))["p"]
        angles.append(np.degrees(np.arctan2(points[:, 1], points[:, 0])))
    assert angles[0].max() < -89.0
    assert angles[1].min() > -91.0
    assert angles[3].min() > 89.0


def test_a_semantic_lidar_knows_what_its_points_lie_on(game, car, street):
    other = put(game, "vehicle.audi.tt", ahead(street, 12.0), frozen=True)
    listener = Listener(
        game, "sensor.lidar.ray_cast_semantic", parent=car, range=50, points_per_second=200_000, rotation_frequency=20
    )
    data = listener.tick()
    kind = np.dtype([("p", "<f4", 3), ("cosine", "<f4"), ("id", "<u4"), ("tag", "<u4")])
    points = np.frombuffer(data.raw_data, kind)
    assert len(points) == len(data) == sum(data.get_point_count(channel) for channel in range(data.channels))
    one = data[len(data) - 1]
    assert (one.object_idx, one.object_tag) == (points[-1]["id"], points[-1]["tag"])
    assert one.cos_inc_angle == points[-1]["cosine"]
    assert set(points["id"].tolist()) <= {0, car.id, other.id}
    assert set(points["tag"][points["id"] == other.id].tolist()) == {CAR}
    assert ((points["id"] == other.id).sum()) > 10
    ground = (points["p"][:, 2] < -2.35) & np.isin(points["tag"], (ROAD, SIDEWALK, TERRAIN))
    lane = ground & (np.abs(points["p"][:, 1]) < 1.0) & (np.abs(points["p"][:, 0] - 5.0) < 4.0)
    assert set(points["tag"][lane].tolist()) == {ROAD}
    down = -points["p"][ground, 2] / np.linalg.norm(points["p"][ground], axis=1)
    assert points["cosine"][ground] == pytest.approx(down, abs=1e-3)


@pytest.mark.parametrize(("rate", "zero", "share"), [(0.0, 0.0, 1.0), (0.5, 0.0, 0.5), (0.0, 1.0, 0.5)])
def test_a_lidar_loses_points_by_its_drop_off(game, street, rate, zero, share):
    """Straight down from 100 m every point has the same intensity."""
    above = carla.Transform(carla.Location(street.location.x, street.location.y, 100.0))
    listener = Listener(
        game, "sensor.lidar.ray_cast", above, range=200, upper_fov=-89.9, lower_fov=-90, points_per_second=200_000,
        dropoff_general_rate=rate, dropoff_zero_intensity=zero, dropoff_intensity_limit=0.8,
        atmosphere_attenuation_rate=-math.log(0.4) / 100.0,
    )  # fmt: skip
    data = listener.tick()
    assert len(data) == pytest.approx(10_000 * share, rel=0.05)
    assert data[0].intensity == pytest.approx(0.4, abs=1e-3)


def test_the_noise_of_a_lidar_lies_along_its_rays(game, street):
    above = carla.Transform(carla.Location(street.location.x, street.location.y, street.location.z + 50.0))
    listener = Listener(
        game, "sensor.lidar.ray_cast", above, range=100, upper_fov=-89.9, lower_fov=-90, noise_stddev=0.3
    )
    depth = -floats(listener.tick(), 4)[:, 2]
    assert depth.std() == pytest.approx(0.3, rel=0.1)
    assert depth.mean() == pytest.approx(50.0, abs=0.1)


def test_a_lidar_that_sees_nothing_sends_no_points(game):
    high = carla.Transform(carla.Location(0.0, 0.0, 900.0))
    data = Listener(game, "sensor.lidar.ray_cast", high, range=10, channels=4).tick()
    assert (len(data), data.channels, data.get_point_count(3)) == (0, 4, 0)


def test_a_radar_tells_depth_angles_and_the_speed_of_approach(game, street):
    """The radar comes up at 5 m/s on what stands, and what goes away at 12 m/s gets 7 m/s further."""
    truck = put(game, "vehicle.carlamotors.firetruck", ahead(street, 30.0, 0.1))
    radar_car = put(game, "vehicle.tesla.model3", street)
    for _ in range(10):
        game.tick()
    mount = carla.Transform(carla.Location(x=3.0, z=1.2), carla.Rotation(pitch=0.0))
    listener = Listener(
        game, "sensor.other.radar", mount, radar_car, range=60, points_per_second=20_000,
        horizontal_fov=4, vertical_fov=2,
    )  # fmt: skip
    forward = street.get_forward_vector()
    radar_car.enable_constant_velocity(carla.Vector3D(5.0, 0.0, 0.0))
    truck.enable_constant_velocity(carla.Vector3D(12.0, 0.0, 0.0))
    data = listener.tick()
    detections = floats(data, 4)
    assert data.get_detection_count() == len(data) == len(detections) > 500
    first = data[0]
    assert [first.velocity, first.azimuth, first.altitude, first.depth] == pytest.approx(detections[0].tolist())
    gap = (truck.get_location() - radar_car.get_location()).dot(forward) - 3.0 - truck.bounding_box.extent.x
    assert np.median(detections[:, 3]) == pytest.approx(gap, abs=0.3)
    assert np.median(detections[:, 0]) == pytest.approx(7.0, abs=0.3)
    assert np.abs(detections[:, 1]).max() == pytest.approx(math.radians(2.0), rel=0.1)
    assert np.abs(detections[:, 2]).max() == pytest.approx(math.radians(1.0), rel=0.1)
    truck.disable_constant_velocity()
    truck.set_simulate_physics(False)
    assert np.median(floats(listener.tick(), 4)[:, 0]) == pytest.approx(-5.0, abs=0.3)


def test_the_azimuth_of_a_radar_grows_to_the_right_and_its_altitude_up(game, car, street):
    right = street.get_right_vector()
    side = carla.Transform(ahead(street, 20.0).location + 3.5 * right, street.rotation)
    box = put(game, "static.prop.container", side)
    listener = Listener(
        game, "sensor.other.radar", carla.Transform(carla.Location(x=3.0, z=1.0)), car, points_per_second=40_000
    )
    found = floats(listener.tick(), 4)
    close = found[(found[:, 3] < 22.0) & (found[:, 2] > 0.0)]
    assert len(close) > 20
    bearing = math.atan2(3.5, 17.0 - box.bounding_box.extent.x)
    assert np.median(close[:, 1]) == pytest.approx(bearing, abs=0.08)


def test_gnss_agrees_with_the_clients_map(game, car):
    data = Listener(game, "sensor.other.gnss", parent=car).tick()
    place = game.get_map().transform_to_geolocation(data.transform.location)
    assert (data.latitude, data.longitude) == pytest.approx((place.latitude, place.longitude), abs=1e-7)
    assert data.altitude == pytest.approx(place.altitude, abs=1e-3)


def test_an_imu_gives_acceleration_turning_and_compass(game, car):
    data = Listener(game, "sensor.other.imu", carla.Transform(), car).tick()
    assert (data.accelerometer.x, data.accelerometer.y, data.accelerometer.z) == pytest.approx((0, 0, 9.81), abs=1e-4)
    assert (data.gyroscope.x, data.gyroscope.y, data.gyroscope.z) == (0, 0, 0)
    heading = math.radians(car.get_transform().rotation.yaw)
    assert data.compass == pytest.approx((heading + math.pi / 2) % (2 * math.pi), abs=1e-4)


def test_an_obstacle_is_told_with_the_actors_and_the_distance(game, car, street):
    other = put(game, "vehicle.audi.tt", ahead(street, 10.0), frozen=True)
    mount = carla.Transform(carla.Location(x=2.5, z=0.7))
    data = Listener(game, "sensor.other.obstacle", mount, car, distance=20, hit_radius=0.1, only_dynamics=True).tick()
    assert (data.actor.id, data.other_actor.id) == (car.id, other.id)
    assert data.distance == pytest.approx(10.0 - 2.5 - other.bounding_box.extent.x, abs=0.2)


def test_a_collision_is_told_with_the_other_actor_and_the_impulse(game, street):
    wall = put(game, "static.prop.container", ahead(street, 14.0))
    car = put(game, "vehicle.tesla.model3", street)
    listener = Listener(game, "sensor.other.collision", carla.Transform(), car)
    forward = street.get_forward_vector()
    car.set_target_velocity(10.0 * forward)
    for _ in range(40):
        game.tick()
        if not listener.data.empty():
            break
    event = listener.data.get(timeout=TIMEOUT)
    assert (event.actor.id, event.other_actor.id) == (car.id, wall.id)
    assert event.normal_impulse.dot(forward) < -1000.0


EVENT = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("pol", "?")])


def test_an_event_camera_tells_where_and_when_the_light_changed(game, car, street):
    """A white van comes into the picture of a camera that stands still, and goes away again."""
    game.set_weather(carla.WeatherParameters.ClearNoon)
    van = put(game, "vehicle.ford.ambulance", ahead(street, 12.0, 100.0), frozen=True)
    mount = carla.Transform(carla.Location(x=2.6, z=1.4))
    listener = Listener(game, "sensor.camera.dvs", mount, car, image_size_x=80, image_size_y=60)
    for _ in range(3):
        start = game.tick()
    assert listener.data.empty()
    counts = []
    for height in (0.0, 100.0):
        van.set_transform(ahead(street, 12.0, height))
        began = game.get_snapshot().timestamp.elapsed_seconds
        data = listener.tick()
        events = np.frombuffer(data.raw_data, EVENT)
        assert (data.width, data.height) == (80, 60)
        assert len(data) == len(events) > 50
        assert events["x"].max() < 80
        assert events["y"].max() < 60
        assert (np.diff(events["t"]) >= 0).all()
        assert events["t"].min() >= began * 1e9 - 1
        assert events["t"].max() <= (began + STEP) * 1e9 + 1
        assert (data[0].x, data[0].y, data[0].t, data[0].pol) == events[0].tolist()
        counts.append({(x, y): pol for x, y, _, pol in events.tolist()})
    came, went = counts
    assert sum(came[place] != went.get(place) for place in came) > 0.8 * len(came)
    assert data.frame > start
