"""SB3's actor and critic, able to read a batch of images that was converted once for all of them.

SB3 converts uint8 images to floating point whenever a network reads them, five times in an update of critic and actor.
Here `ImagePreparer` converts a batch once, in one pass into memory that stays, to what the features extractors work on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch as th
from stable_baselines3.common.policies import BaseModel, ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.td3.policies import Actor

from sb3_carla.extractors import ImageExtractor


@dataclass(frozen=True)
class PreparedImages:
    """Images as an `ImageExtractor` works on them: float32 in [-1, 1], channels last in memory."""

    images: th.Tensor


class ImagePreparer:
    """Converts uint8 images to `PreparedImages`, overwriting what it gave for the same name before."""

    def __init__(self) -> None:
        self._memory: dict[str, th.Tensor] = {}

    def prepare(self, name: str, images: th.Tensor) -> PreparedImages:
        """Map [0, 255] to [-1, 1].

        :param name: which memory to overwrite
        :param images: (batch, channels, height, width), uint8
        """
        memory = self._memory.get(name)
        if memory is None or memory.shape != images.shape or memory.device != images.device:
            memory = th.empty(images.shape, device=images.device, memory_format=th.channels_last)
            self._memory[name] = memory
        th.add(th.tensor(-1.0, device=images.device), images, alpha=2 / 255, out=memory)
        return PreparedImages(memory)

    def __deepcopy__(self, memo: object) -> ImagePreparer:
        return ImagePreparer()


class _ReadsPreparedImages(BaseModel):
    """Reads `PreparedImages` as well as what the environment gives."""

    def extract_features(
        self, obs: PyTorchObs | PreparedImages, features_extractor: BaseFeaturesExtractor
    ) -> th.Tensor:
        """Extract the features of observations in either form.

        :param obs: as the environment gives them, or prepared
        :param features_extractor: what extracts them
        """
        if isinstance(obs, PreparedImages) and isinstance(features_extractor, ImageExtractor):
            return features_extractor.read(obs.images)
        return super().extract_features(obs, features_extractor)  # type: ignore[arg-type]


class ImageActor(_ReadsPreparedImages, Actor):
    """SB3's actor, which also reads `PreparedImages`."""


class ImageCritic(_ReadsPreparedImages, ContinuousCritic):
    """SB3's critic, which also reads `PreparedImages`."""
