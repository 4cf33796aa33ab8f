"""SB3's actor and critic, able to read a batch of observations that was made ready once for all of them.

SB3 converts uint8 images to floating point whenever a network reads them, five times in an update of critic and actor.
Here `ImagePreparer` converts a batch once, in one pass into memory that stays, to what the features extractors work on.
Where actor and critic have one encoder, `EncodedOnce` lets it run once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel, ContinuousCritic
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.td3.policies import Actor
from torch import nn

from sb3_carla.extractors import ImageAndStateExtractor, ImageExtractor

PRECISIONS = ("float32", "bf16")


@dataclass(frozen=True)
class Prepared:
    """Observations as our extractors work on them: images as float32 in [-1, 1], channels last in memory."""

    observations: th.Tensor | dict[str, th.Tensor]


class ImagePreparer:
    """Makes batches `Prepared`, overwriting what it gave for the same name before."""

    def __init__(self) -> None:
        self._memory: dict[str, th.Tensor] = {}

    def prepare(
        self, name: str, observations: PyTorchObs, extractor: nn.Module, space: spaces.Space[object]
    ) -> Prepared:
        """Convert a batch.

        :param name: which memory to overwrite
        :param observations: a batch as the replay buffer gives it
        :param extractor: the features extractor that will read it, see `is_preparable`
        :param space: the observation space
        """
        if isinstance(observations, th.Tensor):
            return Prepared(self._to_range(name, observations))
        assert isinstance(extractor, ImageAndStateExtractor)
        assert isinstance(space, spaces.Dict)
        entries: dict[str, th.Tensor] = {}
        images = {key for key, part in extractor.extractors.items() if isinstance(part, ImageExtractor)}
        for key, entry in observations.items():
            if key in images:
                entries[key] = self._to_range(f"{name}/{key}", entry)
            else:
                entries[key] = preprocess_obs(entry, space[key])  # type: ignore[assignment]  # no Dict
        return Prepared(entries)

    def _to_range(self, name: str, images: th.Tensor) -> th.Tensor:
        """Map [0, 255] to [-1, 1].

        :param name: which memory to overwrite
        :param images: (batch, channels, height, width), uint8
        """
        memory = self._memory.get(name)
        if memory is None or memory.shape != images.shape or memory.device != images.device:
            memory = th.empty(images.shape, device=images.device, memory_format=th.channels_last)
            self._memory[name] = memory
        # Put in order while they are bytes, which is several times faster than to do it in the conversion
        memory.copy_(images.contiguous(memory_format=th.channels_last))
        return memory.mul_(2 / 255).sub_(1)

    def __deepcopy__(self, memo: object) -> ImagePreparer:
        return ImagePreparer()


def is_preparable(extractor: nn.Module) -> bool:
    """Whether a features extractor reads `Prepared` observations.

    :param extractor: the features extractor
    """
    if isinstance(extractor, ImageAndStateExtractor):
        images = [part for part in extractor.extractors.values() if isinstance(part, ImageExtractor)]
        return bool(images) and all(is_preparable(part) for part in images)
    return isinstance(extractor, ImageExtractor) and not extractor.normalized_image


class EncodedOnce:
    """Observations whose features are extracted once, by the first network that asks; the others read the same ones.

    :param observations: prepared or not
    """

    def __init__(self, observations: PyTorchObs | Prepared) -> None:
        self._observations = observations
        self._features: th.Tensor | None = None

    def features(self, extract: Callable[[PyTorchObs | Prepared], th.Tensor]) -> th.Tensor:
        """Give the features, without their gradient where gradients are off.

        :param extract: extracts them
        """
        if self._features is None:
            self._features = extract(self._observations)
        return self._features if th.is_grad_enabled() else self._features.detach()


Readable: TypeAlias = PyTorchObs | Prepared | EncodedOnce


class _ReadsPrepared(BaseModel):
    """Reads `Prepared` and `EncodedOnce` as well as what the environment gives."""

    def extract_features(self, obs: Readable, features_extractor: BaseFeaturesExtractor) -> th.Tensor:
        """Extract the features of observations in any form.

        :param obs: as the environment gives them, prepared, or to be encoded once
        :param features_extractor: what extracts them
        """
        if isinstance(obs, EncodedOnce):
            return obs.features(lambda raw: self.extract_features(raw, features_extractor))
        if isinstance(obs, Prepared):
            assert isinstance(features_extractor, ImageExtractor | ImageAndStateExtractor)
            return features_extractor.read(obs.observations)  # type: ignore[arg-type]  # prepared for this extractor
        return super().extract_features(obs, features_extractor)


class ImageActor(_ReadsPrepared, Actor):
    """SB3's actor, which also reads `Prepared` and can use an encoder that only the critic's loss trains."""

    encoder_of_the_critic = False  # its features extractor is the critic's, and gets no gradient from here

    def extract_features(self, obs: Readable, features_extractor: BaseFeaturesExtractor) -> th.Tensor:
        """Extract the features of observations in any form.

        :param obs: as the environment gives them, prepared, or to be encoded once
        :param features_extractor: what extracts them
        """
        with th.set_grad_enabled(th.is_grad_enabled() and not self.encoder_of_the_critic):
            return super().extract_features(obs, features_extractor)


class ImageCritic(_ReadsPrepared, ContinuousCritic):
    """SB3's critic, which also reads `Prepared`."""


def parameters_of_the_actor_alone(actor: Actor) -> Iterator[nn.Parameter]:
    """Give the parameters of an actor, without an encoder that is the critic's.

    :param actor: the actor or its target
    """
    return (actor.mu if getattr(actor, "encoder_of_the_critic", False) else actor).parameters()


def set_precision(model: nn.Module, precision: str) -> bool:
    """Set the precision of the products in all our features extractors, and tell whether there are any.

    :param model: the policy
    :param precision: one of `PRECISIONS`
    """
    extractors = [module for module in model.modules() if isinstance(module, ImageExtractor)]
    for extractor in extractors:
        extractor.precision = precision
    return bool(extractors)
