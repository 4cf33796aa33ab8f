"""Detectors with a limit that is known beforehand: finite numbers, a fixed magnitude, gradients, saturated actions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sb3_stability.detectors.alarm import NOTHING, Alarm, Detector, Range


@dataclass
class Finite(Detector):
    """Fires at once on NaN or infinity."""

    def observe(self, value: float, *, at: int) -> Alarm | None:
        """Feed one number.

        :param value: any number that training computes
        :param at: number of gradient updates so far
        """
        if self._beyond(not math.isfinite(value), value, math.nan, at) == 0:
            return None
        return self._alarm("not finite", "not a finite number")


@dataclass
class AbsoluteLimit(Detector):
    """Fires when ``|value|`` exceeds a fixed number.

    Not scale-free: with rewards of 100 and a discount of 0.99 a correct Q-value is 10 000.

    :param threshold: largest magnitude allowed
    :param patience: looks in a row that must be beyond the limit
    """

    threshold: float
    patience: int = 3

    def observe(self, value: float, *, at: int) -> Alarm | None:
        """Feed one number.

        :param value: the watched value
        :param at: number of gradient updates so far
        """
        looks = self._beyond(abs(value) > self.threshold, value, math.copysign(self.threshold, value), at)
        if looks < self.patience:
            return None
        return self._alarm("absolute limit", "a fixed threshold")


@dataclass
class GradientNorm(Detector):
    """Fires when the global L2 norm of a gradient exceeds a limit.

    A squared error's gradient grows with the square of the rewards, so rewards larger than 1 raise the limit by their
    square. Smaller rewards do not lower it.

    :param threshold: largest norm allowed for rewards of at most 1
    :param patience: looks in a row that must be beyond the limit
    """

    threshold: float
    patience: int = 3

    def observe(self, value: float, *, at: int, rewards: Range = NOTHING) -> Alarm | None:
        """Feed one number.

        :param value: global L2 norm before any clipping
        :param at: number of gradient updates so far
        :param rewards: range of the rewards that the critic has learned from
        """
        factor = max(1.0, rewards.magnitude) ** 2
        # "not <=" is true for NaN as well
        looks = self._beyond(not value <= self.threshold * factor, value, self.threshold * factor, at)
        if looks < self.patience:
            return None
        scaled = "" if factor == 1.0 else f" x {rewards.magnitude:.4g}^2 for rewards of that size"
        return self._alarm("gradient norm", f"{self.threshold:g}{scaled}")


@dataclass
class ActionSaturation(Detector):
    """Fires when nearly all of the policy's actions are at an end of their range, where tanh passes no gradient.

    A saturated actor does not learn any more, while its Q-values can be in perfect order. This is no explosion.

    :param share: largest share of saturated components of the actions
    :param patience: looks in a row that must be beyond the limit
    """

    share: float = 0.97
    patience: int = 10

    def observe(self, value: float, *, at: int) -> Alarm | None:
        """Feed one number.

        :param value: share of the components of pi(s) that are saturated, 0 to 1
        :param at: number of gradient updates so far
        """
        looks = self._beyond(value > self.share, value, self.share, at)
        return self._alarm("action saturation", "a share of all actions") if looks >= self.patience else None
