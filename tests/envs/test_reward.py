from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_carla.envs import REWARD_PRESETS, RewardWeights, Scenario
from sb3_carla.envs.catalogue import make_scenario
from sb3_carla.envs.reward import ENDINGS, Motion, potential, reward_terms

STILL = Motion(0.0, 0.05, 0.0, 8.0, 0.0, 1.75, 0.0)
WEIGHTS = RewardWeights()


def drive(speed: float, lateral: float = 0.0, steering_change: float = 0.0) -> Motion:
    return Motion(speed * 0.05, 0.05, abs(speed), 8.0, lateral, 1.75, steering_change)


def reward(motion: Motion, event: str | None = None) -> float:
    return sum(reward_terms(motion, event, WEIGHTS).values())


def test_standing_still_earns_nothing() -> None:
    assert reward(STILL) == 0.0


def test_ten_metres_in_the_lane_centre_earn_one_and_at_the_edge_half() -> None:
    assert reward(drive(8.0)) / 0.04 == pytest.approx(1.0)
    assert reward(drive(8.0, lateral=1.75)) / 0.04 == pytest.approx(0.5)
    assert reward(drive(8.0, lateral=-5.0)) / 0.04 == pytest.approx(0.5)


def test_driving_faster_than_the_target_earns_less() -> None:
    assert reward(drive(12.0)) < reward(drive(8.0))


@given(lateral=st.floats(-5, 5))
def test_driving_backwards_never_pays(lateral: float) -> None:
    assert reward(drive(-3.0, lateral)) == pytest.approx(-0.015)


@pytest.mark.parametrize("event", ["collision", "off_road", "wrong_way", "stuck"])
def test_an_event_costs_its_weight_once(event: str) -> None:
    assert reward(STILL, event) == -getattr(WEIGHTS, event)


@given(
    speed=st.floats(-50, 50),
    lateral=st.floats(-20, 20),
    change=st.floats(0, 2),
    event=st.sampled_from([None, "goal", *ENDINGS]),
    preset=st.sampled_from(sorted(REWARD_PRESETS)),
    heading_error=st.floats(-3.2, 3.2),
    acceleration_change=st.floats(-1000, 1000),
    near=st.floats(0, 1),
    impact=st.floats(0, 100),
    lights=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_the_reward_stays_in_the_range_that_the_scenario_states(
    speed: float,
    lateral: float,
    change: float,
    event: str | None,
    preset: str,
    heading_error: float,
    acceleration_change: float,
    near: float,
    impact: float,
    lights: tuple[int, int],
) -> None:
    weights = {"preset": preset, "potential_field": 0.7}
    scenario = make_scenario("route", {"reward": weights})
    motion = dataclasses.replace(
        drive(speed, lateral, change),
        target_speed=scenario.target_speed,
        heading_error=heading_error,
        acceleration_change=acceleration_change,
        potential=near,
        impact=impact,
        red_lights=lights[0],
        stop_signs=lights[1],
    )
    low, high = scenario.reward_range
    assert low - 1e-9 <= sum(reward_terms(motion, event, scenario.reward).values()) <= high + 1e-9


def test_the_range_of_the_lane_alone_has_neither_goal_nor_lights() -> None:
    assert Scenario().reward_range == pytest.approx((-(0.1 + 0.1 + 0.02) * 2.5 - 1.0, 0.1 * 30 / 3.6 * 0.05))


def test_a_preset_is_named_by_text_and_changed_by_a_mapping() -> None:
    assert make_scenario("lane_following", {"reward": "founding"}).reward == REWARD_PRESETS["founding"]
    changed = make_scenario("lane_following", {"reward": {"preset": "founding", "jerk": 0.5}}).reward
    assert changed == dataclasses.replace(REWARD_PRESETS["founding"], jerk=0.5)


def test_ours_pays_nothing_per_second() -> None:
    still = dataclasses.replace(STILL, seconds=100.0)
    assert sum(reward_terms(still, None, REWARD_PRESETS["ours"]).values()) == 0.0


def test_the_potential_grows_from_its_reach_to_contact() -> None:
    values = [potential([distance], reach=10.0) for distance in (11.0, 10.0, 5.0, 1.0, 0.0, -1.0)]
    assert values == pytest.approx([0.0, 0.0, 0.25, 0.81, 1.0, 1.0])
    assert potential([], reach=10.0) == 0.0


@pytest.mark.parametrize(
    ("weight", "change", "worth"),
    [
        ("speed", {"speed": 4.0}, 0.5 * 0.05),
        ("lane_centre", {"lateral_deviation": 0.875}, 0.5 * 0.05),
        ("heading", {"heading_error": 3.14159265}, -0.05),
        ("jerk", {"acceleration_change": -3.0}, -3.0),
        ("steering_rate", {"steering_change": 0.4}, -0.4),
        ("potential_field", {"potential": 0.5}, -0.5 * 0.05),
        ("impulse", {"impact": 6.0}, -6.0),
        ("red_light", {"red_lights": 1}, -1.0),
        ("stop_sign", {"stop_signs": 1}, -1.0),
    ],
)
def test_a_term_of_weight_one_pays_its_quantity(weight: str, change: dict[str, float], worth: float) -> None:
    nothing = {name: 0.0 for name in dataclasses.asdict(WEIGHTS)}
    weights = RewardWeights(**{**nothing, weight: 1.0})
    terms = reward_terms(dataclasses.replace(STILL, **change), None, weights)
    assert terms == {weight: pytest.approx(worth)}
