from __future__ import annotations

import pytest
import torch as th
from small_models import (
    BrokenTD3,
    InflatedTD3,
    LeakyTD3,
    camera_model,
    small,
)
from stable_baselines3 import TD3

from sb3_stability import (
    StopTrainingOnActorLossExplosion,
    StopTrainingOnNonFinite,
    StopTrainingOnQValueExplosion,
)


def test_a_leaky_actor_update_is_stopped_before_a_hundred_times_the_bound(capsys):
    model = camera_model(LeakyTD3)
    stop = StopTrainingOnQValueExplosion()
    model.learn(3000, callback=stop)
    assert stop.triggered
    assert model.num_timesteps < 1000
    assert 100.0 < -model.planted_actor_loss < 100 * 100.0  # rewards are at most 1, gamma is 0.99
    assert capsys.readouterr().out.strip() == stop.message


def test_the_message_about_a_leak_says_what_was_seen_and_points_at_the_actor():
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model = camera_model(LeakyTD3)
    model.learn(3000, callback=stop)
    assert "\n" not in stop.message
    for part in (
        f"stopped the training at step {model.num_timesteps} (update {model._n_updates})",
        "above the limit 150 since update",
        "1.5 x 1 / (1 - 0.99)",
        "On replayed actions Q is sane",
        "leak",
    ):
        assert part in stop.message


def test_the_actor_loss_callback_stops_the_leaky_update_too():
    model = camera_model(LeakyTD3)
    stop = StopTrainingOnActorLossExplosion(verbose=0)
    model.learn(3000, callback=stop)
    assert stop.triggered
    assert "minus the actor loss was" in stop.message
    assert -model.planted_actor_loss < 100 * 100.0


@pytest.mark.parametrize("callback", [StopTrainingOnQValueExplosion, StopTrainingOnActorLossExplosion])
def test_a_diverging_target_is_stopped_and_not_called_a_leak(callback):
    model = small(InflatedTD3)
    stop = callback(verbose=0)
    model.learn(3000, callback=stop)
    assert stop.triggered
    assert model.num_timesteps < 1500
    assert abs(stop._readings.latest().q_policy_mean) < 100 * 1630  # Pendulum pays at least -16.3, gamma is 0.99
    assert "leak" not in stop.message
    assert "learning rate" in stop.message


@pytest.mark.parametrize(
    "callback", [StopTrainingOnQValueExplosion, StopTrainingOnActorLossExplosion, StopTrainingOnNonFinite]
)
def test_nan_stops_at_the_next_look(callback):
    model = small(BrokenTD3)
    stop = callback(verbose=0, check_freq=10)
    model.learn(500, callback=stop)
    assert stop.triggered
    assert 50 <= model._n_updates <= 61
    assert "nan" in stop.message


def test_a_fixed_threshold_stops_where_the_bound_would_not():
    model = small(TD3)
    stop = StopTrainingOnQValueExplosion(max_abs_q=2.0, verbose=0)
    model.learn(1000, callback=stop)
    assert stop.triggered
    assert "a fixed threshold" in stop.message


def test_many_updates_at_once_are_seen_at_the_next_step():
    model = small(InflatedTD3, train_freq=800, gradient_steps=800)
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model.learn(5000, callback=stop)
    assert stop.triggered
    assert model._n_updates == 800


def test_updates_after_the_last_step_are_looked_at_when_training_ends():
    model = small(BrokenTD3, learning_starts=10, train_freq=100, gradient_steps=60)
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model.learn(100, callback=stop)
    assert stop.triggered
    stop.on_training_end()  # rl_zoo3 calls it a second time
    assert stop.triggered


def test_a_resumed_explosion_is_stopped_though_it_was_there_from_the_start(monkeypatch):
    monkeypatch.setattr("sb3_stability.looking._WELL_TRAINED", 100)
    model = small(TD3, gamma=0.9)
    model.learn(200)
    with th.no_grad():
        for critic in (model.critic, model.critic_target):
            for head in critic.q_networks:
                head[-1].bias.fill_(-1e4)
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model.learn(1000, callback=stop, reset_num_timesteps=False)
    assert stop.triggered
    assert model.num_timesteps < 300
