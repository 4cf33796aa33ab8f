"""With the extras off, our TD3 computes what Stable-Baselines3's does, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import stable_baselines3 as sb3
import torch as th
from pixels import DictEnv, PixelEnv
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN

from sb3_carla.buffers import FrameReplayBuffer
from sb3_carla.td3 import TD3

UPDATES = 200
SETTINGS: dict[str, Any] = {"seed": 3, "learning_starts": 20, "buffer_size": 500, "device": "cpu"}


def train(algorithm: type[sb3.TD3], policy: str, make_env: Callable[[], gym.Env[Any, Any]], **settings: Any) -> sb3.TD3:
    return algorithm(policy, make_env(), **{**SETTINGS, **settings}).learn(SETTINGS["learning_starts"] + UPDATES)


@pytest.mark.parametrize(
    ("policy", "make_env", "extractor", "settings"),
    [
        ("MlpPolicy", lambda: gym.make("Pendulum-v1"), None, {"batch_size": 32}),
        ("MlpPolicy", lambda: gym.make("Pendulum-v1"), None, {"batch_size": 32, "n_steps": 3, "policy_delay": 3}),
        ("CnnPolicy", PixelEnv, NatureCNN, {"batch_size": 4}),
        ("CnnPolicy", PixelEnv, NatureCNN, {"batch_size": 4, "n_steps": 3}),
        ("MultiInputPolicy", DictEnv, CombinedExtractor, {"batch_size": 4}),
    ],
    ids=["mlp", "mlp n-step", "cnn", "cnn n-step", "dict"],
)
def test_weights_equal_those_of_sb3_bit_for_bit(
    policy: str, make_env: Callable[[], gym.Env[Any, Any]], extractor: Any, settings: dict[str, Any]
) -> None:
    policy_kwargs = {} if extractor is None else {"features_extractor_class": extractor}
    stock = train(sb3.TD3, policy, make_env, **settings)
    ours = train(TD3, policy, make_env, max_grad_norm=None, policy_kwargs=policy_kwargs, **settings)
    if policy == "CnnPolicy":
        assert isinstance(ours.replay_buffer, FrameReplayBuffer)  # so it compares our buffer with SB3's as well
    assert ours._n_updates == stock._n_updates == UPDATES
    expected, found = stock.policy.state_dict(), ours.policy.state_dict()
    assert expected.keys() == found.keys()
    assert [name for name in expected if not th.equal(expected[name], found[name])] == []
