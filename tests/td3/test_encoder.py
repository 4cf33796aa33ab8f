"""One encoder, trained by the critic's loss alone, which actor and critic read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from pixels import DictEnv, FixedBatches, PixelEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples

from sb3_carla.td3 import TD3

POLICIES: list[tuple[str, Any]] = [
    ("CnnPolicy", None),
    ("MaxPoolCnnPolicy", None),
    ("GruCnnPolicy", None),
    ("MultiInputPolicy", None),
    ("CnnPolicy", NatureCNN),
    ("MultiInputPolicy", CombinedExtractor),
]
IDS = [f"{policy} {'' if extractor is None else extractor.__name__}".strip() for policy, extractor in POLICIES]


def batch(policy: str, size: int = 4) -> Any:
    rng = np.random.default_rng(0)
    images = th.as_tensor(rng.integers(0, 256, (2, size, 4, 42, 42), dtype=np.uint8))
    rest = th.as_tensor(rng.uniform(-1, 1, (size, 2)), dtype=th.float32), th.zeros(size, 1), th.ones(size, 1)
    if policy != "MultiInputPolicy":
        return ReplayBufferSamples(images[0], rest[0], images[1], *rest[1:])
    states = th.as_tensor(rng.uniform(-1, 1, (2, size, 3)), dtype=th.float32)
    now, following = ({"image": image, "state": state} for image, state in zip(images, states, strict=True))
    return DictReplayBufferSamples(now, rest[0], following, *rest[1:])


def make_model(policy: str = "CnnPolicy", extractor: Any = None, **arguments: Any) -> TD3:
    policy_kwargs = {"encoder": "critic", **({} if extractor is None else {"features_extractor_class": extractor})}
    env = DictEnv() if policy == "MultiInputPolicy" else PixelEnv()
    settings = {"seed": 0, "buffer_size": 60, "device": "cpu", "policy_kwargs": policy_kwargs, **arguments}
    model = TD3(policy, env, **settings)
    model.set_logger(Logger(None, []))
    model.replay_buffer = FixedBatches(batch(policy))  # type: ignore[assignment]
    return model


def state(module: th.nn.Module) -> dict[str, th.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(("policy", "extractor"), POLICIES, ids=IDS)
def test_actor_and_critic_read_one_encoder_that_is_the_critics_part(policy: str, extractor: Any) -> None:
    model = make_model(policy, extractor)
    assert model.actor.features_extractor is model.critic.features_extractor
    assert model.actor_target.features_extractor is model.critic_target.features_extractor
    assert model.actor_target.features_extractor is not model.actor.features_extractor
    assert model.parts["actor_cnn"] == []
    assert {id(p) for p in model.parts["critic_cnn"]} == {id(p) for p in model.actor.features_extractor.parameters()}
    assert [group["name"] for group in model.actor.optimizer.param_groups] == ["actor_mlp"]


@pytest.mark.parametrize(("policy", "extractor"), POLICIES, ids=IDS)
def test_the_encoder_runs_once_on_each_of_the_two_observations_of_an_update(policy: str, extractor: Any) -> None:
    model = make_model(policy, extractor, policy_delay=1)
    runs: list[str] = []
    for name, net in (("online", model.critic), ("target", model.critic_target)):
        convolution = next(module for module in net.features_extractor.modules() if isinstance(module, th.nn.Conv2d))
        convolution.register_forward_hook(lambda *_, name=name: runs.append(name))
    model.train(gradient_steps=3, batch_size=4)
    assert sorted(runs) == ["online"] * 3 + ["target"] * 3


def test_the_critics_loss_trains_the_encoder_and_the_actors_does_not() -> None:
    model = make_model(policy_delay=2, learning_rates={"critic_cnn": 0.0, "critic_mlp": 0.0})
    before = state(model.actor)
    model.train(gradient_steps=4, batch_size=4)
    after = state(model.actor)
    moved = {name for name in before if not th.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("mu.")}

    model = make_model(policy_delay=1000)
    before = state(model.actor.features_extractor)
    model.train(gradient_steps=1, batch_size=4)
    assert all(not th.equal(before[name], tensor) for name, tensor in state(model.actor.features_extractor).items())


@pytest.mark.parametrize(("policy", "extractor"), POLICIES, ids=IDS)
def test_an_update_equals_one_that_computes_all_features_where_they_are_used(policy: str, extractor: Any) -> None:
    """A plain reference: features once from the encoder, cut off before the actor; Adam by SB3's defaults."""
    model = make_model(
        policy, extractor, policy_delay=1, target_policy_noise=0.0, max_grad_norm=None, learning_rates=1e-3
    )
    reference = make_model(policy, extractor, learning_rates=1e-3)
    actor, critic, actor_target, critic_target = (
        getattr(reference, name) for name in ("actor", "critic", "actor_target", "critic_target")
    )
    data = batch(policy)
    encoder, target_encoder = critic.features_extractor, critic_target.features_extractor
    features = critic.extract_features(data.observations, encoder)
    with th.no_grad():
        next_features = critic_target.extract_features(data.next_observations, target_encoder)
        joined = th.cat([next_features, actor_target.mu(next_features)], dim=1)
        next_q = th.minimum(*(network(joined) for network in critic_target.q_networks))
        target = data.rewards + (1 - data.dones) * 0.99 * next_q
    optimizers = [th.optim.Adam(critic.parameters(), lr=1e-3), th.optim.Adam(actor.mu.parameters(), lr=1e-3)]
    joined = th.cat([features, data.actions], dim=1)
    loss = sum(((network(joined) - target) ** 2).mean() for network in critic.q_networks)
    loss.backward()  # type: ignore[union-attr]
    optimizers[0].step()
    seen = features.detach()
    optimizers[1].zero_grad()
    (-critic.q_networks[0](th.cat([seen, actor.mu(seen)], dim=1)).mean()).backward()
    optimizers[1].step()
    with th.no_grad():
        for online, slow in ((critic, critic_target), (actor.mu, actor_target.mu)):
            for new, old in zip(online.parameters(), slow.parameters(), strict=True):
                old.mul_(1 - 0.005).add_(0.005 * new)

    model.train(gradient_steps=1, batch_size=4)
    # Adam's first step has the sign of the gradient, so only near-zero gradients could differ, within the rate
    for name, tensor in state(model.policy).items():
        expected = reference.policy.state_dict()[name]
        assert (tensor - expected).abs().max() <= 2e-3
        assert (tensor - expected).abs().mean() <= 1e-5, name


def test_logs_and_limits_have_no_empty_part() -> None:
    model = make_model(max_grad_norm={"actor_cnn": 1.0, "critic_cnn": 1e-3}, verbose=0)
    model.train(gradient_steps=2, batch_size=4)
    logged = model.logger.name_to_value
    assert not [key for key in logged if "actor_cnn" in key]
    assert logged["grad_norm_clipped/critic_cnn"] == pytest.approx(1e-3, rel=1e-3)
    assert {"grad_norm/actor_mlp", "grad_norm/critic_mlp", "train/learning_rate/critic_cnn"} <= logged.keys()


def test_the_log_says_who_trains_the_one_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    make_model(verbose=1)
    said = capsys.readouterr().out
    assert "share one features extractor, trained by the critic's loss (NatureCNN)" in said
    assert "actor_cnn" not in said


@pytest.mark.parametrize("policy", ["CnnPolicy", "MultiInputPolicy"])
def test_a_loaded_model_goes_on_exactly_as_the_saved_one(policy: str, tmp_path: Path) -> None:
    model = make_model(policy, random_shift=4)
    model.train(gradient_steps=3, batch_size=4)
    model.save(tmp_path / "model")
    loaded = TD3.load(tmp_path / "model", env=model.env, device="cpu")
    assert loaded.actor.features_extractor is loaded.critic.features_extractor
    loaded.set_logger(Logger(None, []))
    loaded.replay_buffer = model.replay_buffer
    for one in (model, loaded):
        one.set_random_seed(7)
        one.train(gradient_steps=3, batch_size=4)
    expected, found = state(model.policy), state(loaded.policy)
    assert [name for name in expected if not th.equal(expected[name], found[name])] == []


def test_a_saved_policy_loads_with_its_encoder(tmp_path: Path) -> None:
    model = make_model()
    model.policy.save(tmp_path / "policy")
    loaded = type(model.policy).load(tmp_path / "policy", device="cpu")
    assert loaded.encoder == "critic"
    assert loaded.actor.features_extractor is loaded.critic.features_extractor
    image = model.observation_space.sample()
    np.testing.assert_array_equal(model.predict(image)[0], loaded.predict(image)[0])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"encoder": "actor"}, "Unknown encoder 'actor'. Choose one of separate, critic"),
        ({"encoder": "critic", "share_features_extractor": True}, "Give one of the two"),
    ],
)
def test_an_unknown_or_contradictory_choice_is_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TD3("CnnPolicy", PixelEnv(), buffer_size=10, policy_kwargs=kwargs)
