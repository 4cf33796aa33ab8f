"""One long training, in all towns and weathers to train in, through gates and over restarts.

    python benchmarks/long_run.py [--steps 500000] [--folder long_run]
    python benchmarks/long_run.py --score [--folder long_run]
    python benchmarks/long_run.py --show [--folder long_run]

The first form may be killed at any time: given again, it goes on from the latest checkpoint, which is never older than
twice ``EVERY`` steps. At each gate ``StagedTraining`` asks for its checklist and stops the training if that is not
passed. The folder then holds ``starts.csv`` (when each start began and ended, at which step), ``models``, the
TensorBoard log, ``curve.png`` and the health report. ``--score`` drives the models of ``SCORED`` steps without
exploration, in the towns of the training and in others, from starts that are the same for all, and writes
``results.csv``; ``--show`` prints its table and the starts.

Recipe: zoo_configs/td3.yml, with a buffer of 200 000 steps.
"""

from __future__ import annotations

import argparse
import ast
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from learn import CONFIG, append, read, score
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_carla import TD3, CarlaEnv
from sb3_carla.driving_log import DrivingLog
from sb3_carla.envs.catalogue import TRAIN_TOWNS, TRAIN_WEATHERS
from sb3_carla.report import make_report
from sb3_carla.report.logs import read_logs
from sb3_carla.td3 import CheckpointEvery, resume
from sb3_stability import StabilityMonitor, StagedTraining

DRIVEN = ("Town_Blocks", "Town_Quarter", "Town_Ring", "Town_Hills", "Town_Curves", "Town_Circle")  # to be scored
GATES = (5_000, 50_000, 100_000, 250_000, 500_000)
EVERY = 25_000  # steps between two checkpoints
SCORED = (100_000, 250_000, 500_000)
SECTION: dict[str, Any] = CONFIG["default"]
TD3_OPTIONS = ("learning_rates", "max_grad_norm", "gamma", "n_steps", "tau", "smoothness", "random_shift",
               "policy_delay", "batch_size", "train_freq", "gradient_steps", "learning_starts")  # fmt: skip


def make_env() -> VecEnv:
    def carla_env() -> Monitor[Any, Any]:
        return Monitor(CarlaEnv(scenario="changing_town", weather=TRAIN_WEATHERS, seed=0, **SECTION["env_kwargs"]))

    return VecNormalize(DummyVecEnv([carla_env]), **ast.literal_eval(SECTION["normalize"]))


def make_model(env: VecEnv, folder: Path) -> TD3:
    options = {name: SECTION[name] for name in TD3_OPTIONS}
    noise = OrnsteinUhlenbeckActionNoise(np.zeros(2), np.full(2, SECTION["noise_std"]))
    return TD3(
        SECTION["policy"],
        env,
        action_noise=noise,
        buffer_size=200_000,
        tensorboard_log=str(folder),
        seed=0,
        **options,
    )


def train(folder: Path, steps: int) -> None:
    """Train from the latest checkpoint, if there is one, to ``steps``; write the report."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint"
    env = make_env()
    model = resume(checkpoint, env) if checkpoint.exists() else make_model(env, folder)
    note(folder, model.num_timesteps)
    interface = folder / "models" / "CarlaChangingTown-v0" / "config.yml"  # where evaluation looks for it
    interface.parent.mkdir(parents=True, exist_ok=True)
    interface.write_text(yaml.safe_dump({"env_kwargs": SECTION["env_kwargs"]}), encoding="utf-8")
    gates = StagedTraining(GATES)
    callbacks = [
        StabilityMonitor(),
        gates,
        DrivingLog(),
        CheckpointCallback(EVERY, str(folder / "models"), name_prefix="model"),
        CheckpointEvery(EVERY, checkpoint, verbose=1),
    ]
    left = max(0, steps - model.num_timesteps)
    model.learn(left, callbacks, tb_log_name="tensorboard", reset_num_timesteps=False)
    note(folder, model.num_timesteps)
    model.save(folder / "models" / f"model_{model.num_timesteps}_steps.zip")
    env.close()
    print(gates.message or f"Gates passed in this start: {', '.join(map(str, gates.checklists)) or 'none'}.")
    draw(folder)
    print(f"Report: {make_report(folder)}")


def note(folder: Path, step: int) -> None:
    """Write down that a start began, or the training ended, at this step."""
    with (folder / "starts.csv").open("a", newline="") as file:
        csv.writer(file).writerow([step, round(time.time())])


def score_models(folder: Path, episodes: int) -> None:
    results = folder / "results.csv"
    known = {(row["steps"], row["town"]) for row in read(results)}
    options = argparse.Namespace(scenario="lane_following", episodes=episodes)
    models = {int(path.stem.split("_")[1]): path for path in (folder / "models").glob("model_*_steps.zip")}
    if not models:
        raise SystemExit(f"{folder} has no models. Train first, by the command without --score.")
    for steps in SCORED:
        nearest = min(models, key=lambda one: abs(one - steps))  # a restart shifts the steps at which models are kept
        for town in DRIVEN if abs(nearest - steps) < EVERY else ():
            if (str(steps), town) not in known:
                row = {"recipe": "ours", "seed": 0, "steps": steps}
                append(results, {**row, **score(str(models[nearest]), "td3", town, options)})


def show(folder: Path) -> None:
    print("| town | " + " | ".join(f"{steps:,d} steps" for steps in SCORED) + " |")
    print("|---" * (len(SCORED) + 1) + "|")
    rows = {(row["town"], int(row["steps"])): row for row in read(folder / "results.csv")}
    for town in DRIVEN:
        cells = [town if town in TRAIN_TOWNS else f"{town}, never trained in"]
        for steps in SCORED:
            row = rows.get((town, steps))
            cells.append("" if row is None else f"{float(row['success_rate']):.0f} %, {float(row['distance']):.0f} m")
        print("| " + " | ".join(cells) + " |")
    with (folder / "starts.csv").open(newline="") as file:
        noted = [(int(step), float(at)) for step, at in csv.reader(file)]
    begin = noted[0][1]
    told = ", ".join(f"{step:,d} ({(at - begin) / 60:.0f} min)" for step, at in noted)
    print(f"\nStarts and the end, in steps and minutes after the first start: {told}.")


def draw(folder: Path) -> None:
    """Steps and metres per episode, share of whole ones, Q and its bound over the whole training: ``curve.png``."""
    from matplotlib.figure import Figure

    logs = read_logs(folder)
    shown = {
        "rollout/ep_len_mean": "steps per episode",
        "driving/distance": "metres per episode, exploring",
        "driving/success": "share of episodes without infraction",
        "train/q_policy_mean": "mean Q(s, π(s)); dashed: bound",
    }
    figure = Figure(figsize=(14, 3.2), layout="constrained")
    for axis, (name, title) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        series = logs.metrics[name]
        axis.plot(series.steps / 1000, series.values)
        if name == "train/q_policy_mean":
            bound = logs.metrics["stability/q_limit_high"]
            axis.plot(bound.steps / 1000, bound.values, linestyle="--", color="grey")
        axis.set(title=title, xlabel="thousand environment steps", ylim=(0, None))
    figure.savefig(folder / "curve.png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500_000, help="environment steps, over all starts")
    parser.add_argument("--folder", type=Path, default=Path("long_run"))
    parser.add_argument("--score", action="store_true", help="drive the models that there are, then --show")
    parser.add_argument("--episodes", type=int, default=10, help="of --score, per model and town")
    parser.add_argument("--show", action="store_true", help="print the table and the starts")
    options = parser.parse_args()
    if options.score:
        score_models(options.folder, options.episodes)
    if options.score or options.show:
        show(options.folder)
    else:
        train(options.folder, options.steps)


if __name__ == "__main__":
    main()
