"""The reward: named terms of one env step, each paid per metre or once per event, then their sum.

A bonus per step for being in the lane pays for standing still; so nothing here is paid per step.
"""

from __future__ import annotations

from dataclasses import dataclass

from sb3_carla.envs.scenario import RewardWeights


@dataclass(frozen=True)
class Motion:
    """What the ego vehicle did during one env step."""

    metres: float  # [m] along the lane's direction, negative when driven backwards
    seconds: float  # [s] length of the step
    speed: float  # [m/s]
    target_speed: float  # [m/s] of the scenario or the speed limit, the lower one
    lateral_deviation: float  # [m] from the lane centre, right positive
    half_width: float  # [m] half the lane's width
    steering_change: float  # |steer - previous steer|, 0..2


def reward_terms(motion: Motion, event: str | None, weights: RewardWeights) -> dict[str, float]:
    """The weighted terms of one env step; the reward is their sum.

    - ``progress``: metres along the lane, no more than the target speed allows, less the share ``centring`` at the
      lane's edge: ``metres * (1 - centring * |d| / half_width)``
    - ``overspeed``: minus the metres driven beyond the target speed
    - ``steering``: minus the change of the steering wheel times the metres driven with it
    - ``collision``, ``off_road``, ``wrong_way``, ``stuck``: minus their weight, once, when the episode ends by them

    :param motion: what the vehicle did
    :param event: the name of the term that ended the episode, or None
    :param weights: see :class:`~sb3_carla.envs.scenario.RewardWeights`
    """
    allowed = motion.target_speed * motion.seconds
    metres = min(motion.metres, allowed)
    if metres > 0.0:  # the centring share must not make driving backwards cheaper
        metres *= 1.0 - weights.centring * min(abs(motion.lateral_deviation) / motion.half_width, 1.0)
    terms = {
        "progress": weights.progress * metres,
        "overspeed": -weights.overspeed * max(motion.speed - motion.target_speed, 0.0) * motion.seconds,
        "steering": -weights.steering * motion.steering_change * motion.speed * motion.seconds,
        "collision": 0.0,
        "off_road": 0.0,
        "wrong_way": 0.0,
        "stuck": 0.0,
    }
    if event is not None:
        terms[event] = -float(getattr(weights, event))
    return terms
