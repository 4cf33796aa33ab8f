"""The pacing that keeps synchronous traffic managers from missing a tick, and their registry."""

from __future__ import annotations

import math
import socket

import msgpack

from sb3_carla.simulator.traffic_manager import Pacing, TrafficManagers, wake

STEP = ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings")


def worked(pacing, now):
    for name in STEP:
        pacing.called(name, now)


def test_before_a_first_step_was_seen_no_tick_is_held():
    pacing = Pacing(8000)
    pacing.ticked(0.0)
    assert pacing.wait(0.0, 0.0) <= 0.0


def test_a_tick_is_held_until_the_thread_has_had_time_to_sleep():
    pacing = Pacing(8000)
    worked(pacing, 10.0)
    assert 0.0 < pacing.wait(10.0, 10.0) < 0.001
    assert pacing.wait(10.0, 10.001) <= 0.0


def test_a_tick_is_held_while_the_thread_still_works_but_not_for_ever():
    pacing = Pacing(8000)
    worked(pacing, 10.0)
    pacing.ticked(11.0)
    pacing.called("get_actor_bounding_box", 11.0)
    assert pacing.wait(11.0, 11.005) > 0.0
    assert pacing.wait(11.0, 11.05) <= 0.0


def test_settings_asked_in_another_place_do_not_end_the_step():
    pacing = Pacing(8000)
    worked(pacing, 10.0)
    pacing.ticked(11.0)
    pacing.called("get_episode_settings", 11.0)
    assert pacing.wait(11.0, 11.001) > 0.0


def test_a_thread_that_does_not_answer_any_more_holds_no_tick():
    pacing = Pacing(8000)
    worked(pacing, 10.0)
    for _ in range(5):
        pacing.ticked(10.5)
    assert pacing.wait(11.0, 11.0) <= 0.0


def test_a_thread_that_comes_back_is_paced_again():
    pacing = Pacing(8000)
    for _ in range(5):
        pacing.ticked(10.5)
    worked(pacing, 12.0)
    assert pacing.wait(12.0, 12.0) > 0.0


def test_a_thread_that_does_not_begin_its_step_is_woken_a_few_times():
    pacing = Pacing(8000)
    worked(pacing, 10.0)
    assert pacing.lost_at == math.inf
    pacing.ticked(11.0)
    wakings = []
    while pacing.lost_at < math.inf:
        wakings.append(pacing.lost_at)
        pacing.woken()
    assert wakings == sorted(wakings)
    assert 12.0 < wakings[0] < 16.0, "later than a busy machine keeps a thread waiting, sooner than clients give up"
    assert 1 < len(wakings) < 10


def test_a_thread_that_works_or_has_worked_is_not_woken():
    pacing = Pacing(8000)
    worked(pacing, 10.0)
    pacing.ticked(11.0)
    pacing.called("get_actor_bounding_box", 11.001)
    assert pacing.lost_at == math.inf
    worked(pacing, 11.002)
    assert pacing.lost_at == math.inf


def test_a_lost_traffic_manager_is_told_once_with_its_port():
    managers = TrafficManagers()
    managers.add("10.1.2.3", 8123, connection=5)
    worked(managers.pacing(5), 10.0)
    managers.pacing(5).ticked(11.0)
    assert managers.lost(11.01) == []
    assert managers.lost(managers.next_lost()) == [(5, 8123)]
    assert managers.lost(11.3) == []


def test_waking_switches_the_synchronous_mode_off_and_on_again():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sock = wake("127.0.0.1", listener.getsockname()[1])
        served, _ = listener.accept()
        with served, sock:
            unpacker = msgpack.Unpacker()
            unpacker.feed(served.recv(4096))
            assert [call[2:] for call in unpacker] == [
                ["set_synchronous_mode", [False]],
                ["set_synchronous_mode", [True]],
            ]


def test_waking_nobody_is_no_error():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert wake("127.0.0.1", port) is None


def test_an_asynchronous_traffic_manager_that_polls_is_slowed_down():
    pacing = Pacing(8000)
    pacing.called("get_episode_settings", 0.0)
    assert pacing.delay == 0.0
    for _ in range(10):
        pacing.called("get_episode_settings", 0.0)
    assert pacing.delay > 0.0
    pacing.called("get_weather_parameters", 0.0)
    assert pacing.delay == 0.0


def test_a_port_belongs_to_the_first_that_announces_it_until_its_connection_closes():
    managers = TrafficManagers()
    assert managers.add("127.0.0.1", 8000, connection=1)
    assert not managers.add("10.0.0.1", 8000, connection=2)
    assert managers.host(8000) == "127.0.0.1"
    managers.drop(2)
    assert managers.host(8000) == "127.0.0.1"
    managers.drop(1)
    assert managers.host(8000) is None
    assert managers.pacing(1) is None


def test_pacing_ends_with_the_last_traffic_manager_of_a_connection():
    managers = TrafficManagers()
    managers.add("127.0.0.1", 8000, connection=1)
    managers.add("127.0.0.1", 8001, connection=1)
    assert managers.remove(8000)
    assert managers.pacing(1).port == 8001
    assert managers.remove(8001)
    assert managers.pacing(1) is None
    assert not managers.remove(8001)
