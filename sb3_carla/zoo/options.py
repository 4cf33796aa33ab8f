"""The command line of rl_zoo3's programs: our defaults, our TD3, errors in one sentence, checks before the start."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from rl_zoo3.utils import ALGOS, StoreDict

import sb3_carla  # noqa: F401  registers the gym ids
from sb3_carla.command_line import CommandError, CommandParser, import_packages
from sb3_carla.envs.errors import did_you_mean
from sb3_carla.td3 import TD3
from sb3_carla.zoo.search_space import td3_arguments, td3_sampler

DEFAULT_ENV = "Carla-v0"
DEFAULT_ALGO = "td3"
DEFAULT_FOLDER = "runs"


def register() -> None:
    """Put our TD3 into rl_zoo3's tables, in the place of SB3's, of which it is a subclass, with its search space."""
    ALGOS["td3"] = TD3
    HYPERPARAMS_SAMPLER["td3"] = td3_sampler()
    HYPERPARAMS_CONVERTER["td3"] = td3_arguments


@contextmanager
def replaced(module: ModuleType, **names: Any) -> Iterator[None]:
    """Give names of a module another value for the time of a ``with`` block."""
    before = {name: getattr(module, name) for name in names}
    vars(module).update(names)
    try:
        yield
    finally:
        vars(module).update(before)


def argparse_with(
    command: str,
    argv: Sequence[str],
    defaults: Mapping[str, Any],
    check: Callable[[argparse.Namespace], None],
    extend: Callable[[argparse.ArgumentParser], None],
) -> SimpleNamespace:
    """A stand-in for the module ``argparse`` in a program of rl_zoo3's.

    :param command: our name of the program, for its help
    :param argv: the arguments, instead of ``sys.argv``
    :param defaults: our defaults, instead of rl_zoo3's
    :param check: called with the parsed options; may change them
    :param extend: called with the parser; adds options of our own
    """

    class Parser(CommandParser):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(prog=f"sb3-carla {command}", **kwargs)

        def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
            extend(self)
            self.set_defaults(**defaults)
            options, unknown = self.parse_known_args(list(argv))
            if unknown:
                close = did_you_mean(unknown[0], self._option_string_actions)
                hint = close if close.startswith("Did") else f"'{self.prog} --help' lists the options."
                raise CommandError(f"There is no option {unknown[0]!r}. {hint}")
            import_packages(options.gym_packages)
            _check_env_id(str(getattr(options.env, "gym_id", options.env)))
            check(options)
            return options

    return SimpleNamespace(ArgumentParser=Parser)


class StoreExpressions(StoreDict):
    """``name:expression`` pairs; says how to write a text instead of raising NameError, and adds to earlier pairs."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Evaluate one pair after the other, so that a wrong one can be named."""
        collected = dict(getattr(namespace, self.dest) or {})
        for pair in values:
            name, _, expression = pair.partition(":")
            try:
                super().__call__(parser, namespace, [pair], option_string)  # type: ignore[no-untyped-call]
            except Exception as error:  # whatever the evaluation of a user's expression raises
                raise CommandError(
                    f"{option_string} {pair}: {expression!r} is not a Python expression. "
                    f"A text needs quotes of its own: {option_string} {name}:\"'{expression}'\"."
                ) from error
            collected.update(getattr(namespace, self.dest))
        setattr(namespace, self.dest, collected)


def drives_carla(env_id: str) -> bool:
    """Whether an environment is CarlaEnv, in one of its own scenarios or in a user's."""
    return "sb3_carla" in str(gym.spec(env_id).entry_point)


@contextmanager
def own_time_limit(env_id: str, env_kwargs: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Meanwhile CarlaEnv gets ``max_episode_steps``, which it counts itself and names in its metrics.

    ``gymnasium.make`` takes an argument of that name for a time limit of its own, which the env does not see.

    :param env_id: gym id
    :param env_kwargs: arguments of the env
    :return: those that are left for ``gymnasium.make``
    """
    left, spec = dict(env_kwargs or {}), gym.spec(env_id)
    if not drives_carla(env_id) or "max_episode_steps" not in left:
        yield left
        return
    before = spec.kwargs
    spec.kwargs = {**before, "max_episode_steps": left.pop("max_episode_steps")}
    try:
        yield left
    finally:
        spec.kwargs = before


def server_in_words(env_id: str, env_kwargs: Mapping[str, Any] | None) -> str:
    """Which CARLA server an environment will use, by the rules of CarlaEnv; nothing for other environments."""
    if not drives_carla(env_id):
        return env_id
    server = (env_kwargs or {}).get("server") or os.environ.get("SB3_CARLA_SERVER") or "embedded"
    return f"{env_id} on " + ("the embedded simulator" if server == "embedded" else f"the CARLA server {server}")


def renders_frames(env_id: str) -> bool:
    """Whether an environment can be filmed."""
    entry_point = gym.spec(env_id).entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", [])


def _check_env_id(env_id: str) -> None:
    if env_id not in gym.registry:
        ours = [name for name in gym.registry if name.startswith("Carla")]
        hint = did_you_mean(env_id, gym.registry)
        raise CommandError(
            f"There is no environment {env_id!r}. {hint if hint.startswith('Did') else did_you_mean(env_id, ours)}"
        )
