from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from small_models import (
    ALGORITHMS,
    all_three,
    camera_model,
    small,
    triggered,
)
from stable_baselines3 import DDPG, TD3, HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_healthy_run_goes_on_to_the_end(algorithm, capsys):
    model = small(algorithm)
    callbacks = all_three()
    model.learn(250, callback=callbacks)
    assert triggered(callbacks) == []
    assert model.num_timesteps == 250
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
    model.learn(200, callback=callbacks)
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
    model.learn(250, callback=callbacks)
    assert triggered(callbacks) == []
    assert callbacks[0]._readings.latest().rewards == (-1.0, 0.0)
