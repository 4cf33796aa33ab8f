"""Let a model train for a moment and undo all of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch as th


class _OneBatch:
    """Stands in for a replay buffer: gives the same batch at every draw and takes nothing in."""

    def __init__(self, buffer: Any, batch: Any) -> None:
        self._buffer, self._batch = buffer, batch

    def sample(self, batch_size: int, env: Any = None) -> Any:
        return self._batch

    def update_priorities(self, *args: Any, **kwargs: Any) -> None:
        """A prioritized buffer must not learn from a trial."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)


@contextmanager
def untouched(model: Any, batch: Any) -> Iterator[None]:
    """Afterwards all attributes, parameters, gradients and optimizers of a model are what they were.

    The replay buffer is out of reach meanwhile: every draw gives the same batch.

    :param model: an off-policy model
    :param batch: what its replay buffer gives
    """
    attributes = dict(model.__dict__)
    tensors = _tensors(model)
    values = {tensor: tensor.detach().clone() for tensor in tensors}
    gradients = {tensor: tensor.grad for tensor in tensors}
    optimizers = {optimizer: copy.deepcopy(optimizer.state_dict()) for optimizer in _optimizers(model)}
    # fused and foreach optimizers keep their state tensors; those are replaced on the way back
    for tensor in tensors:
        tensor.grad = None
    model.replay_buffer = _OneBatch(model.replay_buffer, batch)
    try:
        yield
    finally:
        for name in set(model.__dict__) - set(attributes):
            del model.__dict__[name]
        model.__dict__.update(attributes)
        with th.no_grad():
            for tensor, value in values.items():
                tensor.copy_(value)
                tensor.grad = gradients[tensor]
        for optimizer, state in optimizers.items():
            optimizer.load_state_dict(state)


def _tensors(model: Any) -> list[th.Tensor]:
    """Parameters and buffers of the policy, and the tensors that the model holds itself (SAC's entropy weight)."""
    held = [value for value in model.__dict__.values() if isinstance(value, th.Tensor)]
    seen: dict[int, th.Tensor] = {}
    for tensor in (*model.policy.parameters(), *model.policy.buffers(), *held):
        seen.setdefault(id(tensor), tensor)
    return [tensor for tensor in seen.values() if tensor.is_leaf]


def _optimizers(model: Any) -> list[th.optim.Optimizer]:
    owners = [model, *model.policy.modules()]
    found: dict[int, th.optim.Optimizer] = {}
    for owner in owners:
        for value in vars(owner).values():
            if isinstance(value, th.optim.Optimizer):
                found.setdefault(id(value), value)
    return list(found.values())
