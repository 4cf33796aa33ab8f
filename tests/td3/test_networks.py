"""A batch of images that is converted once gives what SB3's conversion in every network gives."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch as th
from pixels import PixelEnv
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_carla.td3 import TD3


def batch(size: int = 3, seed: int = 0) -> ReplayBufferSamples:
    rng = np.random.default_rng(seed)
    images = th.as_tensor(rng.integers(0, 256, (2, size, 4, 42, 42), dtype=np.uint8))
    return ReplayBufferSamples(images[0], th.rand(size, 2), images[1], th.zeros(size, 1), th.zeros(size, 1))


@pytest.mark.parametrize("policy", ["CnnPolicy", "MaxPoolCnnPolicy", "GruCnnPolicy"])
@pytest.mark.parametrize("share", [False, True], ids=["separate", "shared"])
def test_prepared_images_give_the_same_actions_and_values(policy: str, share: bool) -> None:
    policy_kwargs = {"share_features_extractor": share}
    model = TD3(policy, PixelEnv(), buffer_size=10, device="cpu", policy_kwargs=policy_kwargs)
    raw = batch()
    prepared = model.policy.prepare(raw)
    assert prepared.observations is not raw.observations
    for name in ("observations", "next_observations"):
        once, every_time = getattr(prepared, name), getattr(raw, name)
        th.testing.assert_close(model.actor(once), model.actor(every_time))
        th.testing.assert_close(model.critic(once, raw.actions), model.critic(every_time, raw.actions))
        th.testing.assert_close(
            model.critic.q1_forward(once, raw.actions), model.critic.q1_forward(every_time, raw.actions)
        )


def test_a_second_batch_of_another_size_is_prepared_afresh() -> None:
    model = TD3("CnnPolicy", PixelEnv(), buffer_size=10, device="cpu")
    for size in (3, 5, 2):
        raw = batch(size, seed=size)
        th.testing.assert_close(model.actor(model.policy.prepare(raw).observations), model.actor(raw.observations))


def test_a_policy_can_be_copied_after_it_prepared_a_batch() -> None:
    model = TD3("CnnPolicy", PixelEnv(), buffer_size=10, device="cpu")
    raw = batch()
    model.policy.prepare(raw)
    twin = copy.deepcopy(model.policy)
    th.testing.assert_close(twin.actor(raw.observations), model.actor(raw.observations))
