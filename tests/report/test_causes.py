"""The cause that a report ranks first, for runs with one planted fault each."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from progress_file import write_progress

from sb3_carla.report import analyse, make_report
from sb3_carla.report.causes import RULES
from sb3_carla.report.signs import READERS

N = 40
TIME = np.arange(1, N + 1, dtype=float)
WAVER = np.random.default_rng(0).normal(size=N)
RISING = (10 + TIME + WAVER).tolist()
FLAT = (10 + WAVER).tolist()

HEALTHY = {
    "train/q_policy_mean": (5 * (1 - np.exp(-TIME / 10))).tolist(),
    "train/q1_mean": (5 * (1 - np.exp(-TIME / 10)) - 0.2).tolist(),
    "train/critic_loss": (1 + 0.1 * WAVER).tolist(),
    "train/saturated_share": [0.1] * N,
    "grad_norm/actor_cnn": (0.5 + 0.1 * WAVER**2).tolist(),
    "grad_norm/actor_mlp": (0.5 + 0.1 * WAVER**2).tolist(),
    "stability/q_limit_low": [-150.0] * N,
    "stability/q_limit_high": [150.0] * N,
    "rollout/ep_rew_mean": RISING,
    "rollout/ep_len_mean": [20.0] * N,
    "train/learning_rate": [3e-4] * N,
}
EXPLODED = (1e-2 * TIME**5).tolist()

FAULTS = {
    "leaks into": {
        "train/q_policy_mean": EXPLODED,
        "train/saturated_share": [1.0] * N,
        "grad_norm/actor_cnn": EXPLODED,
        "grad_norm/actor_mlp": [0.0] * N,
        "rollout/ep_rew_mean": FLAT,
    },
    "its target feeds on": {
        "train/q_policy_mean": EXPLODED,
        "train/q1_mean": EXPLODED,
        "train/critic_loss": (1e-4 * TIME**8).tolist(),
        "rollout/ep_rew_mean": FLAT,
    },
    "learning rate is too high": {"train/learning_rate": [1e-2] * N, "rollout/ep_rew_mean": FLAT},
    "actor is saturated": {
        "train/saturated_share": [1.0] * N,
        "grad_norm/actor_cnn": [0.0] * N,
        "grad_norm/actor_mlp": [1.0] + [0.0] * (N - 1),
        "rollout/ep_rew_mean": FLAT,
    },
    "awkward size": {"rollout/ep_rew_mean": (1e4 + WAVER).tolist()},
    "came in from outside": {"train/critic_loss": [1.0] * 20 + [math.nan] * 20, "rollout/ep_rew_mean": FLAT},
    "overflowed after": {
        "train/critic_loss": np.where(TIME > 30, math.inf, 10.0**TIME).tolist(),
        "rollout/ep_rew_mean": FLAT,
    },
    "entropy coefficient runs away": {"train/ent_coef": (0.01 * 1.3**TIME).tolist(), "rollout/ep_rew_mean": FLAT},
    "changes too much": {"train/approx_kl": [0.3] * N, "rollout/ep_rew_mean": FLAT},
    "stopped to explore": {"train/entropy_loss": (-3.0 * 0.8**TIME).tolist(), "rollout/ep_rew_mean": FLAT},
    "nothing was learned yet": {"rollout/ep_rew_mean": FLAT},
    "Nothing is wrong": {},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_the_first_cause(tmp_path, fault):
    run = analyse(write_progress(tmp_path, {**HEALTHY, **FAULTS[fault]}))
    assert fault in run.causes[0].name, [(cause.name, cause.score) for cause in run.causes]
    assert run.causes[0].evidence_for


def test_every_rule_uses_signs_that_exist():
    for rule in RULES:
        assert {*rule.any_of, *rule.none_of, *rule.weights} <= READERS.keys(), rule.name


def test_every_sign_has_a_say_in_some_rule():
    used = {name for rule in RULES for name in (*rule.any_of, *rule.none_of, *rule.weights)}
    assert READERS.keys() == used


def test_evidence_against_a_cause_is_told(tmp_path):
    run = analyse(write_progress(tmp_path, {**HEALTHY, **FAULTS["actor is saturated"], "rollout/ep_rew_mean": RISING}))
    (cause,) = [cause for cause in run.causes if "actor is saturated" in cause.name]
    assert any(text.startswith("reward rising") for text in cause.evidence_against)


def test_what_was_not_logged_is_told_and_weighs_nothing(tmp_path):
    columns = {name: HEALTHY[name] for name in ("train/q1_mean", "rollout/ep_rew_mean", "rollout/ep_len_mean")}
    columns["train/actor_loss"] = (-np.asarray(EXPLODED)).tolist()
    run = analyse(write_progress(tmp_path, {**columns, "rollout/ep_rew_mean": FLAT}))
    assert "leaks" in run.causes[0].name
    assert any("leak probe" in text for text in run.causes[0].unknown)


def test_rewards_scaled_up_or_down_do_not_change_the_verdict_on_a_leak(tmp_path):
    for scale in (0.01, 1.0, 100.0):
        columns = {**HEALTHY, **FAULTS["leaks into"]}
        for name in columns:
            if name.startswith(("train/q", "stability/q", "rollout/ep_rew")):
                columns[name] = (scale * np.asarray(columns[name])).tolist()
        run = analyse(write_progress(tmp_path / str(scale), columns))
        assert "leaks into" in run.causes[0].name


def test_a_log_without_any_metric_of_training_says_that_training_had_not_begun(tmp_path):
    run = analyse(write_progress(tmp_path, {"rollout/ep_rew_mean": [1.0, 2.0], "rollout/ep_len_mean": [20.0, 20.0]}))
    assert "had not begun" in run.causes[0].name


def test_what_happened_is_told_in_order(tmp_path):
    alert = [0.0] * 30 + [1.0] * 10
    columns = {**HEALTHY, **FAULTS["leaks into"], "alerts/q_value_explosion": alert}
    events = analyse(write_progress(tmp_path, columns)).timeline
    steps = [event.step for event in events]
    assert steps == sorted(steps)
    assert ("alert", 3100, "q_value_explosion fired") in [(event.origin, event.step, event.what) for event in events]
    assert any("passes the limit" in event.what for event in events)


def test_an_alert_that_ends_and_one_that_flickers_are_told_once_each(tmp_path):
    columns = {**HEALTHY, "alerts/gap": [0.0] * 10 + [1.0] * 5 + [0.0] * 25, "alerts/noisy": [0.0, 1.0] * 20}
    told = [event.what for event in analyse(write_progress(tmp_path, columns)).timeline if event.origin == "alert"]
    assert told == ["noisy fired, 20 times up to step 4000", "gap fired", "gap over"]


def test_the_report_lists_causes_with_evidence_and_advice(tmp_path):
    page = make_report(write_progress(tmp_path, {**HEALTHY, **FAULTS["leaks into"]}))
    text = page.read_text()
    assert "1. **The actor loss leaks into the actor's own features** (strong evidence)" in text
    assert "what to try: Let the critic read the observation through its own features extractor" in text
    data = json.loads((page.parent / "report.json").read_text())
    assert data["causes"][0]["strength"] == "strong"
    assert data["signs"]["policy_apart"]["present"] is True


def test_the_leak_probe_decides(tmp_path):
    found = {**HEALTHY, "alerts/actor_loss_leak": [1.0] + [0.0] * (N - 1)}
    assert "leaks into" in analyse(write_progress(tmp_path / "found", found)).causes[0].name
    clean = {**HEALTHY, **FAULTS["leaks into"], "alerts/actor_loss_leak": [0.0] * N}
    (cause,) = [one for one in analyse(write_progress(tmp_path / "clean", clean)).causes if "leaks into" in one.name]
    assert any("probe found nothing" in text for text in cause.evidence_against)


def test_what_the_stability_callbacks_log_is_read_where_the_algorithm_logs_nothing(tmp_path):
    own = {name: HEALTHY[name] for name in HEALTHY if name.startswith(("stability/", "rollout/"))}
    columns = {**own, "rollout/ep_rew_mean": FLAT, "stability/q_policy_mean": EXPLODED}
    columns |= {"stability/q_replay_mean": [1.0] * N, "stability/saturated_share": [1.0] * N}
    columns |= {"train/n_updates": (10 * TIME).tolist()}
    run = analyse(write_progress(tmp_path, columns))
    assert "leaks into" in run.causes[0].name
    assert run.growths[0].metric == "stability/q_policy_mean"
