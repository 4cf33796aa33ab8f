"""The command ``sb3-carla evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sb3_carla.command_line import CommandError, import_packages
from sb3_carla.envs import SCENARIOS
from sb3_carla.envs.errors import did_you_mean


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
