from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sb3_stability import AbsoluteLimit, FeasibleBound, Finite, Range
from sb3_stability.detectors import NOTHING

ONE = Range(-1.0, 1.0)
numbers = st.floats(-1e6, 1e6, allow_nan=False)


def fed(detector, values, **about):
    """The updates (0, 1, ...) at which a detector that is fed these values fires."""
    return [at for at, value in enumerate(values) if detector.observe(value, at=at, **about) is not None]


def bound(**arguments):
    detector = FeasibleBound(gamma=0.99, **arguments)
    detector.start_from(0.1)
    return detector


def test_the_bound_is_the_extreme_reward_at_every_step_for_ever_times_the_margin():
    assert bound(margin=1.5).limits(Range(-2.0, 1.0)) == pytest.approx((-300.0, 150.0))


def test_rewards_of_one_sign_leave_only_the_floor_on_the_other_side():
    assert bound().limits(Range(0.5, 1.0)) == pytest.approx((-1.0, 150.0))
    assert bound().limits(Range(-1.0, -0.5)) == pytest.approx((-150.0, 1.0))


def test_before_any_reward_the_floor_alone_is_the_limit():
    assert bound().limits(NOTHING) == pytest.approx((-1.0, 1.0))
    assert bound().limits(Range(0.0, 0.0)) == pytest.approx((-1.0, 1.0))


def test_an_entropy_term_widens_the_bound():
    assert bound().limits(ONE, Range(0.2, 0.5)) == pytest.approx((-150.0, 225.0))
    assert bound().limits(ONE, Range(-0.5, -0.2)) == pytest.approx((-225.0, 150.0))


def test_three_looks_in_a_row_are_needed():
    assert fed(bound(), [200, 200, 100, 200, 200, 200, 200, 100], rewards=ONE) == [5, 6]


def test_a_value_far_beyond_the_limit_needs_no_second_look():
    assert fed(bound(), [1499.0, 1501.0], rewards=ONE) == [1]


def test_the_alarm_says_what_was_seen_and_since_when():
    detector = bound()
    for at in (7, 8):
        assert detector.observe(-180.0, at=at, rewards=ONE) is None
    alarm = detector.observe(-190.0, at=9, rewards=ONE)
    assert (alarm.value, alarm.since, alarm.looks) == (-190.0, 7, 3)
    assert alarm.limit == pytest.approx(-150.0)
    assert "-190, below the limit -150 since update 7 (3 looks in a row)" in str(alarm)
    assert "1.5 x -1 / (1 - 0.99)" in str(alarm)


def test_the_alarm_names_the_floor_where_the_floor_was_the_limit():
    detector = bound()
    detector.start_from(20.0)
    alarm = detector.observe(1e5, at=1, rewards=ONE)
    assert alarm.limit == pytest.approx(200.0)
    assert "10 x 20, the magnitude of Q before training" in alarm.origin


def test_a_discount_of_one_leaves_returns_without_a_bound():
    assert fed(FeasibleBound(gamma=1.0), [0.1, 1e30, 1e30, 1e30], rewards=ONE) == []


def test_the_first_value_counts_as_the_initial_one_unless_told():
    assert FeasibleBound(gamma=0.99).observe(50.0, at=0, rewards=NOTHING) is None
    detector = FeasibleBound(gamma=0.99)
    detector.observe(math.nan, at=0, rewards=NOTHING)
    assert math.isnan(detector.initial_scale)


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=30), numbers, numbers, st.floats(1e-3, 1e3), st.floats(0.0, 0.999))
def test_rescaling_a_task_changes_no_verdict(values, low, high, scale, gamma):
    low, high = min(low, high), max(low, high)
    # a power of two scales floating-point numbers exactly, so that no value can fall on the other side of a limit
    factor = 2.0 ** round(math.log2(scale))
    verdicts = []
    for unit in (1.0, factor):
        detector = FeasibleBound(gamma=gamma)
        detector.start_from(unit * 0.5)
        verdicts.append(fed(detector, [unit * value for value in values], rewards=Range(unit * low, unit * high)))
    assert verdicts[0] == verdicts[1]


@settings(deadline=None)
@given(st.lists(numbers, max_size=30), numbers, numbers)
def test_turning_the_sign_of_a_task_changes_no_verdict(values, low, high):
    low, high = min(low, high), max(low, high)
    assert fed(bound(), values, rewards=Range(low, high)) == fed(
        bound(), [-value for value in values], rewards=Range(-high, -low)
    )


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50), st.floats(0.0, 0.995), st.floats(0.01, 100.0))
def test_no_true_return_ever_fires(shares, gamma, reward):
    """Values anywhere between the worst and the best return that rewards in [-reward, reward] allow."""
    best = reward / (1.0 - gamma)
    detector = FeasibleBound(gamma=gamma)
    detector.start_from(0.0)
    assert fed(detector, [best * (2.0 * share - 1.0) for share in shares], rewards=Range(-reward, reward)) == []


@settings(deadline=None)
@given(st.floats(1e-6, 1e6), st.lists(st.floats(-10.0, 10.0), min_size=1, max_size=50), st.floats(0.0, 1e-6))
def test_below_the_floor_nothing_fires_however_small_the_rewards(initial, shares, reward):
    detector = FeasibleBound(gamma=0.9)
    detector.start_from(initial)
    assert fed(detector, [initial * share for share in shares], rewards=Range(-reward, reward)) == []


@settings(deadline=None)
@given(st.floats(1.01, 3.0), st.floats(0.5, 0.99))
def test_any_exponential_growth_fires_before_a_hundred_times_the_bound(growth, gamma):
    feasible = 1.0 / (1.0 - gamma)
    detector = FeasibleBound(gamma=gamma)
    detector.start_from(0.1)
    value, at = 0.1, 0
    while detector.observe(value, at=at, rewards=ONE) is None:
        value, at = value * growth, at + 1
    assert 1.5 * feasible < value < 100.0 * feasible


def test_a_fixed_limit_holds_for_both_signs():
    assert fed(AbsoluteLimit(1e4, patience=2), [2e4, 2e4, 9e3, -2e4, -2e4]) == [1, 4]
    alarms = [AbsoluteLimit(1e4, patience=1).observe(value, at=0) for value in (2e4, -2e4)]
    assert [alarm.limit for alarm in alarms] == [1e4, -1e4]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_fires_at_once(value):
    alarm = Finite().observe(value, at=3)
    assert alarm is not None
    assert str(alarm) == f"{value:g} since update 3: not a finite number"


@settings(deadline=None)
@given(st.lists(numbers, max_size=20))
def test_finite_numbers_never_fire(values):
    assert fed(Finite(), values) == []


@settings(deadline=None)
@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_range_includes_what_it_was_given_and_no_more(values):
    grown = NOTHING.including(*values[:5], math.nan, math.inf).including(*values[5:])
    assert grown == (min(values), max(values))
    assume(len(values) > 1)
    assert not grown.is_empty
