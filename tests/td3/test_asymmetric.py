"""The policy whose actor reads the images alone and whose critic reads the rest alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from pixels import DictEnv, PixelEnv

from sb3_carla import CarlaEnv
from sb3_carla.td3 import TD3


@pytest.fixture
def model() -> TD3:
    return TD3("AsymmetricPolicy", DictEnv(), seed=0, buffer_size=100, learning_starts=10, batch_size=4, device="cpu")


def observations(model: TD3, seed: int) -> dict[str, th.Tensor]:
    space = model.observation_space
    space.seed(seed)
    return model.policy.obs_to_tensor(space.sample())[0]  # type: ignore[return-value]


def mixed(model: TD3, of_first: str) -> tuple[dict[str, th.Tensor], dict[str, th.Tensor]]:
    """Two observations that share one entry and nothing else."""
    first, second = observations(model, 1), observations(model, 2)
    return first, {key: first[key] if key == of_first else entry for key, entry in second.items()}


def keys(model: TD3) -> tuple[str, str]:
    """The names of the image and of the vector."""
    shapes = {key: len(entry.shape) for key, entry in model.observation_space.spaces.items()}  # type: ignore[attr-defined]
    (image,), (vector,) = [k for k, n in shapes.items() if n == 3], [k for k, n in shapes.items() if n == 1]
    return image, vector


def test_the_actor_reads_the_image_alone(model: TD3) -> None:
    image, vector = keys(model)
    assert th.equal(*(model.actor(each) for each in mixed(model, image)))
    assert not th.equal(*(model.actor(each) for each in mixed(model, vector)))


def test_the_critic_reads_the_vector_alone(model: TD3) -> None:
    image, vector = keys(model)
    actions = th.zeros(1, *model.action_space.shape)  # type: ignore[misc]
    assert th.equal(*(model.critic(each, actions)[0] for each in mixed(model, vector)))
    assert not th.equal(*(model.critic(each, actions)[0] for each in mixed(model, image)))


def test_it_trains_the_actors_cnn_and_has_no_other(model: TD3) -> None:
    before = [parameter.clone() for parameter in model.parts["actor_cnn"]]
    assert model.parts["critic_cnn"] == []
    model.learn(30)
    assert model.last_update is not None
    assert model.last_update.finite
    assert any(not th.equal(old, new) for old, new in zip(before, model.parts["actor_cnn"], strict=True))


def test_what_it_learns_from_is_what_the_networks_see_otherwise(model: TD3) -> None:
    model.learn(20)
    batch = model.replay_buffer.sample(4)  # type: ignore[union-attr]
    prepared = model.policy.prepare(batch)  # type: ignore[operator]
    with th.no_grad():
        assert th.allclose(model.actor(prepared.observations), model.actor(batch.observations), atol=1e-6)
        for one, other in zip(
            model.critic(prepared.observations, batch.actions),
            model.critic(batch.observations, batch.actions),
            strict=True,
        ):
            assert th.allclose(one, other, atol=1e-6)


def test_it_is_loaded_as_it_was_saved(model: TD3, tmp_path: Path) -> None:
    model.learn(20)
    model.save(tmp_path / "model.zip")
    observation = model.observation_space.sample()
    loaded = TD3.load(tmp_path / "model.zip", device="cpu")
    assert np.array_equal(*(each.predict(observation, deterministic=True)[0] for each in (model, loaded)))


def test_it_drives_with_the_dict_observation_of_carla(address: str) -> None:
    env = CarlaEnv(address, observation="dict")
    model = TD3(
        "AsymmetricPolicy", env, buffer_size=200, learning_starts=20, batch_size=8, random_shift=4, device="cpu"
    )
    model.learn(30)
    env.close()
    assert model.last_update is not None
    assert model.last_update.finite


def test_observations_without_a_vector_are_refused() -> None:
    with pytest.raises(ValueError, match=r"observation='dict'"):
        TD3("AsymmetricPolicy", PixelEnv(), buffer_size=10, device="cpu")


@pytest.mark.parametrize("policy_kwargs", [{"share_features_extractor": True}, {"encoder": "critic"}])
def test_nothing_can_be_shared(policy_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nothing to share"):
        TD3("AsymmetricPolicy", DictEnv(), policy_kwargs=policy_kwargs, buffer_size=10, device="cpu")
