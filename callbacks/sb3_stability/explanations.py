"""Why a training may have gone bad, most likely first, and what to try; said from what was measured."""

from __future__ import annotations

import math

from sb3_stability.detectors import Alarm
from sb3_stability.reading import Reading
from sb3_stability.watch import State

_TARGET_CAUSES = (
    "Likely causes, most common first: a learning rate too high for the critic; episodes that end without being marked "
    "as terminated (or time limits marked as such); target networks that follow too fast (tau) or not at all; rewards "
    "of very unequal size. What to try: a learning rate 3 to 10 times lower, tau=0.005, rewards scaled to about 1, and "
    "gamma no larger than the task needs."
)


def explain(alarm: Alarm, reading: Reading) -> str:
    """One or two sentences on likely causes and remedies.

    :param alarm: what fired
    :param reading: what was measured when it fired
    """
    if not math.isfinite(alarm.value):
        return (
            "Likely causes, most common first: NaN or infinity in an observation or a reward; a gradient that "
            "overflowed; a Q-value explosion that went unseen. What to try: VecCheckNan around the env, a lower "
            "learning rate, gradient clipping that refuses non-finite gradients, float32 instead of bf16 or float16."
        )
    if _only_on_policy_actions(alarm, reading):
        return (
            f"On replayed actions Q is sane ({reading.q_replay_mean:.4g}), so the fault is in the actor's update and "
            "not in the critic's target. The usual cause is a leak: the actor loss reaches the actor's own features by "
            "the state that the critic reads, and not by the action alone. What to try: let the critic read the "
            "observation through its own feature extractor, under no_grad, in the actor loss; then a lower learning "
            "rate for the actor."
        )
    replay = ""
    if reading.q_replay_mean is not None:
        replay = f"On replayed actions Q is {reading.q_replay_mean:.4g}, so the critic itself has left the range. "
    return replay + _TARGET_CAUSES


def _only_on_policy_actions(alarm: Alarm, reading: Reading) -> bool:
    """Whether Q is within the limits on replayed actions, and far from what the policy's actions get."""
    replay, spread = reading.q_replay_mean, reading.q_replay_std or 0.0
    if replay is None or not math.isfinite(replay):
        return False
    return abs(replay) < abs(alarm.limit) and abs(alarm.value - replay) > 2.0 * (abs(replay) + 2.0 * spread)


_WARNINGS = {
    "action_saturation": (
        "tanh passes no gradient there, so the actor does not learn; this is no explosion. What to try: a lower "
        "learning rate for the actor, features of bounded size (LayerNorm and tanh), or a penalty on the actions "
        "before tanh."
    ),
    "feature_norm": "What to try: LayerNorm on the features, weight decay, a lower learning rate of the encoder.",
    "gradient_norm": "What to try: smaller rewards, a lower learning rate, clipping of the gradient norm.",
    "gradient_norm_critical": "What to try: smaller rewards, a lower learning rate, clipping of the gradient norm.",
    "large_q_value": (
        "Whether this is wrong depends on the rewards: with rewards of 100 and gamma=0.99 a correct value is 10 000. "
        "The feasible bound (stability/q_limit_low, stability/q_limit_high) knows them."
    ),
    "large_loss": "What to try: smaller rewards (VecNormalize), a lower learning rate, the huber loss for the critic.",
    "actor_loss_growth": (
        "This alone is no fault: Q-values grow in a healthy run as well. Look at the feasible bound "
        "(stability/q_limit_low, stability/q_limit_high) beside it."
    ),
    "episode_collapse": (
        "The policy now fails early where it did not before. What to look at: saturated actions, Q-values on their "
        "way out of the feasible range, a reward that pays for a quick end."
    ),
    "q_gap": (
        "The critic invents values for the policy's actions that it never learned. The usual cause is an actor update "
        "that reaches the actor's features by another way than the action; then overestimation by a critic that is "
        "trained too little on the policy's own actions."
    ),
}


def explain_warning(state: State, reading: Reading) -> str:
    """What an alarm means that may be a warning only, and what to try.

    :param state: of the detector that fired
    :param reading: what was measured when it fired
    """
    if state.name in _WARNINGS or state.alarm is None:
        return _WARNINGS.get(state.name, "")
    return explain(state.alarm, reading)
