"""What one gradient update was like, for callbacks, and its summary for the logger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch as th
from stable_baselines3.common.logger import Logger

from sb3_carla.td3.gradients import GradientNorms, NonFiniteGradients

# The actor is saturated where |a| exceeds this: the derivative of tanh is below 0.06 there.
SATURATED = 0.97


@dataclass(frozen=True)
class UpdateRecord:
    """One gradient update of TD3 (``model.last_update``).

    Q values are the online critics', on the replay batch of the update. The values of the actor are those of its
    latest update (it is updated every ``policy_delay`` updates; ``actor_updated`` says whether in this one) and None
    before the first.
    """

    n_updates: int  # counted from 1, over the life of the model
    critic_loss: float
    q1_mean: float  # mean Q1(s, a) over the replay actions
    q2_mean: float  # the same of the second critic; of the only one if there is one
    q_replay_mean: float  # mean Q1(s, a) over the replay actions, as a name to set against q_policy_mean
    q_replay_std: float
    q_replay_max: float
    q_gap: float  # mean |Q1 - Q2|
    q_target_mean: float  # mean of y
    td_error: float  # mean |Q1 - y|
    reward_min: float  # of the batch as the critic sees it (normalised, n-step)
    reward_max: float
    gamma: float  # discount per environment step
    finite: bool  # no NaN or Inf gradient; otherwise the update was skipped
    grad_norms: Mapping[str, float]  # per part, before clipping
    grad_norms_clipped: Mapping[str, float]  # per part, after clipping
    actor_updated: bool = False
    actor_loss: float | None = None
    q_policy_mean: float | None = None  # mean Q1(s, pi(s)); the actor loss without regularisation is its negative
    saturated_share: float | None = None  # share of components of pi(s) with |a| > SATURATED


def critic_record(
    n_updates: int,
    critic_loss: th.Tensor,
    q_values: Sequence[th.Tensor],
    target: th.Tensor,
    rewards: th.Tensor,
    gamma: float,
    norms: GradientNorms,
) -> UpdateRecord:
    """Make the record of an update of the critics.

    :param n_updates: its number
    :param critic_loss: their loss
    :param q_values: Q(s, a) of each critic, (batch, 1)
    :param target: y, (batch, 1)
    :param rewards: (batch, 1)
    :param gamma: discount per environment step
    :param norms: gradients of the critic's parts
    """
    return UpdateRecord(
        n_updates=n_updates,
        critic_loss=critic_loss.item(),
        gamma=gamma,
        finite=norms.finite,
        grad_norms=norms.before,
        grad_norms_clipped=norms.after,
        **critic_statistics(q_values, target, rewards),  # type: ignore[arg-type]  # a dict of floats
    )


def critic_statistics(q_values: Sequence[th.Tensor], target: th.Tensor, rewards: th.Tensor) -> dict[str, float]:
    """Compute the record's values of the critics, with one transfer from the device.

    :param q_values: Q(s, a) of each critic, (batch, 1)
    :param target: y, (batch, 1)
    :param rewards: (batch, 1)
    """
    with th.no_grad():
        first, second = q_values[0], q_values[min(1, len(q_values) - 1)]
        statistics = {
            "q1_mean": first.mean(),
            "q2_mean": second.mean(),
            "q_replay_mean": first.mean(),
            "q_replay_std": first.std(correction=0),
            "q_replay_max": first.max(),
            "q_gap": (first - second).abs().mean(),
            "q_target_mean": target.mean(),
            "td_error": (first - target).abs().mean(),
            "reward_min": rewards.min(),
            "reward_max": rewards.max(),
        }
        return dict(zip(statistics, th.stack(list(statistics.values())).tolist(), strict=True))


def with_actor(
    record: UpdateRecord, actor_loss: th.Tensor, q_loss: th.Tensor, actions: th.Tensor, norms: GradientNorms
) -> UpdateRecord:
    """Add the actor's values to the record of an update.

    :param record: the critics' values of the same update
    :param actor_loss: with regularisation
    :param q_loss: -mean Q1(s, pi(s))
    :param actions: pi(s)
    :param norms: gradients of the actor's parts
    """
    with th.no_grad():
        saturated = (actions.abs() > SATURATED).float().mean()
        loss, q_policy_mean, saturated_share = th.stack([actor_loss, -q_loss, saturated]).tolist()
    return replace(
        record,
        finite=norms.finite,
        actor_updated=True,
        actor_loss=loss,
        q_policy_mean=q_policy_mean,
        saturated_share=saturated_share,
        grad_norms={**norms.before, **record.grad_norms},
        grad_norms_clipped={**norms.after, **record.grad_norms_clipped},
    )


def carry_actor(record: UpdateRecord, latest: UpdateRecord | None) -> UpdateRecord:
    """Fill the actor's values of an update of the critics only.

    :param record: an update of the critics only
    :param latest: the latest finite update of the actor, None before the first
    """
    if latest is None:
        return record
    return replace(
        record,
        actor_loss=latest.actor_loss,
        q_policy_mean=latest.q_policy_mean,
        saturated_share=latest.saturated_share,
        grad_norms={**latest.grad_norms, **record.grad_norms},
        grad_norms_clipped={**latest.grad_norms_clipped, **record.grad_norms_clipped},
    )


@dataclass
class SkippedUpdates:
    """Counts the updates that were skipped because a gradient was not finite, and ends a training that has too many."""

    total: int = 0  # over the life of the model
    in_a_row: int = 0

    def count(self, record: UpdateRecord, limit: int) -> None:
        """Take note of an update.

        :param record: the update
        :param limit: skipped updates in a row that end the training
        :raises NonFiniteGradients: so many were skipped
        """
        if record.finite:
            self.in_a_row = 0
            return
        self.total += 1
        self.in_a_row += 1
        if self.in_a_row >= limit:
            parts = ", ".join(part for part, norm in record.grad_norms.items() if not math.isfinite(norm))
            raise NonFiniteGradients(
                f"{self.in_a_row} updates in a row had NaN or Inf in the gradient of {parts} and were skipped "
                f"(the last was update {record.n_updates} with critic loss {record.critic_loss:g} and rewards in "
                f"[{record.reward_min:g}, {record.reward_max:g}]). "
                "Check that observations and rewards are finite, then lower the learning rates."
            )


def log_updates(logger: Logger, records: Sequence[UpdateRecord]) -> None:
    """Record some updates: the log shows means over all updates since its last dump, and under ``train_max/`` and
    ``grad_norm_max/`` the largest magnitudes, in which a single spike is not lost (of Q(s, a) itself: ``train/q_max``).

    What the actor gives is that of the updates that changed the actor.

    :param logger: SB3's logger
    :param records: the updates of one call of ``train``
    """
    # A skipped update has no meaningful losses and norms: it would turn every mean into NaN.
    finite = [record for record in records if record.finite]
    for key in ("critic_loss", "q1_mean", "q2_mean", "q_gap", "q_target_mean", "td_error"):
        _mean_and_largest(logger, key, [getattr(record, key) for record in finite])
    _mean_and_largest(logger, "q_std", [record.q_replay_std for record in finite])
    for record in finite:
        logger.record("train/q_max", max(record.q_replay_max, logger.name_to_value.get("train/q_max", -math.inf)))
    with_actor = [record for record in finite if record.actor_updated]
    for key in ("actor_loss", "q_policy_mean"):
        _mean_and_largest(logger, key, [getattr(record, key) for record in with_actor])
    _mean(logger, "train/saturated_share", [record.saturated_share or 0.0 for record in with_actor])
    for part in finite[-1].grad_norms if finite else ():
        # Critic parts change in every update, actor parts only where the actor was updated.
        measured = with_actor if part.startswith("actor") else finite
        before = [record.grad_norms[part] for record in measured]
        after = [record.grad_norms_clipped[part] for record in measured]
        _mean(logger, f"grad_norm/{part}", before)
        _largest(logger, f"grad_norm_max/{part}", before)
        _mean(logger, f"grad_norm_clipped/{part}", after)
        _mean(logger, f"grad_clipped_share/{part}", [float(b > a) for b, a in zip(before, after, strict=True)])


def _mean_and_largest(logger: Logger, key: str, values: Sequence[float]) -> None:
    _mean(logger, f"train/{key}", values)
    _largest(logger, f"train_max/{key}", values)


def _largest(logger: Logger, key: str, values: Sequence[float]) -> None:
    if values:  # a spike is for the files; the table in the terminal is long enough
        largest = max(abs(value) for value in values)
        logger.record(key, max(largest, logger.name_to_value.get(key, 0.0)), exclude="stdout")


def _mean(logger: Logger, key: str, values: Sequence[float]) -> None:
    for value in values:
        logger.record_mean(key, value)
