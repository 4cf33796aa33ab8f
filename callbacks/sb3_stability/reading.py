"""What a look at a model finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sb3_stability.detectors import NOTHING, Range

SATURATED = 0.97  # a component of an action counts as saturated beyond this; tanh passes less than 6 % of a gradient


@dataclass(frozen=True)
class Reading:
    """The state of a critic and its actor after some update. None is what could not be read.

    :param n_updates: gradient updates so far
    :param q_policy_mean: mean of Q(s, pi(s)) over transitions and critics, as the last actor update computed it
    :param q_replay_mean: mean of Q(s, a) on replayed actions
    :param q_replay_std: standard deviation of Q(s, a) on replayed actions
    :param actor_loss: loss of the actor; where the model keeps no record, minus ``q_policy_mean`` and the entropy term;
        None of a model without one
    :param critic_loss: loss of the critic, where the model keeps a record
    :param saturated_share: share of the components of pi(s) beyond +-0.97, 0 to 1
    :param feature_norm: mean L2 norm of the actor's features, where it has a features extractor that learns
    :param grad_norms: global L2 norm of the gradient before clipping, of some update since the last look, of ``actor``
        and ``critic``, or of the parts that the model's own record tells apart (``actor_cnn``, ...)
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
    grad_norms: Mapping[str, float] = field(default_factory=dict)
    rewards: Range = NOTHING
    bonus: Range = NOTHING

    def grad_norm(self, network: str) -> float | None:
        """Global L2 norm of the gradient of all parts of a network.

        :param network: ``actor`` or ``critic``
        """
        squares = [norm**2 for part, norm in self.grad_norms.items() if part.startswith(network)]
        return math.sqrt(sum(squares)) if squares else None

    @property
    def scale(self) -> float:
        """Magnitude of the Q-values: what the floor of the feasible bound is made from."""
        replay = abs(self.q_replay_mean or 0.0) + (self.q_replay_std or 0.0)
        scale = max(abs(self.q_policy_mean or 0.0), replay)
        return scale if math.isfinite(scale) else 0.0
