from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_carla.envs import RewardWeights, Scenario
from sb3_carla.envs.reward import Motion, reward_terms

STILL = Motion(0.0, 0.05, 0.0, 8.0, 0.0, 1.75, 0.0)
WEIGHTS = RewardWeights()


def drive(speed: float, lateral: float = 0.0, steering_change: float = 0.0) -> Motion:
    return Motion(speed * 0.05, 0.05, abs(speed), 8.0, lateral, 1.75, steering_change)


def reward(motion: Motion, event: str | None = None) -> float:
    return sum(reward_terms(motion, event, WEIGHTS).values())


def test_standing_still_earns_nothing() -> None:
    assert reward(STILL) == 0.0


def test_a_metre_in_the_lane_centre_earns_one_and_at_the_edge_half() -> None:
    assert reward(drive(8.0)) / 0.4 == pytest.approx(1.0)
    assert reward(drive(8.0, lateral=1.75)) / 0.4 == pytest.approx(0.5)
    assert reward(drive(8.0, lateral=-5.0)) / 0.4 == pytest.approx(0.5)


def test_driving_faster_than_the_target_earns_less() -> None:
    assert reward(drive(12.0)) < reward(drive(8.0))


@given(lateral=st.floats(-5, 5))
def test_driving_backwards_never_pays(lateral: float) -> None:
    assert reward(drive(-3.0, lateral)) == pytest.approx(-0.15)


@pytest.mark.parametrize("event", ["collision", "off_road", "wrong_way", "stuck"])
def test_an_event_costs_its_weight_once(event: str) -> None:
    assert reward(STILL, event) == -getattr(WEIGHTS, event)


@given(
    speed=st.floats(-50, 50),
    lateral=st.floats(-20, 20),
    change=st.floats(0, 2),
    event=st.sampled_from([None, "collision", "off_road", "wrong_way", "stuck"]),
)
def test_the_reward_stays_in_the_range_that_the_scenario_states(
    speed: float, lateral: float, change: float, event: str | None
) -> None:
    scenario = Scenario()
    motion = dataclasses.replace(drive(speed, lateral, change), target_speed=scenario.target_speed)
    low, high = scenario.reward_range
    assert low - 1e-9 <= sum(reward_terms(motion, event, scenario.reward).values()) <= high + 1e-9
