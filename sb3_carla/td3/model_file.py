"""Telling which algorithm saved a model file, before anything is built from it."""

from __future__ import annotations

import io
import json
import pathlib
import zipfile
from typing import Any

from stable_baselines3.common.save_util import open_path

# Attributes that only one algorithm of SB3 and sb3-contrib saves, where the policy's module does not tell it.
TELLING_ATTRIBUTES = {"lambda_coef": "TRPO", "cg_max_steps": "TRPO", "clip_range": "PPO", "ent_coef": "A2C"}


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
