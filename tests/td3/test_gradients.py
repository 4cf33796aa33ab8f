"""Gradients are measured as global norms, clipped part by part, and never applied when they are not finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from pixels import FixedBatches, PixelEnv
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from sb3_carla.td3 import PARTS, TD3, GradientLimitExceeded, NonFiniteGradients
from sb3_carla.td3 import gradients as gradients_module
from sb3_carla.td3.gradients import clip_and_step


def batch(rewards: float = 1.0, seed: int = 0, size: int = 8) -> ReplayBufferSamples:
    rng = np.random.default_rng(seed)
    images = th.as_tensor(rng.integers(0, 256, (2, size, 4, 42, 42), dtype=np.uint8))
    actions = th.as_tensor(rng.uniform(-1, 1, (size, 2)), dtype=th.float32)
    return ReplayBufferSamples(images[0], actions, images[1], th.zeros(size, 1), th.full((size, 1), rewards))


def make_model(*batches: ReplayBufferSamples, **arguments: Any) -> TD3:
    model = TD3("CnnPolicy", PixelEnv(), seed=0, buffer_size=10, device="cpu", **arguments)
    model.set_logger(Logger(None, []))
    model.replay_buffer = FixedBatches(*(batches or (batch(),)))  # type: ignore[assignment]
    return model


def optimizer_of(*parts: list[np.ndarray]) -> th.optim.SGD:
    """An optimizer with parts a, b, ... whose gradients are given; a step of size 1 subtracts them from zero."""
    groups = []
    for name, tensors in zip("abcdef", parts, strict=False):
        parameters = [nn.Parameter(th.zeros(tensor.shape)) for tensor in tensors]
        for parameter, tensor in zip(parameters, tensors, strict=True):
            parameter.grad = th.as_tensor(tensor, dtype=th.float32).clone()
        groups.append({"params": parameters, "name": name})
    return th.optim.SGD(groups, lr=1.0)


def stepped(optimizer: th.optim.Optimizer) -> list[np.ndarray]:
    """What the step of `optimizer_of` applied, flat, part by part."""
    return [
        np.concatenate([-parameter.detach().numpy().ravel() for parameter in group["params"]])
        for group in optimizer.param_groups
    ]


components = st.floats(-1e6, 1e6, width=32)
tensors = st.lists(st.lists(components, min_size=1, max_size=5).map(np.array), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(first=tensors, second=tensors, limit=st.floats(1e-3, 1e3))
def test_a_part_is_scaled_to_its_limit_as_a_whole_and_others_stay(first: Any, second: Any, limit: float) -> None:
    optimizer = optimizer_of(first, second)
    norms = clip_and_step(optimizer, {"a": limit}, {})
    clipped, untouched = stepped(optimizer)
    flat = np.concatenate(first).astype(np.float64)
    norm = np.linalg.norm(flat)
    np.testing.assert_allclose(clipped, flat * min(1, limit / max(norm, 1e-300)), rtol=1e-4, atol=1e-6 * limit)
    np.testing.assert_array_equal(untouched, np.concatenate(second).astype(np.float32))
    assert norms.before["a"] == pytest.approx(norm, rel=1e-5, abs=1e-12)
    assert norms.after["a"] <= limit
    assert norms.after["b"] == norms.before["b"]


def test_the_norm_of_eight_unit_tensors_is_not_their_sum() -> None:
    optimizer = optimizer_of([np.array([1.0, 0.0])] * 8)
    norms = clip_and_step(optimizer, {"a": 1.0}, {})
    assert norms.before["a"] == pytest.approx(math.sqrt(8))
    assert norms.after["a"] == pytest.approx(1.0, rel=1e-4)


def test_a_part_of_millions_of_weights_stays_within_its_limit_despite_rounding() -> None:
    rng = np.random.default_rng(0)
    optimizer = optimizer_of([rng.normal(size=3_000_000) * 10.0 ** rng.integers(-6, 6)])
    assert clip_and_step(optimizer, {"a": 1.0}, {}).after["a"] <= 1.0


def test_clipping_by_value_limits_every_component() -> None:
    optimizer = optimizer_of([np.array([3.0, -0.5, -7.0])], [np.array([9.0])])
    clip_and_step(optimizer, {}, {"a": 2.0})
    clipped, untouched = stepped(optimizer)
    np.testing.assert_array_equal(clipped, [2.0, -0.5, -2.0])
    np.testing.assert_array_equal(untouched, [9.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_component_stops_the_step_of_every_part(bad: float) -> None:
    optimizer = optimizer_of([np.array([1.0])], [np.array([1.0, bad])])
    norms = clip_and_step(optimizer, {"a": 1.0, "b": 1.0}, {})
    assert not norms.finite
    assert all((part == 0).all() for part in stepped(optimizer))


def test_a_limit_that_does_not_hold_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clip that scales the wrong way, as a defect would
    monkeypatch.setattr(gradients_module, "ROUNDING", -0.5)
    optimizer = optimizer_of([np.array([3.0, 4.0])])
    with pytest.raises(GradientLimitExceeded, match=r"gradient norm of a is 1\.5"):
        clip_and_step(optimizer, {"a": 1.0}, {})
    assert (stepped(optimizer)[0] == 0).all()


def test_every_part_is_clipped_to_its_own_limit_in_training() -> None:
    limits = {"actor_cnn": 1e-3, "actor_mlp": 2e-3, "critic_cnn": 3e-3, "critic_mlp": 4e-3}
    model = make_model(max_grad_norm=limits)
    model.train(gradient_steps=2, batch_size=8)
    record = model.last_update
    assert record is not None
    for part in PARTS:
        assert record.grad_norms[part] > limits[part]
        assert record.grad_norms_clipped[part] == pytest.approx(limits[part], rel=1e-3)
        assert record.grad_norms_clipped[part] <= limits[part]
        assert model.logger.name_to_value[f"grad_clipped_share/{part}"] == 1.0


def test_without_limits_nothing_is_clipped() -> None:
    model = make_model(batch(rewards=1e4), max_grad_norm=None)
    model.train(gradient_steps=2, batch_size=8)
    record = model.last_update
    assert record is not None
    assert record.grad_norms == record.grad_norms_clipped
    assert record.grad_norms["critic_mlp"] > 10.0


def test_an_update_with_a_bad_gradient_changes_no_weight_and_training_goes_on() -> None:
    model = make_model(batch(), batch(rewards=np.nan), batch(), batch())
    model.train(gradient_steps=1, batch_size=8)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.train(gradient_steps=1, batch_size=8)
    assert all(th.equal(before[name], tensor) for name, tensor in model.policy.state_dict().items())
    assert model.last_update is not None
    assert not model.last_update.finite
    assert model.skipped.total == model.logger.name_to_value["train/skipped_updates"] == 1

    model.train(gradient_steps=2, batch_size=8)
    after = model.policy.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert not th.equal(before["critic.qf0.0.weight"], after["critic.qf0.0.weight"])
    assert model.last_update.finite


def test_a_bad_batch_leaves_no_trace_in_the_mpg_target() -> None:
    bad = batch()._replace(next_observations=th.full((8, 4, 42, 42), th.nan))
    model = make_model(batch(), bad, batch(), target="mpg")
    for finite in (True, False, True):
        model.train(gradient_steps=1, batch_size=8)
        assert model.last_update is not None
        assert model.last_update.finite == finite


def test_too_many_bad_gradients_in_a_row_end_the_training_with_the_reason() -> None:
    model = make_model(batch(rewards=np.inf), max_nonfinite_updates=3)
    model.train(gradient_steps=2, batch_size=8)
    with pytest.raises(
        NonFiniteGradients, match=r"3 updates in a row had NaN or Inf in the gradient of critic_cnn.*rewards in \[inf"
    ):
        model.train(gradient_steps=1, batch_size=8)
