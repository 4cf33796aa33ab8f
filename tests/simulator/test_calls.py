"""The calls, over a plain connection to a real server: replies have the right form, errors are sentences."""

from __future__ import annotations

import math
import time

import pytest
from plain_client import RawClient, read_snapshot

from sb3_carla.simulator.methods import METHODS

CONTROL = [0.6, 0.0, 0.0, False, False, False, 0]


def latest(stream, frame):
    while True:
        header, episode, records = read_snapshot(stream.message())
        if header["frame"] >= frame:
            return header, episode, records


def test_the_version_is_that_of_the_wheel(raw):
    assert raw.call("version") == "0.9.16"


def test_a_call_that_does_not_exist_is_answered_with_an_error(raw):
    error, result = raw.reply(raw.request("make_coffee", 1, 2))
    assert "make_coffee" in error
    assert result is None


def test_a_call_for_something_not_simulated_is_refused_in_one_sentence(raw):
    with pytest.raises(RuntimeError, match="embedded simulator has no recorder"):
        raw.call("start_recorder", "file.log", False)


@pytest.mark.parametrize("arguments", [[], [None], ["x", "y", "z"], [[], [], [], [], []], [-1, {"a": 1}, 2.5]])
def test_any_call_with_senseless_arguments_gets_one_reply_and_the_server_goes_on(raw, arguments):
    for method in METHODS:
        raw.reply(raw.request(method, *arguments))
    assert raw.call("version") == "0.9.16"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(raw, place, value):
    car = raw.spawn("vehicle.tesla.model3", place)[0]
    for method, argument in (
        ("set_actor_location", [value, 0.0, 0.0]),
        ("set_actor_target_velocity", [0.0, value, 0.0]),
        ("add_actor_impulse", [0.0, 0.0, value]),
        ("apply_control_to_vehicle", [value, 0.0, 0.0, False, False, False, 0]),
    ):
        with pytest.raises(RuntimeError, match="finite"):
            raw.call(method, car, argument)


def test_each_tick_returns_the_frame_whose_snapshot_came_before_it(raw):
    world = raw.subscribe(1)
    frame = raw.call("tick_cue")
    assert raw.call("tick_cue") == frame + 1
    header, episode, _ = latest(world, frame + 1)
    assert header["frame"] == frame + 1
    assert episode["delta"] == pytest.approx(0.05)
    world.close()


def test_nothing_moves_between_the_ticks_of_a_synchronous_world(raw):
    frame = raw.call("tick_cue")
    time.sleep(0.2)
    assert raw.call("tick_cue") == frame + 1


def test_an_asynchronous_world_runs_by_itself_at_about_the_clocks_pace(raw):
    raw.call("set_episode_settings", [False, False, [False], True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True])
    world = raw.subscribe(1)
    first, _, _ = read_snapshot(world.message())
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        last, _, _ = read_snapshot(world.message())
    passed = last["timestamp"] - first["timestamp"]
    assert 0.6 < passed < 1.4
    assert last["frame"] - first["frame"] >= 10
    world.close()


def test_a_tick_waits_for_a_subscription_that_was_announced(raw):
    raw.call("tick_cue")
    (_token,) = raw.call("get_sensor_token", 1)
    began = time.monotonic()
    raw.call("tick_cue")
    assert 0.1 < time.monotonic() - began < 2.0
    began = time.monotonic()
    raw.call("tick_cue")
    assert time.monotonic() - began < 0.15


def test_control_stays_until_the_next_one_and_survives_a_teleport(raw, place):
    world = raw.subscribe(1)
    car = raw.spawn("vehicle.tesla.model3", place)[0]
    raw.call("apply_control_to_vehicle", car, CONTROL)
    for _ in range(20):
        raw.call("tick_cue")
    raw.call("set_actor_transform", car, place)
    for _ in range(20):
        frame = raw.call("tick_cue")
    _, _, records = latest(world, frame)
    (record,) = records[records["id"] == car]
    assert math.dist(record["location"][:2], place[0][:2]) > 1.0
    world.close()


def test_a_batch_runs_in_order_and_goes_on_after_a_failure(raw, place):
    spawn = [0, [[0, "vehicle.tesla.model3", []], place, [False], 216, "", []]]
    results = raw.call("apply_batch", [[spawn], [spawn], [[1, [999_999]]], [[99, []]], ["nonsense"]], False)
    (spawned,), *failures = results
    assert spawned[0] == 1
    assert [(entry[0][0], bool(entry[0][1][0])) for entry in failures] == [(0, True)] * 4
    assert raw.call("get_actors_by_id", [spawned[1]])[0][2][1] == "vehicle.tesla.model3"


def test_commands_chained_to_a_spawn_get_its_id(raw, place):
    control = [2, [0, CONTROL]]
    lights = [18, [0, 5]]
    spawn = [0, [[0, "vehicle.tesla.model3", []], place, [False], 16, "", [[control], [lights]]]]
    (((_, car),),) = raw.call("apply_batch", [[spawn]], False)
    assert raw.call("get_vehicle_light_states") == [[car, 5]]


def test_what_the_traffic_manager_calls_is_never_answered_with_an_error(raw):
    assert raw.call("get_actor_bounding_box", 987_654)[1] == [0.0, 0.0, 0.0]
    raw.call("set_actor_simulate_physics", 987_654, True)
    assert raw.call("get_vehicle_light_states") == []
    assert raw.call("apply_batch", [], False) == []
    raw.call("reset_all_traffic_lights")


def test_a_traffic_manager_is_forgotten_when_its_connection_closes(raw, server):
    other = RawClient(server.port)
    assert other.call("add_traffic_manager_running", ["127.0.0.1", 8123]) is True
    assert raw.call("is_traffic_manager_running", 8123) is True
    assert raw.call("get_traffic_manager_running", 8123) == ["127.0.0.1", 8123]
    assert raw.call("add_traffic_manager_running", ["127.0.0.1", 8123]) is False
    other.close()
    deadline = time.monotonic() + 5.0
    while raw.call("is_traffic_manager_running", 8123):
        assert time.monotonic() < deadline
    assert raw.call("get_traffic_manager_running", 8123) == ["", 0]


def test_physics_control_comes_back_as_it_was_set(raw, place):
    car = raw.spawn("vehicle.tesla.model3", place)[0]
    physics = raw.call("get_physics_control", car)
    physics[11], physics[12] = 2500.0, 0.5
    raw.call("apply_physics_control", car, physics)
    assert raw.call("get_physics_control", car) == physics


def test_a_mass_of_zero_is_refused(raw, place):
    car = raw.spawn("vehicle.tesla.model3", place)[0]
    physics = raw.call("get_physics_control", car)
    physics[11] = 0.0
    with pytest.raises(RuntimeError, match="mass"):
        raw.call("apply_physics_control", car, physics)


def test_weather_comes_back_as_it_was_set(raw):
    weather = [float(number) for number in range(14)]
    raw.call("set_weather_parameters", weather)
    assert raw.call("get_weather_parameters") == weather


def test_the_spectator_cannot_be_destroyed(raw):
    spectator = raw.call("get_spectator")[0]
    with pytest.raises(RuntimeError, match="destroy"):
        raw.call("destroy_actor", spectator)


def test_a_destroyed_actor_is_gone_and_destroying_it_again_is_an_error(raw, place):
    car = raw.spawn("vehicle.tesla.model3", place)[0]
    assert raw.call("destroy_actor", car) is True
    assert raw.call("get_actors_by_id", [car]) == []
    with pytest.raises(RuntimeError, match=str(car)):
        raw.call("destroy_actor", car)


def test_settings_come_back_as_they_were_set(raw):
    settings = [True, True, [True, 0.1], True, 0.01, 5, 100.0, True, 3000.0, 2000.0, False]
    raw.call("set_episode_settings", settings)
    assert raw.call("get_episode_settings") == settings


def test_a_map_sent_by_a_client_is_loaded(raw):
    opendrive = raw.call("get_map_data")
    raw.call("copy_opendrive_to_file", opendrive, [2.0, 50.0, 1.0, 0.6, True, True, True])
    raw.call("load_new_episode", "OpenDriveMap", True, 65535)
    assert raw.call("get_map_info")[0] == "Carla/Maps/OpenDriveMap"
    raw.call("load_new_episode", "Town_Blocks", True, 65535)


@pytest.mark.parametrize("opendrive", ["", "not xml", "<OpenDRIVE></OpenDRIVE>"])
def test_a_useless_map_sent_by_a_client_is_refused(raw, opendrive):
    with pytest.raises(RuntimeError):
        raw.call("copy_opendrive_to_file", opendrive, [])
    assert raw.call("get_map_info")[0] == "Carla/Maps/Town_Blocks"


def test_scenery_can_be_asked_for_by_its_label_and_met_by_a_ray(raw):
    objects = raw.call("get_environment_objects", 3)
    assert {kind for *_, kind in objects} == {3}
    assert len(raw.call("get_all_level_BBs", 255)) > len(objects) > 10
    x, y, _ = objects[0][0][0]
    top = 2.0 * objects[0][1][1][2]
    (roof, roof_label), *_, (ground, ground_label) = raw.call("cast_ray", [x, y, 100.0], [x, y, -1.0])
    assert (roof_label, ground_label) == (3, 1)
    assert roof == pytest.approx([x, y, top], abs=1.0)
    assert ground == pytest.approx([x, y, 0.0], abs=1e-6)


def test_a_point_is_projected_onto_the_ground(raw):
    found, (point, label) = raw.call("project_point", [5.0, 6.0, 7.0], [0.0, 0.0, -1.0], 20.0)
    assert found is True
    assert (point, label) == ([5.0, 6.0, 0.0], 1)
    assert raw.call("project_point", [5.0, 6.0, 7.0], [0.0, 0.0, 1.0], 20.0)[0] is False
