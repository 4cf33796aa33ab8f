"""Stability callbacks for Stable-Baselines3: know that an off-policy run is going bad, stop it, roll it back, say why.

Works with TD3, DDPG, SAC and DQN of Stable-Baselines3 and TQC, CrossQ and QR-DQN of sb3-contrib::

    from stable_baselines3 import SAC
    from sb3_stability import StopTrainingOnActorLossExplosion, StopTrainingOnQValueExplosion

    model = SAC("MlpPolicy", "Pendulum-v1")
    model.learn(5_000, callback=[StopTrainingOnQValueExplosion(), StopTrainingOnActorLossExplosion()])

The detectors behind them (:mod:`sb3_stability.detectors`) are plain objects fed with numbers.

What is logged
--------------
``alerts/*`` is 1 if the detector fired since the last line of the log, otherwise 0:

- ``alerts/q_value_explosion``: the mean Q(s, pi(s)) is no possible return any more, or not finite (a stop)
- ``alerts/actor_loss_explosion``: the same of minus the actor loss (a stop)
- ``alerts/non_finite``: NaN or infinity in a value, a loss or a parameter (a stop)
- ``alerts/gradient_explosion``: the norm of a gradient is beyond the limit of StopTrainingOnGradientExplosion (a stop)
- ``alerts/actor_loss_leak``: the actor loss reaches the actor by another way than the action (found at the start)
- ``alerts/q_gap``: Q(s, pi(s)) lies far from Q on replayed actions (a warning, as are all below)
- ``alerts/action_saturation``: nearly all actions are at an end of their range
- ``alerts/gradient_norm``, ``alerts/gradient_norm_critical``: the norm of a gradient, 5e4 and 1e5
- ``alerts/large_q_value``: the magnitude of the mean Q(s, pi(s)), 1e4
- ``alerts/large_loss``: the magnitude of the actor's or the critic's loss, 1e6
- ``alerts/episode_collapse``: episodes became much shorter and earn less
- ``alerts/feature_norm``: the norm of the actor's features grew by a factor (only if ``feature_growth`` is given)
- ``alerts/actor_loss_growth``: the actor loss grew by a factor (only if ``loss_growth`` is given)
- ``alerts/rollback``: a detector fired and the model went back to a checkpoint, or could not any more
- ``alerts/failed_gate``: a gate of the staged training was not passed (a stop)

``stability/*``:

- ``stability/q_policy_mean``: mean Q(s, pi(s)); ``stability/q_replay_mean``, ``stability/q_replay_std``: Q on replay
- ``stability/q_limit_low``, ``stability/q_limit_high``: the feasible range of Q, widened by the margin
- ``stability/q_gap``, ``stability/q_gap_limit``: the distance of the two, and its limit
- ``stability/actor_loss``: of the last update
- ``stability/saturated_share``: share of the components of pi(s) beyond +-0.97
- ``stability/feature_norm``: mean L2 norm of the actor's features, where it has an extractor that learns
- ``stability/actor_grad_norm``, ``stability/critic_grad_norm``: global L2 norm of the gradient, before clipping
- ``stability/checkpoint_step``: the step of the latest healthy checkpoint
- ``stability/rollbacks``: times that the model went back; ``stability/lr_factor``: what is left of its learning rates
- ``stability/gates_passed``: gates of the staged training
- ``stability/message``: why a run was stopped (text, TensorBoard only)
"""

from sb3_stability.actor_loss_leak import (
    LeakyActorLossError,
    StopTrainingOnLeakyActorLoss,
    UnprobedModelError,
    check_actor_loss,
    leaking_parameters,
)
from sb3_stability.callbacks import (
    StopTrainingOnActorLossExplosion,
    StopTrainingOnGradientExplosion,
    StopTrainingOnNonFinite,
    StopTrainingOnQValueExplosion,
)
from sb3_stability.checkpoint import Checkpoint
from sb3_stability.detectors import (
    AbsoluteLimit,
    ActionSaturation,
    Alarm,
    EpisodeCollapse,
    FeasibleBound,
    Finite,
    GradientNorm,
    Growth,
    PolicyGap,
    Range,
)
from sb3_stability.healthy_checkpoints import HealthyCheckpoints, RollbackToHealthyCheckpoint
from sb3_stability.monitor import StabilityMonitor
from sb3_stability.panel import StabilityPanel
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings, UnreadableModelError
from sb3_stability.staged_training import StagedTraining
from sb3_stability.watch import Limits

__all__ = [
    "AbsoluteLimit",
    "ActionSaturation",
    "Alarm",
    "Checkpoint",
    "EpisodeCollapse",
    "FeasibleBound",
    "Finite",
    "GradientNorm",
    "Growth",
    "HealthyCheckpoints",
    "LeakyActorLossError",
    "Limits",
    "PolicyGap",
    "Range",
    "Reading",
    "Readings",
    "RollbackToHealthyCheckpoint",
    "StabilityMonitor",
    "StabilityPanel",
    "StagedTraining",
    "StopTrainingOnActorLossExplosion",
    "StopTrainingOnGradientExplosion",
    "StopTrainingOnLeakyActorLoss",
    "StopTrainingOnNonFinite",
    "StopTrainingOnQValueExplosion",
    "UnprobedModelError",
    "UnreadableModelError",
    "check_actor_loss",
    "leaking_parameters",
]
