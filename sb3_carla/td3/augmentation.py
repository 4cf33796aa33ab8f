"""Random shifts of images, the augmentation of DrQ (Kostrikov et al., 2020)."""

from __future__ import annotations

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import PyTorchObs, ReplayBufferSamples


def random_shift(images: th.Tensor, pad: int) -> th.Tensor:
    """Shift every image of a batch by up to ``pad`` pixels both ways, repeating its border; all its channels alike.

    :param images: (batch, channels, height, width), of any dtype
    :param pad: largest shift [px]
    """
    height, width = images.shape[2:]
    padded = repeat_border(images, pad)
    shifts = th.randint(2 * pad + 1, (len(images), 2)).tolist()
    return th.stack([image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, shifts, strict=True)])


def repeat_border(images: th.Tensor, pad: int) -> th.Tensor:
    """Pad images by repeating their border: torch's replication padding takes no uint8.

    :param images: (batch, channels, height, width)
    :param pad: width of the padding [px], at least 1
    """
    batch, channels, height, width = images.shape
    padded = images.new_empty(batch, channels, height + 2 * pad, width + 2 * pad)
    padded[:, :, pad:-pad, pad:-pad] = images
    padded[:, :, :pad, pad:-pad] = images[:, :, :1]
    padded[:, :, -pad:, pad:-pad] = images[:, :, -1:]
    # Left and right after top and bottom, so that the corners are filled as well
    padded[..., :pad] = padded[..., pad : pad + 1]
    padded[..., -pad:] = padded[..., -pad - 1 : -pad]
    return padded


def shift_batch(batch: ReplayBufferSamples, pad: int) -> ReplayBufferSamples:
    """Shift the images of a batch, those of the next observations apart from those of the observations.

    :param batch: replayed transitions; of Dict observations, the entries that are images are shifted
    :param pad: largest shift [px]
    """
    shifted = {name: _shift_images(getattr(batch, name), pad) for name in ("observations", "next_observations")}
    return batch._replace(**shifted)  # type: ignore[arg-type]  # Dict batches have a type of their own


def _shift_images(observations: PyTorchObs, pad: int) -> PyTorchObs:
    if isinstance(observations, dict):
        return {name: random_shift(entry, pad) if entry.ndim == 4 else entry for name, entry in observations.items()}
    return random_shift(observations, pad)


def has_images(space: spaces.Space[Any]) -> bool:
    """Whether a space has anything to shift.

    :param space: the observation space
    """
    entries = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return any(isinstance(entry, spaces.Box) and len(entry.shape) == 3 for entry in entries)
