from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from faulty import BrokenTD3, InflatedTD3, LeakyTD3, NoiseFrames, SmallCNN
from gymnasium import spaces
from sb3_contrib import TQC, CrossQ
from sb3_stability import (
    StopTrainingOnActorLossExplosion,
    StopTrainingOnNonFinite,
    StopTrainingOnQValueExplosion,
    UnreadableModelError,
)
from stable_baselines3 import DDPG, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecNormalize

ALGORITHMS = [TD3, DDPG, SAC, TQC, CrossQ]


@pytest.fixture(autouse=True)
def one_thread():
    threads = th.get_num_threads()
    th.set_num_threads(1)
    yield
    th.set_num_threads(threads)


def small(algorithm, env="Pendulum-v1", **arguments):
    arguments = {
        "learning_starts": 50,
        "seed": 0,
        "batch_size": 64,
        "policy_kwargs": {"net_arch": [32, 32]},
        **arguments,
    }
    return algorithm("MlpPolicy", env, **arguments)


def camera_model(algorithm, **arguments):
    policy_kwargs = {"net_arch": [64, 64], "features_extractor_class": SmallCNN}
    return algorithm(
        "CnnPolicy",
        NoiseFrames(),
        learning_starts=200,
        seed=0,
        batch_size=32,
        buffer_size=2000,
        policy_kwargs=policy_kwargs,
        **arguments,
    )


def all_three(**arguments):
    return [
        StopTrainingOnQValueExplosion(**arguments),
        StopTrainingOnActorLossExplosion(**arguments),
        StopTrainingOnNonFinite(**arguments),
    ]


def triggered(callbacks):
    return [type(callback).__name__ for callback in callbacks if callback.triggered]


def logged(model, folder):
    """Read the CSV log of a model as a list of rows."""
    lines = (folder / "progress.csv").read_text().splitlines()
    keys = lines[0].split(",")
    return [dict(zip(keys, line.split(","), strict=True)) for line in lines[1:]]


# -- healthy runs are left alone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_healthy_run_goes_on_to_the_end(algorithm, capsys):
    model = small(algorithm)
    callbacks = all_three()
    model.learn(350, callback=callbacks)
    assert triggered(callbacks) == []
    assert model.num_timesteps == 350
    assert capsys.readouterr().out == ""


def test_a_healthy_run_from_images_goes_on_to_the_end():
    model = camera_model(TD3)
    callbacks = all_three()
    model.learn(450, callback=callbacks)
    assert triggered(callbacks) == []


class Unrewarded(gym.Wrapper):
    def step(self, action):
        observation, _, terminated, truncated, info = self.env.step(action)
        return observation, 0.0, terminated, truncated, info


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_that_sees_no_reward_is_not_called_an_explosion(algorithm):
    model = small(algorithm, Unrewarded(gym.make("Pendulum-v1")))
    callbacks = all_three()
    model.learn(300, callback=callbacks)
    assert triggered(callbacks) == []


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_the_rewards_does_not_matter(scale):
    env = gym.wrappers.TransformReward(gym.make("Pendulum-v1"), lambda reward: scale * reward)
    model = small(TD3, env)
    callbacks = all_three()
    model.learn(500, callback=callbacks)
    assert triggered(callbacks) == []


def test_several_envs_with_normalised_rewards_and_three_step_returns_go_on_to_the_end():
    env = VecNormalize(make_vec_env("Pendulum-v1", n_envs=3, seed=0))
    model = small(TD3, env, n_steps=3, gradient_steps=3)
    callbacks = all_three()
    model.learn(600, callback=callbacks)
    assert triggered(callbacks) == []
    low, high = callbacks[0]._readings.latest().rewards
    # Normalised rewards of Pendulum (raw: -16 to 0) are small, and single ones, not sums of three.
    assert -10.0 <= low < high <= 0.0


class Reach(gym.Env):
    """Move a point to a goal on a line; the dict observation that hindsight replay needs."""

    observation_space = spaces.Dict(
        {key: spaces.Box(-2.0, 2.0, (1,), np.float32) for key in ("observation", "achieved_goal", "desired_goal")}
    )
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.at = 0, np.zeros(1, np.float32)
        self.goal = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self._observe(), {}

    def step(self, action):
        self.steps += 1
        self.at = np.clip(self.at + 0.2 * action, -2, 2).astype(np.float32)
        return self._observe(), float(self.compute_reward(self.at, self.goal, {})), False, self.steps == 20, {}

    def compute_reward(self, achieved, desired, info):
        return -(np.abs(achieved - desired).max(axis=-1) > 0.1).astype(np.float32)

    def _observe(self):
        return {"observation": self.at, "achieved_goal": self.at, "desired_goal": self.goal}


def test_hindsight_replay_with_dict_observations_goes_on_to_the_end():
    model = DDPG(
        "MultiInputPolicy",
        Reach(),
        replay_buffer_class=HerReplayBuffer,
        learning_starts=50,
        seed=0,
        policy_kwargs={"net_arch": [32, 32]},
    )
    callbacks = all_three()
    model.learn(400, callback=callbacks)
    assert triggered(callbacks) == []
    assert callbacks[0]._readings.latest().rewards == (-1.0, 0.0)


# -- faulty runs are stopped -------------------------------------------------------------------------------------------


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
    assert "a fixed threshold given by argument" in stop.message


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


def test_a_resumed_explosion_is_stopped_though_it_was_there_from_the_start():
    model = small(TD3, gamma=0.9, batch_size=16)
    model.learn(1100)
    with th.no_grad():
        for critic in (model.critic, model.critic_target):
            for head in critic.q_networks:
                head[-1].bias.fill_(-1e4)
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model.learn(1000, callback=stop, reset_num_timesteps=False)
    assert stop.triggered
    assert model.num_timesteps < 1200


# -- the training is not disturbed -------------------------------------------------------------------------------------


def weights(model):
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_weights_are_the_same_with_and_without_callbacks(algorithm):
    expected = weights(small(algorithm).learn(120))
    for name, value in weights(small(algorithm).learn(120, callback=all_three(check_freq=3))).items():
        assert th.equal(value, expected[name]), name


def test_the_weights_are_the_same_with_several_envs_and_images():
    runs = []
    for callback in (None, all_three(check_freq=5)):
        env = make_vec_env(NoiseFrames, n_envs=2, seed=0)
        policy_kwargs = {"net_arch": [32], "features_extractor_class": SmallCNN}
        model = SAC("CnnPolicy", env, learning_starts=50, seed=0, buffer_size=500, policy_kwargs=policy_kwargs)
        runs.append(weights(model.learn(200, callback=callback)))
    assert all(th.equal(runs[0][name], runs[1][name]) for name in runs[0])


class ModeSpy(BaseCallback):
    """Notes the train or eval mode of every module at every step."""

    def _on_training_start(self):
        self.seen = []

    def _on_step(self):
        self.seen.append([module.training for module in self.model.policy.modules()])
        return True


def test_the_mode_of_every_module_is_left_as_it_was():
    before, after = ModeSpy(), ModeSpy()
    small(CrossQ).learn(120, callback=[before, *all_three(check_freq=1), after])
    assert before.seen == after.seen


def test_no_hook_stays_on_the_critic_after_training():
    model = small(TD3)
    model.learn(120, callback=all_three())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.critic.modules())


# -- what is logged, and how the callbacks are made --------------------------------------------------------------------


def test_the_alert_is_logged_as_0_before_and_1_at_the_stop(tmp_path):
    model = small(InflatedTD3)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    stop = StopTrainingOnQValueExplosion(verbose=0)
    model.learn(3000, callback=stop, log_interval=1)
    rows = logged(model, tmp_path)
    alerts = [float(row["alerts/q_value_explosion"]) for row in rows]
    assert alerts[-1] == 1.0
    assert set(alerts[:-1]) == {0.0}
    last = rows[-1]
    assert float(last["stability/q_policy_mean"]) < float(last["stability/q_limit_low"]) < 0.0


@dataclass(frozen=True)
class Record:
    n_updates: int
    q_policy_mean: float | None
    actor_loss: float | None
    q_replay_mean: float = 0.5
    q_replay_std: float = 0.1
    critic_loss: float = 0.1
    reward_min: float = -1.0
    reward_max: float = 1.0


class RecordingTD3(TD3):
    """Keeps a record of its last update, which says something else than its networks."""

    last_update = None

    def train(self, gradient_steps, batch_size=100):
        super().train(gradient_steps, batch_size)
        updates = self._n_updates
        value = None if updates < 5 else 1.0 if updates < 80 else 1e5
        self.last_update = Record(updates, value, None if value is None else -value)


@pytest.mark.parametrize("callback", [StopTrainingOnQValueExplosion, StopTrainingOnActorLossExplosion])
def test_the_record_of_a_model_that_keeps_one_is_believed_at_every_update(callback):
    model = small(RecordingTD3)
    stop = callback(verbose=0, check_freq=1000)
    model.learn(500, callback=stop)
    assert stop.triggered
    assert model._n_updates == 80


def test_a_run_can_be_continued_with_the_same_callback_after_a_stop():
    model = small(TD3)
    stop = StopTrainingOnQValueExplosion(max_abs_q=2.0, verbose=0)
    model.learn(1000, callback=stop)
    assert stop.triggered
    stop.threshold = None
    steps = model.num_timesteps
    model.learn(50, callback=stop, reset_num_timesteps=False)
    assert not stop.triggered
    assert stop.message == ""
    assert model.num_timesteps == steps + 50


def test_a_model_without_a_critic_of_actions_is_refused_with_a_reason():
    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=64)
    with pytest.raises(UnreadableModelError, match="PPO has no actor, critic and replay buffer"):
        model.learn(64, callback=StopTrainingOnQValueExplosion())


def test_numbers_that_yaml_reads_as_strings_are_numbers():
    assert StopTrainingOnQValueExplosion(max_abs_q="1e4").threshold == 1e4
    assert StopTrainingOnActorLossExplosion(max_abs_loss="1e6", margin="2").margin == 2.0


@pytest.mark.parametrize("margin", ["fast", -1, 0, math.nan])
def test_a_margin_that_is_no_positive_number_is_refused(margin):
    with pytest.raises(ValueError, match=r"margin=.* is not a number greater than 0"):
        StopTrainingOnQValueExplosion(margin=margin)


def test_a_callback_without_any_limit_is_refused():
    with pytest.raises(ValueError, match="Give max_abs_loss"):
        StopTrainingOnActorLossExplosion(margin=None)


def test_a_discount_of_one_is_said_to_leave_nothing_to_check(capsys):
    small(TD3, gamma=1.0).learn(60, callback=StopTrainingOnQValueExplosion())
    assert "gamma=1 leaves returns without a bound" in capsys.readouterr().out


def test_rl_zoo3_makes_the_callbacks_from_yaml():
    # In a process of its own, because importing rl_zoo3 patches gymnasium.
    program = """
import yaml
from rl_zoo3.utils import get_callback_list
text = '''
callback:
  - sb3_stability.StopTrainingOnQValueExplosion: {margin: 2.5, max_abs_q: 1e4}
  - sb3_stability.StopTrainingOnActorLossExplosion
'''
q, loss = get_callback_list(yaml.safe_load(text))
print(type(q).__name__, q.margin, q.threshold, type(loss).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    expected = "StopTrainingOnQValueExplosion 2.5 10000.0 StopTrainingOnActorLossExplosion"
    assert done.stdout.splitlines()[-1] == expected


def test_importing_the_package_imports_neither_carla_nor_rl_zoo3():
    program = "import sys, sb3_stability; print([m for m in ('carla', 'rl_zoo3', 'sb3_carla') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
