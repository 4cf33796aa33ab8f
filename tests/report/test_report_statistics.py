from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_carla.report import Series
from sb3_carla.report.statistics import smooth, summarise, trend


def series(values):
    return Series(np.arange(len(values), dtype=np.float64), np.array(values, dtype=np.float64))


def test_a_summary_leaves_out_what_is_not_finite_and_counts_it():
    one = summarise(series([1.0, math.nan, 3.0, math.inf, 5.0]))
    assert (one.count, one.not_finite) == (5, 2)
    assert (one.initial, one.final, one.mean, one.low, one.high) == (1.0, 5.0, 3.0, 1.0, 5.0)
    assert one.std == pytest.approx(math.sqrt(8 / 3))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (range(50), "rising"),
        (range(50, 0, -1), "falling"),
        ([7.0] * 50, "flat"),
        ([(-1.0) ** i for i in range(50)], "flat"),
        ([1.0, 2.0], "too few values"),
    ],
)
def test_the_trend_is_named(values, expected):
    assert trend(series(list(values))).split(",")[0] == expected


def test_a_tenfold_change_is_told_with_its_factor():
    assert trend(series([1.0] * 10 + [500.0] * 10)) == "rising, x500"
    assert trend(series([500.0] * 10 + [1.0] * 10)) == "falling, /500"


finite = st.floats(-1e150, 1e150, allow_nan=False)


@settings(deadline=None)
@given(st.lists(finite, min_size=1, max_size=60))
def test_the_running_mean_stays_within_the_values(values):
    means = smooth(series(values))
    slack = 1e-9 * max(abs(value) for value in values)
    assert len(means) >= 1
    assert min(values) - slack <= means.values.min() <= means.values.max() <= max(values) + slack


@settings(deadline=None)
@given(st.lists(finite, min_size=6, max_size=60))
def test_the_trend_of_the_negative_is_the_opposite(values):
    opposite = {"rising": "falling", "falling": "rising", "flat": "flat"}
    assert trend(series([-value for value in values])).split(",")[0] == opposite[trend(series(values)).split(",")[0]]


def test_importing_the_report_starts_no_window_system():
    program = "import sys, sb3_carla.report, sb3_carla.report.plots; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_a_running_mean_does_not_lag():
    means = smooth(series(list(range(100))), share=0.2)
    assert means.values - means.steps == pytest.approx(0.5)  # an even window has no middle
    assert len(means) == 81


def test_a_clear_rise_of_a_running_mean_is_a_trend():
    episodes = np.random.default_rng(0).normal(size=300) + np.linspace(0, 20, 300)
    assert trend(series(smooth(series(list(episodes)), share=0.3).values.tolist())) == "rising"


def test_a_curve_that_rises_early_and_levels_off_has_risen():
    time = np.arange(100)
    assert trend(series((5 * (1 - np.exp(-time / 10))).tolist())) == "rising"
    assert trend(series(np.minimum(time, 20).tolist())) == "rising"
