"""Train every preset for a short while and print how it went.

    python benchmarks/presets.py [--steps 2000] [--env Carla-v0] [--only drq-v2 sb3 ...] [--results presets.csv]

Each preset is trained by ``sb3-carla train --preset NAME`` in a process of its own, in a temporary folder. The results
file has one row per preset; presets that are in it are not trained again, so a broken-off benchmark goes on where it
stopped. The table: environment steps per second (starts and the first random steps included), the last mean
Q(s, pi(s)), the largest gradient norm over its limit after clipping, and whether the stability callbacks stopped it.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sb3_carla.report.logs import RunLogs, read_logs
from sb3_carla.td3.parts import PARTS
from sb3_carla.zoo.hyperparameters import packaged_preset, preset_names, read_section

FIELDS = ("preset", "steps", "steps_per_second", "q_policy_mean", "norms", "verdict")


def last(logs: RunLogs, name: str) -> float:
    series = logs.metrics.get(name)
    return float("nan") if series is None or not len(series) else float(series.values[-1])


def norms_within_limits(logs: RunLogs, limits: object) -> str:
    """Largest norm after clipping over its limit, over parts and time."""
    if limits is None:
        return "no limits"
    by_part = limits if isinstance(limits, dict) else dict.fromkeys(PARTS, limits)
    shares = []
    for part, limit in by_part.items():
        series = logs.metrics.get(f"grad_norm_clipped/{part}")
        if series is not None and len(series):
            shares.append(float(series.finite.values.max()) / float(limit))
    if not shares:
        return "not logged"
    largest = max(shares)
    return f"{'within' if largest <= 1.0001 else 'OVER'} ({largest:.3f})"


def train(preset: str, env_id: str, steps: int) -> dict[str, object]:
    section = read_section(str(packaged_preset(preset)), env_id)
    # Presets with a long random start would not learn at all within a short run.
    starts = min(int(section.get("learning_starts", 100)), steps // 2)
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "sb3_carla.cli",
            "train",
            "--preset",
            preset,
            "--env",
            env_id,
            "-n",
            str(steps),
        ]
        command += ["--known-bad", "--no-video", "--verbose", "0", "-f", folder]
        command += ["-params", f"learning_starts:{starts}", f"buffer_size:{steps}"]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - begin
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
            return {"preset": preset, "steps": steps, "verdict": f"failed: {' '.join(reason)}"}
        logs = read_logs(Path(folder) / "td3")
    stopped = [text for _, text in logs.messages]
    return {
        "preset": preset,
        "steps": logs.last_step,
        "steps_per_second": f"{logs.last_step / seconds:.1f}",
        "q_policy_mean": f"{last(logs, 'train/q_policy_mean'):.3g}",
        "norms": norms_within_limits(logs, section.get("max_grad_norm")),
        "verdict": "stopped: " + stopped[-1].split(".")[0] if stopped else "stable",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="environment steps per preset")
    parser.add_argument("--env", default="Carla-v0")
    parser.add_argument("--only", nargs="+", default=preset_names(), help="presets to train")
    parser.add_argument("--results", type=Path, default=Path("presets.csv"))
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    if options.results.exists():
        with options.results.open(newline="") as file:
            rows = list(csv.DictReader(file))
    for preset in options.only:
        if any(row["preset"] == preset for row in rows):
            continue
        rows.append(train(preset, options.env, options.steps))
        with options.results.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, restval="")
            writer.writeheader()
            writer.writerows(rows)
    print(f"{'preset':16s} {'steps':>6s} {'steps/s':>8s} {'Q(s, pi)':>9s}  {'norm / limit':16s} verdict")
    for row in rows:
        values = [str(row.get(field) or "") for field in FIELDS]
        print(f"{values[0]:16s} {values[1]:>6s} {values[2]:>8s} {values[3]:>9s}  {values[4]:16s} {values[5]}")


if __name__ == "__main__":
    main()
