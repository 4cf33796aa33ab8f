"""The split into four parts, and the arguments that are given per part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from pixels import DictEnv, PixelEnv
from torch import nn

from sb3_carla.extractors import NatureCNN
from sb3_carla.td3 import PARTS, TD3, CnnPolicy, PartsError


def make_model(policy: Any = "CnnPolicy", **settings: Any) -> TD3:
    env = DictEnv() if policy == "MultiInputPolicy" else PixelEnv()
    return TD3(policy, env, buffer_size=10, device="cpu", **settings)


def rates(model: TD3, progress_remaining: float = 1.0) -> dict[str, float]:
    model._current_progress_remaining = progress_remaining
    if not hasattr(model, "_logger"):
        model._setup_learn(1)
    model._update_learning_rate([model.actor.optimizer, model.critic.optimizer])
    optimizers = (model.actor.optimizer, model.critic.optimizer)
    return {group["name"]: group["lr"] for optimizer in optimizers for group in optimizer.param_groups}


@pytest.mark.parametrize("policy", ["CnnPolicy", "MaxPoolCnnPolicy", "GruCnnPolicy", "MultiInputPolicy", "MlpPolicy"])
@pytest.mark.parametrize("share", [False, True], ids=["separate", "shared"])
def test_every_trained_parameter_is_in_exactly_one_group_of_one_optimizer(policy: str, share: bool) -> None:
    model = make_model(policy, policy_kwargs={"share_features_extractor": share})
    optimizers = (model.actor.optimizer, model.critic.optimizer)
    groups = [group["params"] for optimizer in optimizers for group in optimizer.param_groups]
    grouped = [parameter for group in groups for parameter in group]
    trained = {id(parameter) for parameter in (*model.actor.parameters(), *model.critic.parameters())}
    assert sorted(map(id, grouped)) == sorted(trained)
    assert len(grouped) == sum(len(parameters) for parameters in model.parts.values())


def test_actor_and_critic_own_separate_cnns() -> None:
    model = make_model()
    storages = [{p.data_ptr() for p in model.parts[part]} for part in ("actor_cnn", "critic_cnn")]
    assert len(storages[0]) == len(storages[1]) > 0
    assert storages[0].isdisjoint(storages[1])


def test_the_parts_are_said_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    make_model(verbose=1, learning_rates={"actor_cnn": 2e-5}, max_grad_value={"critic_mlp": 100})
    said = capsys.readouterr().out
    assert "Actor and critic own separate features extractors (NatureCNN)." in said
    assert "learning rate 2e-05, gradient not clipped" in said
    assert "gradient |component| <= 100" in said


class OneCnnPolicy(CnnPolicy):
    """A policy whose critic uses the actor's CNN without saying so."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.critic.features_extractor = self.actor.features_extractor


class OrphanPolicy(CnnPolicy):
    """A policy with a parameter that belongs to neither actor nor critic."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.temperature = nn.Parameter(th.zeros(1))


class TiedTargetPolicy(CnnPolicy):
    """A policy whose target actor is the actor itself."""

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.actor_target = self.actor


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (OneCnnPolicy, r"actor\.features_extractor.* belong to more than one part"),
        (OrphanPolicy, "temperature are trainable but belong to no part"),
        (TiedTargetPolicy, "belong to a target network as well"),
    ],
)
def test_a_policy_that_cannot_be_split_is_refused(policy: type[CnnPolicy], message: str) -> None:
    with pytest.raises(PartsError, match=message):
        make_model(policy)


def test_a_rate_may_be_a_number_a_string_a_function_or_a_linear_schedule() -> None:
    model = make_model(
        learning_rate=1e-3,
        learning_rates={"actor_cnn": "1e-5", "actor_mlp": "lin_2e-4", "critic_cnn": lambda remaining: 0.1 * remaining},
    )
    assert rates(model) == {"actor_cnn": 1e-5, "actor_mlp": 2e-4, "critic_cnn": 0.1, "critic_mlp": 1e-3}
    assert rates(model, 0.25) == pytest.approx(
        {"actor_cnn": 1e-5, "actor_mlp": 5e-5, "critic_cnn": 0.025, "critic_mlp": 1e-3}
    )


def test_one_rate_is_the_rate_of_all_parts() -> None:
    assert rates(make_model(learning_rates="3e-4")) == dict.fromkeys(PARTS, 3e-4)
    assert rates(make_model(learning_rate="lin_1e-3"), 0.5) == dict.fromkeys(PARTS, 5e-4)


def test_image_policies_have_slower_actors_unless_a_rate_is_given() -> None:
    defaults = {"actor_cnn": 1e-4, "actor_mlp": 1e-4, "critic_cnn": 3e-4, "critic_mlp": 3e-4}
    assert rates(make_model()) == defaults
    assert rates(make_model(learning_rates={"actor_cnn": 1e-5})) == {**defaults, "actor_cnn": 1e-5}
    assert rates(make_model(learning_rate=7e-4)) == dict.fromkeys(PARTS, 7e-4)
    assert set(rates(make_model("MlpPolicy")).values()) == {1e-3}


def test_a_dict_of_vectors_has_the_rates_and_layers_of_sb3() -> None:
    env = DictEnv()
    env.observation_space = spaces.Dict(state=env.observation_space["state"])
    model = TD3("MultiInputPolicy", env, buffer_size=10, device="cpu")
    assert set(rates(model).values()) == {1e-3}
    assert model.policy.net_arch == [400, 300]


@pytest.mark.parametrize("named", [None, NatureCNN], ids=["default", "named"])
def test_our_extractors_have_bounded_features_whether_they_are_named_or_not(named: Any) -> None:
    policy_kwargs: dict[str, Any] = {} if named is None else {"features_extractor_class": named}
    extractor = make_model(policy_kwargs=policy_kwargs).actor.features_extractor
    assert extractor.features_dim == 50
    assert isinstance(extractor.trunk[-1], nn.Tanh)
    policy_kwargs["features_extractor_kwargs"] = {"features_dim": 512, "trunk": "leaky_relu"}
    plain = make_model(policy_kwargs=policy_kwargs).actor.features_extractor
    assert plain.features_dim == 512
    assert isinstance(plain.trunk[-1], nn.LeakyReLU)


def test_a_part_without_a_rate_of_its_own_follows_a_replaced_schedule() -> None:
    model = make_model(learning_rate=1e-3, learning_rates={"actor_mlp": 1e-4})
    model.lr_schedule = lambda _: 5e-3
    assert rates(model) == {"actor_cnn": 5e-3, "actor_mlp": 1e-4, "critic_cnn": 5e-3, "critic_mlp": 5e-3}


@pytest.mark.parametrize("argument", ["learning_rates", "max_grad_norm", "max_grad_value"])
@pytest.mark.parametrize(
    "value", [{"actor": 1.0}, {"actor_cnn": -1.0}, {"actor_cnn": "fast"}, {"actor_mlp": np.nan}, [1.0], True]
)
def test_an_unknown_part_or_a_bad_value_is_refused_naming_the_parts(argument: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{argument}.*actor_cnn, actor_mlp, critic_cnn, critic_mlp"):
        make_model(**{argument: value})


def test_a_part_has_one_kind_of_limit() -> None:
    with pytest.raises(ValueError, match="critic_cnn have a limit in max_grad_norm and in max_grad_value"):
        make_model(max_grad_norm={"critic_cnn": 1.0}, max_grad_value=100)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"target": "max"}, "min, mpg"),
        ({"smoothness": -1.0}, "smoothness"),
        ({"action_penalty": -1.0}, "action_penalty"),
        ({"critic_loss": "l1"}, "mse, huber"),
        ({"max_nonfinite_updates": 0}, "1 or more"),
        ({"max_grad_norm": "lin_10"}, "no schedule"),
    ],
)
def test_a_bad_option_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_model(**setting)
