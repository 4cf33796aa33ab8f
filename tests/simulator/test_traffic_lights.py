"""Traffic lights: where a map puts them, how they change, and what clients and their traffic make of them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import carla
import numpy as np
import pytest

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.signals import read_signals
from sb3_carla.simulator.traffic_lights import LightState, TrafficLights
from sb3_carla.simulator.wire.values import ActorDescription

MAPS = Path(__file__).parents[3] / "shared" / "maps"  # CARLA's own towns, where they are at hand
CAR = ActorDescription("vehicle.tesla.model3", {})
RED, YELLOW, GREEN = LightState.RED, LightState.YELLOW, LightState.GREEN


@pytest.fixture(scope="module")
def signals(atlas):
    return atlas.start.signals


@pytest.fixture
def lights(signals):
    return TrafficLights(signals, 2)


def states(junction):
    return [light.state for light in junction.lights]


def before_line(lane, metres, height=0.3):
    """A pose on a lane some metres before its stop line."""
    yaw = math.radians(lane.yaw)
    return lane.x - metres * math.cos(yaw), lane.y - metres * math.sin(yaw), lane.z + height, 0.0, lane.yaw, 0.0


def test_a_phase_is_green_then_yellow_then_all_are_red_then_the_next_is_green(lights):
    junction = lights.junctions[0]
    count = len(junction.lights)
    seen = []
    for _ in range(round(2 * 15.0 / 0.5)):
        seen.append(states(junction))
        junction.advance(0.5)
    first = [GREEN] + [RED] * (count - 1)
    second = [RED, GREEN] + [RED] * (count - 2)
    assert seen[:20] == [first] * 20
    assert seen[20:26] == [[YELLOW] + [RED] * (count - 1)] * 6
    assert seen[26:30] == [[RED] * count] * 4
    assert seen[30:50] == [second] * 20


def test_never_are_two_phases_of_a_junction_open_at_once(lights):
    for _ in range(600):
        lights.advance(0.25, ())
        for junction in lights.junctions:
            open_phases = [phase for phase in junction.phases if phase.lights[0].state in (GREEN, YELLOW)]
            assert len(open_phases) <= 1


def test_a_frozen_junction_keeps_its_state(lights):
    junction = lights.junctions[0]
    junction.freeze(True)
    before = states(junction)
    for _ in range(100):
        junction.advance(1.0)
    assert states(junction) == before
    assert junction.elapsed == 0.0


def test_every_light_of_the_big_town_stops_the_lanes_that_lead_to_its_junction(atlas, signals):
    road_map = atlas.start.roads.carla_map
    assert len(signals.lights) > 20
    for post in signals.lights:
        for lane in post.lanes:
            waypoint = road_map.get_waypoint(carla.Location(lane.x, lane.y, lane.z))
            assert not waypoint.is_junction
            assert waypoint.next(8.0)[0].is_junction


def test_a_car_is_told_of_the_light_before_which_it_stands_and_of_no_other(world):
    light = world.signals.lights[0]
    lane = light.post.lanes[0]
    car = world.spawn(CAR, Transform(*before_line(lane, 4.0)))
    world.step(0.05)
    assert car.light is light
    car.place(car.pose._replace(yaw=lane.yaw + 180.0))
    world.step(0.05)
    assert car.light is not light
    car.place(Transform(*before_line(lane, 60.0)))
    world.step(0.05)
    assert car.light is not light


def test_the_lit_lamp_has_the_lights_colour_and_moves_with_it(world):
    light = world.signals.lights[0]
    world.step(0.05)

    def lamps():
        bodies = world.bodies()
        return bodies[bodies["id"] == light.id]

    seen = {}
    for state in (RED, YELLOW, GREEN):
        light.state = state
        world.signals.redraw()
        world.step(0.05)
        seen[state] = lamps()[0]
    assert seen[RED]["centre"][2] > seen[YELLOW]["centre"][2] > seen[GREEN]["centre"][2]
    assert np.argmax(seen[RED]["colour"]) == 0
    assert np.argmax(seen[GREEN]["colour"]) == 1
    assert {int(one["tag"]) for one in seen.values()} == {7}


def test_a_destroyed_light_concerns_nobody(world):
    light = world.signals.lights[0]
    car = world.spawn(CAR, Transform(*before_line(light.post.lanes[0], 4.0)))
    world.step(0.05)
    world.destroy(light.id)
    world.step(0.05)
    assert car.light is None
    assert light.id not in world.bodies()["id"]
    world.load("", reset_settings=False)
    assert len(world.signals.lights) == len(world.town.signals.lights)


@pytest.mark.parametrize(("name", "lights", "junctions"), [("Town01", 36, 12), ("Town04", 43, 12)])
def test_the_lights_of_carlas_own_maps_are_found(name, lights, junctions):
    path = MAPS / f"{name}.xodr"
    if not path.is_file():
        pytest.skip("CARLA's own maps are not at hand")
    signals = read_signals(RoadMap.load(str(path)))
    assert (len(signals.lights), len(signals.groups)) == (lights, junctions)
    assert {post.type_id for post in signals.signs} >= {"traffic.speed_limit.30", "traffic.speed_limit.90"}


def test_the_client_finds_lights_by_waypoint_junction_and_opendrive_id(game):
    lights = list(game.get_actors().filter("traffic.traffic_light*"))
    assert len(lights) > 20
    for light in lights[:6]:
        stops, lanes = light.get_stop_waypoints(), light.get_affected_lane_waypoints()
        assert {(one.road_id, one.lane_id) for one in stops} == {(one.road_id, one.lane_id) for one in lanes}
        stop = light.get_stop_waypoints()[0]
        assert light.id in [one.id for one in game.get_traffic_lights_from_waypoint(stop.previous(12.0)[0], 40.0)]
        junction = stop.next(14.0)[0]
        group = {one.id for one in light.get_group_traffic_lights()}
        assert {one.id for one in game.get_traffic_lights_in_junction(junction.get_junction().id)} == group
        assert game.get_traffic_light_from_opendrive_id(light.get_opendrive_id()).id == light.id
        assert light.get_light_boxes()


def test_the_client_sets_times_states_and_freezes(game):
    light = game.get_actors().filter("traffic.traffic_light*")[0]
    light.set_green_time(4.0)
    light.set_yellow_time(1.0)
    light.set_red_time(0.5)
    light.set_state(carla.TrafficLightState.Yellow)
    game.freeze_all_traffic_lights(True)
    for _ in range(3):
        game.tick()
    assert (light.get_green_time(), light.get_yellow_time(), light.get_red_time()) == (4.0, 1.0, 0.5)
    assert light.state == carla.TrafficLightState.Yellow
    assert light.is_frozen()
    elapsed = light.get_elapsed_time()
    for _ in range(40):
        game.tick()
    assert light.state == carla.TrafficLightState.Yellow
    assert light.get_elapsed_time() == elapsed
    game.freeze_all_traffic_lights(False)
    game.reset_all_traffic_lights()
    game.tick()
    assert not light.is_frozen()
    assert light.get_elapsed_time() == pytest.approx(0.05)


def test_a_vehicle_of_the_client_knows_its_light(game):
    light = game.get_actors().filter("traffic.traffic_light*")[0]
    stop = light.get_stop_waypoints()[0]
    pose = stop.transform
    pose.location.z += 0.3
    car = game.spawn_actor(game.get_blueprint_library().find("vehicle.audi.tt"), pose)
    light.set_state(carla.TrafficLightState.Red)
    game.freeze_all_traffic_lights(True)
    game.tick()
    assert car.is_at_traffic_light()
    assert car.get_traffic_light().id == light.id
    assert car.get_traffic_light_state() == carla.TrafficLightState.Red
    light.set_state(carla.TrafficLightState.Green)
    game.tick()
    assert car.get_traffic_light_state() == carla.TrafficLightState.Green
    game.freeze_all_traffic_lights(False)


def test_cars_of_the_traffic_manager_wait_at_red_and_go_at_green(server):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("red_and_green.py")), str(server.port)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
