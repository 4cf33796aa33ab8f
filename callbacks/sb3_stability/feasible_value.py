"""The detectors of a number that must be finite and a possible return."""

from __future__ import annotations

from sb3_stability.detectors import AbsoluteLimit, Alarm, FeasibleBound, Finite, Range
from sb3_stability.reading import Reading


class FeasibleValue:
    """Finite, feasible and, if asked for, below a fixed threshold.

    :param gamma: discount factor
    :param margin: factor on the feasible bound; None switches it off
    :param patience: looks in a row that must be beyond a limit
    :param floor: factor on the magnitude of the values before training; the bound is never nearer to zero than that
    :param threshold: fixed threshold on the magnitude; None for none
    """

    def __init__(
        self, gamma: float, margin: float | None, patience: int, floor: float, threshold: float | None
    ) -> None:
        self._finite = Finite()
        self._bound = None if margin is None else FeasibleBound(gamma, margin, patience, floor)
        self._absolute = None if threshold is None else AbsoluteLimit(threshold, patience)

    def start_from(self, scale: float) -> None:
        """Say how large the values of the untrained network are.

        :param scale: magnitude; 0 switches the floor off
        """
        if self._bound is not None:
            self._bound.start_from(scale)

    def limits(self, reading: Reading) -> Range:
        """The range of the feasible bound, which must not be switched off.

        :param reading: gives the rewards
        """
        assert self._bound is not None
        return self._bound.limits(reading.rewards, reading.bonus)

    @property
    def limit(self) -> float | None:
        """The limit that the latest value was held against; None where there was none."""
        detector = self._bound or self._absolute
        return None if detector is None else detector.limit

    @property
    def looks(self) -> int:
        """Looks in a row that were beyond a limit, whether or not that was enough for an alarm."""
        return max((detector.looks for detector in (self._finite, self._bound, self._absolute) if detector), default=0)

    def forget(self) -> None:
        """Start a new count of looks."""
        for detector in (self._finite, self._bound, self._absolute):
            if detector is not None:
                detector.forget()

    def observe(self, value: float, reading: Reading) -> Alarm | None:
        """Feed one number.

        :param value: a mean Q-value, or the negated actor loss
        :param reading: gives the number of updates and the rewards
        """
        at = reading.n_updates
        alarms = [self._finite.observe(value, at=at)]
        if self._bound is not None:
            alarms.append(self._bound.observe(value, at=at, rewards=reading.rewards, bonus=reading.bonus))
        if self._absolute is not None:
            alarms.append(self._absolute.observe(value, at=at))
        return next((alarm for alarm in alarms if alarm is not None), None)
