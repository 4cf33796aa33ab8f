"""What every detector shares: the range of numbers that it has seen, the count of bad looks, and the alarm."""

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

    @property
    def magnitude(self) -> float:
        """The largest distance from zero; 0 while it is empty."""
        return 0.0 if self.is_empty else max(abs(self.low), abs(self.high))

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
class Detector:
    """What every detector remembers of its last look.

    ``value`` and ``limit`` are NaN before the first look, ``looks`` is the number of looks in a row beyond the limit
    and ``since`` the update of the first of them.
    """

    value: float = field(default=math.nan, init=False)
    limit: float = field(default=math.nan, init=False)
    looks: int = field(default=0, init=False)
    since: int = field(default=0, init=False)

    def _beyond(self, beyond: bool, value: float, limit: float, at: int) -> int:
        """Remember a look; the number of looks in a row beyond the limit."""
        self.value, self.limit = value, limit
        if not beyond:
            self.looks = 0
        else:
            self.since = at if self.looks == 0 else self.since
            self.looks += 1
        return self.looks

    def _alarm(self, name: str, origin: str) -> Alarm:
        return Alarm(name, self.value, self.limit, self.since, self.looks, origin)

    def forget(self) -> None:
        """Start a new count of looks, for instance after the training went back to an earlier state."""
        self.looks = 0
