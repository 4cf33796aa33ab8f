"""What the latest update of a model computed, as the training itself computed it.

Hooks on the networks and optimizers keep references to tensors that the training makes anyway, so listening costs next
to nothing, draws no random number and changes no weight. It is also the only way to see some faults: reading
Q(s, pi(s)) afresh from the networks misses an actor update that feeds the critic something else than its own features
of the state (the fault that makes an image TD3 explode while Q on replayed actions stays sane).
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


Values = th.Tensor | list[th.Tensor] | None


class UpdateListener:
    """Remembers what the latest update of an actor and its critic computed.

    Two shapes of actor update are known: ``critic(observations, actions)`` with actions that carry a gradient (SAC,
    TQC, CrossQ), and a first Q-network called on its own, outside of ``critic.forward`` (``critic.q1_forward`` of TD3
    and DDPG).

    :param actor: the actor to listen to; None hears nothing
    :param critic: the critic to listen to
    """

    def __init__(self, actor: th.nn.Module | None, critic: th.nn.Module) -> None:
        self._actor, self._critic = actor, critic
        self._handles: list[RemovableHandle] = []
        self.forget()

    def forget(self) -> None:
        """Drop what was heard so far."""
        self._inside_critic = False
        self._on_policy: Values = None
        self._on_replay: Values = None
        self.features: th.Tensor | None = None
        self.mean_action: th.Tensor | None = None
        self.log_std: th.Tensor | None = None
        self.gradient_norms: dict[str, th.Tensor] = {}
        self._measure_gradients = {"actor", "critic"}

    @property
    def q_policy(self) -> th.Tensor | None:
        """Q(s, pi(s)) of the last actor update, shape (batch,); None before the first."""
        return None if self._on_policy is None else per_transition(self._on_policy)

    def q_replay(self, batch_size: int) -> th.Tensor | None:
        """Q(s, a) of the last critic update; None before the first.

        :param batch_size: rows that are replayed actions (CrossQ appends as many of the policy's own)
        :return: shape (batch,)
        """
        return None if self._on_replay is None else per_transition(self._on_replay)[:batch_size]

    def measure_gradients(self) -> None:
        """Measure the gradient norms at the next update of actor and critic, which costs as much as clipping."""
        self._measure_gradients = {"actor", "critic"}

    def attach(self) -> None:
        """Start to listen; a second call changes nothing."""
        if self._handles or self._actor is None:
            return
        self._handles = [
            self._critic.register_forward_pre_hook(self._enter_critic),
            self._critic.register_forward_hook(self._leave_critic),
        ]
        heads = getattr(self._critic, "q_networks", None)
        if heads:
            self._handles.append(heads[0].register_forward_hook(self._first_head))
        extractor = getattr(self._actor, "features_extractor", None)
        if isinstance(extractor, th.nn.Module) and any(True for _ in extractor.parameters()):
            self._handles.append(extractor.register_forward_hook(self._hear("features")))
        for attribute, name in (("mu", "mean_action"), ("log_std", "log_std")):
            head = getattr(self._actor, attribute, None)
            if isinstance(head, th.nn.Module):
                self._handles.append(head.register_forward_hook(self._hear(name)))
        for name, module in (("actor", self._actor), ("critic", self._critic)):
            optimizer = getattr(module, "optimizer", None)
            if isinstance(optimizer, th.optim.Optimizer):
                self._handles.append(optimizer.register_step_pre_hook(self._before_step(name)))

    def detach(self) -> None:
        """Stop to listen and take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.forget()

    # -- hooks ---------------------------------------------------------------------------------------------------------

    def _enter_critic(self, module: th.nn.Module, args: tuple[Any, ...]) -> None:
        self._inside_critic = True

    def _leave_critic(self, module: th.nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._inside_critic = False
        if not th.is_grad_enabled() or len(args) < 2:
            return
        values = output.detach() if isinstance(output, th.Tensor) else [part.detach() for part in output]
        if args[1].requires_grad:
            self._on_policy = values
        else:
            self._on_replay = values

    def _first_head(self, module: th.nn.Module, args: tuple[Any, ...], output: th.Tensor) -> None:
        if not self._inside_critic and th.is_grad_enabled():
            self._on_policy = [output.detach()]

    def _hear(self, name: str) -> Any:
        def hook(module: th.nn.Module, args: tuple[Any, ...], output: th.Tensor) -> None:
            if th.is_grad_enabled() and isinstance(output, th.Tensor):
                setattr(self, name, output.detach())

        return hook

    def _before_step(self, name: str) -> Any:
        # Before the step and not after the update: the actor's backward pass leaves gradients on the critic as well.
        def hook(optimizer: th.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if name in self._measure_gradients:
                self._measure_gradients.discard(name)
                parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
                self.gradient_norms[name] = th.nn.utils.get_total_norm([p.grad for p in parameters])

        return hook
