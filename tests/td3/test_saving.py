"""Saving, loading and going on: our files, Stable-Baselines3's, and those of other algorithms."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import stable_baselines3 as sb3
import torch as th
from pixels import PixelEnv
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_carla.buffers import FrameReplayBuffer
from sb3_carla.td3 import TD3

SETTINGS: dict[str, Any] = {"seed": 0, "buffer_size": 200, "learning_starts": 10, "batch_size": 4, "device": "cpu"}


def weights_differ(one: sb3.TD3, other: sb3.TD3) -> list[str]:
    expected, found = one.policy.state_dict(), other.policy.state_dict()
    return [name for name in expected if not th.equal(expected[name], found[name])]


def go_on(model: sb3.TD3, buffer: Path) -> sb3.TD3:
    """Train on what is in the buffer only, so that nothing but the model decides the outcome."""
    model.load_replay_buffer(buffer)
    model.set_random_seed(7)
    model._setup_learn(100)
    model._current_progress_remaining = 0.5
    model.train(gradient_steps=6, batch_size=8)
    return model


def test_a_loaded_model_goes_on_exactly_as_the_saved_one(tmp_path: Path) -> None:
    model = TD3(
        "CnnPolicy",
        PixelEnv(),
        learning_rates={"actor_cnn": "lin_1e-4", "critic_mlp": lambda remaining: 1e-3 * remaining},
        max_grad_norm={"actor_cnn": 0.01, "critic_cnn": 0.02},
        target="mpg",
        smoothness=0.3,
        **SETTINGS,
    ).learn(40)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = TD3.load(tmp_path / "model", env=PixelEnv(), device="cpu")

    assert (loaded.smoothness, loaded.target) == (0.3, "mpg")
    assert loaded.max_grad_norm == {"actor_cnn": 0.01, "critic_cnn": 0.02}
    assert isinstance(loaded.replay_buffer, FrameReplayBuffer)
    assert weights_differ(go_on(model, tmp_path / "buffer.pkl"), go_on(loaded, tmp_path / "buffer.pkl")) == []
    groups = loaded.actor.optimizer.param_groups + loaded.critic.optimizer.param_groups
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates == pytest.approx({"actor_cnn": 5e-5, "actor_mlp": 1e-4, "critic_cnn": 3e-4, "critic_mlp": 5e-4})
    assert model.last_update == loaded.last_update


@pytest.mark.parametrize("policy", ["CnnPolicy", "MlpPolicy"])
def test_a_file_of_sb3s_td3_goes_on_exactly_as_it_would_in_sb3(policy: str, tmp_path: Path) -> None:
    env = PixelEnv() if policy == "CnnPolicy" else gym.make("Pendulum-v1")
    stock = sb3.TD3(policy, env, **SETTINGS).learn(40)
    stock.save(tmp_path / "model")
    stock.save_replay_buffer(tmp_path / "buffer")
    ours = TD3.load(tmp_path / "model", env=env, device="cpu", max_grad_norm=None)
    assert weights_differ(go_on(stock, tmp_path / "buffer.pkl"), go_on(ours, tmp_path / "buffer.pkl")) == []
    assert {group["name"] for group in ours.critic.optimizer.param_groups} <= {"critic_cnn", "critic_mlp"}


def test_parameters_travel_between_our_td3_and_sb3s_both_as_dict_and_as_file(tmp_path: Path) -> None:
    stock = sb3.TD3("CnnPolicy", PixelEnv(), **SETTINGS).learn(30)
    ours = TD3("CnnPolicy", PixelEnv(), policy_kwargs={"features_extractor_class": NatureCNN}, **SETTINGS)
    ours.set_parameters(stock.get_parameters())
    assert weights_differ(stock, ours) == []
    stock.save(tmp_path / "model")
    policy_kwargs = {"features_extractor_class": NatureCNN}
    other = TD3("CnnPolicy", PixelEnv(), policy_kwargs=policy_kwargs, **{**SETTINGS, "seed": 5})
    other.set_parameters(str(tmp_path / "model"))
    assert weights_differ(stock, other) == []
    moments = [model.critic.optimizer.state_dict()["state"] for model in (stock, other)]
    assert moments[0].keys() == moments[1].keys()
    assert all(th.equal(moments[0][key]["exp_avg"], moments[1][key]["exp_avg"]) for key in moments[0])


def test_a_file_like_object_loads_too() -> None:
    model = TD3("CnnPolicy", PixelEnv(), **SETTINGS)
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    assert weights_differ(model, TD3.load(file, device="cpu")) == []


@pytest.mark.parametrize("algorithm", [sb3.SAC, sb3.PPO, sb3.A2C], ids=lambda algorithm: algorithm.__name__)
def test_a_file_of_another_algorithm_is_refused_by_name(algorithm: Any, tmp_path: Path) -> None:
    algorithm("MlpPolicy", "Pendulum-v1", device="cpu").save(tmp_path / "model")
    with pytest.raises(ValueError, match=f"seems to be a model of {algorithm.__name__}, not of TD3"):
        TD3.load(tmp_path / "model")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_text("not a zip file")
    with pytest.raises(ValueError, match=r"model\.zip is not a model file"):
        TD3.load(tmp_path / "model.zip")


def test_optimizer_states_of_another_network_are_refused() -> None:
    image_model = TD3("CnnPolicy", PixelEnv(), **SETTINGS)
    vector_model = TD3("MlpPolicy", gym.make("Pendulum-v1"), **SETTINGS)
    parameters = {"critic.optimizer": image_model.get_parameters()["critic.optimizer"]}
    with pytest.raises(ValueError, match="Load the file with the policy that it was saved with"):
        vector_model.set_parameters(parameters, exact_match=False)


def test_incomplete_parameters_are_refused_as_sb3_does() -> None:
    model = TD3("MlpPolicy", gym.make("Pendulum-v1"), **SETTINGS)
    incomplete = {name: dict(list(state.items())[:-1]) for name, state in model.get_parameters().items()}
    with pytest.raises(RuntimeError, match="Missing key"):
        model.set_parameters(incomplete)
