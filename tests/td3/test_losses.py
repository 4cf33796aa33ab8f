"""Losses against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_carla.buffers import PrioritizedSamples
from sb3_carla.td3.losses import critic_loss, mpg_value

EMPTY = th.zeros(0)


def test_importance_weights_weigh_each_squared_error() -> None:
    q1, q2, target, weights = (th.rand(8, 1, generator=th.Generator().manual_seed(seed)) for seed in range(4))
    batch = PrioritizedSamples(EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, None, weights, np.arange(8))
    expected = sum(
        w * ((a - y) ** 2 + (b - y) ** 2) / 8
        for a, b, y, w in zip(*(tensor[:, 0].tolist() for tensor in (q1, q2, target, weights)), strict=True)
    )
    assert critic_loss("mse", (q1, q2), target, batch).item() == pytest.approx(expected, rel=1e-5)
    plain = ReplayBufferSamples(EMPTY, EMPTY, EMPTY, EMPTY, EMPTY)
    ones = batch._replace(weights=th.ones(8, 1))
    th.testing.assert_close(critic_loss("mse", (q1, q2), target, plain), critic_loss("mse", (q1, q2), target, ones))


def test_the_mpg_value_by_hand() -> None:
    # Delta = (2 + |Q1 - Q2|) / 2 = 3.5 and 2: 7 - 3.5 and 1 - 2
    value, delta = mpg_value(th.tensor([[2.0, 7.0], [1.0, -1.0]]), 2.0)
    assert value.tolist() == [[3.5], [-1.0]]
    assert delta == 2.75


def test_the_huber_loss_is_linear_beyond_one() -> None:
    q_value, target = th.tensor([[0.5], [3.0]]), th.zeros(2, 1)
    batch = ReplayBufferSamples(EMPTY, EMPTY, EMPTY, EMPTY, EMPTY)
    assert critic_loss("huber", (q_value,), target, batch).item() == (0.5 * 0.5**2 + (3.0 - 0.5)) / 2
