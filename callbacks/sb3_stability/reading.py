"""What a look at a model finds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sb3_stability.detectors import NOTHING, Range

SATURATED = 0.97  # a component of an action counts as saturated beyond this; tanh passes less than 6 % of a gradient


@dataclass(frozen=True)
class Reading:
    """The state of a critic and its actor after some update. None is what could not be read.

    :param n_updates: gradient updates so far
    :param q_policy_mean: mean of Q(s, pi(s)) over transitions and critics, as the last actor update computed it
    :param q_replay_mean: mean of Q(s, a) on replayed actions
    :param q_replay_std: standard deviation of Q(s, a) on replayed actions
    :param actor_loss: loss of the actor; where the model keeps no record, minus ``q_policy_mean`` and the entropy term
    :param critic_loss: loss of the critic, where the model keeps a record
    :param saturated_share: share of the components of pi(s) beyond +-0.97, 0 to 1
    :param feature_norm: mean L2 norm of the actor's features, where it has a features extractor that learns
    :param actor_grad_norm: global L2 norm of the actor's gradient before clipping, of some update since the last look
    :param critic_grad_norm: the same of the critic
    :param rewards: range of the rewards that the critic has learned from so far (normalised ones with VecNormalize)
    :param bonus: range of the entropy term that has been added to each step's reward so far; empty without one
    """

    n_updates: int
    q_policy_mean: float | None = None
    q_replay_mean: float | None = None
    q_replay_std: float | None = None
    actor_loss: float | None = None
    critic_loss: float | None = None
    saturated_share: float | None = None
    feature_norm: float | None = None
    actor_grad_norm: float | None = None
    critic_grad_norm: float | None = None
    rewards: Range = NOTHING
    bonus: Range = NOTHING

    @property
    def scale(self) -> float:
        """Magnitude of the Q-values: what the floor of the feasible bound is made from."""
        replay = abs(self.q_replay_mean or 0.0) + (self.q_replay_std or 0.0)
        scale = max(abs(self.q_policy_mean or 0.0), replay)
        return scale if math.isfinite(scale) else 0.0
