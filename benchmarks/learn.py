"""Does it learn to drive? Recipes x seeds, checkpoints scored on fixed starts in known and unknown towns.

    python benchmarks/learn.py [--recipes ours sb3 ...] [--seeds 0 1 2 3 4] [--steps 20000] [--folder learn]
    python benchmarks/learn.py --show [--recipes ours sb3 ...] [--folder learn] [--at 20000]

Every run is ``sb3-carla train`` with a checkpoint each ``--every`` steps; every checkpoint is then driven without
exploration by ``sb3_carla.evaluation`` on the same seeds (start, weather) in every town. ``results.csv`` has one row
per checkpoint and town. Runs and checkpoints that are in it are not repeated, so a broken-off benchmark goes on where
it stopped. The minutes are those of the training alone, its start and the choice of a checkpoint included; the scoring
is not counted.

The table shows the interquartile mean over seeds and episodes of the route completion with a 95 % bootstrap interval
over seeds, after Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021.
Where routes are short that is soon 100 %, so the picture, ``curves.png``, shows the metres per episode.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from sb3_carla.envs.catalogue import TRAIN_WEATHERS

CONFIG = yaml.safe_load((Path(__file__).resolve().parent.parent / "zoo_configs/td3.yml").read_text(encoding="utf-8"))
OUR_ENV = [
    "--env-kwargs",
    *(f"{name}:{value!r}" for name, value in {**CONFIG["default"]["env_kwargs"], "observation": "image"}.items()),
]
OUR_SCHEDULE = ["-params", *(f"{name}:{CONFIG['default'][name]}" for name in ("batch_size", "train_freq"))]
# What a recipe adds to `sb3-carla train --env ENV`: that of a base, then those of its changes, as "ours, gamma .99" or
# "images only, four towns, chosen". "images only" is our recipe with a critic that has a CNN of its own.
BASES: dict[str, list[str]] = {
    "ours": [],
    "images only": ["--env-kwargs", "observation:'image'", "-params", "policy:'CnnPolicy'", "normalize:False"],
    "sb3": ["--preset", "sb3"],
    "founding": ["--preset", "founding", "--known-bad"],
    "drq-v2": ["--preset", "drq-v2"],
    "sac": ["--algo", "sac"],
    "tqc": ["--algo", "tqc"],
    "crossq": ["--algo", "crossq"],
    "ppo": ["--algo", "ppo"],
}
CHANGES: dict[str, list[str]] = {
    "our env and schedule": [*OUR_ENV, *OUR_SCHEDULE],
    "lr 1e-4": ["-params", "learning_rate:1e-4"],
    "not clipped": ["-params", "max_grad_norm:None"],
    "clipped as one": ["-params", "max_grad_norm:10.0"],
    "one rate": ["-params", "learning_rates:None", "learning_rate:'lin_3e-4'"],
    "constant rates": [
        "-params", "learning_rates:dict(actor_cnn=1e-4,actor_mlp=1e-4,critic_cnn=3e-4,critic_mlp=3e-4)",
    ],
    "one-step returns": ["-params", "n_steps:1"],
    "gamma .99": ["-params", "gamma:.99"],
    "not smooth": ["-params", "smoothness:0"],
    "smoothness 1": ["-params", "smoothness:1."],
    "no random shift": ["-params", "random_shift:0"],
    "noise .1": ["-params", "noise_std:.1"],
    "independent noise": ["-params", "noise_type:'normal'"],
    "two steps per update": ["-params", "train_freq:2"],
    "16 steps per update": ["-params", "train_freq:16"],
    "smaller buffer": ["-params", "buffer_size:50000"],
    "all in the buffer": ["-params", "buffer_size:120000"],
    "half the filters": ["-params", "policy_kwargs:dict(features_extractor_kwargs=dict(filters=[16,32,32]))"],
    "SB3's networks": [
        "-params",
        "policy_kwargs:dict(features_extractor_class='stable_baselines3.common.torch_layers.CombinedExtractor')",
    ],
    "SB3's NatureCNN": [  # for images only
        "-params", "policy_kwargs:dict(features_extractor_class='stable_baselines3.common.torch_layers.NatureCNN')",
    ],
    "critic's encoder": [  # for images only
        "-params", "policy_kwargs:dict(encoder='critic')",
        "max_grad_norm:dict(actor_mlp=1,critic_cnn=10,critic_mlp=10)",
        "learning_rates:dict(actor_mlp='lin_1e-4',critic_cnn='lin_3e-4',critic_mlp='lin_3e-4')",
    ],
    "mpg": ["-params", "target:'mpg'"],
    "prioritized replay": ["-params", "replay_buffer_class:'sb3_carla.buffers.PrioritizedReplayBuffer'"],
    "actions not smoothed": ["--env-kwargs", "action_smoothing:0."],
    "pedals": ["--env-kwargs", "actions:'continuous'"],
    "slower in bends": ["--env-kwargs", "max_lateral_acceleration:2.5"],
    "wide steering": ["--env-kwargs", "max_steer:.4"],
    "level camera": ["--env-kwargs", "camera_pitch_deg:0.", "camera_fov_deg:90.", "camera_z:1.5"],
    "wide camera": ["--env-kwargs", "camera_pitch_deg:-15.", "camera_fov_deg:110.", "camera_z:2."],
    "centring 1": ["--env-kwargs", "reward:dict(centring=1.)"],
    "reward x 10": [
        "--env-kwargs",
        "reward:dict(progress=1,overspeed=1,steering=.1,collision=10,off_road=10,wrong_way=10,stuck=10)",
    ],
    "no forced turns": ["--env-kwargs", "forced_turns:False"],
    "one town": ["--env", "Carla-v0"],
    "four towns": ["--env-kwargs", "town:['Town_Blocks', 'Town_Quarter', 'Town_Ring', 'Town_Hills']"],
    "changing weather": ["--env-kwargs", f"weather:{TRAIN_WEATHERS}"],
    "40 000 steps": ["-n", "40000"],
    "100 000 steps": ["-n", "100000"],
    "120 000 steps": ["-n", "120000"],
    "150 000 steps": ["-n", "150000"],
    "160 000 steps": ["-n", "160000"],
    "chosen": [],  # among the last checkpoints, by their drives in the towns of the training
}  # fmt: skip
BASELINES = ("pursuit", "autopilot", "random")
TICKS = 2000  # of an episode that is scored: 100 s
FIELDS = (
    "recipe", "seed", "steps", "train_seconds", "town", "episodes", "route_completion", "driving_score", "success_rate",
    "distance", "off_road", "collisions", "mean_jerk", "steering_rate", "steering_reversals_per_km", "mean_speed_kmh",
    "completions",
)  # fmt: skip


def known_recipe(name: str) -> str:
    """An argument of ``--recipes``."""
    base, *changes = name.split(", ")
    if name not in BASELINES and (base not in BASES or not set(changes) <= set(CHANGES)):
        raise argparse.ArgumentTypeError(
            f"{name!r} is no recipe. Write one of {', '.join([*BASES, *BASELINES])}; after one that is trained, "
            f"separated by commas, any of {', '.join(CHANGES)}."
        )
    return name


def options_of(recipe: str) -> list[str]:
    base, *changes = recipe.split(", ")
    return sum((CHANGES[change] for change in changes), BASES[base])


def algo_of(recipe: str) -> str:
    base = recipe.split(", ")[0]
    return base if "--algo" in BASES.get(base, []) else "td3"


def train(recipe: str, seed: int, options: argparse.Namespace) -> Path:
    """Train, unless that was done before; the folder of the run."""
    folder: Path = options.folder / "runs" / re.sub(r"\W+", "-", recipe) / str(seed)
    if (folder / "done").exists():
        return folder
    log = folder / "train.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "sb3_carla.cli", "train", "--env", options.env, "--seed", str(seed)]
    command += ["-n", str(options.steps), "--save-freq", str(options.every), "--no-video", "--verbose", "0"]
    command += ["-f", str(folder / "zoo"), *options_of(recipe)]
    (folder / "begin").write_text(str(time.time()))
    with log.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{recipe}, seed {seed}, failed. Read {log}.")
    if recipe.endswith(", chosen"):
        (run,) = folder.glob("zoo/*/*_1")
        subprocess.run([sys.executable, "-m", "sb3_carla.cli", "choose", run, "--algo", algo_of(recipe)], check=True)
    (folder / "done").touch()
    return folder


def checkpoints(folder: Path) -> list[tuple[int, float, Path]]:
    """Steps, seconds since the start of the training and file of every checkpoint.

    Where one of the last was chosen, it stands for the last one.
    """
    begin = float((folder / "begin").read_text())
    found = []
    for path in folder.glob("zoo/*/*/rl_model_*_steps.zip"):
        steps = int(path.stem.split("_")[2])
        found.append((steps, os.path.getmtime(path) - begin, path))
    found.sort()
    for best in folder.glob("zoo/*/*/best_model.zip"):
        found[-1] = (found[-1][0], os.path.getmtime(best) - begin, best)
    return found


def score(driver_name: str, algo: str, town: str, options: argparse.Namespace) -> dict[str, Any]:
    from sb3_carla.evaluation import evaluate, make_driver

    driver = make_driver(driver_name, algo)
    repeat = 2 if driver_name in BASELINES else driver.env_kwargs.get("action_repeat", 1)  # as it was trained with
    env_kwargs = {"town": town, "action_repeat": repeat, "max_episode_steps": TICKS // repeat}
    result = evaluate(driver, [options.scenario], options.episodes, seed=1000, env_kwargs=env_kwargs)
    scores = result.summaries[options.scenario]
    collisions = sum(scores[f"collision_{kind}"] for kind in ("vehicle", "pedestrian", "static"))
    completions = [round(float(episode.metrics["route_completion"]), 1) for episode in result.episodes]
    kept = {name: round(scores[name], 3) for name in FIELDS if name in scores}
    return {**kept, "town": town, "collisions": collisions, "completions": " ".join(map(str, completions))}


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="")
        if new:
            writer.writeheader()
        writer.writerow(row)


def interquartile_mean(values: npt.NDArray[np.float64]) -> float:
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interval(by_seed: list[npt.NDArray[np.float64]], draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the interquartile mean, seeds drawn with replacement."""
    random = np.random.default_rng(0)
    means = [
        interquartile_mean(np.concatenate([by_seed[i] for i in random.integers(len(by_seed), size=len(by_seed))]))
        for _ in range(draws)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def grouped(rows: list[dict[str, str]]) -> dict[tuple[str, str, int], list[dict[str, str]]]:
    groups: dict[tuple[str, str, int], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        group = groups[row["recipe"], row["town"], int(row["steps"])]
        if row["seed"] in (other["seed"] for other in group):  # as results of two folders put together may have it
            where = f"{row['recipe']}, seed {row['seed']}, {row['steps']} steps, {row['town']}"
            raise SystemExit(f"results.csv has two rows of {where}. Remove one of them.")
        group.append(row)
    return groups


def completions(rows: list[dict[str, str]]) -> list[npt.NDArray[np.float64]]:
    return [np.array([float(value) for value in row["completions"].split()]) for row in rows]


def show(rows: list[dict[str, str]], folder: Path, at: int) -> None:
    """Print the table of each recipe's last checkpoint up to ``at`` steps, draw the curves."""
    if not rows:
        raise SystemExit(f"{folder / 'results.csv'} has no rows of these recipes. Train them first.")
    groups = grouped(rows)
    print(
        "| recipe | town | seeds | steps | minutes | route completion, IQM (95 %) | success, each seed "
        "| driving score | metres | steering 1/s | jerk m/s³ | km/h |"
    )
    print("|---" * 12 + "|")
    last: dict[tuple[str, str], int] = {}
    for recipe, town, steps in groups:
        if steps <= at:
            last[recipe, town] = max(steps, last.get((recipe, town), 0))
    for (recipe, town), steps in last.items():
        group = sorted(groups[recipe, town, steps], key=lambda row: int(row["seed"]))
        by_seed = completions(group)
        low, high = interval(by_seed)
        names = ("driving_score", "distance", "steering_rate", "mean_jerk", "mean_speed_kmh")
        means = {name: np.mean([float(row[name]) for row in group]) for name in names}
        success = " ".join(f"{float(row['success_rate']):.0f}" for row in group)
        minutes = np.mean([float(row["train_seconds"] or 0) for row in group]) / 60
        completion = f"{interquartile_mean(np.concatenate(by_seed)):.1f} ({low:.1f}-{high:.1f})"
        cells = [recipe, town, len(group), steps, f"{minutes:.1f}", completion, f"{success} %"]
        cells += [f"{means['driving_score']:.0f}", f"{means['distance']:.0f}", f"{means['steering_rate']:.3f}"]
        cells += [f"{means['mean_jerk']:.1f}", f"{means['mean_speed_kmh']:.1f}"]
        print("| " + " | ".join(map(str, cells)) + " |")
    plot(rows, folder / "curves.png")


def plot(rows: list[dict[str, str]], path: Path) -> None:
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    towns = sorted({row["town"] for row in rows})
    figure = Figure(figsize=(6 * len(towns) + 2.5, 4), layout="constrained")
    axes = figure.subplots(1, len(towns), squeeze=False)[0]
    for axis, town in zip(axes, towns, strict=True):
        axis.set_prop_cycle(color=colormaps["tab20"](range(20)))
        for recipe in dict.fromkeys(row["recipe"] for row in rows if row["town"] == town):
            by_seed: dict[str, dict[int, float]] = defaultdict(dict)
            for row in rows:
                if (row["recipe"], row["town"]) == (recipe, town):
                    by_seed[row["seed"]][int(row["steps"])] = float(row["distance"])
            curves = list(by_seed.values())
            if recipe in BASELINES:
                metres = curves[0][0]
                axis.axhline(metres, linestyle=":", color="grey")
                axis.annotate(recipe, (0.01, metres), xycoords=("axes fraction", "data"), fontsize=8)
                continue
            steps = sorted(set.intersection(*(set(curve) for curve in curves)))  # that every seed has
            means = [np.mean([curve[number] for curve in curves]) for number in steps]
            (mean,) = axis.plot(steps, means, marker="o", label=recipe)
            for curve in curves:
                axis.plot(
                    *zip(*sorted(curve.items()), strict=True),
                    color=mean.get_color(),
                    marker=".",
                    linewidth=0.7,
                    alpha=0.5,
                )
        axis.set(title=town, xlabel="environment steps", ylabel="metres per episode, mean and seeds", ylim=(0, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", type=known_recipe, metavar="NAME", help="(default: ours; to show: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=20000, help="environment steps per run")
    parser.add_argument("--every", type=int, default=2500, help="steps between two checkpoints")
    parser.add_argument("--episodes", type=int, default=10, help="per checkpoint and town")
    parser.add_argument("--env", default="CarlaChangingTown-v0", help="gym id to train in (default: %(default)s)")
    parser.add_argument("--scenario", default="lane_following", help="that checkpoints are scored in")
    parser.add_argument("--towns", nargs="+", default=["Town_Blocks", "Town_Curves"], help="the first is trained in")
    parser.add_argument("--last-only", action="store_true", help="score the last checkpoint of each run only")
    parser.add_argument("--folder", type=Path, default=Path("learn"))
    parser.add_argument("--show", action="store_true", help="print the table and draw the curves of what there is")
    parser.add_argument("--at", type=int, default=10**9, help="steps of the checkpoints in the table")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = options.folder / "results.csv"
    recipes: list[str] | None = options.recipes
    jobs = [] if options.show else [(recipe, seed) for seed in options.seeds for recipe in recipes or ["ours"]]
    for recipe, seed in jobs:
        known = {(row["recipe"], int(row["seed"]), int(row["steps"]), row["town"]) for row in read(results)}
        if recipe in BASELINES:
            drivers = [(0, 0.0, recipe)]
        else:
            drivers = [(steps, at, str(path)) for steps, at, path in checkpoints(train(recipe, seed, options))]
        for steps, at, driver in drivers[-1:] if options.last_only else drivers:
            for town in options.towns:
                if (recipe, seed, steps, town) not in known:
                    row = {"recipe": recipe, "seed": seed, "steps": steps, "train_seconds": round(at, 1)}
                    append(results, {**row, **score(driver, algo_of(recipe), town, options)})
    rows = read(results)
    if recipes is not None:
        rows = sorted((row for row in rows if row["recipe"] in recipes), key=lambda row: recipes.index(row["recipe"]))
    show(rows, options.folder, options.at)


if __name__ == "__main__":
    main()
