"""What an episode was worth: the CARLA leaderboard's scores and the everyday measures of driving.

- Route completion [%]: how much of the route was driven; a free route counts as complete after the scenario's
  ``route_length``.
- Infraction penalty: the product of a factor per infraction, :data:`PENALTIES`.
- Driving score [%]: route completion times infraction penalty.
- Success: a complete route without an infraction.

Sources: the CARLA autonomous driving leaderboard (leaderboard.carla.org, "Evaluation and metrics") for scores and
factors; steering reversals after SAE J2944 (a reversal counts from a gap on). There, driving off the road takes that
share of the way from the completion; here it ends the episode, and with it the completion.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

PENALTIES = {
    "collision_pedestrian": 0.5,
    "collision_vehicle": 0.6,
    "collision_static": 0.65,
    "red_light": 0.7,
    "stop_sign": 0.8,
}
REVERSAL_GAP = 0.05  # of the steering's range -1..1: smaller movements to and fro are no reversal
# Endings that are no infraction by themselves: what happened is counted under its own name.
STATUS = {
    None: "Failed - Agent timed out",
    "collision": "Failed - Agent collided",
    "off_road": "Failed - Agent left the road",
    "wrong_way": "Failed - Agent drove on the wrong side",
    "off_route": "Failed - Agent deviated from the route",
    "stuck": "Failed - Agent got blocked",
}


@dataclass(frozen=True)
class EpisodeMetrics:
    """The measures of one episode; lengths in metres, times in seconds."""

    status: str  # "Completed" or why not, in the leaderboard's words where it has some
    success: bool
    driving_score: float  # 0..100
    route_completion: float  # 0..100
    infraction_penalty: float  # 0..1
    route_length: float
    distance: float  # along the lane
    duration: float
    infractions: dict[str, int]  # by the names of PENALTIES, and the ending that is none of them
    centre_deviation: float  # mean absolute distance from the lane's centre
    mean_speed_kmh: float
    mean_jerk: float  # [m/s^3] mean absolute change of the acceleration along the road
    steering_reversals: int
    steering_rate: float  # [1/s] mean absolute movement of the steering; full lock is 1
    reward: float  # the return
    reward_terms: dict[str, float] = field(default_factory=dict)  # the return by term

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON."""
        return asdict(self)


class EpisodeRecorder:
    """Collects what an episode's metrics need, step by step.

    :param route_length: [m]
    :param seconds: [s] length of one step
    :param max_steer: share of the full lock that a steering of 1 stands for
    """

    def __init__(self, route_length: float, seconds: float, max_steer: float) -> None:
        self._route_length, self._seconds, self._max_steer = route_length, seconds, max_steer
        self._steps = 0
        self._deviation = self._speed = self._jerk = self._steered = 0.0  # sums over the steps
        self._last_speed: float | None = None
        self.acceleration: float | None = None
        self._infractions: Counter[str] = Counter()
        self._terms: Counter[str] = Counter()
        self._steer = 0.0
        self._turning_point = 0.0  # the steering's last extreme
        self._direction = 0
        self._reversals = 0

    def acceleration_change(self, speed: float) -> float:
        """Take the speed [m/s] of a step in; the change of the acceleration [m/s^2], 0 before there are two."""
        change = 0.0
        if self._last_speed is not None:
            acceleration = (speed - self._last_speed) / self._seconds
            if self.acceleration is not None:
                change = acceleration - self.acceleration
            self.acceleration = acceleration
        self._last_speed = speed
        self._jerk += abs(change) / self._seconds
        return change

    def add(
        self, speed: float, lateral_deviation: float, steer: float, infractions: list[str], terms: dict[str, float]
    ) -> None:
        """Take a step in.

        :param speed: [m/s]
        :param lateral_deviation: [m]
        :param steer: -1..1, in units of ``max_steer``
        :param infractions: names of :data:`PENALTIES`, one per infraction
        :param terms: the step's reward
        """
        self._steps += 1
        self._speed += speed
        self._deviation += abs(lateral_deviation)
        self._infractions.update(infractions)
        self._terms.update(terms)
        self._steered += abs(steer - self._steer)
        self._steer = steer
        moved = steer - self._turning_point
        if abs(moved) >= REVERSAL_GAP:
            direction = 1 if moved > 0.0 else -1
            self._reversals += direction == -self._direction
            self._direction = direction
        if moved * self._direction >= 0.0:  # the extreme moves on with the steering
            self._turning_point = steer

    def finish(self, event: str | None, distance: float, completed: float) -> EpisodeMetrics:
        """The metrics of the episode.

        :param event: what ended it, see :mod:`sb3_carla.envs.reward`; None: the time limit
        :param distance: [m] driven along the lane
        :param completed: [m] of the route that were driven
        """
        steps = max(self._steps, 1)
        completion = 100.0 * min(max(completed / self._route_length, 0.0), 1.0)
        if event == "goal":
            completion = 100.0
        penalty = math.prod(PENALTIES[name] ** count for name, count in self._infractions.items())
        infractions = dict(self._infractions)
        if event not in (None, "goal", "collision"):
            infractions[str(event)] = 1
        complete = completion >= 100.0 and event in (None, "goal")
        return EpisodeMetrics(
            status="Completed" if complete else STATUS.get(event, str(event)),
            success=complete and not infractions,
            driving_score=completion * penalty,
            route_completion=completion,
            infraction_penalty=penalty,
            route_length=self._route_length,
            distance=distance,
            duration=self._steps * self._seconds,
            infractions=infractions,
            centre_deviation=self._deviation / steps,
            mean_speed_kmh=self._speed / steps * 3.6,
            mean_jerk=self._jerk / steps,
            steering_reversals=self._reversals,
            steering_rate=self._max_steer * self._steered / (steps * self._seconds),
            reward=math.fsum(self._terms.values()),
            reward_terms=dict(self._terms),
        )
