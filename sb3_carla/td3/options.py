"""The options of our TD3: their defaults and their limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule

from sb3_carla.td3.augmentation import has_images
from sb3_carla.td3.losses import CRITIC_LOSSES
from sb3_carla.td3.networks import PRECISIONS
from sb3_carla.td3.parts import PARTS

Rate = float | str | Schedule
Limit = float | str

DEFAULT_MAX_GRAD_NORM: Mapping[str, float] = {
    "actor_cnn": 1.0,
    "actor_mlp": 1.0,
    "critic_cnn": 10.0,
    "critic_mlp": 10.0,
}

# With our features extractors, where the caller gives no rate. An actor as fast as SB3's default saturates on images.
IMAGE_LEARNING_RATES: Mapping[str, float] = {
    "actor_cnn": 1e-4,
    "actor_mlp": 1e-4,
    "critic_cnn": 3e-4,
    "critic_mlp": 3e-4,
}
SB3_LEARNING_RATE = 1e-3

# Standard deviation of the exploration noise with our features extractors, where the caller gives none: the TD3 paper's
# (section 6.1), which SB3 leaves out.
IMAGE_EXPLORATION_NOISE = 0.1

TARGETS = ("min", "mpg")


def check_options(
    *,
    target: str,
    critic_loss: str,
    precision: str,
    smoothness: float,
    action_penalty: float,
    random_shift: int,
    max_nonfinite_updates: int,
) -> None:
    """Raise ValueError for an option outside its limits.

    :param target: how the target critics are joined, one of `TARGETS`
    :param critic_loss: one of `CRITIC_LOSSES`
    :param precision: one of `PRECISIONS`
    :param smoothness: coefficient in the actor loss
    :param action_penalty: coefficient in the actor loss
    :param random_shift: largest shift of the images [px]
    :param max_nonfinite_updates: skipped updates in a row after which training ends
    """
    choices: list[tuple[str, str, Any]] = [
        ("target", target, TARGETS),
        ("critic_loss", critic_loss, CRITIC_LOSSES),
        ("precision", precision, PRECISIONS),
    ]
    for name, value, allowed in choices:
        if value not in allowed:
            raise ValueError(f"Unknown {name} {value!r}. Choose one of {', '.join(allowed)}.")
    for name, coefficient in (("smoothness", smoothness), ("action_penalty", action_penalty)):
        if not coefficient >= 0:
            raise ValueError(f"{name} is {coefficient}. Give 0 (off) or a positive coefficient.")
    if random_shift < 0:
        raise ValueError(f"random_shift is {random_shift}. Give 0 (off) or a number of pixels.")
    if max_nonfinite_updates < 1:
        raise ValueError(f"max_nonfinite_updates is {max_nonfinite_updates}. Give 1 or more.")


def check_one_limit_per_part(max_norm: Mapping[str, float], max_value: Mapping[str, float]) -> None:
    """Raise ValueError if a part is to be clipped in two ways.

    :param max_norm: limits of the gradient norms
    :param max_value: limits of the gradients' components
    """
    both = [part for part in PARTS if part in max_norm and part in max_value]
    if both:
        raise ValueError(
            f"{', '.join(both)} have a limit in max_grad_norm and in max_grad_value. Give one of them per part."
        )


def check_shift_has_images(random_shift: int, space: spaces.Space[Any]) -> None:
    """Raise ValueError if there is nothing to shift.

    :param random_shift: largest shift of the images [px]
    :param space: the observation space
    """
    if random_shift > 0 and not has_images(space):
        raise ValueError(f"random_shift is {random_shift}, but {space} has no images. Leave it out.")
