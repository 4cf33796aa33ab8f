"""The pacing that keeps synchronous traffic managers from missing a tick, and their registry."""

from __future__ import annotations

from sb3_carla.simulator.traffic_manager import Pacing, TrafficManagers

STEP = ("get_vehicle_light_states", "get_weather_parameters", "apply_batch", "get_episode_settings")


def worked(pacing, now):
    for name in STEP:
        pacing.called(name, now)


def test_before_a_first_step_was_seen_no_tick_is_held():
    pacing = Pacing()
    pacing.ticked()
    assert pacing.wait(0.0, 0.0) <= 0.0


def test_a_tick_is_held_until_the_thread_has_had_time_to_sleep():
    pacing = Pacing()
    worked(pacing, 10.0)
    assert 0.0 < pacing.wait(10.0, 10.0) < 0.001
    assert pacing.wait(10.0, 10.001) <= 0.0


def test_a_tick_is_held_while_the_thread_still_works_but_not_for_ever():
    pacing = Pacing()
    worked(pacing, 10.0)
    pacing.ticked()
    pacing.called("get_actor_bounding_box", 11.0)
    assert pacing.wait(11.0, 11.005) > 0.0
    assert pacing.wait(11.0, 11.05) <= 0.0


def test_settings_asked_in_another_place_do_not_end_the_step():
    pacing = Pacing()
    worked(pacing, 10.0)
    pacing.ticked()
    pacing.called("get_episode_settings", 11.0)
    assert pacing.wait(11.0, 11.001) > 0.0


def test_a_thread_that_does_not_answer_any_more_holds_no_tick():
    pacing = Pacing()
    worked(pacing, 10.0)
    for _ in range(5):
        pacing.ticked()
    assert pacing.wait(11.0, 11.0) <= 0.0


def test_a_thread_that_comes_back_is_paced_again():
    pacing = Pacing()
    for _ in range(5):
        pacing.ticked()
    worked(pacing, 12.0)
    assert pacing.wait(12.0, 12.0) > 0.0


def test_an_asynchronous_traffic_manager_that_polls_is_slowed_down():
    pacing = Pacing()
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
    assert managers.pacing(1) is not None
    assert managers.remove(8001)
    assert managers.pacing(1) is None
    assert not managers.remove(8001)
