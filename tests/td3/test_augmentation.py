"""Random shifts of images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from pixels import DictEnv, PixelEnv

from sb3_carla.td3 import TD3
from sb3_carla.td3.augmentation import random_shift, repeat_border


@pytest.mark.parametrize("pad", [1, 4])
def test_the_border_is_repeated_as_numpy_repeats_it(pad: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 7, 9), dtype=np.uint8)
    expected = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="edge")
    np.testing.assert_array_equal(repeat_border(th.as_tensor(images), pad).numpy(), expected)


def test_every_image_is_one_of_its_shifts_and_all_shifts_come_up() -> None:
    image = th.arange(2 * 6 * 7, dtype=th.uint8).reshape(2, 6, 7)
    th.manual_seed(0)
    shifted = random_shift(image.expand(300, 2, 6, 7), 1)
    padded = np.pad(image.numpy(), ((0, 0), (1, 1), (1, 1)), mode="edge")
    possible = {padded[:, y : y + 6, x : x + 7].tobytes() for y in range(3) for x in range(3)}
    assert len(possible) == 9
    assert {one.numpy().tobytes() for one in shifted} == possible
    assert (shifted.dtype, shifted.shape) == (th.uint8, (300, 2, 6, 7))


@pytest.mark.parametrize(("policy", "env"), [("CnnPolicy", PixelEnv), ("MultiInputPolicy", DictEnv)])
def test_training_with_shifts_sees_other_images_and_stays_finite(policy: str, env: Any) -> None:
    def trained(pad: int) -> TD3:
        return TD3(
            policy, env(), seed=0, buffer_size=50, learning_starts=10, batch_size=4, random_shift=pad, device="cpu"
        ).learn(14)

    plain, shifted = trained(0), trained(4)
    assert plain.last_update is not None
    assert shifted.last_update is not None
    assert shifted.last_update.finite
    assert shifted.last_update.critic_loss != plain.last_update.critic_loss


def test_a_shift_of_vectors_or_a_negative_one_is_refused() -> None:
    with pytest.raises(ValueError, match="has no images"):
        TD3("MlpPolicy", "Pendulum-v1", random_shift=4)
    with pytest.raises(ValueError, match="random_shift is -1"):
        TD3("CnnPolicy", PixelEnv(), random_shift=-1)
