"""Training, and the search for hyperparameters, through rl_zoo3's own program."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import rl_zoo3.train  # replaces gymnasium's TimeLimit

from sb3_carla.command_line import CommandError
from sb3_carla.zoo.hyperparameters import (
    check_not_known_bad,
    packaged_config,
    packaged_preset,
    plain_numbers,
    preset_names,
    read_section,
    section_names,
)
from sb3_carla.zoo.manager import RunManager, TrainedRun
from sb3_carla.zoo.models import check_model_file, interface_of
from sb3_carla.zoo.options import (
    DEFAULT_ALGO,
    DEFAULT_ENV,
    DEFAULT_FOLDER,
    StoreExpressions,
    argparse_with,
    drives_carla,
    register,
    replaced,
    server_in_words,
)
from sb3_carla.zoo.search import SearchManager


def train(argv: list[str]) -> TrainedRun | None:
    """Train as ``python -m rl_zoo3.train`` does.

    :param argv: rl_zoo3's options, and ``--preset``, ``--known-bad``, ``--no-video``
    :return: what was left behind; None after a search for hyperparameters
    :raises CommandError, HyperparameterError, CarlaEnvError: bad input; nothing is left behind
    """
    register()
    defaults = {
        "algo": DEFAULT_ALGO,
        "env": DEFAULT_ENV,
        "log_folder": DEFAULT_FOLDER,
        "tensorboard_log": None,  # inside the run folder
        "eval_freq": -1,  # an environment for evaluation means a second CARLA server
        "progress": sys.stdout.isatty(),
        "log_interval": 1,  # a line of the log per episode: those of a policy that drives are long
        "verbose": None,  # tables of numbers without a progress bar, the bar alone with one
    }
    managers: list[RunManager] = []

    def manager(args: argparse.Namespace, *rest: Any, **kwargs: Any) -> RunManager:
        kind = SearchManager if args.optimize_hyperparameters else RunManager
        managers.append(kind(args, *rest, **kwargs))
        return managers[0]

    def check(options: argparse.Namespace) -> None:
        if options.preset is not None:
            if options.conf_file is not None:
                raise CommandError("--preset and --conf-file both name the hyperparameters. Give one of them.")
            if options.algo != DEFAULT_ALGO:
                raise CommandError(f"The presets are for td3, not {options.algo}. Leave --preset or --algo out.")
            options.conf_file = str(packaged_preset(options.preset))
        elif options.conf_file is None:  # ours for our environments, otherwise rl_zoo3's own
            ours = packaged_config(f"{options.algo}.yml")
            if ours.is_file() and (drives_carla(options.env) or options.env in section_names(ours)):
                options.conf_file = str(ours)
        if options.optimize_hyperparameters and options.study_name is None:
            options.study_name = str(options.env)
        if options.verbose is None:
            options.verbose = 0 if options.progress else 1
        section = {} if options.conf_file is None else read_section(options.conf_file, options.env)
        if options.conf_file is not None and not options.known_bad:
            check_not_known_bad(options.conf_file)
        if options.trained_agent:
            check_model_file(Path(options.trained_agent), options.algo)
        # Given ones go before those of the section and leave its others alone; rl_zoo3 would drop the others.
        env_kwargs = plain_numbers(section.get("env_kwargs") or {})
        seen = {}
        if options.trained_agent and drives_carla(options.env):  # what it sees and does stays as it was
            seen = interface_of(Path(options.trained_agent))
        env_kwargs = {**env_kwargs, **seen, **(options.env_kwargs or {})}
        if options.env_kwargs is not None or seen:
            options.env_kwargs = env_kwargs
        if options.eval_env_kwargs is not None:
            options.eval_env_kwargs = {**env_kwargs, **options.eval_env_kwargs}
        print(f"{options.algo.upper()} trains in {server_in_words(options.env, env_kwargs)}", flush=True)

    parser = argparse_with("train", argv, defaults, check, _add_options)
    with replaced(rl_zoo3.train, argparse=parser, ExperimentManager=manager, StoreDict=StoreExpressions):
        rl_zoo3.train.train()
    return managers[0].trained


def _add_options(parser: argparse.ArgumentParser) -> None:
    ours = parser.add_argument_group("sb3_carla")
    ours.add_argument(
        "--preset",
        metavar="NAME",
        help=f"Hyperparameters of a published or known system: {', '.join(preset_names())}",
    )
    ours.add_argument("--known-bad", help="Train with hyperparameters that are known not to work", action="store_true")
    ours.add_argument("--no-video", help="Write no video of the trained policy", action="store_true")
