"""TD3 with four separately clipped parameter parts, for Stable-Baselines3."""

from sb3_carla.td3.checkpoint import CheckpointEvery, resume, save_checkpoint
from sb3_carla.td3.gradients import GradientError, GradientLimitExceeded, NonFiniteGradients
from sb3_carla.td3.parts import PARTS, PartsError
from sb3_carla.td3.policies import (
    AsymmetricPolicy,
    CnnPolicy,
    GruCnnPolicy,
    MaxPoolCnnPolicy,
    MlpPolicy,
    MultiInputPolicy,
)
from sb3_carla.td3.record import UpdateRecord
from sb3_carla.td3.td3 import TD3

__all__ = [
    "PARTS",
    "TD3",
    "AsymmetricPolicy",
    "CheckpointEvery",
    "CnnPolicy",
    "GradientError",
    "GradientLimitExceeded",
    "GruCnnPolicy",
    "MaxPoolCnnPolicy",
    "MlpPolicy",
    "MultiInputPolicy",
    "NonFiniteGradients",
    "PartsError",
    "UpdateRecord",
    "resume",
    "save_checkpoint",
]
