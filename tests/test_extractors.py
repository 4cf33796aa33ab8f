"""The features extractors: what they compute, what they accept, what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import stable_baselines3 as sb3
import torch as th
from gymnasium import spaces
from stable_baselines3.common.envs import FakeImageEnv, IdentityEnvBox
from torch import nn
from torch.nn import functional as F

from sb3_carla.extractors import GRUCNN, TRUNKS, ImageAndStateExtractor, ImageExtractor, MaxPoolCNN, NatureCNN

ALL = [NatureCNN, MaxPoolCNN, GRUCNN]


def image_space(channels: int = 4, height: int = 84, width: int = 84) -> spaces.Box:
    return spaces.Box(0, 255, (channels, height, width), np.uint8)


def images(space: spaces.Box, batch: int = 2) -> th.Tensor:
    return th.rand(batch, *space.shape, generator=th.Generator().manual_seed(0))


@pytest.mark.parametrize("extractor", ALL)
@pytest.mark.parametrize("shape", [(4, 84, 84), (1, 36, 36), (12, 64, 96), (4, 120, 90)])
def test_any_image_size_and_channel_count_gives_the_asked_features(
    extractor: type[ImageExtractor], shape: tuple[int, int, int]
) -> None:
    space = image_space(*shape)
    features = extractor(space, features_dim=24)(images(space))
    assert features.shape == (2, 24)
    assert features.isfinite().all()


@pytest.mark.parametrize("extractor", [NatureCNN, MaxPoolCNN])
def test_84x84_gives_3136_flat_features(extractor: type[ImageExtractor]) -> None:
    assert extractor(image_space()).trunk[0].in_features == 3136


def test_the_nature_cnn_sees_pixels_in_minus_one_to_one() -> None:
    extractor = NatureCNN(image_space())
    seen = []
    extractor.cnn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    policy_input = th.as_tensor(np.array([0, 255], np.uint8)).float() / 255  # SB3's normalize_images
    extractor(policy_input.reshape(2, 1, 1, 1).expand(2, 4, 84, 84))
    assert (seen[0][0] == -1).all()
    assert (seen[0][1] == 1).all()


def test_the_nature_cnn_is_three_convolutions_with_leaky_relu() -> None:
    space = image_space()
    extractor = NatureCNN(space)
    x = images(space) * 2 - 1
    for index, stride in ((0, 4), (2, 2), (4, 1)):
        layer = extractor.cnn[index]
        x = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, stride), 0.01)
    linear = extractor.trunk[0]
    expected = F.leaky_relu(F.linear(x.flatten(1), linear.weight, linear.bias), 0.01)
    assert expected.shape == (2, 512)
    th.testing.assert_close(extractor(images(space)), expected)


def test_pooling_before_the_activation_gives_what_pooling_after_it_gives() -> None:
    space = image_space()
    extractor = MaxPoolCNN(space)
    x = images(space) * 2 - 1
    for index in (0, 3, 6):
        layer = extractor.cnn[index]
        x = F.max_pool2d(F.leaky_relu(F.conv2d(x, layer.weight, layer.bias), 0.01), 2)
    th.testing.assert_close(extractor.cnn(images(space) * 2 - 1), x.flatten(1))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_recurrent_extractor_reads_the_frames_in_order_and_carries_nothing_over(cell: str) -> None:
    space = image_space()
    extractor = GRUCNN(space, cell=cell)
    assert isinstance(extractor.recurrent, nn.GRU if cell == "gru" else nn.LSTM)
    stacks = images(space)
    first = extractor(stacks)
    assert first.shape == (2, 48)
    th.testing.assert_close(extractor(stacks), first, msg="the second call starts from zero again")
    assert not th.allclose(extractor(stacks.flip(1)), first)

    state = th.zeros(1, 2, 48)
    frames = [extractor.trunk(extractor.cnn(stacks[:, [index]] * 2 - 1)) for index in range(4)]
    hidden = state if cell == "gru" else (state, state)
    for frame in frames:
        output, hidden = extractor.recurrent(frame[:, None], hidden)
    th.testing.assert_close(output[:, 0], first)


@pytest.mark.parametrize("extractor", [NatureCNN, MaxPoolCNN])
@pytest.mark.parametrize("trunk", TRUNKS)
def test_every_trunk_is_the_linear_layer_and_what_its_name_says(extractor: type[ImageExtractor], trunk: str) -> None:
    space = image_space()
    model = extractor(space, features_dim=50, trunk=trunk)
    x = model.trunk[0](model.cnn(images(space) * 2 - 1))
    if trunk.startswith("layernorm"):
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    activation = {
        "leaky_relu": lambda y: F.leaky_relu(y, 0.01),
        "relu": F.relu,
        "tanh": th.tanh,
        "layernorm": lambda y: y,
    }
    th.testing.assert_close(model(images(space)), activation[trunk.removeprefix("layernorm_")](x), rtol=1e-4, atol=1e-5)


def test_dict_observations_join_image_features_and_the_vector() -> None:
    space = spaces.Dict(image=image_space(), state=spaces.Box(-1, 1, (7,), np.float32))
    extractor = ImageAndStateExtractor(space, cnn_output_dim=50, trunk="layernorm_tanh")
    observations = {"image": images(image_space()), "state": th.rand(2, 7)}
    features = extractor(observations)
    assert features.shape == (2, extractor.features_dim) == (2, 57)
    th.testing.assert_close(features[:, 50:], observations["state"])
    th.testing.assert_close(features[:, :50], extractor.extractors["image"](observations["image"]))


@pytest.mark.parametrize("extractor", ALL)
@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), r"channels last. Move the channels to the front"),
        (spaces.Box(0, 1, (4, 84, 84), np.float32), r"dtype float32 with values in \[0.0, 1.0\]. Give uint8"),
        (spaces.Box(-1, 1, (7,), np.float32), "MlpPolicy for vectors"),
        (spaces.Dict(image=image_space()), "MultiInputPolicy"),
        (image_space(4, 20, 20), "20x20 pixels, too small for this extractor. Use at least"),
    ],
)
def test_what_it_would_misread_is_refused(extractor: type[ImageExtractor], space: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        extractor(space)


@pytest.mark.parametrize("extractor", ALL)
def test_the_smallest_size_that_the_message_names_works_and_one_less_does_not(extractor: type[ImageExtractor]) -> None:
    with pytest.raises(ValueError, match=r"Use at least \d+x\d+") as error:
        extractor(image_space(1, 8, 8))
    smallest = int(str(error.value).split("at least ")[1].split("x")[0])
    extractor(image_space(1, smallest, smallest))
    with pytest.raises(ValueError, match="too small"):
        extractor(image_space(1, smallest - 1, smallest))


@pytest.mark.parametrize("kwargs", [{"cell": "rnn"}, {"trunk": "batchnorm"}, {"frame_channels": 3}])
def test_an_unknown_choice_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Choose one of|frame_channels"):
        GRUCNN(image_space(), **kwargs)


@pytest.mark.parametrize("extractor", ALL)
def test_the_filters_are_the_output_channels_of_the_three_convolutions(extractor: type[ImageExtractor]) -> None:
    narrow = extractor(image_space(), filters=[3, 5, 7])
    assert [layer.out_channels for layer in narrow.modules() if isinstance(layer, nn.Conv2d)] == [3, 5, 7]
    assert narrow(images(image_space())).shape == (2, narrow.features_dim)
    for wrong in ([3, 5], [3, 5, 0]):
        with pytest.raises(ValueError, match="three positive numbers"):
            extractor(image_space(), filters=wrong)


def test_images_that_are_normalised_already_are_used_as_they_are() -> None:
    space = spaces.Box(-1, 1, (4, 84, 84), np.float32)
    seen = []
    extractor = NatureCNN(space, normalized_image=True)
    extractor.cnn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    observations = images(space)
    extractor(observations)
    th.testing.assert_close(seen[0], observations)


def test_the_extractors_work_in_other_algorithms_of_sb3() -> None:
    class Env(IdentityEnvBox):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = image_space(4, 42, 42)

    policy_kwargs = {"features_extractor_class": NatureCNN, "features_extractor_kwargs": {"features_dim": 32}}
    model = sb3.SAC("CnnPolicy", Env(), policy_kwargs=policy_kwargs, buffer_size=10, device="cpu")
    action, _ = model.predict(image_space(4, 42, 42).sample())
    assert action.shape == (1,)


@pytest.mark.parametrize("extractor", ALL)
def test_algorithms_that_initialise_weights_orthogonally_can_use_the_extractors(extractor: type) -> None:
    env = FakeImageEnv(screen_height=64, screen_width=64, n_channels=4, channel_first=True, discrete=False)
    model = sb3.PPO("CnnPolicy", env, policy_kwargs={"features_extractor_class": extractor}, n_steps=8, batch_size=8)
    model.learn(8)
    assert model.num_timesteps == 8


def test_the_recurrent_extractor_can_pool() -> None:
    space = image_space()
    pooled = GRUCNN(space, pooling=True)
    assert any(isinstance(layer, nn.MaxPool2d) for layer in pooled.modules())
    assert pooled(images(space)).shape == (2, 48)
