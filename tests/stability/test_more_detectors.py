from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_stability import ActionSaturation, EpisodeCollapse, GradientNorm, Growth, PolicyGap, Range

ONE = Range(-1.0, 1.0)


def fed(detector, values, **about):
    return [at for at, value in enumerate(values) if detector.observe(value, at=at, **about) is not None]


def gap_alarms(detector, looks):
    return [at for at, look in enumerate(looks) if detector.observe(*look, at=at) is not None]


def test_a_policy_value_far_from_the_replayed_ones_fires_on_the_third_look():
    assert gap_alarms(PolicyGap(), [(30.0, 1.0, 0.5, 10.0)] * 4) == [2, 3]


def test_a_gap_within_the_size_of_replayed_values_or_of_a_reward_is_no_alarm():
    assert gap_alarms(PolicyGap(), [(19.0, 1.0, 0.5, 10.0)] * 5) == []
    assert gap_alarms(PolicyGap(), [(300.0, 100.0, 10.0, 1.0)] * 5) == []


def test_the_gap_has_a_floor_until_rewards_are_seen():
    detector = PolicyGap()
    detector.start_from(0.2)
    assert gap_alarms(detector, [(1.9, 0.0, 0.0, 0.0)] * 5) == []
    assert gap_alarms(detector, [(2.1, 0.0, 0.0, 0.0)] * 5) == [2, 3, 4]


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20), st.floats(0.01, 10.0), st.integers(-10, 10))
def test_rescaling_changes_no_verdict_of_the_gap(values, spread, power):
    verdicts = []
    for unit in (1.0, 2.0**power):
        detector = PolicyGap()
        detector.start_from(unit)
        looks = [(value * unit, 5.0 * unit, spread * unit, 3.0 * unit) for value in values]
        verdicts.append(gap_alarms(detector, looks))
    assert verdicts[0] == verdicts[1]


def test_saturation_has_to_last():
    assert fed(ActionSaturation(patience=3), [1.0, 1.0, 0.5, 0.98, 0.99, 1.0]) == [5]


def test_a_gradient_limit_grows_with_the_square_of_rewards_above_one():
    assert fed(GradientNorm(100.0, patience=1), [101.0], rewards=ONE) == [0]
    assert fed(GradientNorm(100.0, patience=1), [101.0, 399.0, 401.0], rewards=Range(-2.0, 0.0)) == [2]
    assert fed(GradientNorm(100.0, patience=1), [101.0], rewards=Range(0.0, 0.01)) == [0]


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_beyond_every_limit(norm):
    assert fed(GradientNorm(100.0, patience=2), [norm, norm]) == [1]


def test_growth_is_measured_from_the_median_of_the_first_looks():
    detector = Growth(10.0, patience=2, settling=3)
    assert fed(detector, [2.0, -2.0, 50.0, 19.0, 21.0, -21.0, 21.0]) == [5, 6]
    assert "10 x 2" in str(detector.observe(30.0, at=7))


def test_the_alarm_of_a_growth_says_since_when():
    detector = Growth(10.0, patience=2, settling=1)
    detector.observe(1.0, at=0)
    detector.observe(11.0, at=40)
    alarm = detector.observe(12.0, at=60)
    assert (alarm.since, alarm.looks, alarm.limit) == (40, 2, 10.0)


def episodes(detector, pairs):
    return [at for at, (length, earned) in enumerate(pairs) if detector.observe(length, earned, at=at) is not None]


def test_short_episodes_that_earn_less_are_a_collapse():
    fired = episodes(EpisodeCollapse(window=2), [(300, 50)] * 3 + [(60, 5)] * 3)
    assert fired == [4, 5]


def test_short_episodes_that_earn_more_are_success():
    assert episodes(EpisodeCollapse(window=2), [(300, -300)] * 3 + [(20, -20)] * 5) == []


def test_a_recovered_policy_is_no_collapse_any_more():
    assert episodes(EpisodeCollapse(window=1), [(300, 50), (60, 5), (290, 45)]) == [1]


def test_a_first_window_of_episodes_is_awaited():
    detector = EpisodeCollapse(window=3)
    assert episodes(detector, [(300, 50), (1, 0)]) == []
    assert math.isnan(detector.mean_length)
