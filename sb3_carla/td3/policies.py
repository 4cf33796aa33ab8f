"""Policies for our TD3: SB3's, with our features extractors and settings that learn from images.

`CnnPolicy`, `MaxPoolCnnPolicy`, `GruCnnPolicy` and `MultiInputPolicy` differ from SB3's in the features extractor, in
its trunk (50 features through LayerNorm and tanh) and in two hidden layers of 256 units. With a features extractor of
another package they behave as SB3's policies do. `AsymmetricPolicy` is a `MultiInputPolicy` whose actor and critic read
different parts of the observation. `MlpPolicy` is SB3's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples, Schedule
from stable_baselines3.td3.policies import Actor, MlpPolicy, TD3Policy
from torch import nn

from sb3_carla.extractors import GRUCNN, ImageAndStateExtractor, ImageExtractor, MaxPoolCNN, NatureCNN
from sb3_carla.td3.networks import EncodedOnce, ImageActor, ImageCritic, ImagePreparer, is_preparable

__all__ = [
    "AsymmetricPolicy",
    "CnnPolicy",
    "GruCnnPolicy",
    "MaxPoolCnnPolicy",
    "MlpPolicy",
    "MultiInputPolicy",
    "extractor_class",
    "reads_images",
]

# 50 bounded features instead of 512 unbounded ones: with the latter, the actor's tanh saturates within the first
# hundreds of updates on images and then has no gradient. The GRU's output is bounded by itself, its input by the trunk.
BOUNDED_FEATURES: Mapping[type[Any], Mapping[str, Any]] = {
    NatureCNN: {"features_dim": 50, "trunk": "layernorm_tanh"},
    MaxPoolCNN: {"features_dim": 50, "trunk": "layernorm_tanh"},
    GRUCNN: {"frame_features": 50, "trunk": "layernorm_tanh"},
    ImageAndStateExtractor: {"cnn_output_dim": 50, "trunk": "layernorm_tanh"},
}

NET_ARCH = (256, 256)

ENCODERS = ("separate", "critic")


class ImagePolicy(TD3Policy):
    """SB3's TD3 policy with one of our features extractors as the default.

    :param observation_space: observation space
    :param action_space: action space
    :param lr_schedule: learning rate schedule; TD3 sets the rates of the four parts itself
    :param net_arch: hidden layers of actor and critic; ``[256, 256]`` with our extractors, SB3's choice with others
    :param activation_fn: activation function of the hidden layers
    :param features_extractor_class: features extractor; None is the default of the policy
    :param features_extractor_kwargs: keyword arguments of the features extractor; for one of ours, they are added to
        its `BOUNDED_FEATURES`, whether it was named or not
    :param normalize_images: divide uint8 images by 255 (our extractors map that to [-1, 1]); False if images are
        already normalised
    :param optimizer_class: the optimizer of actor and critic
    :param optimizer_kwargs: its keyword arguments, without the learning rate
    :param n_critics: number of critic networks
    :param share_features_extractor: let actor and critic share one features extractor, trained by the actor's loss (as
        in SB3)
    :param encoder: ``"separate"``: actor and critic have a features extractor each; ``"critic"``: they have one, which
        the critic's loss alone trains (SAC-AE, Yarats et al., 2021; DrQ-v2, Yarats et al., 2022) and which runs once
        for both in each update. The part ``actor_cnn`` is then empty. Unlike there, the trunk is part of it, and there
        is a target encoder, which follows with the critic's target
    """

    default_extractor_class: ClassVar[type[BaseFeaturesExtractor]] = NatureCNN
    bounded_features: ClassVar[Mapping[type[Any], Mapping[str, Any]]] = BOUNDED_FEATURES

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        n_critics: int = 2,
        share_features_extractor: bool = False,
        encoder: str = "separate",
    ) -> None:
        if encoder not in ENCODERS:
            raise ValueError(f"Unknown encoder {encoder!r}. Choose one of {', '.join(ENCODERS)}.")
        if encoder == "critic" and share_features_extractor:
            raise ValueError(
                "encoder='critic' trains one features extractor by the critic's loss, share_features_extractor=True by "
                "the actor's. Give one of the two."
            )
        self.encoder = encoder
        if features_extractor_class is None:
            features_extractor_class = self.default_extractor_class
        bounded = self.bounded_features.get(features_extractor_class, {})
        features_extractor_kwargs = {**bounded, **(features_extractor_kwargs or {})}
        if net_arch is None and reads_images(features_extractor_class, observation_space):
            # SB3 gives other classes than its own NatureCNN the hidden layers that it uses for vectors.
            net_arch = list(NET_ARCH)
        if optimizer_class is th.optim.Adam and reads_images(features_extractor_class, observation_space):
            # The same up to rounding, like the conversion of the images, and faster
            optimizer_kwargs = {"fused": True, **(optimizer_kwargs or {})}
        if not normalize_images and issubclass(features_extractor_class, ImageExtractor | ImageAndStateExtractor):
            features_extractor_kwargs["normalized_image"] = True
        self._preparer = ImagePreparer()
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch,
            activation_fn,
            features_extractor_class,
            features_extractor_kwargs,
            normalize_images,
            optimizer_class,
            optimizer_kwargs,
            n_critics,
            share_features_extractor,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        self._build_networks(lr_schedule)
        # Not by the extractor itself: SB3's on-policy algorithms initialise its weights anew, in torch's own layout.
        for module in self.modules():
            if isinstance(module, ImageExtractor):
                module.cnn.to(memory_format=th.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def _build_networks(self, lr_schedule: Schedule) -> None:
        if self.encoder == "separate":
            super()._build(lr_schedule)
            return
        # As SB3 builds a shared extractor, whose gradient comes from the critic here
        self.share_features_extractor = True
        super()._build(lr_schedule)
        self.share_features_extractor = False
        for actor in (self.actor, self.actor_target):
            assert isinstance(actor, ImageActor)
            actor.encoder_of_the_critic = True

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "encoder": self.encoder}

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Make an actor.

        :param features_extractor: one to share, None for its own
        """
        return ImageActor(**self._update_features_extractor(self.actor_kwargs, features_extractor)).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Make a critic.

        :param features_extractor: one to share, None for its own
        """
        return ImageCritic(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)

    def prepare(self, batch: ReplayBufferSamples) -> ReplayBufferSamples:
        """Make the observations of a batch ready once for all networks.

        :param batch: replayed transitions
        """
        return batch._replace(**{name: self._make_ready(name, batch) for name in ("observations", "next_observations")})

    def _make_ready(self, name: str, batch: ReplayBufferSamples) -> Any:
        observations, extractor = getattr(batch, name), self.actor.features_extractor
        if is_preparable(extractor):
            observations = self._preparer.prepare(name, observations, extractor, self.observation_space)
        return EncodedOnce(observations) if self.encoder == "critic" else observations


class CnnPolicy(ImagePolicy):
    """`ImagePolicy` with `NatureCNN`."""


class MaxPoolCnnPolicy(ImagePolicy):
    """`ImagePolicy` with `MaxPoolCNN`."""

    default_extractor_class = MaxPoolCNN


class GruCnnPolicy(ImagePolicy):
    """`ImagePolicy` with `GRUCNN`."""

    default_extractor_class = GRUCNN


class MultiInputPolicy(ImagePolicy):
    """`ImagePolicy` with `ImageAndStateExtractor`, for Dict observations."""

    default_extractor_class = ImageAndStateExtractor


class AsymmetricPolicy(MultiInputPolicy):
    """The actor reads the images of a Dict observation alone, the critic reads the rest of it alone.

    What the critic is told in numbers it need not learn to see. It serves the training only: who drives is the actor,
    by camera (Pinto et al., "Asymmetric Actor Critic for Image-Based Robot Learning", 2018; there the critic has all of
    the simulator's state). The part ``critic_cnn`` is empty, and an update costs less without it.

    :raises ValueError: when the observation space has no images or nothing else, or the extractor is to be shared
    """

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Make an actor that reads the images.

        :param features_extractor: not for this policy
        """
        return super().make_actor(self._extractor(images=True, shared=features_extractor))

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Make a critic that reads all but the images.

        :param features_extractor: not for this policy
        """
        return super().make_critic(self._extractor(images=False, shared=features_extractor))

    def _extractor(self, images: bool, shared: BaseFeaturesExtractor | None) -> BaseFeaturesExtractor:
        space = self.observation_space
        if shared is not None or self.share_features_extractor:
            raise ValueError(
                "AsymmetricPolicy has nothing to share between actor and critic. "
                "Leave encoder and share_features_extractor out."
            )
        entries = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
        read = {key: entry for key, entry in entries.items() if (len(entry.shape or ()) == 3) == images}
        if not 0 < len(read) < len(entries):
            raise ValueError(
                f"AsymmetricPolicy needs a Dict observation of images and vectors, not {space}. "
                "CarlaEnv(observation='dict') gives one; for images alone use CnnPolicy."
            )
        return self.features_extractor_class(spaces.Dict(read), **self.features_extractor_kwargs)


def extractor_class(policy_class: type[Any], policy_kwargs: Mapping[str, Any]) -> type[Any] | None:
    """Tell which features extractor a policy will have, None if the policy does not say.

    :param policy_class: the policy
    :param policy_kwargs: the arguments that it will get
    """
    return policy_kwargs.get("features_extractor_class") or getattr(policy_class, "default_extractor_class", None)


def reads_images(extractor: type[Any] | None, space: spaces.Space[Any]) -> bool:
    """Whether a features extractor is one of this package that reads images.

    :param extractor: class of the features extractor
    :param space: the observation space; a Dict of vectors only has no images
    """
    if not isinstance(extractor, type):
        return False
    if issubclass(extractor, ImageAndStateExtractor) and isinstance(space, spaces.Dict):
        return any(isinstance(entry, spaces.Box) and len(entry.shape) == 3 for entry in space.spaces.values())
    return issubclass(extractor, ImageExtractor)
