"""The commands ``sb3-carla evaluate`` and ``sb3-carla choose``."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from sb3_carla.command_line import CommandError, import_packages
from sb3_carla.envs import SCENARIOS
from sb3_carla.envs.errors import did_you_mean

CHOSEN = "best_model.zip"  # as Stable-Baselines3 calls it; `sb3-carla enjoy --load-best` replays it


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate`` to its parser."""
    parser.add_argument(
        "driver", metavar="MODEL", help="Model file, policy of the package, or constant, random, autopilot, pursuit"
    )
    parser.add_argument("--algo", default="td3", help="Algorithm that wrote the model file (default: %(default)s)")
    parser.add_argument(
        "--scenarios", nargs="+", default=["lane_following"], metavar="NAME", help=f"Of: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--gym-packages", nargs="+", default=[], metavar="MODULE", help="That register scenarios")
    parser.add_argument("--episodes", type=int, default=5, help="Per scenario (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="Of the first episode (default: %(default)s)")
    parser.add_argument("--town", help="Map instead of the scenario's")
    parser.add_argument("--weather", nargs="+", metavar="PRESET", help="Weather instead of the scenario's")
    parser.add_argument("--server", help="'embedded', an address or a start script, as CarlaEnv takes it")
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE", help="Options of CarlaEnv")
    parser.add_argument("--out", type=Path, help="Folder of the results (default: evaluations/DRIVER)")
    parser.add_argument("--video", action="store_true", help="Write a video with a head-up display")
    parser.add_argument("--saliency", action="store_true", help="Show in the video where the model looks")


def run(options: argparse.Namespace) -> int:
    """Evaluate, print the table and say where the results are.

    :raises CommandError: for an option that cannot be
    """
    import yaml
    from rich.console import Console

    from sb3_carla.evaluation import Episode, evaluate, make_driver
    from sb3_carla.evaluation.scores import table

    if options.episodes < 1:
        raise CommandError(f"--episodes {options.episodes} is not a positive number. Give one.")
    import_packages(options.gym_packages)
    for name in options.scenarios:
        if name not in SCENARIOS:
            raise CommandError(f"There is no scenario {name!r}. {did_you_mean(name, SCENARIOS)}")
    kwargs = {}
    for pair in options.env_kwargs:
        name, separator, value = pair.partition(":")
        if not separator:
            raise CommandError(f"--env-kwargs {pair} is no pair. Write NAME:VALUE, such as action_repeat:2.")
        kwargs[name] = yaml.safe_load(value)
    if options.town is not None:
        kwargs["town"] = options.town
    if options.weather is not None:
        kwargs["weather"] = options.weather
    driver = make_driver(options.driver, options.algo)
    out: Path = options.out or Path("evaluations") / driver.name
    console = Console()

    def told(episode: Episode) -> None:
        metrics = episode.metrics
        console.print(
            f"{episode.scenario} seed {episode.seed}: driving score {metrics['driving_score']:.1f}, "
            f"{metrics['distance']:.0f} m in {metrics['duration']:.0f} s, {metrics['status']}",
            highlight=False,
        )

    result = evaluate(
        driver,
        options.scenarios,
        options.episodes,
        seed=options.seed,
        out=out,
        video=options.video or options.saliency,
        saliency=options.saliency,
        server=options.server,
        env_kwargs=kwargs,
        told=told,
    )
    wide = Console(width=max(console.width, 200)) if not console.is_terminal else console
    wide.print(table(driver.name, result.summaries))
    for path in result.files:
        console.print(f"  {path}", highlight=False, soft_wrap=True)
    return 0


def add_choose_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``choose`` to its parser."""
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="Run folder, such as runs/td3/Carla-v0_1")
    parser.add_argument("--algo", default="td3", help="Algorithm of the run (default: %(default)s)")
    parser.add_argument("--last", type=int, default=5, help="So many of the latest checkpoints (default: %(default)s)")
    parser.add_argument("--episodes", type=int, default=30, help="Per checkpoint (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=250, help="Of an episode at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5000, help="Of the first episode (default: %(default)s)")
    parser.add_argument("--server", help="'embedded', an address or a start script, as CarlaEnv takes it")


def run_choose(options: argparse.Namespace) -> int:
    """Drive the latest checkpoints of a run and copy the best one to :data:`CHOSEN`.

    :raises CommandError: for a folder that is no run of CarlaEnv with checkpoints, or an option that cannot be
    """
    from sb3_carla.envs import CarlaEnv
    from sb3_carla.evaluation.choose import choose
    from sb3_carla.zoo.models import env_kwargs_of, normalizer_of, scenario_of

    for name in ("last", "episodes", "steps"):
        if getattr(options, name) < 1:
            raise CommandError(f"--{name} {getattr(options, name)} is not a positive number. Give one.")
    folder: Path = options.run_dir
    by_steps = {int(path.stem.split("_")[2]): path for path in folder.glob("rl_model_*_steps.zip")}
    if not by_steps:
        raise CommandError(
            f"{folder} has no checkpoints rl_model_*_steps.zip. Give the folder of a run that was trained with "
            "'sb3-carla train --save-freq STEPS'."
        )
    latest = [by_steps[steps] for steps in sorted(by_steps, reverse=True)[: options.last]]
    kwargs = {**env_kwargs_of(latest[0]), "max_episode_steps": options.steps}
    with CarlaEnv(options.server, scenario_of(latest[0]), **kwargs) as env:
        best = choose(env, latest, options.algo, options.episodes, options.seed, lambda drive: print(drive, flush=True))
    shutil.copy(best.model, folder / CHOSEN)
    normalizer = normalizer_of(best.model)
    if normalizer is not None:
        shutil.copy(normalizer, folder / f"{Path(CHOSEN).stem}_vecnormalize.pkl")
    print(f"{folder / CHOSEN} is {best.model.name}")
    return 0
