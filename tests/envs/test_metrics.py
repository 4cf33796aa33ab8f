from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_carla.envs.metrics import PENALTIES, EpisodeMetrics, EpisodeRecorder


def recorded(infractions: list[str], event: str | None = None, completed: float = 100.0) -> EpisodeMetrics:
    recorder = EpisodeRecorder(route_length=100.0, seconds=0.1, max_steer=1.0)
    recorder.add(8.0, 0.5, 0.0, infractions, {"progress": 1.0})
    return recorder.finish(event, completed, completed)


def test_a_complete_route_without_infraction_is_a_success_with_score_100() -> None:
    metrics = recorded([])
    assert (metrics.status, metrics.success, metrics.driving_score) == ("Completed", True, 100.0)


@pytest.mark.parametrize(
    ("infraction", "factor"),
    [
        ("collision_pedestrian", 0.5), ("collision_vehicle", 0.6), ("collision_static", 0.65),
        ("red_light", 0.7), ("stop_sign", 0.8),
    ],
)  # fmt: skip
def test_each_infraction_multiplies_the_score_by_the_leaderboards_factor(infraction: str, factor: float) -> None:
    metrics = recorded([infraction, infraction])
    assert metrics.driving_score == pytest.approx(100.0 * factor**2)
    assert not metrics.success


def test_half_a_route_scores_half_and_times_out() -> None:
    metrics = recorded([], completed=50.0)
    assert (metrics.route_completion, metrics.driving_score) == (50.0, 50.0)
    assert "timed out" in metrics.status


def test_the_goal_completes_the_route_though_it_ends_a_little_before_it() -> None:
    assert recorded([], event="goal", completed=98.5).route_completion == 100.0


@pytest.mark.parametrize("event", ["off_road", "wrong_way", "off_route", "stuck"])
def test_an_ending_that_is_no_penalty_is_no_success_and_is_counted(event: str) -> None:
    metrics = recorded([], event=event, completed=100.0)
    assert not metrics.success
    assert metrics.infractions == {event: 1}
    assert metrics.status.startswith("Failed")


@given(completed=st.floats(-100, 1000), infractions=st.lists(st.sampled_from(sorted(PENALTIES)), max_size=9))
def test_no_episode_scores_outside_of_0_to_100(completed: float, infractions: list[str]) -> None:
    metrics = recorded(infractions, completed=completed)
    assert 0.0 <= metrics.driving_score <= metrics.route_completion <= 100.0


def test_reversals_count_turns_to_and_fro_but_no_trembling() -> None:
    recorder = EpisodeRecorder(100.0, 0.1, 0.5)
    for steer in (0.0, 0.3, 0.31, 0.3, 0.29, -0.3, -0.2, 0.2, 0.21, 0.2, 0.2):
        recorder.add(8.0, 0.0, steer, [], {})
    assert recorder.finish(None, 0.0, 0.0).steering_reversals == 2


def test_the_steering_rate_is_what_the_wheel_moved_per_second() -> None:
    recorder = EpisodeRecorder(100.0, 0.1, 0.5)
    for steer in (0.1, 0.4, -0.1, -0.1):
        recorder.add(8.0, 0.0, steer, [], {})
    assert recorder.finish(None, 0.0, 0.0).steering_rate == pytest.approx(0.5 * (0.1 + 0.3 + 0.5) / 0.4)


def test_steady_acceleration_has_no_jerk_and_a_jolt_has() -> None:
    recorder = EpisodeRecorder(100.0, 0.1, 0.5)
    changes = [recorder.acceleration_change(speed) for speed in (0.0, 0.2, 0.4, 0.6, 0.6)]
    assert changes == pytest.approx([0.0, 0.0, 0.0, 0.0, -2.0])
    for _ in changes[1:]:
        recorder.add(0.5, 0.0, 0.0, [], {})
    assert recorder.finish(None, 0.0, 0.0).mean_jerk == pytest.approx(2.0 / 0.1 / 4)


def test_the_return_is_reported_by_term() -> None:
    recorder = EpisodeRecorder(100.0, 0.1, 0.5)
    for _ in range(3):
        recorder.add(8.0, 0.0, 0.0, [], {"progress": 1.0, "overspeed": -0.25})
    metrics = recorder.finish(None, 0.0, 0.0)
    assert metrics.reward_terms == {"progress": 3.0, "overspeed": -0.75}
    assert metrics.reward == pytest.approx(2.25)
