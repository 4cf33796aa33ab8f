"""How well drivers without a network do in every scenario: the ceilings and the floors of what can be learned.

    python benchmarks/drivers.py [--drivers pursuit autopilot random constant] [--scenarios ...] [--episodes 5]

Runs ``sb3-carla evaluate DRIVER`` for one scenario after the other and prints what its ``episodes.csv`` say: driving
score (CARLA leaderboard), success and metres, as means over the same seeds for every driver. What is in the folder is
not driven again, so a broken-off benchmark goes on where it stopped; the pictures of the trajectories are there, too.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
from pathlib import Path

DRIVERS = ("pursuit", "autopilot", "random", "constant")


def episodes(driver: str, scenario: str, options: argparse.Namespace) -> list[dict[str, str]]:
    """Drive, unless that was done before; one row per episode."""
    folder: Path = options.folder / driver / scenario
    path = folder / "episodes.csv"
    if not path.exists():
        command = [sys.executable, "-m", "sb3_carla.cli", "evaluate", driver, "--scenarios", scenario]
        command += ["--episodes", str(options.episodes), "--out", str(folder)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{driver} in {scenario}: {done.stderr.strip().splitlines()[-1]}")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def cell(rows: list[dict[str, str]]) -> str:
    score, metres = (statistics.mean(float(row[name]) for row in rows) for name in ("driving_score", "distance"))
    success = sum(row["success"] == "True" for row in rows)
    return f"{score:.0f}, {success} of {len(rows)}, {metres:.0f} m"


def main() -> None:
    from sb3_carla.envs import SCENARIOS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drivers", nargs="+", choices=DRIVERS, default=list(DRIVERS))
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS), metavar="NAME")
    parser.add_argument("--episodes", type=int, default=5, help="per driver and scenario")
    parser.add_argument("--folder", type=Path, default=Path("drivers"))
    options = parser.parse_args()
    print(f"| driving score, successes, metres | {' | '.join(options.drivers)} |")
    print("|---|" + "---|" * len(options.drivers))
    for scenario in options.scenarios:
        cells = [cell(episodes(driver, scenario, options)) for driver in options.drivers]
        print(f"| {scenario} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
