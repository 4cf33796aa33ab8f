"""What programs written for CARLA, and not for us, count on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import carla
import pytest

from sb3_carla.simulator.drivetrain import Drivetrain
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.town import Atlas
from sb3_carla.simulator.wire.values import ActorDescription
from sb3_carla.simulator.world import SpawnError, World

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def home(client):
    """The server's own town, again after the test."""
    name = client.get_world().get_map().name
    yield name
    client.load_world(name)


@pytest.mark.parametrize("name", ["Town03", "Town10HD_Opt", "/Game/Carla/Maps/Town05"])
def test_a_town_of_carlas_that_is_not_there_is_stood_in_for_under_its_name(client, home, name):
    town = client.load_world(name).get_map()
    assert town.name.split("/")[-1] == name.split("/")[-1]
    assert len(town.get_spawn_points()) >= 100
    assert len(town.get_crosswalks()) > 0
    assert all(town.get_waypoint(one.location, project_to_road=False) for one in town.get_spawn_points())
    again = client.reload_world().get_map()
    assert again.name == town.name


def test_a_town_that_nobody_has_is_refused_by_name(client, home):
    with pytest.raises(RuntimeError, match="no map 'Town99'"):
        client.load_world("Town99")
    assert client.get_world().get_map().name == home


def test_a_file_of_a_carla_town_goes_before_its_stand_in(tmp_path):
    roads = Path(__file__).parents[2] / "sb3_carla/simulator/maps/Town_Circle.xodr"
    (tmp_path / "Town03.xodr").write_text(roads.read_text())
    atlas = Atlas(str(tmp_path))
    assert atlas.town("Town03").roads.opendrive == roads.read_text()
    layered = atlas.town("Town03_Opt")
    assert layered.name == "Town03_Opt"
    assert layered.roads.opendrive == roads.read_text()


def test_a_friction_trigger_holds_tyres_while_they_are_in_its_box(game):
    library = game.get_blueprint_library()
    place = game.get_map().get_spawn_points()[0]
    ahead = place.get_forward_vector()
    blueprint = library.find("static.trigger.friction")
    for name, value in {"friction": 0.5, "extent_x": 500.0, "extent_y": 500.0, "extent_z": 500.0}.items():
        blueprint.set_attribute(name, str(value))
    car = game.spawn_actor(library.find("vehicle.tesla.model3"), place)
    game.tick()
    own = [wheel.tire_friction for wheel in car.get_physics_control().wheels]

    def held():
        game.tick()
        return [wheel.tire_friction for wheel in car.get_physics_control().wheels]

    box = game.spawn_actor(blueprint, carla.Transform(place.location + 15.0 * ahead, place.rotation))
    assert held() == own
    car.set_location(place.location + 12.0 * ahead)
    assert held() == [0.5] * 4
    car.set_location(place.location + 22.0 * ahead)
    assert held() == own
    car.set_location(place.location + 12.0 * ahead)
    assert held() == [0.5] * 4
    box.destroy()
    assert held() == own


def test_a_friction_trigger_refuses_what_is_no_number(game):
    blueprint = game.get_blueprint_library().find("static.trigger.friction")
    blueprint.set_attribute("friction", "-1.0")
    with pytest.raises(RuntimeError, match=r"friction '-1\.0'"):
        game.spawn_actor(blueprint, carla.Transform())


def test_a_new_episode_has_the_usual_gravity_again(client, home):
    world = client.get_world()
    world.set_imui_sensor_gravity(1.6)
    assert world.get_imui_sensor_gravity() == pytest.approx(1.6)
    assert client.reload_world().get_imui_sensor_gravity() == pytest.approx(9.81)


def test_telemetry_gives_the_speed_in_metres_per_second(game):
    place = game.get_map().get_spawn_points()[0]
    car = game.spawn_actor(game.get_blueprint_library().find("vehicle.tesla.model3"), place)
    game.tick()
    car.set_target_velocity(10.0 * place.get_forward_vector())
    game.tick()
    assert car.get_telemetry_data().speed == pytest.approx(car.get_velocity().length(), abs=0.1)
    assert car.get_telemetry_data().speed > 9.0


def test_what_is_not_simulated_says_so_in_one_sentence(game):
    place = game.get_map().get_spawn_points()[0]
    car = game.spawn_actor(game.get_blueprint_library().find("vehicle.tesla.model3"), place)
    for ask in (car.get_component_names, car.get_socket_names, lambda: car.get_component_world_transform("door")):
        with pytest.raises(RuntimeError, match="the embedded simulator has no skeletons, components or sockets"):
            ask()


def test_cars_of_one_model_share_their_tables_until_one_is_changed(world):
    places = world.town.spawn_points
    one, other = (world.spawn(ActorDescription("vehicle.tesla.model3", {}), place) for place in places[:2])
    assert one.motion.drivetrain is other.motion.drivetrain
    assert isinstance(one.motion.drivetrain, Drivetrain)
    before = other.physics.mass
    one.set_physics(one.physics._replace(mass=5000.0))
    assert other.physics.mass == before


def test_cameras_that_nobody_destroys_do_not_fill_the_memory(atlas):
    world = World(atlas, stream_port=1)
    size = {"image_size_x": "8192", "image_size_y": "8192"}
    same = [world.spawn(ActorDescription("sensor.camera.rgb", size), Transform(z=50.0)) for _ in range(20)]
    assert len({id(one.camera) for one in same}) == 1
    world.spawn(ActorDescription("sensor.camera.rgb", {**size, "fov": "80"}), Transform(z=50.0))
    with pytest.raises(SpawnError, match="destroy some, or ask for smaller pictures"):
        world.spawn(ActorDescription("sensor.camera.rgb", {**size, "fov": "70"}), Transform(z=50.0))
    for sensor in same:
        world.destroy(sensor.id)
    del same, sensor
    world.spawn(ActorDescription("sensor.camera.rgb", {**size, "fov": "70"}), Transform(z=50.0))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hostile.py", ["--inputs", "300", "--clients", "2"]),
        ("soak.py", ["--ticks", "120", "--npcs", "3", "--reset-every", "50", "--every", "20"]),
    ],
)
def test_the_robustness_runs_find_nothing_in_their_short_form(name, options):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *options],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
