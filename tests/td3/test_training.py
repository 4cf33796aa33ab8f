"""What training computes, logs and records."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch as th
from pixels import DictEnv, FixedBatches, PixelEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_carla.buffers import FrameReplayBuffer, PrioritizedFrameReplayBuffer, PrioritizedReplayBuffer
from sb3_carla.td3 import PARTS, TD3
from sb3_stability import StagedTraining


def pendulum_batch(discounts: bool = False, size: int = 16) -> ReplayBufferSamples:
    rng = th.Generator().manual_seed(0)
    observations, next_observations = th.randn(2, size, 3, generator=rng)
    actions, rewards = th.rand(size, 1, generator=rng) * 2 - 1, th.randn(size, 1, generator=rng)
    dones = (th.rand(size, 1, generator=rng) < 0.3).float()
    gammas = th.rand(size, 1, generator=rng) if discounts else None
    return ReplayBufferSamples(observations, actions, next_observations, dones, rewards, gammas)


def make_model(batch: ReplayBufferSamples | None = None, **arguments: Any) -> TD3:
    model = TD3("MlpPolicy", gym.make("Pendulum-v1"), seed=0, buffer_size=10, device="cpu", **arguments)
    model.set_logger(Logger(None, []))
    model.replay_buffer = FixedBatches(pendulum_batch() if batch is None else batch)  # type: ignore[assignment]
    return model


@pytest.mark.parametrize("policy", ["CnnPolicy", "MaxPoolCnnPolicy", "GruCnnPolicy", "MultiInputPolicy"])
def test_every_image_policy_trains_and_logs_every_key(policy: str) -> None:
    env = DictEnv() if policy == "MultiInputPolicy" else PixelEnv()
    model = TD3(policy, env, seed=0, buffer_size=100, learning_starts=10, batch_size=4, device="cpu")
    model.learn(16, log_interval=1000)
    logged = model.logger.name_to_value
    losses = "actor_loss critic_loss q1_mean q2_mean q_policy_mean q_target_mean td_error q_std q_max q_gap"
    expected = {f"train/{name}" for name in [*losses.split(), "saturated_share", "skipped_updates", "n_updates"]}
    maxima = "actor_loss critic_loss q1_mean q2_mean q_policy_mean q_target_mean td_error q_std q_gap"
    expected |= {f"train_max/{name}" for name in maxima.split()}
    for tag in ("grad_norm_max", "grad_norm", "grad_norm_clipped", "grad_clipped_share", "train/learning_rate"):
        expected |= {f"{tag}/{part}" for part in PARTS}
    assert expected <= logged.keys()
    assert all(np.isfinite(value) for value in logged.values())


def test_a_gate_of_the_staged_training_judges_the_gradient_of_every_part() -> None:
    model = TD3("CnnPolicy", PixelEnv(), seed=0, buffer_size=100, learning_starts=10, batch_size=4, device="cpu")
    stages = StagedTraining(gates=(16,), verbose=0)
    model.learn(20, callback=stages)
    checks = {check.name: check for check in stages.checklists[16]}
    assert checks["gradient limits"].passed
    for part in PARTS:
        assert f"gradient of {part} up to" in checks["learning signal"].evidence
        assert part in checks["gradient limits"].evidence
    failing = StagedTraining(gates=(16,), patience=1, critical_grad_norm=1e-9, verbose=0)
    TD3("CnnPolicy", PixelEnv(), seed=0, buffer_size=100, learning_starts=10, batch_size=4, device="cpu").learn(
        20, callback=failing
    )
    assert failing.triggered
    assert re.search(r"the norm of the gradient of (actor|critic)_(cnn|mlp) was", failing.message)


@pytest.mark.parametrize("prioritized", [False, True])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_dict_observations_are_stored_by_frames_with_n_step_returns_and_priorities(
    prioritized: bool, n_steps: int, recwarn: pytest.WarningsRecorder
) -> None:
    model = TD3(
        "MultiInputPolicy",
        DictEnv(),
        n_steps=n_steps,
        replay_buffer_class=PrioritizedReplayBuffer if prioritized else None,
        buffer_size=100,
        learning_starts=10,
        batch_size=4,
        device="cpu",
    ).learn(14)
    kind = PrioritizedFrameReplayBuffer if prioritized else FrameReplayBuffer
    assert type(model.replay_buffer) is model.replay_buffer_class is kind
    assert model.replay_buffer.n_steps == n_steps
    assert model.last_update is not None
    assert model.last_update.finite
    assert not [warning for warning in recwarn if "n_steps" in str(warning.message)]


def test_the_record_holds_what_an_independent_computation_gives() -> None:
    batch = pendulum_batch()
    model = make_model(batch, target_policy_noise=0.0, gamma=0.9, policy_delay=1)
    with th.no_grad():
        q1, q2 = model.critic(batch.observations, batch.actions)
        next_actions = model.actor_target(batch.next_observations)
        next_q = th.minimum(*model.critic_target(batch.next_observations, next_actions))
        target = batch.rewards + (1 - batch.dones) * 0.9 * next_q
    model.train(gradient_steps=1, batch_size=16)
    record = model.last_update
    assert record is not None
    expected = {
        "critic_loss": (q1 - target).square().mean() + (q2 - target).square().mean(),
        "q1_mean": q1.mean(),
        "q2_mean": q2.mean(),
        "q_replay_mean": q1.mean(),
        "q_replay_std": q1.numpy().std(),
        "q_replay_max": q1.max(),
        "q_gap": (q1 - q2).abs().mean(),
        "q_target_mean": target.mean(),
        "td_error": (q1 - target).abs().mean(),
        "reward_min": batch.rewards.min(),
        "reward_max": batch.rewards.max(),
        "gamma": 0.9,
        "n_updates": 1,
    }
    found = {name: getattr(record, name) for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-4)
    assert record.q_policy_mean is not None
    assert record.actor_loss == -record.q_policy_mean


def test_a_critic_only_update_carries_the_values_of_the_latest_actor_update() -> None:
    model = make_model(policy_delay=2)
    model.train(gradient_steps=1, batch_size=16)
    first = model.last_update
    assert first is not None
    assert (first.actor_updated, first.actor_loss, first.q_policy_mean) == (False, None, None)
    assert "train/actor_loss" not in model.logger.name_to_value
    model.train(gradient_steps=1, batch_size=16)
    second = model.last_update
    model.train(gradient_steps=1, batch_size=16)
    third = model.last_update
    assert second is not None
    assert third is not None
    assert (second.actor_updated, third.actor_updated) == (True, False)
    assert third.q_policy_mean == second.q_policy_mean
    assert third.grad_norms["actor_mlp"] == second.grad_norms["actor_mlp"]
    assert third.critic_loss != second.critic_loss


def test_the_log_holds_the_means_over_the_call() -> None:
    losses = []
    one_by_one = make_model()
    for _ in range(4):
        one_by_one.train(gradient_steps=1, batch_size=16)
        assert one_by_one.last_update is not None
        losses.append(one_by_one.last_update.critic_loss)
    at_once = make_model()  # seeds the generators again
    at_once.train(gradient_steps=4, batch_size=16)
    assert at_once.logger.name_to_value["train/critic_loss"] == pytest.approx(np.mean(losses))
    assert at_once.logger.name_to_value["train_max/critic_loss"] == pytest.approx(max(losses))


def test_n_step_discounts_of_the_batch_replace_gamma() -> None:
    batch = pendulum_batch(discounts=True)
    model = make_model(batch, target_policy_noise=0.0, gamma=0.5)
    with th.no_grad():
        next_q = th.minimum(*model.critic_target(batch.next_observations, model.actor_target(batch.next_observations)))
    model.train(gradient_steps=1, batch_size=16)
    expected = (batch.rewards + (1 - batch.dones) * batch.discounts * next_q).mean().item()
    assert model.last_update is not None
    assert model.last_update.q_target_mean == pytest.approx(expected, rel=1e-5)


def test_the_mpg_target_is_the_maximum_minus_the_running_distance_of_the_critics() -> None:
    batch = pendulum_batch()
    model = make_model(batch, target="mpg", target_policy_noise=0.0, gamma=0.9, policy_delay=1000)
    with th.no_grad():
        q1, q2 = model.critic_target(batch.next_observations, model.actor_target(batch.next_observations))
    last_delta = 0.0
    for _ in range(3):  # the target networks stay: only Delta moves
        delta = 0.5 * (last_delta + (q1 - q2).abs())
        expected = (batch.rewards + (1 - batch.dones) * 0.9 * (th.maximum(q1, q2) - delta)).mean().item()
        last_delta = delta.mean().item()
        model.train(gradient_steps=1, batch_size=16)
        assert model.last_update is not None
        assert model.last_update.q_target_mean == pytest.approx(expected, rel=1e-5)


def test_smoothness_adds_the_squared_distance_to_the_target_action_of_the_next_state() -> None:
    batch = pendulum_batch()
    model = make_model(batch, smoothness=0.5, policy_delay=1)
    with th.no_grad():
        distance = model.actor(batch.observations) - model.actor_target(batch.next_observations)
    model.train(gradient_steps=1, batch_size=16)
    record = model.last_update
    assert record is not None
    assert record.q_policy_mean is not None
    penalty = 0.5 * distance.square().sum(dim=1).mean().item()
    assert record.actor_loss == pytest.approx(-record.q_policy_mean + penalty, rel=1e-5)


@pytest.mark.parametrize(("smoothness", "moves"), [(0.0, False), (1.0, True)])
def test_smoothness_alone_draws_the_policy_to_the_target_action_of_the_next_state(
    smoothness: float, moves: bool
) -> None:
    batch = pendulum_batch()
    model = make_model(batch, smoothness=smoothness, policy_delay=1, learning_rates={"critic_mlp": 0.0})
    with th.no_grad():
        model.critic.qf0[-1].weight.zero_()  # Q1 is constant: nothing else moves the actor

    def distance() -> float:
        with th.no_grad():
            actions, next_actions = model.actor(batch.observations), model.actor_target(batch.next_observations)
            return (actions - next_actions).square().mean().item()

    before = distance()
    model.train(gradient_steps=30, batch_size=16)
    if moves:
        assert distance() < 0.5 * before
    else:
        assert distance() == pytest.approx(before, rel=1e-4)


def test_the_action_penalty_adds_the_square_of_what_tanh_squashes() -> None:
    batch = pendulum_batch()
    model = make_model(batch, action_penalty=0.25, policy_delay=1)
    with th.no_grad():
        raw = th.atanh(model.actor(batch.observations))
    model.train(gradient_steps=1, batch_size=16)
    record = model.last_update
    assert record is not None
    assert record.q_policy_mean is not None
    penalty = 0.25 * raw.square().sum(dim=1).mean().item()
    assert record.actor_loss == pytest.approx(-record.q_policy_mean + penalty, rel=1e-4)


def test_the_action_penalty_keeps_actions_from_saturating() -> None:
    def saturated(penalty: float) -> float | None:
        model = make_model(action_penalty=penalty, policy_delay=1)
        model.train(gradient_steps=60, batch_size=16)
        assert model.last_update is not None
        return model.last_update.saturated_share

    assert saturated(0.0) == 1.0
    assert saturated(1.0) == 0.0


def test_the_share_of_saturated_actions_is_measured() -> None:
    model = make_model(policy_delay=1)
    with th.no_grad():
        last = model.actor.mu[-2]
        last.weight.zero_()
        last.bias.fill_(5.0)  # tanh(5) = 0.9999
    model.train(gradient_steps=1, batch_size=16)
    assert model.last_update is not None
    assert model.last_update.saturated_share == 1.0


def test_it_is_a_td3_of_sb3_and_learns_with_its_callbacks() -> None:
    model = TD3("CnnPolicy", PixelEnv(), buffer_size=100, learning_starts=5, batch_size=4)
    assert isinstance(model, sb3.TD3)
    seen: list[int] = []
    model.learn(10, callback=lambda local, _: bool(seen.append(local["self"].num_timesteps)) or True)
    assert seen == list(range(1, 11))


def test_images_are_explored_with_the_papers_noise_unless_noise_is_given() -> None:
    noise = TD3("CnnPolicy", PixelEnv(), buffer_size=10).action_noise
    assert isinstance(noise, NormalActionNoise)
    given = NormalActionNoise(np.zeros(2), np.zeros(2))
    assert TD3("CnnPolicy", PixelEnv(), buffer_size=10, action_noise=given).action_noise is given
    assert TD3("MlpPolicy", "Pendulum-v1").action_noise is None
