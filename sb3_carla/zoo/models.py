"""Model files: can one be used, what was it trained to see and do; and the policies that come with the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from rl_zoo3.utils import ALGOS

from sb3_carla.command_line import CommandError
from sb3_carla.envs.catalogue import SCENARIOS
from sb3_carla.envs.errors import did_you_mean
from sb3_carla.td3 import TD3
from sb3_carla.zoo.hyperparameters import accepted_arguments
from sb3_carla.zoo.options import drives_carla

# What a model was trained to see and do; the rest of a run's env_kwargs belongs to its own task.
INTERFACE = (
    "fixed_delta_seconds", "action_repeat", "vehicle", "max_steer", "max_brake", "target_speed_kmh", "speed_limiter",
    "actions", "action_smoothing", "max_lateral_acceleration", "steer_rate", "observation", "state", "camera",
    "image_size", "image_width", "frame_stack", "camera_x", "camera_z", "camera_pitch_deg", "camera_fov_deg",
)  # fmt: skip
PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"  # a folder per policy, laid out as rl_zoo3's runs


def pretrained_names() -> list[str]:
    """The names of the trained policies that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/*.zip"))


def pretrained_model(name: str) -> Path:
    """The model file of a trained policy that comes with the package.

    :param name: one of :func:`pretrained_names`
    :raises CommandError: when there is none of that name
    """
    names = pretrained_names()
    if name not in names:
        raise CommandError(f"There is no trained policy {name!r}. {did_you_mean(name, names)}")
    return PRETRAINED / name / f"{name}.zip"


def check_model_file(path: Path, algo: str) -> None:
    """Load a model file once, before anything is started for it.

    :param path: the file
    :param algo: rl_zoo3's name of the algorithm that is to load it
    :raises CommandError: when it is missing or belongs to another algorithm
    """
    if not path.is_file():
        raise CommandError(f"There is no model file {path}. Check the path.")
    algorithm = ALGOS[algo]
    # Loading makes the replay buffer anew, gigabytes for frames, and this needs none of it.
    small: dict[str, Any] = {"buffer_size": 1} if "buffer_size" in accepted_arguments(algorithm)[0] else {}
    try:
        algorithm.load(path, device="cpu", verbose=0, **small)
    except Exception as error:  # a foreign file can fail anywhere in the loading of its pickles and weights
        reason = " ".join(str(error).split()).rstrip(".")
        if algorithm is TD3 and isinstance(error, ValueError):  # it has checked the file and says what to do
            raise CommandError(f"{reason}.") from error
        raise CommandError(
            f"{path} cannot be loaded as a model of {algorithm.__name__}: {reason}. "
            "Name the algorithm that wrote it with --algo, or give another file."
        ) from error


def interface_of(model: Path) -> dict[str, Any]:
    """What a model saw and did in its training through rl_zoo3, by its scenario and by what the training gave its env.

    :param model: the model file
    :return: arguments of CarlaEnv; empty when the file does not lie beside what rl_zoo3 wrote about its run
    """
    given = {key: value for key, value in env_kwargs_of(model).items() if key in INTERFACE}
    try:
        scenario = SCENARIOS[scenario_of(model)]
    except (CommandError, KeyError, gym.error.Error):  # no run of CarlaEnv, or a scenario that only its author has
        return given
    return {**{key: getattr(scenario, key) for key in INTERFACE}, **given}


def env_kwargs_of(model: Path) -> dict[str, Any]:
    """All arguments that the training of a model through rl_zoo3 gave its env; see :func:`interface_of`."""
    kwargs: dict[str, Any] = {}
    for name in ("config.yml", "args.yml"):  # the section, then the command line, whose --env-kwargs count for more
        kwargs.update(config_of(model, name).get("env_kwargs") or {})
    return kwargs


def scenario_of(model: Path) -> str:
    """The scenario that a model was trained in through rl_zoo3.

    :param model: the model file
    :raises CommandError: when the file does not lie beside what rl_zoo3 wrote about its run, or it was not CarlaEnv
    """
    path = file_of_run(model, "config.yml")
    if path is None or not drives_carla(env_id := path.parent.name):
        raise CommandError(
            f"{model.parent} is no run of 'sb3-carla train' in a scenario of CARLA. Give the folder of one."
        )
    scenario: str = gym.spec(env_id).kwargs.get("scenario", "lane_following")
    return scenario


def normalizer_of(model: Path) -> Path | None:
    """The statistics of VecNormalize that a model was trained with; None if it was trained without.

    :param model: the model file
    :raises CommandError: when its run normalised, and the statistics are gone: with others it would drive blindly
    """
    beside = [
        model.with_name(f"{model.stem}_vecnormalize.pkl"),  # what `choose` copies
        model.with_name("vec_normalize.pkl"),  # a checkpoint of sb3_stability
    ]
    checkpoint = re.fullmatch(r"(.+)_(\d+_steps)", model.stem)
    if checkpoint is not None:  # of SB3's CheckpointCallback
        beside.append(model.with_name(f"{checkpoint[1]}_vecnormalize_{checkpoint[2]}.pkl"))
    found = next((path for path in beside if path.is_file()), None) or file_of_run(model, "vecnormalize.pkl")
    if found is None and config_of(model).get("normalize"):
        raise CommandError(
            f"{model} was trained with normalised observations, and their statistics (vecnormalize.pkl) are not "
            "beside it. Give the model in the folder of its run."
        )
    return found


def config_of(model: Path, name: str = "config.yml") -> dict[str, Any]:
    """What rl_zoo3 wrote about the run of a model file: its section, or with ``args.yml`` its command line."""
    path = file_of_run(model, name)
    # Both are written as Python objects; the model file beside them is one, too.
    return {} if path is None else dict(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.UnsafeLoader))


def file_of_run(model: Path, name: str) -> Path | None:
    """A file that rl_zoo3 wrote for the run of a model file: in a folder beside it that is called as the env."""
    folder = model.parent
    if (folder / "checkpoint.json").exists():  # a checkpoint of sb3_stability: run/healthy_checkpoints/step_N
        folder = folder.parent.parent
    return next(iter(sorted(folder.glob(f"*/{name}"))), None)
