"""What a YAML section of hyperparameters may hold, checked before anything is started.

rl_zoo3 passes what it does not know to the algorithm, which answers with a traceback after the environment was started.
Here every key is compared with what really reads it: rl_zoo3, the algorithm's constructor and those of its parents, the
policy, the environment, the callbacks and the wrappers.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from gymnasium.envs.registration import load_env_creator

from sb3_carla.command_line import CommandError
from sb3_carla.envs.errors import did_you_mean

# What rl_zoo3 itself takes out of a section (ExperimentManager._preprocess_hyperparams and _preprocess_action_noise).
ZOO_KEYS = frozenset(
    {
        "callback",
        "env_kwargs",
        "env_wrapper",
        "frame_stack",
        "monitor_kwargs",
        "n_envs",
        "n_timesteps",
        "noise_std",
        "noise_type",
        "normalize",
        "vec_env_wrapper",
    }
)
# Constructor arguments that rl_zoo3 gives itself, with the option that sets them.
COMMAND_LINE_KEYS = {
    "env": "--env",
    "seed": "--seed",
    "verbose": "--verbose",
    "device": "--device",
    "tensorboard_log": "--tensorboard-log",
    "action_noise": "noise_type and noise_std in the YAML section",
}
# Keys for which rl_zoo3 turns "lin_<number>" into a schedule; the algorithm's own learning_rates do it themselves.
SCHEDULED_KEYS = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")

_EXPONENT_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
_LINEAR_SCHEDULE = re.compile(r"lin_(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class HyperparameterError(CommandError):
    """A configuration file, section or value that cannot be used."""


def packaged_config(name: str) -> Path:
    """The path of a file or folder of ``zoo_configs/``: beside the package in a checkout, inside it in a wheel.

    :param name: file name, such as ``td3.yml``
    """
    package = Path(__file__).resolve().parent.parent
    installed = package / "zoo_configs" / name
    return installed if installed.exists() else package.parent / "zoo_configs" / name


def preset_names() -> list[str]:
    """The names of the files in ``zoo_configs/presets``."""
    return sorted(path.stem for path in packaged_config("presets").glob("*.yml"))


def packaged_preset(name: str) -> Path:
    """The path of the file with a preset's sections, which its entry ``same-as`` names if it has none of its own.

    :param name: its name, such as ``drq-v2``
    :raises HyperparameterError: when there is none of that name
    """
    names = preset_names()
    if name not in names:
        raise HyperparameterError(f"There is no preset {name!r}. {did_you_mean(name, names)}")
    path = packaged_config(f"presets/{name}.yml")
    return packaged_config(_read_sections(path).get("same-as", f"presets/{name}.yml"))


def check_not_known_bad(config: str) -> None:
    """Refuse a configuration file that says of itself that it does not work.

    :param config: path of a file, readable by :func:`read_section`; its entry ``known-bad`` is the reason
    :raises HyperparameterError: with the reason and the flag that trains all the same
    """
    path = Path(config)
    if path.suffix in {".yml", ".yaml"}:
        reason = _read_sections(path).get("known-bad")
        if reason is not None:
            raise HyperparameterError(f"{path.name} is known to be bad: {reason}. Add --known-bad to train with it.")


def read_section(config: str, env_id: str) -> dict[str, Any]:
    """The section of a YAML file for an environment, or the one called ``default``, as rl_zoo3 chooses.

    :param config: path of the file; a Python file or package, which rl_zoo3 takes too, is not opened and gives nothing
    :param env_id: gym id
    :raises HyperparameterError: when the file cannot be read or has no such section
    """
    path = Path(config)
    if path.suffix not in {".yml", ".yaml"}:
        package = importlib.util.find_spec(config.split(".")[0]) if path.suffix != ".py" else None
        if package is None and not path.is_file():
            raise HyperparameterError(f"--conf-file {config} is neither a YAML file nor a Python package. Give one.")
        return {}
    sections = _read_sections(path)
    if env_id not in sections and "default" not in sections:
        raise HyperparameterError(f"{config} has no section for {env_id}. {did_you_mean(env_id, map(str, sections))}")
    name = env_id if env_id in sections else "default"
    section = sections[name]
    if not isinstance(section, dict):
        raise HyperparameterError(f"The section {name} of {config} is no mapping. Write 'key: value' lines under it.")
    return section


def section_names(path: Path) -> list[str]:
    """The environments and other names that a YAML file has sections for.

    :raises HyperparameterError: when the file cannot be read
    """
    return [str(name) for name in _read_sections(path)]


def _read_sections(path: Path) -> dict[str, Any]:
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HyperparameterError(f"{path} cannot be read: {error.strerror}. Check --conf-file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise HyperparameterError(f"{path} is not valid YAML: {reason}. Correct the file.") from error
    if not isinstance(sections, dict):
        raise HyperparameterError(f"{path} holds no sections. Write one per gym id, such as 'Carla-v0:'.")
    return sections


def check_section(section: Mapping[str, Any], algorithm: type, env_id: str, source: str) -> None:
    """Check a section's keys against what reads them, and the values that rl_zoo3 would stumble over.

    :param section: the section, with command-line overrides and :func:`plain_numbers` applied
    :param algorithm: the algorithm's class
    :param env_id: gym id
    :param source: where the section comes from, for the message
    :raises HyperparameterError: in one sentence
    """
    arguments, _ = accepted_arguments(algorithm)
    known = (ZOO_KEYS | set(arguments)) - set(COMMAND_LINE_KEYS) - {"_init_setup_model"}
    for key, value in section.items():
        if key in COMMAND_LINE_KEYS:
            raise HyperparameterError(f"{key!r} does not belong into {source}. Use {COMMAND_LINE_KEYS[key]} instead.")
        if key not in known:
            raise HyperparameterError(f"There is no hyperparameter {key!r} ({source}). {did_you_mean(str(key), known)}")
        default = arguments.get(key)
        if key in SCHEDULED_KEYS and isinstance(value, str):
            if _LINEAR_SCHEDULE.fullmatch(value) is None:
                raise HyperparameterError(
                    f"{key}: {value!r} ({source}) is no schedule. Write a number, or lin_<number>, such as lin_1e-4."
                )
        elif isinstance(default, (int, float)) and not isinstance(default, bool) and isinstance(value, str):
            raise HyperparameterError(f"{key}: {value!r} ({source}) is not a number. Write one.")
    for key in ("policy", "n_timesteps"):
        if key not in section:
            raise HyperparameterError(f"{source} has no {key!r}. Every section needs policy and n_timesteps.")
    if ("noise_type" in section) != ("noise_std" in section):
        raise HyperparameterError(f"noise_type and noise_std go together ({source}). Give both or none.")
    _check_policy(section, algorithm, source)
    check_env_kwargs(section.get("env_kwargs") or {}, env_id)
    for key in ("callback", "env_wrapper", "vec_env_wrapper"):
        entries = section.get(key) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            _check_class_entry(key, entry, source)


def check_env_kwargs(env_kwargs: Mapping[str, Any], env_id: str) -> None:
    """Check the names of an environment's keyword arguments, where its constructor lists them.

    A constructor that takes any keyword, such as CarlaEnv's, checks them itself before it starts anything.
    """
    entry_point = gym.spec(env_id).entry_point
    if entry_point is None:
        return
    creator: Callable[..., Any] = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    arguments, takes_any = accepted_arguments(creator)
    known = {*arguments, *_MAKE_ARGUMENTS}
    for key in env_kwargs:
        if key not in known and not takes_any:
            raise HyperparameterError(f"{env_id} has no argument {key!r}. {did_you_mean(str(key), known)}")


# Arguments of gymnasium.make, which rl_zoo3 passes in the same mapping.
_MAKE_ARGUMENTS = ("max_episode_steps", "disable_env_checker", "render_mode")


def accepted_arguments(function: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """The keyword arguments of a function or of a class, with their defaults.

    A constructor with ``**kwargs`` passes them on to its parent, so the search goes on there.

    :return: the arguments, and whether any other keyword is taken as well
    """
    if not inspect.isclass(function):
        return _keywords(function)
    arguments: dict[str, Any] = {}
    for parent in function.__mro__:
        constructor = vars(parent).get("__init__")
        if constructor is None or parent is object:
            continue
        own, passes_on = _keywords(constructor)
        arguments = {**own, **arguments}
        if not passes_on:
            return arguments, False
    return arguments, True


def _keywords(function: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    parameters = inspect.signature(function).parameters.values()
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    named.pop("self", None)
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _check_policy(section: Mapping[str, Any], algorithm: Any, source: str) -> None:
    policy = section["policy"]
    if not isinstance(policy, str):
        raise HyperparameterError(
            f"policy: {policy!r} ({source}) is not a name. {did_you_mean('', algorithm.policy_aliases)}"
        )
    if "." in policy:
        policy_class = _imported("policy", policy, source)
    elif policy in algorithm.policy_aliases:
        policy_class = algorithm.policy_aliases[policy]
    else:
        hint = did_you_mean(policy, algorithm.policy_aliases)
        raise HyperparameterError(f"{algorithm.__name__} has no policy {policy!r} ({source}). {hint}")
    policy_kwargs = section.get("policy_kwargs")
    if isinstance(policy_kwargs, Mapping):  # rl_zoo3 also takes Python source in a string, which only it can evaluate
        arguments, takes_any = accepted_arguments(policy_class)
        for key in policy_kwargs:
            if key not in arguments and not takes_any:
                raise HyperparameterError(
                    f"There is no policy_kwargs entry {key!r} ({source}). {did_you_mean(key, arguments)}"
                )


def _check_class_entry(kind: str, entry: Any, source: str) -> None:
    """A callback or wrapper: a dotted name, or a mapping of one dotted name to its keyword arguments."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, arguments),) = entry.items()
    else:
        name, arguments = entry, {}
    if not isinstance(name, str) or not isinstance(arguments or {}, Mapping):
        raise HyperparameterError(
            f"{kind}: {entry!r} ({source}) is not understood. "
            "Write a dotted class name, or one class name with its arguments indented below it."
        )
    known, takes_any = accepted_arguments(_imported(kind, name, source))
    for key in arguments or {}:
        if key not in known and not takes_any:
            raise HyperparameterError(f"{name} has no argument {key!r} ({source}). {did_you_mean(str(key), known)}")


def _imported(kind: str, name: str, source: str) -> Any:
    """The object that a dotted name stands for."""
    if _DOTTED_NAME.fullmatch(name) is None:
        raise HyperparameterError(
            f"{kind}: {name!r} ({source}) is not a dotted class name. Write package.module.Class."
        )
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module exists, but something that it imports does not
        raise HyperparameterError(
            f"{kind}: {name!r} ({source}) names no importable module. Check its spelling, or install it."
        ) from error
    if not hasattr(module, attribute):
        hint = did_you_mean(attribute, getattr(module, "__all__", dir(module)))
        raise HyperparameterError(f"{kind}: {module_name} has no {attribute!r} ({source}). {hint}")
    return getattr(module, attribute)


def plain_numbers(value: Any) -> Any:
    """The same value with strings such as ``1e-4``, which YAML 1.1 does not read as numbers, made numbers.

    >>> plain_numbers({"learning_rate": "1e-4", "policy": "CnnPolicy", "rates": ["2E3", "lin_1e-4"]})
    {'learning_rate': 0.0001, 'policy': 'CnnPolicy', 'rates': [2000.0, 'lin_1e-4']}
    """
    if isinstance(value, str):
        return float(value) if _EXPONENT_NUMBER.fullmatch(value) else value
    if isinstance(value, list):
        return [plain_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items()}
    return value


def resolve_classes(section: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The same section with dotted class names replaced by the classes where an algorithm wants a class.

    rl_zoo3 evaluates such strings as Python among its own imports, so it knows ``nn.ReLU`` but no class of ours. This
    lets a section say ``features_extractor_class: sb3_carla.NatureCNN``.
    """
    resolved = dict(section)
    if _is_foreign_class(resolved.get("replay_buffer_class")):
        resolved["replay_buffer_class"] = _imported("replay_buffer_class", resolved["replay_buffer_class"], source)
    if isinstance(resolved.get("policy_kwargs"), Mapping):
        resolved["policy_kwargs"] = {
            key: _imported(key, value, source)
            if _is_foreign_class(value) and (key.endswith("_class") or key == "activation_fn")
            else value
            for key, value in resolved["policy_kwargs"].items()
        }
    return resolved


def _is_foreign_class(value: Any) -> bool:
    return isinstance(value, str) and _DOTTED_NAME.fullmatch(value) is not None
