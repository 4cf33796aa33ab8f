"""Walk the newcomer's path of docs/tutorial.md from a fresh clone, and print how long each step took.

    python benchmarks/newcomer.py [--folder DIR] [--short] | python docs/fill_block.py docs/tutorial.md newcomer

Clones this repository, runs ``make train``, replays and scores the model, then trains and scores in a scenario of its
own. A step that fails ends the walk with its output. ``--short`` trains for some steps only and measures nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNSEEN = "Town_Curves"
SHORT = "-n 60 -params learning_starts:20 batch_size:8 buffer_size:200"


def steps(short: bool) -> list[tuple[str, str]]:
    """What is done, and the command for it, in the folder of the clone."""
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n# my_scenarios.py\n(.*?)```", page, re.DOTALL)
    towns, own = "CarlaChangingTown-v0", "CarlaRainyCommute-v0"
    cut, few = (f" {SHORT}", "--episodes 1 --env-kwargs max_episode_steps:40") if short else ("", "--episodes 5")
    train = f"sb3-carla train --env {towns}{cut}" if short else "make train"
    model = "runs/td3/{0}_1/{0}.zip"
    return [
        ("clone", f"git clone --quiet {shlex.quote(str(ROOT))} ."),
        ("install, train, write report and video", train),
        ("video of three episodes", f"sb3-carla enjoy --env {towns} --video drive.mp4" + (" -n 40" if short else "")),
        ("score", f"sb3-carla evaluate {model.format(towns)} --town {UNSEEN} {few}"),
        ("a scenario of one's own", f"printf %s {shlex.quote(module)} > my_scenarios.py"),
        ("train in it, report and video", f"sb3-carla train --env {own} --gym-packages my_scenarios -n 10000{cut}"),
        (
            "score in it",
            f"sb3-carla evaluate {model.format(own)} --scenarios rainy_commute --gym-packages my_scenarios {few}",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="empty folder for the clone (default: a temporary one)")
    parser.add_argument(
        "--short", action="store_true", help="see whether the path holds, with the installation at hand"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        scripts = Path(sys.executable).parent if options.short else folder.resolve() / ".venv/bin"
        environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
        rows = []
        for what, command in steps(options.short):
            begin = time.monotonic()
            done = subprocess.run(
                command, shell=True, cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            if done.returncode != 0:
                sys.exit(f"{command}\n{done.stdout[-4000:]}\n{what} failed.")
            rows.append((what, command, time.monotonic() - begin))
    print("| step | command | time |\n|---|---|---|")
    for what, command, seconds in rows:
        shown = "my_scenarios.py as above" if command.startswith("printf") else f"`{command}`"
        shown = "`git clone`" if command.startswith("git clone") else shown
        duration = "short form" if options.short else "{} min {:02d} s".format(*divmod(round(seconds), 60))
        print(f"| {what} | {shown} | {duration} |")


if __name__ == "__main__":
    main()
