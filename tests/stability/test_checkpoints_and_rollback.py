from __future__ import annotations

import math
import os
import pickle
import re

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from small_models import ALGORITHMS, InflatedTD3, NoiseFrames, SmallCNN, small
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

from sb3_carla.buffers import FrameReplayBuffer
from sb3_stability import Checkpoint, HealthyCheckpoints, RollbackToHealthyCheckpoint
from sb3_stability.restoring import restore, scale_learning_rates


def weights(model):
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def same(first, second):
    return all(th.equal(first[name], second[name]) for name in first)


class FaultAt(BaseCallback):
    """At one update, once or each time it is reached: blow up the critic and its target, so that Q leaves its range."""

    def __init__(self, update, factor=1e5, times=1):
        super().__init__()
        self.update, self.factor, self.times, self.done = update, factor, times, False

    def _on_step(self):
        if self.model._n_updates < self.update:
            self.done = False
        elif not self.done and self.times > 0:
            self.done, self.times = True, self.times - 1
            with th.no_grad():
                for parameter in self.model.critic.parameters():
                    parameter.add_(self.factor * th.sign(parameter))
        return True


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_that_explodes_goes_back_and_ends_healthy(algorithm, tmp_path, capsys):
    model = small(algorithm)
    rescue = RollbackToHealthyCheckpoint(tmp_path, steps=(), every=60, check_freq=5)
    model.learn(200, callback=[FaultAt(100), rescue])
    assert len(rescue.rollbacks) == 1
    assert not rescue.triggered
    assert model.num_timesteps == 200
    assert model.learning_rate == pytest.approx(small(algorithm).learning_rate * 0.3)
    assert rescue.states["q_value_explosion"].looks == 0
    assert abs(rescue.states["q_value_explosion"].value) < 1630
    # One update after each step from the 51st on: the counters are those of a run without a detour
    assert model._n_updates == 150
    assert model.replay_buffer.size() == 200
    assert re.search(r"went back from step 15\d to step 120", capsys.readouterr().out)


def test_going_back_puts_everything_where_it_was(tmp_path):
    model = small(SAC)
    model.learn(150)
    checkpoint = Checkpoint.write(tmp_path, model, with_replay_buffer=True)
    expected, moments = weights(model), repr(model.actor.optimizer.state_dict())
    entropy, stored, updates = model.log_ent_coef.item(), model.replay_buffer.pos, model._n_updates
    model.learn(100, reset_num_timesteps=False)
    assert not same(expected, weights(model))
    buffer = model.replay_buffer
    restore(model, checkpoint)
    assert same(expected, weights(model))
    assert repr(model.actor.optimizer.state_dict()) == moments
    assert model.log_ent_coef.item() == entropy
    assert model.replay_buffer is buffer
    assert (buffer.pos, buffer.size()) == (stored, stored)
    assert (model.num_timesteps, model._n_updates) == (150, updates)
    model.learn(50, reset_num_timesteps=False)


def test_n_step_returns_do_not_run_across_the_point_of_return(tmp_path):
    model = small(TD3, n_steps=3)
    model.learn(150)
    checkpoint = Checkpoint.write(tmp_path, model, with_replay_buffer=True)
    model.learn(30, reset_num_timesteps=False)
    restore(model, checkpoint)
    assert model.replay_buffer.timeouts[149].all()


def test_a_nan_reward_is_gone_with_the_buffer_that_held_it(tmp_path):
    class Glitch(gym.Wrapper):
        steps = 0

        def step(self, action):
            self.steps += 1
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, math.nan if self.steps == 170 else reward, terminated, truncated, info

    model = small(SAC, Glitch(gym.make("Pendulum-v1")))
    rescue = RollbackToHealthyCheckpoint(tmp_path, steps=(), every=50, verbose=0)
    model.learn(300, callback=rescue)
    assert len(rescue.rollbacks) >= 1
    assert not rescue.triggered
    assert model.num_timesteps == 300
    assert np.isfinite(model.replay_buffer.rewards[:300]).all()
    assert all(th.isfinite(parameter).all() for parameter in model.policy.parameters())


def test_a_fault_that_stays_is_stopped_after_the_last_rollback(tmp_path):
    model = small(InflatedTD3)
    rescue = RollbackToHealthyCheckpoint(tmp_path, max_rollbacks=2, steps=(), every=50, check_freq=5, verbose=0)
    model.learn(5000, callback=rescue)
    assert rescue.triggered
    assert len(rescue.rollbacks) == 2
    assert "after 2 rollbacks the mean Q(s, pi(s)) was" in rescue.message


def test_normalisation_goes_back_with_the_model(tmp_path):
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    model = small(TD3, env, gradient_steps=2)
    model.learn(200)
    checkpoint = Checkpoint.write(tmp_path, model, with_replay_buffer=True)
    count, mean = env.obs_rms.count, env.obs_rms.mean.copy()
    model.learn(200, reset_num_timesteps=False)
    restore(model, checkpoint)
    assert env.obs_rms.count == count
    assert np.array_equal(env.obs_rms.mean, mean)
    assert np.allclose(model._last_obs, env.normalize_obs(env.get_original_obs()))


def test_a_run_on_images_with_several_envs_recovers(tmp_path):
    env = make_vec_env(NoiseFrames, n_envs=2, seed=0)
    policy_kwargs = {"net_arch": [32], "features_extractor_class": SmallCNN}
    model = TD3(
        "CnnPolicy", env, learning_starts=40, seed=0, buffer_size=400, batch_size=32, policy_kwargs=policy_kwargs
    )
    rescue = RollbackToHealthyCheckpoint(tmp_path, steps=(), every=50, check_freq=5, verbose=0)
    model.learn(300, callback=[FaultAt(60), rescue])
    assert len(rescue.rollbacks) == 1
    assert model.num_timesteps == 300


def frames_model(folder):
    return TD3(
        "CnnPolicy",
        NoiseFrames(),
        learning_starts=40,
        seed=0,
        buffer_size=400,
        batch_size=32,
        policy_kwargs={"net_arch": [32], "features_extractor_class": SmallCNN},
        replay_buffer_class=FrameReplayBuffer,
        replay_buffer_kwargs={"folder": folder},
    )


def test_a_second_rollback_keeps_the_buffer_whose_earlier_frames_are_overwritten(tmp_path, capsys):
    model = frames_model(tmp_path / "frames")
    rescue = RollbackToHealthyCheckpoint(tmp_path / "checkpoints", steps=(), every=50, check_freq=5)
    model.learn(300, callback=[FaultAt(75, times=2), rescue])
    assert [re.search(r"to step (\d+)", rollback).group(1) for rollback in rescue.rollbacks] == ["100", "50"]
    assert not rescue.triggered
    assert model.num_timesteps == 300
    assert model.replay_buffer.size() > 300, "what was seen after step 50 is still there"
    assert capsys.readouterr().out.count("the present replay buffer is kept") == 1


def test_a_damaged_replay_buffer_is_an_error_that_changes_nothing(tmp_path):
    model = small(TD3).learn(60)
    checkpoint = Checkpoint.write(tmp_path, model, with_replay_buffer=True)
    with checkpoint.replay_buffer_path.open("r+b") as file:
        file.truncate(100)
    model.learn(30, reset_num_timesteps=False)
    before = weights(model)
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        restore(model, checkpoint)
    assert same(before, weights(model))
    assert model.num_timesteps == 90


@pytest.mark.parametrize(
    ("rate", "half"), [(1e-3, 5e-4), (LinearSchedule(1e-3, 0.0, 1.0), 5e-4), (lambda progress: 1e-3, 5e-4)]
)
def test_learning_rates_stay_lowered_through_training_and_saving(rate, half, tmp_path):
    model = small(TD3, learning_rate=rate)
    scale_learning_rates(model, 0.5)
    assert model.lr_schedule(1.0) == pytest.approx(half)
    scale_learning_rates(model, 0.5)
    assert model.lr_schedule(1.0) == pytest.approx(half / 2)
    model.learn(60)
    assert model.actor.optimizer.param_groups[0]["lr"] <= half / 2
    model.save(tmp_path / "model")
    assert TD3.load(tmp_path / "model").lr_schedule(1.0) == pytest.approx(half / 2)


def test_those_of_listed_steps_and_the_latest_checkpoints_are_kept(tmp_path, capsys):
    saver = HealthyCheckpoints(tmp_path, steps=(60, 130), every=50, keep=2)
    small(TD3).learn(260, callback=saver)
    assert [checkpoint.step for checkpoint in Checkpoint.all_in(tmp_path)] == [60, 130, 200, 250]
    assert [checkpoint.step for checkpoint in saver.saved] == [60, 130, 200, 250]
    assert [one.replay_buffer_path is not None for one in saver.saved] == [False, False, True, True]
    assert capsys.readouterr().out.count("saved") == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step_{step:09d}" for step in (60, 130, 200, 250)]


def test_listed_checkpoints_stay_when_a_run_is_continued(tmp_path):
    small(TD3).learn(110, callback=HealthyCheckpoints(tmp_path, steps=(60,), every=50, keep=1, verbose=0))
    model = Checkpoint.all_in(tmp_path)[-1].load(TD3, make_vec_env("Pendulum-v1", seed=0))
    saver = HealthyCheckpoints(tmp_path, steps=(60,), every=50, keep=1, verbose=0)
    model.learn(60, callback=saver, reset_num_timesteps=False)
    assert [checkpoint.step for checkpoint in saver.saved] == [60, 150]
    assert Checkpoint.all_in(tmp_path) == saver.saved
    without_buffer = saver.saved[0].load(TD3, make_vec_env("Pendulum-v1", seed=0))
    assert (without_buffer.num_timesteps, without_buffer.replay_buffer.size()) == (60, 0)


def test_no_checkpoint_is_made_of_an_exploding_run(tmp_path, capsys):
    saver = HealthyCheckpoints(tmp_path, steps=(100,), every=150, check_freq=5)
    small(TD3).learn(170, callback=[FaultAt(80), saver])
    assert [checkpoint.step for checkpoint in Checkpoint.all_in(tmp_path)] == [100]
    assert "it is not healthy" in capsys.readouterr().out


def test_a_run_is_continued_from_its_last_checkpoint(tmp_path):
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    small(TD3, env).learn(200, callback=HealthyCheckpoints(tmp_path, steps=(100,), verbose=0))
    checkpoint = Checkpoint.all_in(tmp_path)[-1]
    model = checkpoint.load(TD3, make_vec_env("Pendulum-v1", n_envs=2, seed=0))
    assert model.num_timesteps == 100
    assert model.replay_buffer.size() == 50
    assert model.get_vec_normalize_env().obs_rms.count == pytest.approx(100 + 2, abs=1)
    saver = HealthyCheckpoints(tmp_path, steps=(100, 150), verbose=0)
    model.learn(100, callback=saver, reset_num_timesteps=False)
    assert [checkpoint.step for checkpoint in saver.saved] == [100, 150]


def test_a_half_written_checkpoint_is_not_one(tmp_path, monkeypatch):
    model = small(TD3).learn(60)
    whole = Checkpoint.write(tmp_path, model, with_replay_buffer=True)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError("disk full")))
    model.num_timesteps = 61
    with pytest.raises(OSError, match="disk full"):
        Checkpoint.write(tmp_path, model, with_replay_buffer=True)
    assert Checkpoint.all_in(tmp_path) == [whole]
    with whole.model_path.open("r+b") as file:
        file.truncate(100)
    assert Checkpoint.all_in(tmp_path) == []


def test_the_checkpoints_of_another_run_are_not_overwritten(tmp_path):
    small(TD3).learn(60, callback=HealthyCheckpoints(tmp_path, steps=(50,), verbose=0))
    with pytest.raises(ValueError, match="holds a checkpoint of step 50"):
        small(TD3).learn(60, callback=HealthyCheckpoints(tmp_path))


def test_a_buffer_too_large_is_said_and_left_out(tmp_path, capsys):
    saver = HealthyCheckpoints(tmp_path, steps=(50,), max_buffer_gb=1e-3)
    small(TD3).learn(60, callback=saver)
    assert saver.saved[0].replay_buffer_path is None
    assert "will not be saved" in capsys.readouterr().out


@pytest.mark.parametrize("in_a_file", [False, True])
def test_frames_count_as_part_of_the_buffer_unless_a_save_leaves_them_in_their_file(in_a_file, tmp_path, capsys):
    model = frames_model(tmp_path / "frames" if in_a_file else None)
    saver = HealthyCheckpoints(tmp_path / "checkpoints", steps=(50, 80), max_buffer_gb=5e-5)
    model.learn(90, callback=saver)
    assert model.replay_buffer.nbytes > 100_000
    assert [one.replay_buffer_path is not None for one in saver.saved] == [in_a_file, in_a_file]
    assert capsys.readouterr().out.count("will not be saved") == (0 if in_a_file else 1)


def test_without_a_folder_the_one_of_the_logger_is_taken(tmp_path):
    model = small(TD3, tensorboard_log=str(tmp_path))
    model.learn(60, callback=HealthyCheckpoints(steps=(50,), verbose=0))
    assert Checkpoint.all_in(tmp_path / "TD3_1" / "healthy_checkpoints")
    with pytest.raises(ValueError, match="Give a folder"):
        small(TD3).learn(60, callback=HealthyCheckpoints())
