from __future__ import annotations

import math

import pytest
import torch as th
from sb3_contrib import CrossQ
from small_models import (
    ALGORITHMS,
    NoiseFrames,
    SmallCNN,
    all_three,
    small,
)
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.env_util import make_vec_env

from sb3_stability import Readings


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


def test_a_reading_leaves_batch_norm_as_it_was_even_in_the_middle_of_training():
    model = small(CrossQ).learn(120)
    model.policy.set_training_mode(True)
    model.critic.set_bn_training_mode(False)
    modes = [module.training for module in model.policy.modules()]
    assert len(set(modes)) == 2
    before, readings = weights(model), Readings(model)
    assert math.isfinite(readings.afresh().q_policy_mean)
    assert [module.training for module in model.policy.modules()] == modes
    assert all(th.equal(value, before[name]) for name, value in weights(model).items())


def test_no_hook_stays_on_the_critic_after_training():
    model = small(TD3)
    model.learn(120, callback=all_three())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.critic.modules())
