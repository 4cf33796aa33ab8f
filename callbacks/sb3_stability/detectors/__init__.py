"""Detectors: small objects that are fed numbers and say when a training has gone bad.

They know nothing of Stable-Baselines3 or torch, so each can be tried with a list of numbers:

- :class:`FeasibleBound`: a Q-value leaves the range that the rewards make possible. Scale-free, the default.
- :class:`Finite`: NaN or infinity.
- :class:`PolicyGap`: Q(s, pi(s)) lies far from Q on replayed actions.
- :class:`ActionSaturation`: nearly all actions are at an end of their range.
- :class:`GradientNorm`: the norm of a gradient passes a limit.
- :class:`Growth`: a value passes a multiple of its own baseline (feature norm, actor loss).
- :class:`EpisodeCollapse`: episodes become much shorter and earn less.
- :class:`AbsoluteLimit`: the magnitude passes a fixed number.

Every ``observe`` returns an :class:`Alarm` from the moment the detector fires for as long as it stays beyond its limit,
otherwise None.
"""

from sb3_stability.detectors.alarm import NOTHING, Alarm, Detector, Range
from sb3_stability.detectors.bound import FeasibleBound
from sb3_stability.detectors.comparisons import Growth, PolicyGap
from sb3_stability.detectors.episodes import EpisodeCollapse
from sb3_stability.detectors.limits import AbsoluteLimit, ActionSaturation, Finite, GradientNorm

__all__ = [
    "NOTHING",
    "AbsoluteLimit",
    "ActionSaturation",
    "Alarm",
    "Detector",
    "EpisodeCollapse",
    "FeasibleBound",
    "Finite",
    "GradientNorm",
    "Growth",
    "PolicyGap",
    "Range",
]
