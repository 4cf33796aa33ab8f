"""One picture of how two recipes train: saturation, Q against its bound, gradient norms against limits, episode length.

    python benchmarks/story.py [--folder learn] [--recipes ours ...] [--results story.csv]
    python benchmarks/story.py --show [--results story.csv]

It reads the logs of the runs that ``benchmarks/learn.py --folder`` left, writes up to 100 points of each run to the
results file and draws ``story.png`` beside it; ``--show`` draws from the results file alone. The table has the last
fifth of each run. Limits are those of our recipe, for the other one, too, which may not clip at all.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sb3_carla.report.logs import RunLogs, read_logs
from sb3_carla.td3.options import DEFAULT_MAX_GRAD_NORM

Rows = Sequence[dict[str, str]]
POINTS = 100  # of each run
RESULTS = Path(__file__).parent / "results" / "story.csv"
# What is shown: the column, its title, the value that the picture marks.
SHOWN = {
    "saturated": ("saturated share of the actions", None),
    "q": ("mean Q(s, π(s)) / nearest bound of Q", 1.0),
    "gradient": ("largest gradient norm of the parts / limit", 1.0),
    "length": ("steps per episode", None),
}


def points(logs: RunLogs) -> dict[str, npt.NDArray[np.float64]]:
    """The columns of a run, at steps at even distances."""
    steps = np.linspace(logs.metrics["train/q_policy_mean"].steps[0], logs.last_step, POINTS)

    def at(name: str) -> npt.NDArray[np.float64]:
        series = logs.metrics[name]
        return np.asarray(np.interp(steps, series.steps, series.values), np.float64)

    q = at("train/q_policy_mean")
    bound = np.where(q > 0, at("stability/q_limit_high"), at("stability/q_limit_low"))
    norms = [
        at(f"grad_norm_clipped/{part}") / limit
        for part, limit in DEFAULT_MAX_GRAD_NORM.items()
        if f"grad_norm_clipped/{part}" in logs.metrics  # a policy may lack a part
    ]
    return {
        "step": steps,
        "saturated": at("train/saturated_share"),
        "q": q / bound,
        "gradient": np.max(norms, axis=0),
        "length": at("rollout/ep_len_mean"),
    }


def collect(folder: Path, recipes: Sequence[str], results: Path) -> None:
    with results.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["recipe", "seed", "step", *SHOWN])
        for recipe in recipes:
            runs = sorted((folder / "runs" / re.sub(r"\W+", "-", recipe)).glob("*/zoo/td3"))
            if not runs:
                raise SystemExit(f"{folder} has no run of {recipe!r}. Train it with benchmarks/learn.py.")
            for run in runs:
                for row in zip(*points(read_logs(run)).values(), strict=True):
                    writer.writerow(
                        [recipe, run.parents[1].name, round(row[0]), *(f"{value:.4g}" for value in row[1:])]
                    )


def table(rows: Rows) -> str:
    """Medians over the last fifth of every run."""
    lines = ["| recipe | seed | steps | " + " | ".join(title for title, _ in SHOWN.values()) + " |"]
    lines.append("|---" * (3 + len(SHOWN)) + "|")
    runs: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        runs[row["recipe"], row["seed"]].append(row)
    for (recipe, seed), run in runs.items():
        last = run[-len(run) // 5 :]
        medians = [f"{np.median([float(row[name]) for row in last]):.4g}" for name in SHOWN]
        lines.append("| " + " | ".join([recipe, seed, run[-1]["step"], *medians]) + " |")
    return "\n".join(lines)


def draw(rows: Rows, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True).flat
    colours = {recipe: f"C{number}" for number, recipe in enumerate(dict.fromkeys(row["recipe"] for row in rows))}
    for axis, (name, (title, mark)) in zip(panels, SHOWN.items(), strict=True):
        for recipe, seed in dict.fromkeys((row["recipe"], row["seed"]) for row in rows):
            run = [row for row in rows if (row["recipe"], row["seed"]) == (recipe, seed)]
            label = recipe if seed == next(row["seed"] for row in rows if row["recipe"] == recipe) else None
            steps, values = ([float(row[column]) for row in run] for column in ("step", name))
            axis.plot(steps, values, color=colours[recipe], linewidth=1.2, alpha=0.8, label=label)
        if mark is not None:
            axis.axhline(mark, color="red", linestyle=":", label="limit")
            axis.set_yscale("log")
        axis.set(title=title, xlabel="environment steps")
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("learn"), help="of benchmarks/learn.py")
    parser.add_argument("--recipes", nargs="+", default=["ours", "sb3, one town, our env and schedule"], metavar="NAME")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--show", action="store_true", help="draw what the results file has")
    options = parser.parse_args()
    if not options.show:
        collect(options.folder, options.recipes, options.results)
    with options.results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    print(table(rows))
    draw(rows, options.results.with_suffix(".png"))


if __name__ == "__main__":
    main()
