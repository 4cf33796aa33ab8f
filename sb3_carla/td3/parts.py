"""The four parts of an actor-critic network: actor CNN, actor MLP, critic CNN, critic MLP.

Every trainable parameter belongs to exactly one part. A part has its own learning rate and its own gradient limit, and
is one named parameter group of its optimizer. "CNN" is the whole features extractor, trunk included; "MLP" is what
comes after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, SupportsFloat, TypeVar

import torch as th
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

ACTOR_PARTS = ("actor_cnn", "actor_mlp")
CRITIC_PARTS = ("critic_cnn", "critic_mlp")
PARTS = ACTOR_PARTS + CRITIC_PARTS

Parts = dict[str, list[nn.Parameter]]
T = TypeVar("T")


class PartsError(ValueError):
    """The parameters of a policy cannot be split into the four parts."""


def split_parameters(policy: TD3Policy) -> Parts:
    """Split the parameters of a policy into the four parts, and check that the split is complete and unique.

    A features extractor that actor and critic share by ``share_features_extractor=True`` is ``actor_cnn``, since SB3
    then trains it by the actor's loss only; ``critic_cnn`` is empty. One that they share by ``encoder="critic"`` is
    ``critic_cnn``, and ``actor_cnn`` is empty.

    :param policy: actor, critic and their targets
    """
    actor_cnn = list(policy.actor.features_extractor.parameters())
    critic_cnn = list(policy.critic.features_extractor.parameters())
    parts = {
        "actor_cnn": actor_cnn,
        "actor_mlp": _without(actor_cnn, policy.actor.parameters()),
        "critic_cnn": critic_cnn,
        "critic_mlp": _without(critic_cnn, policy.critic.parameters()),
    }
    if policy.share_features_extractor:
        parts["critic_cnn"] = _without(actor_cnn, critic_cnn)
        parts["critic_mlp"] = _without(actor_cnn, parts["critic_mlp"])
    elif getattr(policy, "encoder", None) == "critic":
        parts["actor_cnn"] = _without(critic_cnn, actor_cnn)
        parts["actor_mlp"] = _without(critic_cnn, parts["actor_mlp"])
    check_parts(policy, parts)
    return parts


def check_parts(policy: TD3Policy, parts: Parts) -> None:
    """Raise `PartsError` unless every trainable parameter is in exactly one part and no part trains a target network.

    :param policy: the policy that was split
    :param parts: the split
    """
    names = {id(parameter): name for name, parameter in policy.named_parameters()}
    owners: dict[int, list[str]] = {}
    for part, parameters in parts.items():
        for parameter in parameters:
            owners.setdefault(id(parameter), []).append(part)

    targets = {
        id(parameter) for target in (policy.actor_target, policy.critic_target) for parameter in target.parameters()
    }
    shared = [f"{names.get(key, '?')} ({', '.join(of)})" for key, of in owners.items() if len(of) > 1]
    if shared:
        raise PartsError(
            f"{_some(shared)} belong to more than one part: actor and critic share what each should own. "
            "Give them separate networks, or ask for sharing with share_features_extractor=True."
        )
    trained_targets = [names.get(key, "?") for key in owners if key in targets]
    if trained_targets:
        raise PartsError(
            f"{_some(trained_targets)} are trained but belong to a target network as well. "
            "Make the target networks copies, not references."
        )
    orphans = [
        name
        for name, parameter in policy.named_parameters()
        if parameter.requires_grad and id(parameter) not in owners and id(parameter) not in targets
    ]
    if orphans:
        raise PartsError(
            f"{_some(orphans)} are trainable but belong to no part, so nothing would train them. "
            "Put them into the actor or the critic, or set requires_grad=False."
        )


def group_optimizers(policy: TD3Policy, parts: Parts, learning_rate: float) -> None:
    """Replace the optimizers of actor and critic by ones with a named parameter group per part.

    :param policy: the policy that owns the optimizers
    :param parts: the split of its parameters; empty parts get no group
    :param learning_rate: rate of all groups until a schedule sets them
    """
    for module, names in ((policy.actor, ACTOR_PARTS), (policy.critic, CRITIC_PARTS)):
        groups = [{"params": parts[part], "name": part} for part in names if parts[part]]
        # The base class of the optimizers declares no lr, though every optimizer takes it.
        options: dict[str, Any] = {"lr": learning_rate, **policy.optimizer_kwargs}
        module.optimizer = policy.optimizer_class(groups, **options)


def regroup_state(state: dict[str, Any], module: nn.Module, optimizer: th.optim.Optimizer) -> dict[str, Any]:
    """Convert the saved state of an ungrouped optimizer (SB3's TD3) to the groups of ours; others stay as they are.

    :param state: saved ``optimizer.state_dict()``
    :param module: actor or critic, whose parameter order a stock optimizer has
    :param optimizer: our grouped optimizer
    """
    if "param_groups" not in state:
        return state  # incomplete: SB3 reports what is missing, tensors of the networks first
    saved, groups = state["param_groups"], optimizer.param_groups
    if [len(group["params"]) for group in saved] == [len(group["params"]) for group in groups]:
        return {**state, "param_groups": [{**old, "name": new["name"]} for old, new in zip(saved, groups, strict=True)]}
    stock_order = {id(parameter): index for index, parameter in enumerate(module.parameters())}
    if len(saved) != 1 or len(saved[0]["params"]) != len(stock_order):
        raise ValueError(
            f"The saved optimizer has groups of {[len(group['params']) for group in saved]} tensors, this one of "
            f"{[len(group['params']) for group in groups]}. Load the file with the policy that it was saved with."
        )
    regrouped: dict[str, Any] = {"state": {}, "param_groups": []}
    index = 0
    for group in groups:
        indices = []
        for parameter in group["params"]:
            old = saved[0]["params"][stock_order[id(parameter)]]
            if old in state["state"]:
                regrouped["state"][index] = state["state"][old]
            indices.append(index)
            index += 1
        regrouped["param_groups"].append({**saved[0], "params": indices, "name": group["name"]})
    return regrouped


def describe_parts(
    policy: TD3Policy,
    parts: Parts,
    rates: Mapping[str, float],
    max_norm: Mapping[str, float],
    max_value: Mapping[str, float],
) -> str:
    """Say what the parts are, for the log.

    :param policy: the policy that was split
    :param parts: the split
    :param rates: learning rate of each part at the start
    :param max_norm: limits of the gradient norms
    :param max_value: limits of the gradients' components
    """
    extractors = "own separate features extractors"
    if policy.share_features_extractor:
        extractors = "share one features extractor, trained by the actor's loss"
    elif getattr(policy, "encoder", None) == "critic":
        extractors = "share one features extractor, trained by the critic's loss"
    lines = [f"Actor and critic {extractors} ({type(policy.actor.features_extractor).__name__})."]
    for part, parameters in parts.items():
        if not parameters:
            continue
        size = sum(parameter.numel() for parameter in parameters)
        limit = f"norm <= {max_norm[part]:g}" if part in max_norm else "not clipped"
        if part in max_value:
            limit = f"|component| <= {max_value[part]:g}"
        lines.append(f"  {part:10s} {size:>9,d} parameters, learning rate {rates[part]:g}, gradient {limit}")
    return "\n".join(lines)


def per_part(argument: str, value: object, parse: Callable[[object], T]) -> dict[str, T]:
    """Read an argument that is one value for all parts or a mapping over some of them.

    :param argument: name of the argument, for the error message
    :param value: None (nothing set), one value, or a mapping
    :param parse: makes a value, raising ValueError or TypeError for a bad one
    :return: the parts that have a value; a value of None is left out
    """
    if value is None:
        return {}
    values = value if isinstance(value, Mapping) else dict.fromkeys(PARTS, value)
    parsed = {}
    for part, entry in values.items():
        if part not in PARTS:
            raise ValueError(f"{argument} names an unknown part {part!r}. The parts are {', '.join(PARTS)}.")
        if entry is None:
            continue
        try:
            parsed[part] = parse(entry)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{argument}[{part!r}] is {entry!r}: {error}. The parts are {', '.join(PARTS)}."
            ) from error
    return parsed


def parse_schedule(value: object) -> Schedule:
    """Make a learning rate schedule of a number, a callable, or a string as rl_zoo3 writes them (``"lin_1e-4"``,
    ``"1e-4"``).

    :param value: the rate [per update], or a function of the remaining progress (1 to 0)
    """
    if callable(value):
        schedule: Schedule = FloatSchedule(value)
    elif isinstance(value, str) and value.startswith("lin_"):
        schedule = LinearSchedule(_number(value.removeprefix("lin_")), 0.0, 1.0)
    else:
        schedule = ConstantSchedule(_number(value))
    first = schedule(1.0)
    if not (math.isfinite(first) and first >= 0):
        raise ValueError("a learning rate must be a finite number, zero or more")
    return schedule


def parse_limit(value: object) -> float:
    """Make a gradient limit of a number or a numeric string.

    :param value: the limit
    """
    if isinstance(value, str) and value.startswith("lin_"):
        raise ValueError("a gradient limit has no schedule; give a number")
    limit = _number(value)
    if not limit > 0:
        raise ValueError("a gradient limit must be more than 0 (None means no clipping)")
    return limit


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, SupportsFloat | str):
        raise TypeError("expected a number, a callable (learning rates) or a string like '1e-4' or 'lin_1e-4'")
    try:
        return float(value)
    except ValueError:
        raise ValueError("expected a number like '1e-4', or 'lin_1e-4' for a linear schedule") from None


def _without(excluded: Iterable[nn.Parameter], parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    keys = {id(parameter) for parameter in excluded}
    return [parameter for parameter in parameters if id(parameter) not in keys]


def _some(names: list[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
