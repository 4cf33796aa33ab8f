"""Likely causes of what a run shows, as rules: each names the signs that speak for it and against it.

A rule is data. To add one, name the signs that it uses (:data:`sb3_carla.report.signs.READERS`), how much each weighs
when present (positive: speaks for the cause) and when absent, and what to try. A sign that the logs do not hold weighs
nothing and is listed as what would decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sb3_carla.report.sign import Sign


@dataclass(frozen=True)
class Weight:
    """What one sign says about a cause.

    :param present: weight if the run shows the sign
    :param absent: weight if it does not
    """

    present: float
    absent: float = 0.0


@dataclass(frozen=True)
class Rule:
    """One cause.

    :param name: the cause, as a sentence
    :param any_of: one of these signs must be present for the cause to be considered; empty: it always is
    :param none_of: a cause is not considered if one of these is present
    :param weights: what each sign says about it
    :param advice: what to try, most promising first
    """

    name: str
    any_of: tuple[str, ...]
    weights: Mapping[str, Weight]
    advice: str
    none_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cause:
    """A rule as it came out for one run.

    :param name: the cause
    :param score: sum of the weights
    :param evidence_for: numbers that speak for it
    :param evidence_against: numbers that speak against it
    :param unknown: what was not logged and would have a say
    :param advice: what to try
    """

    name: str
    score: float
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...]
    unknown: tuple[str, ...]
    advice: str

    @property
    def strength(self) -> str:
        """The score in words."""
        return "strong" if self.score >= 5 else "fair" if self.score >= 3 else "weak"


_EXPLODED = ("q_infeasible", "policy_apart", "critic_loss_grows")
_ANY_FAULT = (
    *_EXPLODED,
    "replay_infeasible",
    "non_finite",
    "saturated",
    "actor_gradient_dead",
    "leak_probe",
    "entropy_coefficient_grows",
    "large_policy_steps",
    "entropy_gone",
)

# With these a run that shows no fault is not above suspicion.
_ODD_SETTINGS = {name: Weight(-2) for name in ("fast_learning_rate", "large_rewards", "small_rewards")}

RULES: tuple[Rule, ...] = (
    Rule(
        "The actor loss leaks into the actor's own features",
        any_of=("q_infeasible", "policy_apart", "leak_probe", "cnn_alone"),
        weights={
            "leak_probe": Weight(6, -3),
            "q_infeasible": Weight(1, -1),
            "policy_apart": Weight(2, -3),
            "replay_infeasible": Weight(-2, 2),
            "cnn_alone": Weight(3, 0),
            "power_law": Weight(1, 0),
            "saturated": Weight(0.5, 0),
        },
        advice="Let the critic read the observation through its own features extractor, without gradient, in the actor "
        "loss (as SB3 does: critic.q1_forward(obs, actor(obs))). Clipping and a lower learning rate only delay it.",
    ),
    Rule(
        "The critic diverges: its target feeds on its own error",
        any_of=("replay_infeasible", "critic_loss_grows"),
        weights={
            "replay_infeasible": Weight(3, -2),
            "critic_loss_grows": Weight(2, -1),
            "policy_apart": Weight(-1, 1),
            "fast_learning_rate": Weight(0.5, 0),
            "large_rewards": Weight(0.5, 0),
        },
        advice="Take a critic learning rate 3 to 10 times lower and tau=0.005; see that episodes that end are marked "
        "as terminated and time limits as truncated; take gamma no larger than the task needs; put LayerNorm in it.",
    ),
    Rule(
        "The learning rate is too high",
        any_of=("fast_learning_rate",),
        weights={
            "fast_learning_rate": Weight(3, -3),
            "saturated": Weight(1, 0),
            "critic_loss_grows": Weight(1, 0),
            "non_finite": Weight(1, 0),
            "reward_rises": Weight(-3, 0),
            "policy_apart": Weight(-0.5, 0),
        },
        advice="Take 1e-3 or less for vectors; for images 1e-4 for the actor and 3e-4 for the critic.",
    ),
    Rule(
        "The actor is saturated and does not learn",
        any_of=("saturated", "actor_gradient_dead"),
        weights={
            "saturated": Weight(2, -2),
            "actor_gradient_dead": Weight(2, -1),
            "q_infeasible": Weight(-2, 1),
            "reward_rises": Weight(-2, 1),
        },
        advice="Bound the features before the actor (a trunk with LayerNorm and tanh), take a lower actor learning "
        "rate, or penalise the actions before their tanh (action_penalty).",
    ),
    Rule(
        "The rewards are of an awkward size",
        any_of=("large_rewards", "small_rewards"),
        weights={
            "large_rewards": Weight(2, 0),
            "small_rewards": Weight(2, 0),
            "critic_loss_grows": Weight(1, 0),
            "saturated": Weight(0.5, 0),
            "reward_rises": Weight(-1.5, 0.5),
            "q_infeasible": Weight(-0.5, 0),
        },
        advice="Scale the rewards so that one step earns about 1 in magnitude, or use VecNormalize(norm_reward=True).",
    ),
    Rule(
        "NaN or infinity came in from outside: an observation, a reward or an action",
        any_of=("non_finite",),
        weights={"non_finite": Weight(3, 0), "grew_before_nan": Weight(-3, 2), "q_infeasible": Weight(-1, 1)},
        advice="Wrap the environment in VecCheckNan, which names the step; look at divisions and sensors in the env.",
    ),
    Rule(
        "Numbers overflowed after they had grown without bound",
        any_of=("non_finite",),
        weights={"grew_before_nan": Weight(4, -4), "q_infeasible": Weight(1, 0), "large_gradient": Weight(1, 0)},
        advice="Look for the cause of the growth first (the other causes here); StopTrainingOnQValueExplosion would "
        "have ended the run before.",
    ),
    Rule(
        "The entropy coefficient runs away",
        any_of=("entropy_coefficient_grows",),
        weights={
            "entropy_coefficient_grows": Weight(5, -3),
            "replay_infeasible": Weight(0.5, 0),
            "reward_rises": Weight(-2, 0.5),
        },
        advice="Give a fixed ent_coef, or another target_entropy: the actions cannot be as random as it asks for.",
    ),
    Rule(
        "The policy changes too much in one update",
        any_of=("large_policy_steps",),
        weights={
            "large_policy_steps": Weight(3, -3),
            "fast_learning_rate": Weight(1, -0.5),
            "reward_rises": Weight(-2, 1),
        },
        advice="Take a lower learning rate, fewer epochs (n_epochs) or target_kl=0.02.",
    ),
    Rule(
        "The policy has stopped to explore",
        any_of=("entropy_gone",),
        weights={"entropy_gone": Weight(3, -3), "reward_rises": Weight(-3, 1)},
        advice="Raise ent_coef, or take a lower learning rate at the beginning.",
    ),
    Rule(
        "The value function explains nothing",
        any_of=("value_unexplained",),
        weights={"value_unexplained": Weight(2.5, -3), "reward_rises": Weight(-2, 1)},
        advice="Normalise rewards (VecNormalize), raise vf_coef or n_epochs; see whether the observation "
        "tells the task.",
    ),
    Rule(
        "Training had not begun, or was not logged",
        any_of=("untrained",),
        weights={"untrained": Weight(3, -3)},
        advice="Train past learning_starts and for one log interval at least (log_interval=1 logs every episode).",
    ),
    Rule(
        "Nothing is broken, but nothing was learned yet",
        any_of=(),
        none_of=(*_ANY_FAULT, "reward_rises", "untrained"),
        weights={
            "reward_rises": Weight(0, 2),
            "q_infeasible": Weight(0, 1),
            "saturated": Weight(0, 1),
            **_ODD_SETTINGS,
        },
        advice="Train longer, explore more; compare with a random policy and a simple baseline; see whether standing "
        "still is paid.",
    ),
    Rule(
        "Nothing is wrong that these logs show",
        any_of=(),
        none_of=(*_ANY_FAULT, "untrained"),
        weights={
            "reward_rises": Weight(3, -1),
            "q_infeasible": Weight(0, 1),
            "replay_infeasible": Weight(0, 0.5),
            "non_finite": Weight(0, 0.5),
            "saturated": Weight(0, 0.5),
            "episodes_collapse": Weight(-1, 0.5),
            **_ODD_SETTINGS,
        },
        advice="Go on; compare several seeds before a conclusion.",
    ),
)


def rank_causes(signs: Mapping[str, Sign], rules: tuple[Rule, ...] = RULES) -> list[Cause]:
    """Rank the causes that the signs of a run speak for, most likely first.

    :param signs: the signs of the run
    :param rules: what is considered
    """
    found = []
    for rule in rules:
        if rule.any_of and not any(signs[name].present for name in rule.any_of):
            continue
        if any(signs[name].present for name in rule.none_of):
            continue
        cause = _judge(rule, signs)
        if cause.score > 0:
            found.append(cause)
    return sorted(found, key=lambda cause: -cause.score)


def _judge(rule: Rule, signs: Mapping[str, Sign]) -> Cause:
    score, evidence_for, evidence_against, unknown = 0.0, [], [], []
    for name, weight in rule.weights.items():
        sign = signs[name]
        if sign.present is None:
            unknown.append(sign.text)
            continue
        weighs = weight.present if sign.present else weight.absent
        score += weighs
        if weighs > 0:
            evidence_for.append(sign.text)
        elif weighs < 0:
            evidence_against.append(sign.text)
    return Cause(rule.name, score, tuple(evidence_for), tuple(evidence_against), tuple(unknown), rule.advice)
