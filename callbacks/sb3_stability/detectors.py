"""Detectors: small objects that are fed numbers and say when a training has gone bad.

They know nothing of Stable-Baselines3 or torch, so each can be tried with a list of numbers:

- :class:`FeasibleBound`: the value leaves the range that the rewards make possible. Scale-free, the default.
- :class:`AbsoluteLimit`: the magnitude passes a fixed number.
- :class:`Finite`: NaN or infinity.

Every ``observe`` returns an :class:`Alarm` from the moment the detector fires for as long as it stays beyond its limit,
otherwise None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple


class Range(NamedTuple):
    """A closed interval. ``NOTHING`` is the empty one, from which :meth:`including` grows."""

    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        """True before the first number."""
        return self.low > self.high

    def including(self, *values: float) -> Range:
        """The smallest range with these values in it too; values that are not finite say nothing and are left out."""
        known = [value for value in values if math.isfinite(value)]
        return Range(min([self.low, *known]), max([self.high, *known]))


NOTHING = Range(math.inf, -math.inf)


@dataclass(frozen=True)
class Alarm:
    """What a detector saw.

    :param detector: name of the detector
    :param value: the value that broke the limit
    :param limit: the limit that it broke; NaN where there is none to name
    :param since: the update at which the value was first seen beyond the limit
    :param looks: number of looks in a row that were beyond it
    :param origin: how the limit was computed, as the end of "the limit is ..."
    """

    detector: str
    value: float
    limit: float
    since: int
    looks: int
    origin: str

    def __str__(self) -> str:
        if math.isnan(self.limit):
            return f"{self.value:.6g} since update {self.since}: {self.origin}"
        side = "above" if self.value > self.limit else "below"
        looks = "1 look" if self.looks == 1 else f"{self.looks} looks in a row"
        seen = f"{self.value:.6g}, {side} the limit {self.limit:.6g} since update {self.since} ({looks})"
        return f"{seen}; the limit is {self.origin}"


@dataclass
class _Streak:
    """Counts the looks in a row that were beyond a limit."""

    looks: int = 0
    since: int = 0

    def count(self, beyond: bool, at: int) -> int:
        if not beyond:
            self.looks = 0
        else:
            self.since = at if self.looks == 0 else self.since
            self.looks += 1
        return self.looks


@dataclass
class Finite:
    """Fires at once on NaN or infinity."""

    _streak: _Streak = field(default_factory=_Streak)

    def observe(self, value: float, *, at: int) -> Alarm | None:
        """Feed one number.

        :param value: any number that training computes
        :param at: number of gradient updates so far
        """
        looks = self._streak.count(not math.isfinite(value), at)
        if looks == 0:
            return None
        return Alarm("not finite", value, math.nan, self._streak.since, looks, "not a finite number")


@dataclass
class AbsoluteLimit:
    """Fires when ``|value|`` exceeds a fixed number.

    Not scale-free: with rewards of 100 and a discount of 0.99 a correct Q-value is 10 000.

    :param limit: largest magnitude allowed
    :param patience: looks in a row that must be beyond the limit
    """

    limit: float
    patience: int = 3
    _streak: _Streak = field(default_factory=_Streak)

    def observe(self, value: float, *, at: int) -> Alarm | None:
        """Feed one number.

        :param value: the watched value
        :param at: number of gradient updates so far
        """
        looks = self._streak.count(abs(value) > self.limit, at)
        if looks < self.patience:
            return None
        limit = math.copysign(self.limit, value)
        return Alarm("absolute limit", value, limit, self._streak.since, looks, "a fixed threshold given by argument")


@dataclass
class FeasibleBound:
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
    _streak: _Streak = field(default_factory=_Streak)

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

    def origin(self, rewards: Range, bonus: Range | None, limit: float) -> str:
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
        limit = high if value > high else low
        beyond = value > high or value < low
        looks = self._streak.count(beyond, at)
        certain = beyond and abs(value) > self.certainty * abs(limit)
        if looks == 0 or (looks < self.patience and not certain):
            return None
        return Alarm("feasible bound", value, limit, self._streak.since, looks, self.origin(rewards, bonus, limit))
