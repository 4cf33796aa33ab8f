"""What TD3's losses are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs, ReplayBufferSamples
from stable_baselines3.td3.policies import Actor
from torch.nn import functional as F

from sb3_carla.buffers import PrioritizedSamples

CRITIC_LOSSES: Mapping[str, Callable[..., th.Tensor]] = {"mse": F.mse_loss, "huber": F.huber_loss}


def critic_loss(kind: str, q_values: tuple[th.Tensor, ...], target: th.Tensor, batch: ReplayBufferSamples) -> th.Tensor:
    """Compute the sum of the critics' mean errors, weighted where the batch brings weights.

    :param kind: one of `CRITIC_LOSSES`
    :param q_values: Q(s, a) of each critic
    :param target: y
    :param batch: what they were computed for
    """
    error = CRITIC_LOSSES[kind]
    if isinstance(batch, PrioritizedSamples):
        losses = [(batch.weights * error(q_value, target, reduction="none")).mean() for q_value in q_values]
    else:
        losses = [error(q_value, target) for q_value in q_values]
    return th.stack(losses).sum()


def act(actor: Actor, observations: PyTorchObs, with_raw: bool) -> tuple[th.Tensor, th.Tensor | None]:
    """Compute pi(s) and, if asked for, u where pi(s) = tanh(u).

    :param actor: the actor
    :param observations: s
    :param with_raw: return u, which is None otherwise
    """
    if not with_raw:
        return actor(observations), None
    raw = actor.mu[:-1](actor.extract_features(observations, actor.features_extractor))
    return th.tanh(raw), raw


def mpg_value(q_values: th.Tensor, last_delta: float) -> tuple[th.Tensor, float]:
    """Join target critics as MPG does: their maximum minus a running mean of their distance.

    ``Delta = (Delta_last + |Q1 - Q2|) / 2`` for each transition. The next batch has other transitions, so what is
    carried over as the next ``Delta_last`` is the mean over the batch.

    :param q_values: of every critic, (batch, critics)
    :param last_delta: Delta_last
    :return: max(Q1, Q2) - Delta, (batch, 1), and the next Delta_last
    """
    lowest, highest = q_values.amin(dim=1, keepdim=True), q_values.amax(dim=1, keepdim=True)
    delta = 0.5 * (last_delta + highest - lowest)
    return highest - delta, delta.mean().item()
