"""What the critic gave the actor loss in the last update, as the training itself computed it.

Reading Q(s, pi(s)) afresh from the networks misses an actor update that feeds the critic something else than its own
features of the state (the fault that makes an image TD3 explode while Q on replayed actions stays sane). A forward hook
on the critic sees the true numbers, whatever the code of ``train()`` is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch as th
from torch.utils.hooks import RemovableHandle


def per_transition(output: th.Tensor | Sequence[th.Tensor]) -> th.Tensor:
    """Reduce a critic's output to one value per transition: the mean over its networks and quantiles.

    :param output: what ``critic(observations, actions)`` returned: quantiles of shape (batch, critics, quantiles), or
        one tensor of shape (batch, 1) per critic
    :return: shape (batch,)
    """
    whole = output if isinstance(output, th.Tensor) else th.cat(list(output), dim=1)
    return whole.flatten(1).mean(dim=1)


class TrainedValue:
    """Remembers the critic's output on the policy's own actions in the last actor update.

    Two shapes of actor update are known: ``critic(observations, actions)`` with actions that carry a gradient (SAC,
    TQC, CrossQ), and a first Q-network called on its own, outside of ``critic.forward`` (``critic.q1_forward`` of TD3
    and DDPG).

    :param critic: the critic to listen to
    """

    def __init__(self, critic: th.nn.Module) -> None:
        self._critic = critic
        self._inside_forward = False
        self._output: th.Tensor | Sequence[th.Tensor] | None = None
        self._handles: list[RemovableHandle] = []

    def attach(self) -> None:
        """Start to listen; a second call changes nothing."""
        if self._handles:
            return
        self._handles = [
            self._critic.register_forward_pre_hook(self._enter),
            self._critic.register_forward_hook(self._leave),
        ]
        heads = getattr(self._critic, "q_networks", None)
        if heads:
            self._handles.append(heads[0].register_forward_hook(self._head))

    def detach(self) -> None:
        """Stop to listen and take the hooks off the critic."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._output, self._inside_forward = [], None, False

    def mean(self) -> float | None:
        """Mean over the last actor update's batch, or None if no such update was seen."""
        if self._output is None:
            return None
        return float(per_transition(self._output).mean())

    def _enter(self, module: th.nn.Module, args: tuple[Any, ...]) -> None:
        self._inside_forward = True

    def _leave(self, module: th.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._inside_forward = False
        if th.is_grad_enabled() and len(args) > 1 and args[1].requires_grad:
            self._output = output.detach() if isinstance(output, th.Tensor) else [part.detach() for part in output]

    def _head(self, module: th.nn.Module, args: tuple[Any, ...], output: th.Tensor) -> None:
        if not self._inside_forward and th.is_grad_enabled():
            self._output = [output.detach()]
