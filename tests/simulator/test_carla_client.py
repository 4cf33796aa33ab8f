"""What the real carla 0.9.16 client sees: the everyday life of a program that drives."""

from __future__ import annotations

import math
import queue
import subprocess
import sys
import time
from pathlib import Path

import carla
import pytest

MODEL3 = "vehicle.tesla.model3"


def spawn(world, type_id, pose, parent=None, **attributes):
    blueprint = world.get_blueprint_library().find(type_id)
    for name, value in attributes.items():
        blueprint.set_attribute(name, str(value))
    return world.spawn_actor(blueprint, pose, attach_to=parent)


@pytest.fixture
def pose(game):
    return game.get_map().get_spawn_points()[0]


@pytest.fixture
def car(game, pose):
    car = spawn(game, MODEL3, pose, role_name="hero", color="10,20,30")
    game.tick()
    return car


def data_of(frame, data):
    """The data of a frame; earlier ones are passed over."""
    while True:
        one = data.get(timeout=5.0)
        if one.frame >= frame:
            return one


def test_the_map_of_the_client_is_the_servers(game):
    town = game.get_map()
    assert town.name == "Carla/Maps/Town_Blocks"
    points = town.get_spawn_points()
    assert len(points) > 100
    for point in points:
        waypoint = town.get_waypoint(point.location)
        assert point.location.distance(waypoint.transform.location) < 1.0
        assert waypoint.next(5.0)


def test_a_spawned_vehicle_has_its_attributes_and_place(game, car, pose):
    assert car.is_alive
    assert (car.type_id, car.attributes["role_name"], car.attributes["color"]) == (MODEL3, "hero", "10,20,30")
    assert car.get_location().distance(pose.location) < 0.5
    assert game.get_actor(car.id).id == car.id
    assert 2.0 < car.bounding_box.extent.x < 2.8


def test_control_moves_it_and_comes_back_in_the_getter(game, car, pose):
    car.apply_control(carla.VehicleControl(throttle=0.6))
    for _ in range(40):
        game.tick()
    moved = car.get_location() - pose.location
    assert moved.dot(pose.get_forward_vector()) > 2.0
    assert car.get_control().throttle == pytest.approx(0.6)
    assert car.get_velocity().length() > 1.0
    assert car.get_speed_limit() > 0.0


@pytest.mark.parametrize("yaw", [180.0, -180.0, 0.0, 12.345])
def test_a_transform_comes_back_exactly_as_it_was_given(game, car, yaw):
    car.set_simulate_physics(False)
    given = carla.Transform(carla.Location(12.5, -3.25, 4.0), carla.Rotation(pitch=2.0, yaw=yaw, roll=-1.0))
    car.set_transform(given)
    game.tick()
    assert car.get_transform() == given


def test_a_camera_gives_one_picture_per_tick_with_the_ticks_frame(game, car):
    images = queue.Queue()
    camera = spawn(
        game, "sensor.camera.rgb", carla.Transform(carla.Location(x=1.5, z=2.4)), car, image_size_x=84, image_size_y=84
    )
    camera.listen(images.put)
    for _ in range(20):
        frame = game.tick()
        image = images.get(timeout=5.0)
        assert image.frame == frame
        assert (image.width, image.height, len(image.raw_data)) == (84, 84, 84 * 84 * 4)
    assert images.empty()
    camera.stop()
    assert camera.destroy()


def test_the_first_tick_after_listen_has_data(game, car):
    for _ in range(10):
        data = queue.Queue()
        sensor = spawn(game, "sensor.other.gnss", carla.Transform(), car)
        sensor.listen(data.put)
        assert game.tick() == data.get(timeout=5.0).frame
        sensor.stop()
        sensor.destroy()


def test_a_collision_is_reported_with_the_other_actor(game, car, pose):
    events = queue.Queue()
    detector = spawn(game, "sensor.other.collision", carla.Transform(), car)
    detector.listen(events.put)
    ahead = carla.Transform(pose.location + 12.0 * pose.get_forward_vector(), pose.rotation)
    other = spawn(game, "vehicle.audi.tt", ahead)
    car.apply_control(carla.VehicleControl(throttle=0.8))
    for _ in range(100):
        game.tick()
        if not events.empty():
            break
    event = events.get(timeout=5.0)
    assert (event.actor.id, event.other_actor.id) == (car.id, other.id)
    assert event.normal_impulse.length() > 100.0
    detector.stop()
    detector.destroy()


def test_lane_invasion_is_noticed_by_the_client(game, car, pose):
    events = queue.Queue()
    sensor = spawn(game, "sensor.other.lane_invasion", carla.Transform(), car)
    sensor.listen(events.put)
    forward = pose.get_forward_vector()
    car.set_target_velocity(6.0 * forward)
    car.apply_control(carla.VehicleControl(throttle=0.4, steer=-0.25))
    for _ in range(80):
        game.tick()
        if not events.empty():
            break
    assert events.get(timeout=5.0).crossed_lane_markings
    sensor.stop()
    sensor.destroy()


def test_weather_comes_back_and_changes_the_picture(game, car):
    images = queue.Queue()
    camera = spawn(
        game, "sensor.camera.rgb", carla.Transform(carla.Location(x=1.5, z=2.4)), car, image_size_x=48, image_size_y=48
    )
    camera.listen(images.put)
    for _ in range(20):
        day = bytes(data_of(game.tick(), images).raw_data)
    before = game.get_weather()
    game.set_weather(carla.WeatherParameters.HardRainSunset)
    rain = bytes(data_of(game.tick(), images).raw_data)
    assert game.get_weather().precipitation == carla.WeatherParameters.HardRainSunset.precipitation
    assert rain != day
    game.set_weather(before)
    assert bytes(data_of(game.tick(), images).raw_data) == day
    camera.stop()
    camera.destroy()


def test_lights_come_back_as_they_were_set(game, car):
    state = carla.VehicleLightState(carla.VehicleLightState.Brake | carla.VehicleLightState.Fog)
    car.set_light_state(state)
    time.sleep(0.05)
    game.tick()
    assert car.get_light_state() == state


def test_a_batch_spawns_controls_and_destroys(game, client):
    command = carla.command
    blueprint = game.get_blueprint_library().find(MODEL3)
    points = game.get_map().get_spawn_points()[:6:2]
    drive = command.ApplyVehicleControl(command.FutureActor, carla.VehicleControl(throttle=0.7))
    spawns = [command.SpawnActor(blueprint, point).then(drive) for point in points]
    done = client.apply_batch_sync([*spawns, command.SpawnActor(blueprint, points[0])], True)
    assert [bool(one.error) for one in done] == [False, False, False, True]
    for _ in range(20):
        game.tick()
    ids = [one.actor_id for one in done[:3]]
    assert all(game.get_actor(one).get_velocity().length() > 0.5 for one in ids)
    done = client.apply_batch_sync([command.DestroyActor(one) for one in [*ids, 987_654]], True)
    assert [bool(one.error) for one in done] == [False, False, False, True]
    assert not set(ids) & {actor.id for actor in game.get_actors()}


def test_ackermann_control_reaches_the_speed(game, car):
    car.apply_ackermann_control(carla.VehicleAckermannControl(speed=6.0))
    for _ in range(150):
        game.tick()
    assert car.get_velocity().length() == pytest.approx(6.0, abs=0.4)


def test_constant_velocity_is_held_until_it_is_switched_off(game, car):
    car.enable_constant_velocity(carla.Vector3D(x=4.0))
    for _ in range(20):
        game.tick()
    assert car.get_velocity().length() == pytest.approx(4.0, abs=0.05)
    car.disable_constant_velocity()
    car.apply_control(carla.VehicleControl(brake=1.0))
    for _ in range(40):
        game.tick()
    assert car.get_velocity().length() < 0.1


def test_physics_control_and_telemetry_can_be_read_and_physics_changed(game, car):
    physics = car.get_physics_control()
    assert len(physics.wheels) == 4
    physics.mass = 3000.0
    car.apply_physics_control(physics)
    game.tick()
    assert car.get_physics_control().mass == 3000.0
    assert len(car.get_telemetry_data().wheels) == 4


def test_a_walker_walks(game, pose):
    start = carla.Transform(pose.location + carla.Location(z=1.0), pose.rotation)
    walker = spawn(game, "walker.pedestrian.0001", start)
    walker.apply_control(carla.WalkerControl(carla.Vector3D(0.0, 1.0, 0.0), 1.5))
    game.tick()
    before = walker.get_location()
    for _ in range(20):
        game.tick()
    assert walker.get_location().y - before.y == pytest.approx(1.5, abs=0.05)


def test_a_reload_makes_a_new_episode(client, game):
    settings = game.get_settings()
    other = client.reload_world(False)
    assert other.id != game.id
    assert other.get_settings().synchronous_mode == settings.synchronous_mode
    assert {actor.type_id.split(".")[0] for actor in other.get_actors()} == {"spectator", "traffic"}


def test_loading_an_unknown_map_raises(client, game):
    with pytest.raises(RuntimeError, match="NoSuchMap"):
        client.load_world("NoSuchMap")


def test_the_velocity_is_the_change_of_the_position(game, car):
    car.apply_control(carla.VehicleControl(throttle=0.7, steer=0.1))
    for _ in range(30):
        before = car.get_location()
        game.tick()
        moved, velocity = car.get_location() - before, car.get_velocity()
        assert math.hypot(moved.x, moved.y) / 0.05 == pytest.approx(math.hypot(velocity.x, velocity.y), abs=0.02)


def test_the_traffic_manager_drives_cars_along_their_lanes(server):
    """In a process of its own: a live traffic manager may abort the process at its exit."""
    script = Path(__file__).with_name("traffic.py")
    done = subprocess.run([sys.executable, script, str(server.port)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
