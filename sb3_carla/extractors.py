"""Features extractors for stacked camera images.

- `NatureCNN`: the DQN network with LeakyReLU, for input in [-1, 1] (the default)
- `MaxPoolCNN`: stride-1 convolutions, each followed by 2x2 max pooling
- `GRUCNN`: a recurrent layer over the frames of one stack
- `ImageAndStateExtractor`: Dict observations, every image through one of the above, every vector as it is

All take ``Box(0, 255, (channels, height, width), uint8)`` spaces of any size and channel count, and end in a *trunk*:
a linear layer to ``features_dim`` and what follows it. ``trunk="layernorm_tanh"`` with few features keeps a TD3 actor
from saturating on images; it is what our policies use (policies.py).

Stable-Baselines3 divides images by 255 before the extractor sees them (its ``normalize_images``); the extractors here
map that [0, 1] to [-1, 1] themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

FILTERS = (32, 64, 64)  # of the three convolutions, as in the DQN paper
NEGATIVE_SLOPE = 0.01  # of LeakyReLU: a unit that is off still passes some gradient

# What follows the linear layer of the trunk, by name.
TRUNKS: Mapping[str, Callable[[int], list[nn.Module]]] = {
    "leaky_relu": lambda _: [nn.LeakyReLU(NEGATIVE_SLOPE)],
    "tanh": lambda _: [nn.Tanh()],
    "layernorm": lambda features_dim: [nn.LayerNorm(features_dim)],
    "layernorm_relu": lambda features_dim: [nn.LayerNorm(features_dim), nn.ReLU()],
    "layernorm_tanh": lambda features_dim: [nn.LayerNorm(features_dim), nn.Tanh()],
}


def make_trunk(trunk: str, n_flat: int, features_dim: int) -> nn.Sequential:
    """Make the layers between the flattened convolutions and the features.

    :param trunk: one of `TRUNKS`
    :param n_flat: inputs of the linear layer
    :param features_dim: outputs of the linear layer
    """
    if trunk not in TRUNKS:
        raise ValueError(f"Unknown trunk {trunk!r}. Choose one of {', '.join(TRUNKS)}.")
    return nn.Sequential(nn.Linear(n_flat, features_dim), *TRUNKS[trunk](features_dim))


class ImageSpaceError(ValueError, AssertionError):
    """A space is not one of images that an extractor reads (an AssertionError too, as SB3's NatureCNN raises that)."""


def check_image_space(space: spaces.Space[object], normalized_image: bool) -> tuple[int, int, int]:
    """Refuse what the convolutions would misread, and return (channels, height, width).

    :param space: the observation space of the images
    :param normalized_image: floating point images are expected (``normalize_images=False`` in the policy)
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        raise ImageSpaceError(
            f"An image extractor needs a Box of shape (channels, height, width), not {space}. "
            "Use MlpPolicy for vectors and MultiInputPolicy for Dict observations."
        )
    channels, height, width = space.shape
    if width < min(channels, height) or channels > max(height, width):
        raise ImageSpaceError(
            f"The image space has shape {space.shape}, which looks like channels last. "
            "Move the channels to the front: (channels, height, width)."
        )
    if not normalized_image and not is_image_space(space):
        raise ImageSpaceError(
            f"The image space has dtype {space.dtype} with values in [{space.low.min()}, {space.high.max()}]. "
            "Give uint8 images with values in [0, 255], or policy_kwargs=dict(normalize_images=False) "
            "if they are already in [-1, 1]."
        )
    return channels, height, width


def check_image_is_large_enough(shape: tuple[int, int], layers: nn.Module) -> None:
    """Say how large an image must be, instead of torch's message about kernel sizes.

    :param shape: height and width of the image [px]
    :param layers: the convolutions and poolings, in order
    """
    smallest = 1
    for layer in reversed([module for module in layers.modules() if isinstance(module, nn.Conv2d | nn.MaxPool2d)]):
        kernel, stride = (_first(size) for size in (layer.kernel_size, layer.stride))
        smallest = (smallest - 1) * stride + kernel
    if min(shape) < smallest:
        raise ImageSpaceError(
            f"The image is {shape[0]}x{shape[1]} pixels, too small for this extractor. "
            f"Use at least {smallest}x{smallest}."
        )


def _first(size: int | str | tuple[int, ...]) -> int:
    return size[0] if isinstance(size, tuple) else int(size)


class ImageExtractor(BaseFeaturesExtractor):
    """Base class: checks the space, maps pixels to [-1, 1], runs ``cnn`` and then ``trunk``.

    :param observation_space: ``Box(0, 255, (channels, height, width), uint8)``
    :param features_dim: number of features
    :param trunk: what follows the convolutions, one of `TRUNKS`
    :param normalized_image: the images arrive in [-1, 1] and are used as they are; our policies set it with their
        ``normalize_images=False``
    :param filters: output channels of the three convolutions; fewer make an update on a CPU faster
    """

    def __init__(
        self,
        observation_space: spaces.Space[object],
        features_dim: int = 512,
        trunk: str = "leaky_relu",
        normalized_image: bool = False,
        filters: Sequence[int] = FILTERS,
    ) -> None:
        if len(filters) != len(FILTERS) or min(filters) < 1:
            raise ValueError(
                f"filters={filters!r}: give three positive numbers, one per convolution, such as {FILTERS}."
            )
        super().__init__(observation_space, features_dim)
        self.normalized_image = normalized_image
        self.precision = "float32"  # TD3(precision="bf16") sets it
        channels, height, width = check_image_space(observation_space, normalized_image)
        self.cnn = self.make_cnn(self.channels_per_image(channels), filters)
        check_image_is_large_enough((height, width), self.cnn)
        with th.no_grad():
            n_flat = self.cnn(th.zeros(1, self.channels_per_image(channels), height, width)).shape[1]
        self.trunk = make_trunk(trunk, n_flat, self.trunk_dim())

    def make_cnn(self, channels: int, filters: Sequence[int]) -> nn.Sequential:
        """Make the convolutions, ending flat."""
        raise NotImplementedError

    def channels_per_image(self, channels: int) -> int:
        """How many of the observation's channels one pass of the convolutions sees."""
        return channels

    def trunk_dim(self) -> int:
        """Outputs of the trunk."""
        return self.features_dim

    def to_range(self, observations: th.Tensor) -> th.Tensor:
        """Map SB3's [0, 1] to [-1, 1]."""
        return observations if self.normalized_image else observations * 2 - 1

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Extract the features of a batch of images (batch, channels, height, width) in [0, 1]."""
        return self.read(self.to_range(observations))

    def read(self, images: th.Tensor) -> th.Tensor:
        """Extract the features of a batch of images in [-1, 1]."""
        # oneDNN's convolutions are faster in this memory layout; the values are the same up to rounding.
        images = images.contiguous(memory_format=th.channels_last)
        if self.precision == "float32":
            features: th.Tensor = self.trunk(self.cnn(images))
            return features
        # Only the products run in bf16. tanh stays in float32: in bf16 it is exactly 1, with a gradient of exactly 0,
        # from arguments of about 3.5 on.
        linear, *rest = self.trunk
        with th.autocast(images.device.type, th.bfloat16):
            features = linear(self.cnn(images))
        features = features.float()
        for layer in rest:
            features = layer(features)
        return features


class NatureCNN(ImageExtractor):
    """The convolutions of the DQN paper (Mnih et al., 2015) with LeakyReLU(0.01), for input in [-1, 1].

    >>> space = spaces.Box(0, 255, (4, 84, 84), "uint8")
    >>> NatureCNN(space)(th.zeros(1, 4, 84, 84)).shape
    torch.Size([1, 512])
    >>> NatureCNN(space, features_dim=50, trunk="layernorm_tanh")(th.zeros(1, 4, 84, 84)).shape
    torch.Size([1, 50])

    :param observation_space: ``Box(0, 255, (channels, height, width), uint8)``, at least 36x36
    :param features_dim: number of features
    :param trunk: what follows the convolutions, one of `TRUNKS`
    :param normalized_image: see `ImageExtractor`
    :param filters: see `ImageExtractor`
    """

    @staticmethod
    def make_cnn(channels: int, filters: Sequence[int]) -> nn.Sequential:
        """8x8, 4x4 and 3x3 convolutions with strides 4, 2 and 1."""
        return nn.Sequential(
            nn.Conv2d(channels, filters[0], kernel_size=8, stride=4),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Conv2d(filters[0], filters[1], kernel_size=4, stride=2),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Conv2d(filters[1], filters[2], kernel_size=3, stride=1),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Flatten(),
        )


class MaxPoolCNN(ImageExtractor):
    """Stride-1 convolutions, each followed by 2x2 max pooling: 3136 flat features at 84x84, like NatureCNN.

    It pools before the activation: LeakyReLU is monotone, so the output is the same as in the usual order, from a
    quarter of the activations.

    >>> MaxPoolCNN(spaces.Box(0, 255, (4, 84, 84), "uint8")).trunk[0].in_features
    3136

    :param observation_space: ``Box(0, 255, (channels, height, width), uint8)``, at least 29x29
    :param features_dim: number of features
    :param trunk: what follows the convolutions, one of `TRUNKS`
    :param normalized_image: see `ImageExtractor`
    :param filters: see `ImageExtractor`
    """

    @staticmethod
    def make_cnn(channels: int, filters: Sequence[int]) -> nn.Sequential:
        """8x8, 4x4 and 3x3 convolutions, all with stride 1."""
        return nn.Sequential(
            nn.Conv2d(channels, filters[0], kernel_size=8),
            nn.MaxPool2d(2),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Conv2d(filters[0], filters[1], kernel_size=4),
            nn.MaxPool2d(2),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Conv2d(filters[1], filters[2], kernel_size=3),
            nn.MaxPool2d(2),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Flatten(),
        )


class GRUCNN(ImageExtractor):
    """NatureCNN or MaxPoolCNN on every frame of the stack, then a recurrent layer over the frames, oldest first.

    No state is carried from one environment step to the next: the recurrence starts from zero at the first frame of
    every stack and sees as many frames as the stack has. It is another way to read a stack, not a memory.

    >>> GRUCNN(spaces.Box(0, 255, (4, 84, 84), "uint8"))(th.zeros(1, 4, 84, 84)).shape
    torch.Size([1, 48])

    :param observation_space: ``Box(0, 255, (frames * frame_channels, height, width), uint8)``, at least 36x36
    :param features_dim: units of the recurrent layer, which are the features
    :param trunk: what follows the convolutions of each frame, one of `TRUNKS`
    :param normalized_image: see `ImageExtractor`
    :param cell: ``"gru"`` or ``"lstm"``
    :param frame_features: features of one frame, the input of the recurrent layer
    :param frame_channels: channels of one frame: 1 for grayscale, 3 for RGB
    :param pooling: MaxPoolCNN's convolutions instead of NatureCNN's
    :param filters: see `ImageExtractor`
    """

    def __init__(
        self,
        observation_space: spaces.Space[object],
        features_dim: int = 48,
        trunk: str = "leaky_relu",
        normalized_image: bool = False,
        cell: str = "gru",
        frame_features: int = 256,
        frame_channels: int = 1,
        pooling: bool = False,
        filters: Sequence[int] = FILTERS,
    ) -> None:
        cells: dict[str, type[nn.GRU | nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}
        if cell not in cells:
            raise ValueError(f"Unknown recurrent cell {cell!r}. Choose one of {', '.join(cells)}.")
        # nn.Module forbids submodules before super().__init__(), plain numbers it allows.
        self.frame_channels = frame_channels
        self.frame_features = frame_features
        self.pooling = pooling
        super().__init__(observation_space, features_dim, trunk, normalized_image, filters)
        self.recurrent = cells[cell](frame_features, features_dim, batch_first=True)

    def make_cnn(self, channels: int, filters: Sequence[int]) -> nn.Sequential:
        """Those of NatureCNN or of MaxPoolCNN."""
        return (MaxPoolCNN if self.pooling else NatureCNN).make_cnn(channels, filters)

    def channels_per_image(self, channels: int) -> int:
        """One frame at a time."""
        if channels % self.frame_channels:
            raise ValueError(
                f"{channels} channels do not divide into frames of {self.frame_channels}. "
                "Set frame_channels to the channels of one frame: 1 for grayscale, 3 for RGB."
            )
        return self.frame_channels

    def trunk_dim(self) -> int:
        """The trunk ends in the features of one frame."""
        return self.frame_features

    def read(self, images: th.Tensor) -> th.Tensor:
        """Extract the features of a batch of stacks (batch, frames * frame_channels, height, width) in [-1, 1]."""
        batch, channels, height, width = images.shape
        frames = images.reshape(batch * (channels // self.frame_channels), self.frame_channels, height, width)
        outputs, _ = self.recurrent(super().read(frames).reshape(batch, -1, self.frame_features))
        last: th.Tensor = outputs[:, -1]
        return last


class ImageAndStateExtractor(BaseFeaturesExtractor):
    """Dict observations: each image through its own image extractor, everything else flattened; then all concatenated.

    >>> image, state = spaces.Box(0, 255, (4, 84, 84), "uint8"), spaces.Box(-1, 1, (7,), "float32")
    >>> ImageAndStateExtractor(spaces.Dict(image=image, state=state), cnn_output_dim=50).features_dim
    57

    :param observation_space: a Dict of images (as `ImageExtractor` takes them) and vectors
    :param cnn_output_dim: features of each image, named as in SB3's CombinedExtractor
    :param trunk: what follows the convolutions, one of `TRUNKS`
    :param normalized_image: the images arrive in [-1, 1]: every entry with three dimensions is then an image
    :param image_extractor: the class that reads the images
    :param filters: see `ImageExtractor`
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        cnn_output_dim: int = 512,
        trunk: str = "leaky_relu",
        normalized_image: bool = False,
        image_extractor: type[ImageExtractor] = NatureCNN,
        filters: Sequence[int] = FILTERS,
    ) -> None:
        if not isinstance(observation_space, spaces.Dict):
            raise ValueError(
                f"MultiInputPolicy needs a Dict observation space, not {observation_space}. "
                "Use CnnPolicy for a single image."
            )
        extractors: dict[str, nn.Module] = {}
        total = 0
        for key, space in observation_space.spaces.items():
            if is_image_space(space, normalized_image=normalized_image):
                extractors[key] = image_extractor(
                    space,
                    features_dim=cnn_output_dim,
                    trunk=trunk,
                    normalized_image=normalized_image,
                    filters=filters,
                )
                total += cnn_output_dim
            else:
                extractors[key] = nn.Flatten()
                total += get_flattened_obs_dim(space)
        super().__init__(observation_space, total)
        self.extractors = nn.ModuleDict(extractors)

    def forward(self, observations: dict[str, th.Tensor]) -> th.Tensor:
        """Extract the features of a batch of Dict observations, their images in [0, 1]."""
        return th.cat([extractor(observations[key]) for key, extractor in self.extractors.items()], dim=1)

    def read(self, observations: dict[str, th.Tensor]) -> th.Tensor:
        """Extract the features of a batch of Dict observations, their images in [-1, 1]."""
        features = [
            extractor.read(observations[key]) if isinstance(extractor, ImageExtractor) else extractor(observations[key])
            for key, extractor in self.extractors.items()
        ]
        return th.cat(features, dim=1)
