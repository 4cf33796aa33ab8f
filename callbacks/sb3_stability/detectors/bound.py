"""The feasible bound: a mean Q-value that no sequence of rewards can add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sb3_stability.detectors.alarm import Alarm, Detector, Range


@dataclass
class FeasibleBound(Detector):
    """Fires when a value leaves what the rewards make possible.

    No policy can earn more than the largest reward seen at every step for ever, ``max(r_max, 0) / (1 - gamma)``, nor
    less than ``min(r_min, 0) / (1 - gamma)``. The zero is there because an episode may end. A mean Q-value outside
    of this range, widened by ``margin``, is not an estimate of any return. A floor proportional to the
    untrained network's own output keeps the detector quiet while no reward has been seen.

    All limits are proportional to the rewards and the initial values, so rescaling a task changes no verdict.

    :param gamma: discount factor
    :param margin: factor on the bound
    :param patience: looks in a row that must be beyond the limit
    :param floor: factor on the magnitude of the values before training; no limit is nearer to zero than that
    :param certainty: a value beyond this many times the limit needs no second look
    """

    gamma: float
    margin: float = 1.5
    patience: int = 3
    floor: float = 10.0
    certainty: float = 10.0
    initial_scale: float = field(default=math.nan, init=False)

    def start_from(self, scale: float) -> None:
        """Say how large the values of the untrained network are. Without this the first value observed counts as that.

        :param scale: magnitude of the values before training; 0 switches the floor off
        """
        self.initial_scale = abs(scale)

    def limits(self, rewards: Range, bonus: Range | None = None) -> Range:
        """The range that a healthy value stays in.

        :param rewards: range of the rewards that the critic has learned from
        :param bonus: range of what the algorithm adds to the reward at each step (SAC's entropy term)
        """
        low, high = (0.0, 0.0) if rewards.is_empty else rewards
        if bonus is not None and not bonus.is_empty:
            low, high = low + min(bonus.low, 0.0), high + max(bonus.high, 0.0)
        floor = 0.0 if math.isnan(self.initial_scale) else self.floor * self.initial_scale
        horizon = 1.0 / (1.0 - self.gamma) if self.gamma < 1.0 else math.inf

        def widest(reward: float) -> float:
            feasible = self.margin * horizon * reward if reward > 0.0 else 0.0
            return max(feasible, floor)

        return Range(0.0 - widest(-low), widest(high))

    def observe(self, value: float, *, at: int, rewards: Range, bonus: Range | None = None) -> Alarm | None:
        """Feed one number.

        :param value: a mean Q-value, or the negated actor loss
        :param at: number of gradient updates so far
        :param rewards: range of the rewards that the critic has learned from
        :param bonus: range of what the algorithm adds to the reward at each step
        """
        if math.isnan(self.initial_scale) and math.isfinite(value):
            self.start_from(value)
        low, high = self.limits(rewards, bonus)
        limit = high if value > 0.0 else low
        looks = self._beyond(value > high or value < low, value, limit, at)
        certain = looks > 0 and abs(value) > self.certainty * abs(limit)
        if looks == 0 or (looks < self.patience and not certain):
            return None
        return self._alarm("feasible bound", self._origin(rewards, bonus, limit))

    def _origin(self, rewards: Range, bonus: Range | None, limit: float) -> str:
        """How this limit came about, as the end of a sentence."""
        floor = self.floor * self.initial_scale
        if abs(limit) <= floor:
            return f"{self.floor:g} x {self.initial_scale:.4g}, the magnitude of Q before training"
        reward = rewards.high if limit > 0 else rewards.low
        per_step = f"{reward:.4g}"
        if bonus is not None and not bonus.is_empty:
            per_step = f"({reward:.4g} + {bonus.high if limit > 0 else bonus.low:.4g} of entropy)"
        most = "largest" if limit > 0 else "smallest"
        bound = f"{self.margin:g} x {per_step} / (1 - {self.gamma:g})"
        return f"{bound}, the {most} reward seen at every step for ever"
