"""The fast paths: equal up to rounding in float32, statistically equal in bf16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from pixels import DictEnv, PixelEnv
from stable_baselines3.common.torch_layers import NatureCNN as StockCNN

from sb3_carla.extractors import GRUCNN, ImageExtractor, MaxPoolCNN, NatureCNN
from sb3_carla.td3 import TD3, CnnPolicy
from sb3_carla.td3.networks import set_precision

SPACE = PixelEnv().observation_space
SETTINGS: dict[str, Any] = {"seed": 0, "buffer_size": 100, "learning_starts": 10, "batch_size": 8, "device": "cpu"}


class EveryNetworkConverts(CnnPolicy):
    """Reads batches as SB3 does: every network converts the images for itself."""

    def prepare(self, batch: Any) -> Any:
        return batch


def test_the_fast_path_equals_the_plain_one_within_a_tolerance() -> None:
    """One conversion, channels last, fused Adam. The tolerance: 1 % of the way that the weights have gone."""

    def weights(policy: Any, fused: bool, updates: int = 20) -> dict[str, th.Tensor]:
        policy_kwargs = {"optimizer_kwargs": {"fused": fused}}
        model = TD3(policy, PixelEnv(), policy_kwargs=policy_kwargs, **SETTINGS)
        model.learn(SETTINGS["learning_starts"] + updates)
        return {
            name: p.detach().clone() for name, p in (*model.actor.named_parameters(), *model.critic.named_parameters())
        }

    start = weights("CnnPolicy", True, 0)
    fast, plain = weights("CnnPolicy", True), weights(EveryNetworkConverts, False)
    for name in fast:
        way = (plain[name] - start[name]).norm()
        assert way > 0
        assert (fast[name] - plain[name]).norm() <= 0.01 * way, name


@pytest.mark.parametrize("extractor", [NatureCNN, MaxPoolCNN, GRUCNN])
def test_bf16_features_are_close_to_those_of_float32_and_are_float32_themselves(
    extractor: type[ImageExtractor],
) -> None:
    th.manual_seed(0)
    model = extractor(SPACE, trunk="layernorm_tanh")
    images = th.rand(16, *SPACE.shape)
    exact = model(images)
    assert set_precision(model, "bf16")
    rounded = model(images)
    assert rounded.dtype == th.float32
    assert not th.equal(rounded, exact)
    assert (rounded - exact).abs().mean() < 0.02
    assert th.corrcoef(th.stack([rounded.flatten(), exact.flatten()]))[0, 1] > 0.99


def test_no_tanh_runs_in_bf16_so_a_large_argument_keeps_its_gradient() -> None:
    extractor = NatureCNN(SPACE, features_dim=8, trunk="tanh")
    set_precision(extractor, "bf16")
    with th.no_grad():
        extractor.trunk[0].weight.zero_()
        extractor.trunk[0].bias.fill_(5.0)
    extractor(th.rand(2, *SPACE.shape)).sum().backward()
    gradient = extractor.trunk[0].bias.grad
    assert (gradient > 0).all(), "in bf16, tanh(5) is 1 and its derivative 0"
    th.testing.assert_close(gradient, th.full((8,), 2 * (1 - np.tanh(5.0) ** 2)), rtol=0.01, atol=0.0)


@pytest.mark.parametrize(("policy", "env"), [("CnnPolicy", PixelEnv), ("MultiInputPolicy", DictEnv)])
@pytest.mark.parametrize("encoder", ["separate", "critic"])
def test_training_in_bf16_stays_near_that_in_float32(policy: str, env: Any, encoder: str) -> None:
    def first_loss(precision: str) -> float:
        model = TD3(policy, env(), precision=precision, policy_kwargs={"encoder": encoder}, **SETTINGS).learn(11)
        assert model.last_update is not None
        return model.last_update.critic_loss

    assert first_loss("bf16") == pytest.approx(first_loss("float32"), rel=0.1)
    assert first_loss("bf16") != first_loss("float32")


def test_the_precision_comes_back_with_a_saved_model(tmp_path: Path) -> None:
    model = TD3("CnnPolicy", PixelEnv(), precision="bf16", **SETTINGS)
    model.save(tmp_path / "model")
    loaded = TD3.load(tmp_path / "model", device="cpu")
    assert loaded.critic_target.features_extractor.precision == loaded.precision == "bf16"
    policy = type(model.policy).load(_saved(model.policy, tmp_path), device="cpu")
    assert policy.actor.features_extractor.precision == "float32", "the policy alone is for acting"


def _saved(policy: Any, folder: Path) -> Path:
    policy.save(folder / "policy")
    return folder / "policy"


@pytest.mark.parametrize(
    ("policy", "env", "policy_kwargs"),
    [("MlpPolicy", "Pendulum-v1", {}), ("CnnPolicy", PixelEnv(), {"features_extractor_class": StockCNN})],
)
def test_bf16_without_an_extractor_of_ours_is_refused(policy: str, env: Any, policy_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no features extractor of sb3_carla\. Leave it out"):
        TD3(policy, env, precision="bf16", buffer_size=10, policy_kwargs=policy_kwargs)
    with pytest.raises(ValueError, match=r"Unknown precision 'fp16'\. Choose one of float32, bf16"):
        TD3(policy, env, precision="fp16", buffer_size=10)
