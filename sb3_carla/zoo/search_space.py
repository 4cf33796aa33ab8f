"""The search space of our TD3, in the form of rl_zoo3's: a sampler, and a converter of what it drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import optuna

from sb3_carla.td3.parts import PARTS

# Ranges that hold the values of the presets, but for MPG's critic rate of 1e-2; those of the rates are rl_zoo3's.
RATES = (1e-5, 2e-3)
LIMITS = (0.3, 40.0)
ONE_MINUS_GAMMA = (0.003, 0.1)
TAUS = (0.001, 0.02)
BATCH_SIZE_POWERS = (4, 8)
N_STEPS = (1, 5)
IMAGE_POLICIES = ("CnnPolicy", "MaxPoolCnnPolicy", "GruCnnPolicy")  # they differ in their features extractor

WITHOUT_PARTS: Mapping[str, Sequence[str]] = {
    "MlpPolicy": ("actor_cnn", "critic_cnn"),
    "AsymmetricPolicy": ("critic_cnn",),
}


def td3_sampler(section: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """What to draw for our TD3 in a trial: rates and limits of the parts, extractor, discount, tau, n-step, batch.

    Everything else stays as the section has it. Nothing is drawn for a CNN that the policy does not have. The extractor
    is drawn where the section leaves it to one of our image policies.

    :param section: the hyperparameters that the trials start from; without it, every part is drawn and no extractor
    :return: a function as rl_zoo3's ``HYPERPARAMS_SAMPLER`` has them
    """
    without = WITHOUT_PARTS.get(str(section.get("policy")), ())
    parts = [part for part in PARTS if part not in without]
    policy_kwargs = section.get("policy_kwargs")
    given: Mapping[str, Any] = policy_kwargs if isinstance(policy_kwargs, Mapping) else {}
    fits_all = set(given.get("features_extractor_kwargs", ())) <= {"filters"}  # an argument of all the extractors
    draws_policy = section.get("policy") in IMAGE_POLICIES and "features_extractor_class" not in given and fits_all

    def sample(trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
        for part in parts:
            trial.suggest_float(f"learning_rate_{part}", *RATES, log=True)
            trial.suggest_float(f"max_grad_norm_{part}", *LIMITS, log=True)
        trial.suggest_float("one_minus_gamma", *ONE_MINUS_GAMMA, log=True)
        trial.suggest_float("tau", *TAUS, log=True)
        trial.suggest_int("batch_size_pow", *BATCH_SIZE_POWERS)
        trial.suggest_int("n_steps", *N_STEPS)
        if draws_policy:
            trial.suggest_categorical("policy", IMAGE_POLICIES)
        return td3_arguments(trial.params)

    return sample


def td3_arguments(sampled_params: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments that a trial's parameters stand for.

    >>> td3_arguments({"one_minus_gamma": 0.25, "batch_size_pow": 6, "tau": 0.01, "learning_rate_actor_mlp": 1e-4})
    {'learning_rates': {'actor_mlp': 0.0001}, 'max_grad_norm': {}, 'gamma': 0.75, 'batch_size': 64, 'tau': 0.01}
    """
    arguments: dict[str, Any] = {
        name: {part: sampled_params[f"{prefix}_{part}"] for part in PARTS if f"{prefix}_{part}" in sampled_params}
        for name, prefix in (("learning_rates", "learning_rate"), ("max_grad_norm", "max_grad_norm"))
    }
    arguments["gamma"] = 1 - sampled_params["one_minus_gamma"]
    arguments["batch_size"] = 2 ** sampled_params["batch_size_pow"]
    return {
        **arguments,
        **{name: sampled_params[name] for name in ("tau", "n_steps", "policy") if name in sampled_params},
    }
