"""The collapse of a policy, seen from its episodes."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from sb3_stability.detectors.alarm import Alarm, Detector


@dataclass
class EpisodeCollapse(Detector):
    """Fires when episodes have become much shorter than they once were, and earn less as well.

    Shorter episodes alone are no bad sign: where the task is to arrive, they mean success.

    :param fraction: the mean length may not fall below this share of the best one
    :param window: episodes that a mean is made from
    """

    fraction: float = 1.0 / 3.0
    window: int = 10
    _episodes: deque[tuple[float, float]] = field(default_factory=deque, init=False)
    _best_length: float = field(default=-math.inf, init=False)
    _return_then: float = field(default=-math.inf, init=False)

    @property
    def mean_length(self) -> float:
        """Mean length of the latest episodes, in steps; NaN until there are enough of them."""
        if len(self._episodes) < self.window:
            return math.nan
        return sum(length for length, _ in self._episodes) / self.window

    def observe(self, length: float, earned: float, *, at: int) -> Alarm | None:
        """Feed one episode.

        :param length: its length in steps
        :param earned: its return
        :param at: number of gradient updates so far
        """
        self._episodes.append((length, earned))
        if len(self._episodes) > self.window:
            self._episodes.popleft()
        mean_length = self.mean_length
        if math.isnan(mean_length):
            return None
        mean_return = sum(earned for _, earned in self._episodes) / self.window
        if mean_length > self._best_length:
            self._best_length, self._return_then = mean_length, mean_return
        limit = self.fraction * self._best_length
        if self._beyond(mean_length < limit and mean_return < self._return_then, mean_length, limit, at) == 0:
            return None
        origin = f"{self.fraction:.3g} x {self._best_length:.4g} steps, the longest mean of {self.window} episodes"
        return self._alarm("episode collapse", origin)
