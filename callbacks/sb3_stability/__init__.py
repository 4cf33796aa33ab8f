"""Stability callbacks for Stable-Baselines3: know that an off-policy run is going bad, stop it, say why.

Works with TD3, DDPG and SAC of Stable-Baselines3 and TQC and CrossQ of sb3-contrib::

    from stable_baselines3 import SAC
    from sb3_stability import StopTrainingOnActorLossExplosion, StopTrainingOnQValueExplosion

    model = SAC("MlpPolicy", "Pendulum-v1")
    model.learn(5_000, callback=[StopTrainingOnQValueExplosion(), StopTrainingOnActorLossExplosion()])

The detectors behind them (:mod:`sb3_stability.detectors`) are plain objects fed with numbers.
"""

from sb3_stability.callbacks import (
    StopTrainingOnActorLossExplosion,
    StopTrainingOnNonFinite,
    StopTrainingOnQValueExplosion,
)
from sb3_stability.detectors import AbsoluteLimit, Alarm, FeasibleBound, Finite, Range
from sb3_stability.readings import Reading, Readings, UnreadableModelError

__all__ = [
    "AbsoluteLimit",
    "Alarm",
    "FeasibleBound",
    "Finite",
    "Range",
    "Reading",
    "Readings",
    "StopTrainingOnActorLossExplosion",
    "StopTrainingOnNonFinite",
    "StopTrainingOnQValueExplosion",
    "UnreadableModelError",
]
