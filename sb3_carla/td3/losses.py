"""What TD3's losses are made of."""

from __future__ import annotations

import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch.nn import functional as F

from sb3_carla.buffers import PrioritizedSamples


def squared_error(q_values: tuple[th.Tensor, ...], target: th.Tensor, batch: ReplayBufferSamples) -> th.Tensor:
    """Compute the sum of the critics' mean squared TD errors, weighted where the batch brings weights.

    :param q_values: Q(s, a) of each critic
    :param target: y
    :param batch: what they were computed for
    """
    if isinstance(batch, PrioritizedSamples):
        losses = [(batch.weights * (q_value - target).square()).mean() for q_value in q_values]
    else:
        losses = [F.mse_loss(q_value, target) for q_value in q_values]
    return th.stack(losses).sum()


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
