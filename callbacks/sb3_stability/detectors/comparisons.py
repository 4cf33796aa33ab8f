"""Detectors that compare a value with another one: with its own baseline, or Q(s, pi(s)) with Q on replayed actions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median

from sb3_stability.detectors.alarm import Alarm, Detector


@dataclass
class PolicyGap(Detector):
    """Fires when Q(s, pi(s)) lies far from what the critic says of replayed actions.

    The critic learns from replayed actions only, so a far larger value for the policy's own actions is not learned
    but invented. This sees a leaky actor update early; it is blind where actor and critic share an encoder.

    :param factor: the gap must be larger than this many times ``max(|Q(replay)| + 2 std, max |reward|)``
    :param patience: looks in a row that must be beyond the limit
    :param floor: no limit is below this many times the magnitude of Q before training
    """

    factor: float = 2.0
    patience: int = 3
    floor: float = 10.0
    initial_scale: float = field(default=0.0, init=False)

    def start_from(self, scale: float) -> None:
        """Say how large the values of the untrained network are.

        :param scale: magnitude of the values before training; 0 switches the floor off
        """
        self.initial_scale = abs(scale)

    def observe(self, q_policy: float, q_replay: float, spread: float, reward: float, *, at: int) -> Alarm | None:
        """Feed one look.

        :param q_policy: mean of Q(s, pi(s))
        :param q_replay: mean of Q on replayed actions
        :param spread: standard deviation of Q on replayed actions
        :param reward: largest magnitude of a reward so far
        :param at: number of gradient updates so far
        """
        widest = self.factor * max(abs(q_replay) + 2.0 * spread, reward)
        limit = max(widest, self.floor * self.initial_scale)
        gap = abs(q_policy - q_replay)
        if self._beyond(gap > limit, gap, limit, at) < self.patience:
            return None
        return self._alarm("policy gap", f"{self.factor:g} x the size of Q on replayed actions, or of a reward")


@dataclass
class Growth(Detector):
    """Fires when the magnitude of a value exceeds a multiple of its baseline.

    The baseline is the median magnitude of the first looks. As a detector of explosions this has false alarms where a
    healthy value has far to go (a task that always pays, a critic that starts at zero), so use it with care.

    :param factor: multiple of the baseline that is allowed
    :param patience: looks in a row that must be beyond the limit
    :param settling: looks that the baseline is made from
    """

    factor: float
    patience: int = 3
    settling: int = 10
    baseline: float = field(default=math.nan, init=False)
    _first: list[float] = field(default_factory=list, init=False)

    def observe(self, value: float, *, at: int) -> Alarm | None:
        """Feed one number.

        :param value: the watched value
        :param at: number of gradient updates so far
        """
        if math.isnan(self.baseline):
            if math.isfinite(value):
                self._first.append(abs(value))
            if len(self._first) >= self.settling:
                self.baseline = median(self._first)
            self.value = value
            return None
        limit = math.copysign(self.factor * self.baseline, value)
        if self._beyond(abs(value) > abs(limit), value, limit, at) < self.patience:
            return None
        return self._alarm("growth", f"{self.factor:g} x {self.baseline:.4g}, the median of the first looks")
