"""Reinforcement learning for driving from camera images: Stable-Baselines3 for CARLA.

Contents:

- :class:`~sb3_carla.td3.TD3`: TD3 that clips and steps the CNN and MLP gradients of actor and critic separately
- :class:`~sb3_carla.envs.CarlaEnv`: the CARLA Gymnasium environment (embedded simulator or a CARLA 0.9.16 server)
- :class:`~sb3_carla.extractors.NatureCNN`, ``MaxPoolCNN``, ``GRUCNN``: features extractors for stacked camera frames

Importing the package registers the gym ids (``Carla-v0`` and one per scenario). The names above are loaded on first
use, so that the simulator's process and the env's client process start without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sb3_carla.envs.registration import register_envs

if TYPE_CHECKING:
    from sb3_carla.envs import CarlaEnv
    from sb3_carla.extractors import GRUCNN, MaxPoolCNN, NatureCNN
    from sb3_carla.td3 import TD3

__version__ = "0.1.0"
__all__ = ["GRUCNN", "TD3", "CarlaEnv", "MaxPoolCNN", "NatureCNN"]

_HOME = {
    "TD3": "sb3_carla.td3",
    "CarlaEnv": "sb3_carla.envs",
    "NatureCNN": "sb3_carla.extractors",
    "MaxPoolCNN": "sb3_carla.extractors",
    "GRUCNN": "sb3_carla.extractors",
}

register_envs()


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'sb3_carla' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
