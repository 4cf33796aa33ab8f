"""Model files: which algorithm saved one, and how those of SB3's TD3 become ours."""

from __future__ import annotations

import io
import json
import pathlib
import zipfile
from typing import Any, TypeVar

import stable_baselines3 as sb3
import torch as th
from stable_baselines3.common.save_util import load_from_zip_file, open_path
from stable_baselines3.common.type_aliases import GymEnv, TensorDict

from sb3_carla.td3.parts import regroup_state

SelfPortableTD3 = TypeVar("SelfPortableTD3", bound="PortableTD3")

# Attributes that only one algorithm of SB3 and sb3-contrib saves, where the policy's module does not tell it.
TELLING_ATTRIBUTES = {"lambda_coef": "TRPO", "cg_max_steps": "TRPO", "clip_range": "PPO", "ent_coef": "A2C"}


class PortableTD3(sb3.TD3):
    """SB3's TD3 with a parameter group per part in its optimizers: loads files with such groups and without."""

    @classmethod
    def load(
        cls: type[SelfPortableTD3],
        path: str | pathlib.Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfPortableTD3:
        """Load a model that this class or SB3's TD3 saved; see SB3's `BaseAlgorithm.load`.

        :param path: the zip file
        :param env: the environment to go on with; None for prediction only
        :param device: where the networks live
        :param custom_objects: replacements for objects in the file
        :param print_system_info: print the versions that the file was saved with
        :param force_reset: reset the environment before training
        :param kwargs: arguments to change
        """
        check_is_td3(path)
        return super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)

    def set_parameters(
        self,
        load_path_or_dict: str | TensorDict,
        exact_match: bool = True,
        device: th.device | str = "auto",
    ) -> None:
        """Set weights and optimizer states; those of SB3's TD3 are converted to our parameter groups.

        :param load_path_or_dict: a saved model, or what ``get_parameters`` returns
        :param exact_match: every object and every tensor must be given
        :param device: where to load the tensors of a file
        """
        if isinstance(load_path_or_dict, dict):
            parameters: dict[str, Any] = dict(load_path_or_dict)
        else:
            _, parameters, _ = load_from_zip_file(load_path_or_dict, device=device, load_data=False)
        for name, module in (("actor.optimizer", self.actor), ("critic.optimizer", self.critic)):
            if name in parameters:
                parameters[name] = regroup_state(parameters[name], module, module.optimizer)
        super().set_parameters(parameters, exact_match, device)


def check_is_td3(path: str | pathlib.Path | io.BufferedIOBase) -> None:
    """Raise ValueError unless a file holds a TD3 model (ours, SB3's, or DDPG, which SB3 implements as TD3).

    :param path: the file, as SB3's ``load`` takes it
    """
    data = _read_data(path)
    if "policy_delay" in data and "target_policy_noise" in data:
        return
    raise ValueError(
        f"{_name(path)} seems to be a model of {guess_algorithm(data)}, not of TD3. "
        "Load it with the class that saved it."
    )


def guess_algorithm(data: dict[str, Any]) -> str:
    """Guess the name of the algorithm from what it saved.

    :param data: the saved attributes
    """
    policy_class = data.get("policy_class")
    module = str(policy_class.get("__module__", "")) if isinstance(policy_class, dict) else ""
    package, _, rest = module.partition(".")
    folder = rest.partition(".")[0]
    if package in ("stable_baselines3", "sb3_contrib") and folder not in ("", "common"):
        return folder.upper()
    return next((name for attribute, name in TELLING_ATTRIBUTES.items() if attribute in data), "another algorithm")


def _read_data(path: str | pathlib.Path | io.BufferedIOBase) -> dict[str, Any]:
    file = open_path(path, "r", verbose=0, suffix="zip")
    try:
        with zipfile.ZipFile(file) as archive:
            data = json.loads(archive.read("data"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(
            f"{_name(path)} is not a model file ({error}). Give a zip file that a model's save() wrote."
        ) from error
    finally:
        if isinstance(path, str | pathlib.Path):
            file.close()
        else:
            path.seek(0)
    if not isinstance(data, dict):
        raise ValueError(f"{_name(path)} is not a model file. Give a zip file that a model's save() wrote.")
    return data


def _name(path: str | pathlib.Path | io.BufferedIOBase) -> str:
    return str(path) if isinstance(path, str | pathlib.Path) else "The file"
