"""The life of a sensor as programs lead it: listen, stop, listen again, share, destroy."""

from __future__ import annotations

import queue
import time

import carla
import pytest

TIMEOUT = 20.0
ROOF = carla.Transform(carla.Location(z=2.4))
# Every sensor that measures in each step, as small as it goes.
STEADY = {
    "sensor.camera.rgb": {"image_size_x": 8, "image_size_y": 6},
    "sensor.camera.semantic_segmentation": {"image_size_x": 8, "image_size_y": 6},
    "sensor.lidar.ray_cast": {"points_per_second": 6400},
    "sensor.lidar.ray_cast_semantic": {"points_per_second": 6400},
    "sensor.other.radar": {"points_per_second": 200},
    "sensor.other.gnss": {},
    "sensor.other.imu": {},
}


def add(world, type_id, mount=ROOF, parent=None, **attributes):
    blueprint = world.get_blueprint_library().find(type_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    return world.spawn_actor(blueprint, mount, attach_to=parent)


@pytest.fixture
def car(game):
    return add(game, "vehicle.tesla.model3", game.get_map().get_spawn_points()[0])


def frames(data):
    """The frames of all that has come."""
    came = []
    while True:
        try:
            came.append(data.get(timeout=0.3).frame)
        except queue.Empty:
            return came


@pytest.mark.parametrize("type_id", STEADY)
def test_every_sensor_measures_once_per_sensor_tick(game, car, type_id):
    data = queue.Queue()
    sensor = add(game, type_id, parent=car, sensor_tick=0.15, **STEADY[type_id])
    sensor.listen(data.put)
    ticked = [game.tick() for _ in range(10)]
    assert frames(data) == ticked[::3]


def test_a_sensor_can_be_stopped_and_listened_to_again(game, car):
    data = queue.Queue()
    sensor = add(game, "sensor.other.imu", parent=car)
    assert not sensor.is_listening()
    sensor.listen(data.put)
    assert sensor.is_listening()
    first = game.tick()
    assert data.get(timeout=TIMEOUT).frame == first
    sensor.stop()
    assert not sensor.is_listening()
    for _ in range(3):
        game.tick()
    assert frames(data) == []
    sensor.listen(data.put)
    again = game.tick()
    assert data.get(timeout=TIMEOUT).frame == again


def test_several_clients_hear_one_sensor(game, server, car):
    sensor = add(game, "sensor.other.gnss", parent=car)
    game.tick()
    other = carla.Client(server.host, server.port)
    other.set_timeout(TIMEOUT)
    same = other.get_world().get_actor(sensor.id)
    heard = [queue.Queue(), queue.Queue()]
    for one, data in zip((sensor, same), heard, strict=True):
        one.listen(data.put)
    ticked = [game.tick() for _ in range(3)]
    assert [frames(data) for data in heard] == [ticked, ticked]
    same.stop()
    last = game.tick()
    assert [frames(data) for data in heard] == [[last], []]


def test_a_sensor_may_be_destroyed_while_it_is_listened_to(game, car):
    data = queue.Queue()
    sensor, left = add(game, "sensor.other.imu", parent=car), add(game, "sensor.other.gnss", parent=car)
    sensor.listen(data.put)
    game.tick()
    data.get(timeout=TIMEOUT)
    assert sensor.destroy()
    left.listen(data.put)
    game.tick()
    assert isinstance(data.get(timeout=TIMEOUT), carla.GnssMeasurement)
    assert sensor.id not in [actor.id for actor in game.get_actors()]


def test_a_sensor_goes_on_when_its_parent_is_destroyed(game, car):
    data = queue.Queue()
    sensor = add(game, "sensor.lidar.ray_cast", parent=car)
    sensor.listen(data.put)
    game.tick()
    place = data.get(timeout=TIMEOUT).transform
    car.destroy()
    game.tick()
    assert data.get(timeout=TIMEOUT).transform == place
    assert sensor.is_alive


def test_a_sensor_without_a_parent_measures_where_it_is_put(game):
    data = queue.Queue()
    here = carla.Transform(carla.Location(10.0, 20.0, 30.0), carla.Rotation(yaw=180.0))
    sensor = add(game, "sensor.other.imu", here)
    sensor.listen(data.put)
    game.tick()
    measured = data.get(timeout=TIMEOUT)
    assert measured.transform == here
    assert measured.accelerometer.z == pytest.approx(9.81, abs=1e-4)


def test_every_sensor_of_the_library_can_stand_alone_and_be_listened_to(game):
    sensors = [game.spawn_actor(one, ROOF) for one in game.get_blueprint_library().filter("sensor.*")]
    for sensor in sensors:
        sensor.listen(lambda data: None)
    for _ in range(2):
        game.tick()
    assert {sensor.id for sensor in sensors} <= {actor.id for actor in game.get_actors()}
    for sensor in sensors:
        sensor.destroy()


def test_every_prop_of_the_library_can_be_spawned_in_one_batch(game, client):
    place = game.get_map().get_spawn_points()[0]
    batch = []
    for prop in game.get_blueprint_library().filter("static.prop.*"):
        place.location.z += 20.0
        batch.append(carla.command.SpawnActor(prop, place))
    answers = client.apply_batch_sync(batch)
    assert [answer.error for answer in answers] == [""] * len(batch)
    client.apply_batch_sync([carla.command.DestroyActor(answer.actor_id) for answer in answers])
    game.tick()


def test_sensors_measure_in_synchronous_mode_without_a_fixed_step(game, car):
    settings = game.get_settings()
    settings.fixed_delta_seconds = None
    game.apply_settings(settings)
    data = queue.Queue()
    lidar = add(game, "sensor.lidar.ray_cast", parent=car, points_per_second=100_000, range=50)
    lidar.listen(data.put)
    ticked = []
    for _ in range(3):
        time.sleep(0.02)
        ticked.append(game.tick())
    clouds = [data.get(timeout=TIMEOUT) for _ in ticked]
    assert [cloud.frame for cloud in clouds] == ticked
    assert all(len(cloud) > 0 for cloud in clouds)


def test_what_is_not_simulated_is_refused_with_a_sentence(game):
    """The client does not wait for the answers to the first two."""
    sensor = add(game, "sensor.other.gnss")
    sensor.enable_for_ros()
    sensor.disable_for_ros()
    with pytest.raises(RuntimeError, match=r"the embedded simulator has no .*ROS"):
        sensor.is_enabled_for_ros()


@pytest.mark.parametrize(
    ("type_id", "attribute", "value"),
    [
        ("sensor.lidar.ray_cast", "channels", "0"),
        ("sensor.lidar.ray_cast", "range", "-5"),
        ("sensor.lidar.ray_cast_semantic", "horizontal_fov", "720"),
        ("sensor.other.radar", "horizontal_fov", "180"),
        ("sensor.camera.rgb", "image_size_x", "100000"),
        ("sensor.camera.rgb", "fov", "0"),
    ],
)
def test_a_value_that_a_sensor_cannot_work_with_is_refused_by_name(game, type_id, attribute, value):
    with pytest.raises(RuntimeError, match=f"{attribute} is .*, it must be"):
        add(game, type_id, **{attribute: value})
