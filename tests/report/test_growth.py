from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from progress_file import write_progress

from sb3_carla.report import analyse, make_report
from sb3_carla.report.growth import Clock, fit_growth
from sb3_carla.report.logs import Series

STEPS = np.arange(1.0, 81.0) * 50
CLOCK = Clock("updates", np.array([0.0, 4000.0]), np.array([0.0, 4000.0]))


def grown(values, noise=0.05):
    noisy = np.asarray(values) * np.exp(noise * np.random.default_rng(0).normal(size=len(STEPS)))
    return fit_growth("q", Series(STEPS, noisy), CLOCK)


@pytest.mark.parametrize("exponent", [3.2, 4.5, 5.9])
def test_a_power_law_is_named_with_its_exponent(exponent):
    growth = grown(1e-6 * STEPS**exponent)
    assert growth.better == "power law"
    assert growth.best.rate == pytest.approx(exponent, rel=0.1)
    assert growth.power.r2 > growth.exponential.r2


def test_an_exponential_is_named_with_its_rate_and_the_step_at_which_float32_overflows():
    growth = grown(2.29 * np.exp(0.00275 * STEPS))
    assert growth.better == "exponential"
    assert growth.best.rate == pytest.approx(0.00275, rel=0.05)
    exact = math.log(float(np.finfo(np.float32).max) / 2.29) / 0.00275
    assert growth.best.overflow_float32 == pytest.approx(exact, rel=0.05)
    assert growth.best.overflow_float64 > 7 * growth.best.overflow_float32


@pytest.mark.parametrize(
    "values",
    [
        np.full(80, 3.0),
        50 * (1 - np.exp(-STEPS / 500)),  # what a critic that learns looks like
        100 * np.log(STEPS),
        3.0 * STEPS,
        np.where(STEPS < 1000, STEPS**3, 10.0),  # back to normal at the end
        STEPS**3 * np.where(np.arange(80) % 2, 1.0, -1.0),
    ],
    ids=["constant", "levels off", "logarithm", "straight line", "a passing peak", "two signs"],
)
def test_what_does_not_grow_for_good_is_given_no_law(values):
    assert grown(values) is None


def test_over_a_short_range_neither_law_is_named():
    growth = grown(1e-3 * np.exp(STEPS / 4000 * math.log(500)))
    assert growth.better is None
    assert "fewer than 3 decades" in growth.reason


def test_growth_without_a_law_is_not_decided():
    sizes = np.exp(0.004 * STEPS + 3.0 * np.sin(STEPS / 300))
    assert grown(sizes).better is None


@given(scale=st.floats(1e-6, 1e6), sign=st.sampled_from([-1.0, 1.0]))
def test_the_size_and_the_sign_of_a_metric_do_not_change_its_law(scale, sign):
    growth = grown(sign * scale * STEPS**4)
    assert growth.better == "power law"
    assert growth.best.rate == pytest.approx(grown(STEPS**4).best.rate, abs=1e-6)


def test_the_law_counts_updates_where_they_were_logged(tmp_path):
    updates = np.arange(1, 61) * 10
    columns = {"train/n_updates": updates.tolist(), "train/q_policy_mean": (1e-3 * updates**4.0).tolist()}
    (growth,) = analyse(
        write_progress(tmp_path, {**columns, "train/actor_loss": (-1e-3 * updates**4.0).tolist()})
    ).growths
    assert growth.clock == "updates"
    assert growth.best.rate == pytest.approx(4.0, abs=0.01)
    assert (growth.metric, growth.also) == ("train/q_policy_mean", ("train/actor_loss",))
    # 100 steps are 10 updates
    exact = 10 * (float(np.finfo(np.float32).max) / 1e-3) ** 0.25
    assert growth.best.overflow_float32 == pytest.approx(exact, rel=0.01)


def test_the_report_names_the_law_and_where_it_leads(tmp_path):
    q = (1e-3 * (np.arange(1, 61) * 10.0) ** 5).tolist()
    text = make_report(write_progress(tmp_path / "run", {"train/q_policy_mean": q})).read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `train/q_policy_mean` |") and "t^" in line)
    assert "| power law |" in row
    assert "| never in practice |" in row  # a fifth power takes 1e62 steps to leave float64


def test_a_run_that_does_not_grow_says_so(tmp_path):
    run = write_progress(tmp_path / "run", {"train/q_policy_mean": [1.0, 2.0, 1.5] * 10})
    assert "No metric grows without slowing down." in make_report(run).read_text()
