from __future__ import annotations

import math

import numpy as np
import pytest
from progress_file import write_progress

from sb3_carla.report import read_logs, read_settings, run_checks


def checked(folder, question):
    """The one check of a run whose question contains these words."""
    logs = read_logs(folder)
    found = [check for check in run_checks(logs, read_settings(logs)) if question in check.question]
    assert len(found) == 1, [check.question for check in run_checks(logs, read_settings(logs))]
    return found[0]


def limits(low, high, count):
    return {"stability/q_limit_low": [low] * count, "stability/q_limit_high": [high] * count}


def test_q_values_that_leave_their_limits_fail(tmp_path):
    q = [1.0, 50.0, 200.0, 900.0, 4000.0]
    check = checked(write_progress(tmp_path, {"train/q_policy_mean": q, **limits(-150, 150, 5)}), "Q-values")
    assert check.status == "FAIL"
    assert "200 at step 300, 3 of 5 outside of [-150, 150]" in check.evidence


def test_one_outlier_among_the_q_values_is_a_warning(tmp_path):
    q = [1.0, 200.0, 2.0, 3.0, 4.0]
    run = write_progress(tmp_path, {"train/q_policy_mean": q, **limits(-150, 150, 5)})
    assert checked(run, "Q-values").status == "warn"


def test_without_limits_the_largest_q_value_is_told_and_not_judged(tmp_path):
    check = checked(write_progress(tmp_path, {"train/actor_loss": [-1.0, -7.0, -3.0]}), "Q-values")
    assert check.status == "unknown"
    assert "largest 7" in check.evidence


def test_q_of_the_policy_far_above_q_on_replay_is_a_warning(tmp_path):
    columns = {"train/q_policy_mean": [1.0, 1e3, 1e4, 1e5], "train/q1_mean": [1.0, 2.0, 3.0, 3.0]}
    assert checked(write_progress(tmp_path, columns), "near Q of replayed").status == "warn"
    columns["train/q_policy_mean"] = [1.0, 2.0, 3.0, 4.0]
    assert checked(write_progress(tmp_path, columns), "near Q of replayed").status == "pass"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_fails_with_its_first_step(tmp_path, bad):
    check = checked(write_progress(tmp_path, {"train/critic_loss": [1.0, bad, bad]}), "finite")
    assert (check.status, check.evidence) == ("FAIL", "train/critic_loss from step 200")


def test_no_reward_before_the_first_episode_is_no_fault(tmp_path):
    columns = {"rollout/ep_rew_mean": [math.nan, 1.0], "train/critic_loss": [1.0, 1.0]}
    assert checked(write_progress(tmp_path, columns), "finite").status == "pass"


def test_a_loss_above_a_million_fails(tmp_path):
    assert checked(write_progress(tmp_path, {"train/actor_loss": [-1.0, -2e6]}), "Losses").status == "FAIL"
    assert checked(write_progress(tmp_path, {"train/actor_loss": [-1.0, -9e5]}), "Losses").status == "pass"


def test_episodes_that_shrink_to_a_few_steps_fail(tmp_path):
    lengths = np.linspace(50, 2, 30).tolist()
    run = write_progress(tmp_path, {"rollout/ep_len_mean": lengths, "rollout/ep_rew_mean": lengths})
    assert checked(run, "Episode length").status == "FAIL"


def test_shorter_episodes_with_rising_rewards_pass(tmp_path):
    lengths = np.linspace(50, 2, 30)
    run = write_progress(
        tmp_path, {"rollout/ep_len_mean": lengths.tolist(), "rollout/ep_rew_mean": (-lengths).tolist()}
    )
    assert checked(run, "Episode length").status == "pass"


@pytest.mark.parametrize(("norm", "status"), [(1.0, "pass"), (1.000001, "pass"), (1.01, "FAIL"), (math.nan, "unknown")])
def test_the_norm_after_clipping_is_held_against_the_limit(tmp_path, norm, status):
    columns = {"grad_norm_clipped/actor_cnn": [0.5, norm, norm], "grad_limit/actor_cnn": [1.0] * 3}
    if math.isnan(norm):
        columns["grad_norm_clipped/actor_cnn"] = [norm] * 3
    assert checked(write_progress(tmp_path, columns), "actor_cnn within").status == status


def test_without_a_limit_the_largest_norm_is_told_and_not_judged(tmp_path):
    check = checked(write_progress(tmp_path, {"grad_norm_clipped/critic_cnn": [0.5, 24.69]}), "critic_cnn within")
    assert check.status == "unknown"
    assert "24.69, limit not known" in check.evidence


def test_saturated_actions_and_a_dead_actor_gradient_are_warnings(tmp_path):
    columns = {"train/saturated_share": [0.1, 0.99, 0.99], "grad_norm/actor_mlp": [0.5, 0.0, 0.0]}
    run = write_progress(tmp_path, columns)
    assert checked(run, "saturated").status == "warn"
    assert checked(run, "receives a gradient").status == "warn"
    columns = {"train/saturated_share": [0.1, 0.2, 0.2], "grad_norm/actor_mlp": [0.5, 0.1, 0.1]}
    run = write_progress(tmp_path, columns)
    assert checked(run, "saturated").status == "pass"
    assert checked(run, "receives a gradient").status == "pass"


def test_skipped_updates_are_a_warning(tmp_path):
    assert checked(write_progress(tmp_path, {"train/skipped_updates": [0, 3]}), "skipped").status == "warn"
