"""The reward: named terms of one env step, each with a weight, then their sum.

========================= ================================================================================
term                      what is paid
========================= ================================================================================
``progress``              per metre along the lane or route, no more than the target speed allows, less the
                          share ``centring`` at the lane's edge: ``metres * (1 - centring * |d| / half_width)``
``overspeed``             minus per metre driven beyond the target speed
``steering``              minus per metre and unit of change of the steering wheel
``speed``                 per second at the target speed, in proportion below it
``lane_centre``           per second in the lane's centre, nothing from its edge on
``heading``               per second in the lane's direction: the cosine of the angle to it
``jerk``                  minus per m/s^2 of change of the acceleration along the road
``steering_rate``         minus per unit of change of the steering wheel
``potential_field``       minus per second and unit of the artificial potential, see :func:`potential`
``impulse``               minus per m/s by which a collision changes the car's velocity
``red_light``             minus once per red light that is run
``stop_sign``             minus once per stop sign that is passed without a halt
``goal``                  once, at the end of a planned route
``collision``             minus once, when the episode ends by it; so are ``off_road``, ``wrong_way``, ``stuck``
                          and ``off_route``
========================= ================================================================================

A bonus per second pays for standing still. So the preset ``ours`` has none: it pays per metre or once per event.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sb3_carla.envs.checks import replaced, require_choice, require_number

ENDINGS = ("collision", "off_road", "wrong_way", "stuck", "off_route")  # events that end an episode and cost
FASTEST = 50.0  # [m/s] that the reward's range takes into account
HARDEST_STOP = 200.0  # [m/s^2] change of the acceleration within one step that the reward's range takes into account
GREATEST_POTENTIAL = 1.0  # at and beyond contact


@dataclass(frozen=True)
class RewardWeights:
    """Weights of the terms that the module's table describes; a weight of 0 leaves its term out.

    The defaults pay 1 for ten metres. With 1 for each metre a good driver's return is ten times as large, and a critic
    that starts near zero has farther to go (``benchmarks/learn.py --recipes ours "ours, reward x 10"`` compares them).
    """

    progress: float = 0.1
    centring: float = 0.5  # share of the progress lost at the edge of the lane, 0..1
    overspeed: float = 0.1
    steering: float = 0.01
    collision: float = 1.0
    off_road: float = 1.0
    wrong_way: float = 1.0
    stuck: float = 1.0
    off_route: float = 1.0
    red_light: float = 0.5  # where the scenario has traffic rules
    stop_sign: float = 0.5
    goal: float = 1.0  # where the scenario has a planned route
    speed: float = 0.0
    lane_centre: float = 0.0
    heading: float = 0.0
    jerk: float = 0.0
    steering_rate: float = 0.0
    potential_field: float = 0.0
    impulse: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            require_number(f"reward weight {name}", value, minimum=0.0)


REWARD_PRESETS: Mapping[str, RewardWeights] = MappingProxyType(
    {
        "ours": RewardWeights(),
        # Efficiency, lane keeping, comfort, safety, progress: the five groups of the founding system's reward. Its
        # documents give no weights; these make 1 per second of good driving at the target speed out of each bonus.
        "founding": RewardWeights(
            progress=0.2, centring=0.0, overspeed=0.5, steering=0.0, speed=1.0, lane_centre=0.5, heading=0.5,
            jerk=0.01, steering_rate=0.05, impulse=0.5, collision=10.0, off_road=10.0, wrong_way=10.0, stuck=10.0,
            off_route=10.0, red_light=5.0, stop_sign=5.0, goal=10.0,
        ),
        # Route completion and nothing else, as in CaRL (Jaeger et al., "CaRL: Learning Scalable Planning Policies with
        # Simple Rewards", 2025): a metre is a metre, whatever ends the episode costs one, once. Overspeed is unpaid
        # progress there; here it costs what it would have earned.
        "route_completion": RewardWeights(
            progress=1.0, centring=0.0, overspeed=1.0, steering=0.0, red_light=1.0, stop_sign=1.0, goal=0.0,
        ),
    }
)  # fmt: skip


def reward_weights(given: object, before: RewardWeights) -> RewardWeights:
    """The weights that a scenario's ``reward`` names.

    :param given: the name of a preset, or a mapping of single weights, with ``preset`` as one more key if it is not
        ``before`` that they change
    :param before: what a mapping without ``preset`` changes
    :raises ConfigurationError: for an unknown name or a value that cannot be

    >>> reward_weights({"preset": "route_completion", "collision": 3}, RewardWeights()).collision
    3
    """
    if isinstance(given, RewardWeights):
        return given
    if isinstance(given, Mapping):
        changes: dict[str, Any] = dict(given)
        preset = changes.pop("preset", None)
        return replaced(before if preset is None else reward_weights(preset, before), changes, "reward weight")
    require_choice("reward", given, REWARD_PRESETS)
    return REWARD_PRESETS[str(given)]


@dataclass(frozen=True)
class Motion:
    """What the ego vehicle did during one env step, and what was around it."""

    metres: float  # [m] along the direction of lane or route, negative when driven backwards
    seconds: float  # [s] length of the step
    speed: float  # [m/s]
    target_speed: float  # [m/s] of the scenario or the speed limit, the lower one
    lateral_deviation: float  # [m] from the lane centre, right positive
    half_width: float  # [m] half the lane's width
    steering_change: float  # |steer - previous steer|, 0..2
    heading_error: float = 0.0  # [rad] against the lane
    acceleration_change: float = 0.0  # [m/s^2] along the road, since the step before
    potential: float = 0.0  # 0..GREATEST_POTENTIAL, see potential()
    impact: float = 0.0  # [m/s] change of velocity by collisions
    red_lights: int = 0  # run during the step
    stop_signs: int = 0  # passed without a halt


def reward_terms(motion: Motion, event: str | None, weights: RewardWeights) -> dict[str, float]:
    """The weighted terms of one env step; the reward is their sum.

    :param motion: what the vehicle did
    :param event: one of :data:`ENDINGS`, ``"goal"``, or None
    :param weights: see :class:`RewardWeights`
    """
    allowed = motion.target_speed * motion.seconds
    metres = min(motion.metres, allowed)
    off_centre = min(abs(motion.lateral_deviation) / motion.half_width, 1.0)
    if metres > 0.0:  # the centring share must not make driving backwards cheaper
        metres *= 1.0 - weights.centring * off_centre
    terms = {
        "progress": weights.progress * metres,
        "overspeed": -weights.overspeed * max(motion.speed - motion.target_speed, 0.0) * motion.seconds,
        "steering": -weights.steering * motion.steering_change * motion.speed * motion.seconds,
        "speed": weights.speed * min(motion.speed / motion.target_speed, 1.0) * motion.seconds,
        "lane_centre": weights.lane_centre * (1.0 - off_centre) * motion.seconds,
        "heading": weights.heading * math.cos(motion.heading_error) * motion.seconds,
        "jerk": -weights.jerk * min(abs(motion.acceleration_change), HARDEST_STOP),
        "steering_rate": -weights.steering_rate * motion.steering_change,
        "potential_field": -weights.potential_field * motion.potential * motion.seconds,
        "impulse": -weights.impulse * min(motion.impact, FASTEST),
        "red_light": -weights.red_light * motion.red_lights,
        "stop_sign": -weights.stop_sign * motion.stop_signs,
        "goal": weights.goal if event == "goal" else 0.0,
    }
    terms |= {name: -float(getattr(weights, name)) if name == event else 0.0 for name in ENDINGS}
    return {name: value for name, value in terms.items() if getattr(weights, name) > 0.0}


def reward_range(
    weights: RewardWeights, seconds: float, target_speed: float, *, planned: bool, rules: bool
) -> tuple[float, float]:
    """The least and the greatest reward that one env step can give.

    The upper end is perfect driving at the target speed into the goal. The lower end is a vehicle at 50 m/s against
    the lane which jerks the wheel from lock to lock, runs a light and a sign and ends the episode in the most
    expensive way.

    :param weights: the terms' weights
    :param seconds: [s] length of a step
    :param target_speed: [m/s]
    :param planned: whether there is a route with a goal
    :param rules: whether lights and signs count
    """
    fastest = FASTEST * seconds
    endings = [name for name in ENDINGS if planned or name != "off_route"]
    least = (
        -(weights.progress + weights.overspeed + 2.0 * weights.steering) * fastest
        - max(float(getattr(weights, name)) for name in endings)
        - (weights.heading + weights.potential_field * GREATEST_POTENTIAL) * seconds
        - weights.jerk * HARDEST_STOP
        - weights.steering_rate * 2.0
        - weights.impulse * FASTEST
        - (weights.red_light + weights.stop_sign) * rules
    )
    greatest = weights.progress * target_speed * seconds
    greatest += (weights.speed + weights.lane_centre + weights.heading) * seconds + weights.goal * planned
    return least, greatest


def potential(distances: list[float], reach: float) -> float:
    """The artificial potential of obstacles around the car: 0 out of reach, 1 at contact.

    The repulsive potential of Khatib, "Real-Time Obstacle Avoidance for Manipulators and Mobile Robots", 1986, grows
    without bound towards contact; this one has the same zero and slope at ``reach`` and is quadratic, so that the
    reward keeps a known range. The nearest obstacle counts.

    :param distances: [m] from the car's outline to the obstacles
    :param reach: [m] from which on an obstacle is felt

    >>> potential([12.0, 5.0], reach=10.0)
    0.25
    """
    nearest = min(distances, default=reach)
    return GREATEST_POTENTIAL * (1.0 - min(max(nearest / reach, 0.0), 1.0)) ** 2
