"""Does the actor loss reach the actor's parameters by another way than the action?

An actor update asks the critic how good pi(s) is. Its gradient may come back to the actor by the action only. If the
loss also depends on the actor's parameters by the *state* that the critic is given (the actor's own features, gradient
included), the actor learns to make the state look better instead of choosing better actions, without any bound.

The test is exact and needs no training: cut the graph at the actor's action, compute the loss, go backward. Whatever
gradient arrives at the actor now came by another way.

- :func:`leaking_parameters`: for any actor and any loss in PyTorch.
- :func:`check_actor_loss`: for a model of Stable-Baselines3 or sb3-contrib, with its own ``train()``.
- :class:`StopTrainingOnLeakyActorLoss`: the same as a callback, before the first update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.logger import Logger

from sb3_stability.looking import LookingCallback
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings, UnreadableModelError, undisturbed
from sb3_stability.untouched import untouched

_BATCH = 32  # transitions; enough to have a gradient in every layer


class LeakyActorLossError(ValueError):
    """The actor loss reaches parameters of the actor by another way than the action.

    :param message: which parameters, and the fix
    :param parameters: name of each such parameter with the L2 norm of its gradient
    """

    def __init__(self, message: str, parameters: Mapping[str, float]) -> None:
        super().__init__(message)
        self.parameters = dict(parameters)


class UnprobedModelError(RuntimeError):
    """The actor loss of this model cannot be tried before training."""


def leaking_parameters(
    actor: th.nn.Module, actor_loss: Callable[[], th.Tensor], parameters: Mapping[str, th.Tensor] | None = None
) -> dict[str, float]:
    """Compute a loss with the graph cut at the actor's action.

    The cut is made at the last layer of ``actor.mu`` and ``actor.log_std`` (Stable-Baselines3's actors), so an entropy
    term or a penalty on the action before tanh is no leak; where an actor has no ``mu``, at its output.

    >>> actor, critic, observations = th.nn.Linear(3, 2), th.nn.Linear(5, 1), th.ones(4, 3)
    >>> leaking_parameters(actor, lambda: -critic(th.cat([observations, actor(observations)], 1)).mean())
    {}

    :param actor: the network whose output is the action
    :param actor_loss: computes the loss; it must call ``actor``
    :param parameters: what the actor's optimizer changes, by name; by default the actor's own parameters
    :return: name of each parameter that the loss reaches by another way, with the L2 norm of its gradient; nothing else
        is changed, gradients of the parameters included
    """
    named = dict(actor.named_parameters()) if parameters is None else dict(parameters)
    with _cut_at_the_action(actor):
        loss = actor_loss()
    if not loss.requires_grad:
        return {}
    gradients = th.autograd.grad(loss, list(named.values()), allow_unused=True)
    return _nonzero(dict(zip(named, gradients, strict=True)))


def check_actor_loss(model: Any, actor_loss: Callable[[Any], th.Tensor] | None = None) -> None:
    """Raise an error if the actor loss of a model reaches the actor by another way than the action.

    Without ``actor_loss``, the model's own ``train()`` is run for one actor update on a small batch; afterwards all
    parameters, optimizers, counters and random generators are what they were.

    :param model: an off-policy model with an actor and some transitions in its replay buffer
    :param actor_loss: the loss to try instead, as a function of a batch of the replay buffer
    :raises LeakyActorLossError: names the parameters and the fix
    :raises UnprobedModelError: the loss could not be tried
    :raises UnreadableModelError: the model has no actor, critic and replay buffer
    """
    if not Readings.of(model).has_actor:
        raise UnreadableModelError(
            f"{type(model).__name__} has no actor and so no actor loss that could leak. Leave this check out."
        )
    if actor_loss is None:
        leaks = _leaks_of_training(model)
    else:
        batch = _sample(model)
        leaks = leaking_parameters(model.actor, lambda: actor_loss(batch), _optimized(model))
    if leaks:
        names = sorted(leaks, key=lambda name: -leaks[name])
        shown = ", ".join(f"{name} (gradient {leaks[name]:.3g})" for name in names[:4])
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        raise LeakyActorLossError(
            f"The actor loss of {type(model).__name__} reaches {shown}{more} by another way than the action, so the "
            "actor can raise Q without choosing better actions, and Q will grow without bound. Let the critic read the "
            "observation itself with its own features extractor, as in -critic.q1_forward(observations, "
            "actor(observations)).mean(); if the other way is an auxiliary loss that is meant, leave this check out.",
            leaks,
        )


class StopTrainingOnLeakyActorLoss(LookingCallback):
    """Before the first update: raise an error if the actor loss reaches the actor by another way than the action.

    :param actor_loss: the loss to try, as a function of a batch of the replay buffer; by default the model's own
        ``train()`` is run on a copy of its state
    :param verbose: 1 prints why a model could not be probed, 0 is silent
    """

    alert: ClassVar[str] = "actor_loss_leak"

    def __init__(self, actor_loss: Callable[[Any], th.Tensor] | None = None, verbose: int = 1) -> None:
        super().__init__(verbose=verbose)
        self.actor_loss = actor_loss

    def _prepare(self, readings: Readings, scale: float | None) -> None:
        try:
            check_actor_loss(self.model, self.actor_loss)
        except UnprobedModelError as reason:
            if self.verbose > 0:
                print(f"{type(self).__name__}: {reason}")
            return
        except LeakyActorLossError:
            self._log_alert(self.alert, True)
            self.logger.dump(step=self.model.num_timesteps)
            readings.unwatch()
            raise
        self._log_alert(self.alert, False)

    def _see(self, reading: Reading) -> None:
        """Nothing to do: what is to be known is known before the first update."""


# -- cutting -----------------------------------------------------------------------------------------------------------


@contextmanager
def _cut_at_the_action(actor: th.nn.Module) -> Iterator[None]:
    handles = [head.register_forward_hook(_fresh_leaf) for head in _action_heads(actor)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _fresh_leaf(module: th.nn.Module, args: Any, output: Any) -> Any:
    # A leaf that wants a gradient, so that backward() has somewhere to go even if nothing else wants one.
    return output.detach().requires_grad_(th.is_grad_enabled()) if isinstance(output, th.Tensor) else output


def _action_heads(actor: th.nn.Module) -> list[th.nn.Module]:
    """The modules whose output is the last before the action."""
    mean = getattr(actor, "mu", None)
    if not isinstance(mean, th.nn.Module):
        return [actor]
    # The last layer with parameters, not the whole of mu: some losses read the action before tanh from mu[:-1]
    heads = [_last_layer(mean)]
    spread = getattr(actor, "log_std", None)
    if isinstance(spread, th.nn.Module):
        heads.append(spread)
    latent = getattr(actor, "latent_pi", None)
    if getattr(actor, "use_sde", False) and isinstance(latent, th.nn.Module):
        heads.append(latent)  # gSDE's noise is a function of these features
    return heads


def _last_layer(network: th.nn.Module) -> th.nn.Module:
    layers = [part for part in network.modules() if any(True for _ in part.parameters(recurse=False))]
    return layers[-1] if layers else network


def _nonzero(gradients: Mapping[str, th.Tensor | None]) -> dict[str, float]:
    norms = {name: float(gradient.norm()) for name, gradient in gradients.items() if gradient is not None}
    return {name: norm for name, norm in norms.items() if norm != 0.0}  # NaN is a leak as well


# -- a model's own train() ---------------------------------------------------------------------------------------------


class _ReachedTheActor(BaseException):
    """Ends the probing run at the actor's optimizer step. No Exception, so that no code in between catches it."""


def _leaks_of_training(model: Any) -> dict[str, float]:
    optimizer = getattr(model.actor, "optimizer", None)
    if not isinstance(optimizer, th.optim.Optimizer):
        raise UnprobedModelError(
            f"The actor loss of {type(model).__name__} was not probed, since its actor has no optimizer of its own. "
            "Give the loss to check_actor_loss(model, actor_loss)."
        )
    named = _optimized(model)
    found: dict[str, float] = {}

    def read(optimizer: th.optim.Optimizer, args: Any, kwargs: Any) -> None:
        found.update(_nonzero({name: parameter.grad for name, parameter in named.items()}))
        raise _ReachedTheActor

    batch = _sample(model)
    handle = optimizer.register_step_pre_hook(read)
    try:
        with untouched(model, batch), undisturbed(model.policy, device=model.device), _cut_at_the_action(model.actor):
            model.set_logger(Logger(folder=None, output_formats=[]))
            model.train(gradient_steps=max(1, int(getattr(model, "policy_delay", 1))), batch_size=_BATCH)
    except _ReachedTheActor:
        return found
    except Exception as error:
        raise UnprobedModelError(
            f"The actor loss of {type(model).__name__} was not probed: its train() failed with {error!r} on a batch of "
            f"{_BATCH}. Give the loss to check_actor_loss(model, actor_loss)."
        ) from error
    finally:
        handle.remove()
    raise UnprobedModelError(
        f"The actor loss of {type(model).__name__} was not probed, since its train() did not step the actor's "
        "optimizer. Give the loss to check_actor_loss(model, actor_loss)."
    )


def _optimized(model: Any) -> dict[str, th.Tensor]:
    """The parameters that the actor's optimizer changes, by their name in the policy."""
    optimizer = getattr(model.actor, "optimizer", None)
    if not isinstance(optimizer, th.optim.Optimizer):
        return {f"actor.{name}": parameter for name, parameter in model.actor.named_parameters()}
    names = {parameter: name for name, parameter in model.policy.named_parameters()}
    ours = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    # gSDE's log_std is no module to cut at; it acts through the action and the entropy only
    direct = getattr(model.actor, "log_std", None)
    return {names.get(p, f"parameter {i} of the actor's optimizer"): p for i, p in enumerate(ours) if p is not direct}


def _sample(model: Any) -> Any:
    with undisturbed(device=model.device):
        try:
            return model.replay_buffer.sample(_BATCH, env=model._vec_normalize_env)
        except (RuntimeError, ValueError) as error:
            raise UnprobedModelError(
                f"The actor loss was not probed, since the replay buffer gave no batch: {error}. "
                "Collect at least one episode before the first update (learning_starts)."
            ) from error
