"""The command ``sb3-carla``: train, enjoy, evaluate, choose, report, serve, doctor.

Bad input ends with one sentence on standard error and exit code 2; ``SB3_CARLA_DEBUG=1`` shows the traceback instead.
Everything heavy is imported by the command that needs it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_carla.command_line import CommandError, CommandParser
from sb3_carla.envs.errors import CarlaEnvError

if TYPE_CHECKING:
    from sb3_carla.zoo import TrainedRun

VIDEO_STEPS = "600"  # at most, of the video after a training: 30 s at CARLA's usual 20 Hz
RUN_FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    :param argv: the arguments after ``sb3-carla``; None: those of the process
    :return: the exit code
    """
    try:
        options, rest = _parser().parse_known_args(sys.argv[1:] if argv is None else list(argv))
        command: Callable[[argparse.Namespace, list[str]], int] = options.command
        return command(options, rest)
    except SystemExit as stop:  # argparse after --help
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CommandError, CarlaEnvError) as error:
        if os.environ.get("SB3_CARLA_DEBUG") == "1":
            raise
        print(f"sb3-carla: {error}", file=sys.stderr)
        return BAD_INPUT


def train(options: argparse.Namespace, rest: list[str]) -> int:
    """Train through rl_zoo3, then write the report and a video and say where everything is."""
    from sb3_carla.zoo import train as zoo_train

    run = zoo_train(rest)
    if run is None:  # a search for hyperparameters: rl_zoo3 has said where its result is
        return 0
    if run.failure is not None:
        print(f"sb3-carla: {run.failure}", file=sys.stderr)
    elif run.steps < run.planned_steps:
        print(f"Stopped after {run.steps} of {run.planned_steps} steps.")
    products = {
        "Model": str(run.model),
        "TensorBoard log": str(run.tensorboard) if run.tensorboard else "none",
        "Report": _write_report(run.folder),
        "Video": _write_video(run),
    }
    _print_products(products)
    return 0 if run.failure is None else RUN_FAILED


def enjoy(options: argparse.Namespace, rest: list[str]) -> int:
    """Replay a trained model in a window, without one, or into a video file."""
    from sb3_carla.zoo import enjoy as zoo_enjoy

    video = zoo_enjoy(rest)
    if video is not None:
        print(f"Video: {video}")
    return 0


def report(options: argparse.Namespace, rest: list[str]) -> int:
    """Write the report of a run folder, or one that compares several."""
    _refuse(rest, "report")
    from sb3_carla.report import ReportError, compare_runs, make_report

    try:
        if len(options.run_dirs) == 1:
            page = make_report(options.run_dirs[0], options.out)
        else:
            page = compare_runs(options.run_dirs, options.out)
        print(f"Report: {page}\n  HTML: {page.with_suffix('.html')}")
    except ReportError as error:
        raise CommandError(str(error)) from error
    return 0


def evaluate(options: argparse.Namespace, rest: list[str]) -> int:
    """Score a model or a baseline in scenarios."""
    _refuse(rest, "evaluate")
    from sb3_carla.evaluation.command import run

    return run(options)


def choose(options: argparse.Namespace, rest: list[str]) -> int:
    """Keep the best of a run's checkpoints."""
    _refuse(rest, "choose")
    from sb3_carla.evaluation.command import run_choose

    return run_choose(options)


def doctor(options: argparse.Namespace, rest: list[str]) -> int:
    """Say what is ready and how to fix what is not."""
    _refuse(rest, "doctor")
    from rich.console import Console
    from rich.text import Text

    from sb3_carla.doctor import examine

    logging.getLogger("sb3_carla").setLevel(logging.ERROR)
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
    findings = examine(options.server, options.buffer_size)
    for finding in findings:
        fix = f". {finding.fix}" if finding.fix else ""
        line = Text.assemble(marks[finding.state], f" {finding.subject:<13}", finding.text, fix)
        Console().print(line, soft_wrap=True, highlight=False)
    return RUN_FAILED if any(finding.state == "error" for finding in findings) else 0


def serve(options: argparse.Namespace, rest: list[str]) -> int:
    """Run the embedded simulator until Ctrl-C; its own command line knows the options, CARLA's flags among them."""
    from sb3_carla.simulator.server import main as run_server

    return run_server(rest, prog="sb3-carla serve")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="sb3-carla", description="Stable-Baselines3 for CARLA.", allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[..., int], text: str, *, own_help: bool = True) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False, add_help=own_help)
        added.set_defaults(command=run)
        return added

    # rl_zoo3's parsers know the options of these two, the server's that of serve; --help included.
    command("train", train, "Train from YAML with rl_zoo3, then write a report and a video", own_help=False)
    command("enjoy", enjoy, "Replay a trained model in a window or into a video file", own_help=False)
    report_parser = command("report", report, "Write a report of a run folder, or of several side by side")
    report_parser.add_argument(
        "run_dirs", metavar="RUN_DIR", type=Path, nargs="+", help="A run folder, such as runs/td3/Carla-v0_1"
    )
    report_parser.add_argument("--out", type=Path, help="Folder of the report (default: beside the logs)")
    from sb3_carla.evaluation.command import add_choose_options
    from sb3_carla.evaluation.command import add_options as add_evaluate_options

    add_evaluate_options(command("evaluate", evaluate, "Score a model or a baseline as the CARLA leaderboard does"))
    add_choose_options(command("choose", choose, "Drive a run's latest checkpoints and keep the best one"))
    doctor_parser = command(
        "doctor", doctor, "Check the installation, the server, the memory; say how to fix what is not"
    )
    doctor_parser.add_argument("--server", help="'embedded', an address or a start script, as CarlaEnv takes it")
    doctor_parser.add_argument(
        "--buffer-size", type=int, default=100_000, help="Transitions of the replay buffer (default: %(default)s)"
    )
    command("serve", serve, "Run the embedded CARLA simulator in the foreground", own_help=False)
    return parser


def _refuse(rest: list[str], command: str) -> None:
    if rest:
        raise CommandError(f"There is no option {rest[0]!r}. 'sb3-carla {command} --help' lists the options.")


def _write_report(folder: Path) -> str:
    """Write the report; a run that is too short for one is no failure."""
    from sb3_carla.report import ReportError, make_report

    try:
        return str(make_report(folder))
    except ReportError as error:
        return f"none ({error})"


def _write_video(run: TrainedRun) -> str:
    """Film the beginning of an episode of the trained policy, where the environment can be filmed."""
    import gymnasium as gym

    from sb3_carla.video import VideoError
    from sb3_carla.zoo import enjoy as zoo_enjoy
    from sb3_carla.zoo import renders_frames

    if not run.wants_video:
        return "none (--no-video)"
    if run.failure is not None:
        return "none (the training broke off)"
    if not renders_frames(run.env_id):
        return f"none ({run.env_id} renders no frames)"
    video = run.folder / "policy.mp4"
    try:
        run_options = ["--env", run.env_id, "--algo", run.algo, "--model", str(run.model)]
        zoo_enjoy([*run_options, "--episodes", "1", "-n", VIDEO_STEPS, "--video", str(video)])
    except (CarlaEnvError, VideoError, gym.error.Error) as error:
        return f"none ({error})"
    return str(video)


def _print_products(products: dict[str, str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for name, place in products.items():
        console.print(
            Text.assemble((f"{name:<16}", "bold"), place), soft_wrap=True
        )  # a path in one piece can be copied


if __name__ == "__main__":
    sys.exit(main())
