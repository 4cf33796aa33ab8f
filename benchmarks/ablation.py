"""What made the founding TD3 explode: the leak, the clipping, the hyper-parameters or the features extractor?

    python benchmarks/ablation.py                        # on the embedded simulator
    python benchmarks/ablation.py --task fixture         # random 42x42 frames and rewards: no simulator, a third of it
    python benchmarks/ablation.py --task fixture --show  # table and picture from the results so far; trains nothing

The base is the founding configuration (examples/founding_explosion.py) with batches of 64 (fixture: 32) instead of 256,
which a CPU can pay for; the batch of 256 is a cell. Leak x clipping is a full factorial. All else is one factor at a
time from the base, with the leak and without, because the full cross product would take days. Three seeds per cell.

A run ends when the mean Q(s, pi(s)) is beyond ten times what any policy can earn, max|r| / (1 - gamma), or after
``--updates``. It counts as exploded if it leaves that bound and does not come back.

One row per run is appended to the results file, so an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from sb3_carla import GRUCNN, TD3, CarlaEnv, MaxPoolCNN, NatureCNN
from sb3_carla.report.growth import Clock, fit_growth
from sb3_carla.report.logs import Series

# The leaky update and the random frames live in one place, the example that tells their story.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
from founding_explosion import FOUNDING, LeakyTD3, RandomFrames

RESULTS = Path(__file__).resolve().parent / "results"
LEARNING_STARTS = 256
SLOW = 6  # times the updates for CNNs that learn ten times slower
ENDS_AT = 10.0  # times the bound
SEEDS = (0, 1, 2)

BASE: dict[str, Any] = {**FOUNDING, "max_grad_norm": None}
BATCH_SIZE = {"carla": 64, "fixture": 32}
SEPARATE = FOUNDING["max_grad_norm"]
JOINT = {"actor": 1.0, "critic": 10.0}


def extractor(kind: type, **arguments: Any) -> dict[str, Any]:
    """Policy arguments with another features extractor, its features unbounded as in the founding system."""
    arguments = {"trunk": "leaky_relu", **arguments}
    return {"features_extractor_class": kind, "features_extractor_kwargs": arguments, "net_arch": [256, 256]}


@dataclass(frozen=True)
class Cell:
    """One combination that is trained with several seeds.

    :param factor: what differs from the base
    :param level: how
    :param leak: whether the actor loss leaks
    :param clip: "none", "joint" (actor as a whole, critic as a whole) or "separate" (four parts)
    :param settings: arguments of TD3 that differ from the base
    :param longer: factor on the number of updates, where a lower learning rate takes longer to show anything
    """

    factor: str
    level: str
    leak: bool
    clip: str = "separate"
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    longer: int = 1

    @property
    def name(self) -> str:
        """Name in the results file; without a comma, as half a quoted cell would swallow the rows after it."""
        return f"{'leaky' if self.leak else 'healthy'}: {self.factor} {self.level}"


def cells() -> list[Cell]:
    """All cells, the factorial first."""
    both = (True, False)
    found = [Cell("clip", clip, leak, clip) for clip in ("none", "joint", "separate") for leak in both]
    ours = {
        "learning_rate": None,
        "gamma": 0.99,
        "tau": 0.005,
        "train_freq": 2,
        "policy_kwargs": {"net_arch": [256, 256]},  # CnnPolicy's own trunk: 50 features, LayerNorm, tanh
    }
    paper = {"learning_rate": 1e-3, "gamma": 0.99, "tau": 0.005, "batch_size": 100}
    one_by_one: dict[tuple[str, str], dict[str, Any]] = {
        ("hyper-parameters", "paper"): paper,
        ("hyper-parameters", "ours"): ours,
        ("learning rate", "1e-3"): {"learning_rate": 1e-3},
        ("learning rate", "CNNs 1e-5"): {"learning_rates": {"actor_cnn": 1e-5, "critic_cnn": 1e-5}},
        ("learning rate", "founding parts"): {
            "learning_rates": {"actor_cnn": 1e-5, "critic_cnn": 1e-4, "actor_mlp": 1e-3, "critic_mlp": 1e-3}
        },
        ("gamma", "0.99"): {"gamma": 0.99},
        ("tau", "0.005"): {"tau": 0.005},
        ("batch", "256"): {"batch_size": 256},
        ("train_freq", "50"): {"train_freq": 50, "gradient_steps": 50},
        ("extractor", "max pooling"): {"policy_kwargs": extractor(MaxPoolCNN)},
        ("extractor", "GRU 48"): {"policy_kwargs": extractor(GRUCNN, features_dim=48)},
        ("extractor", "LSTM 256"): {"policy_kwargs": extractor(GRUCNN, features_dim=256, cell="lstm")},
        ("extractor", "shared CNN"): {"policy_kwargs": {**extractor(NatureCNN), "share_features_extractor": True}},
    }
    for (factor, level), one in one_by_one.items():
        longer = SLOW if "learning_rates" in one else 1
        found += [Cell(factor, level, leak, settings=one, longer=longer) for leak in both]
    return found


@dataclass
class Row:
    """One run, as it stands in the results file."""

    task: str
    cell: str
    seed: int
    updates: int = 0
    exploded: bool = False
    left_bound_at: int | None = None  # update
    ten_times_at: int | None = None
    q_over_bound: float = 0.0  # largest |Q(s, pi(s))| / bound
    q_policy: float = 0.0  # at the end
    bound: float = 0.0
    q_replay: float = 0.0  # at the end
    critics_apart: float = 0.0  # mean |Q1 - Q2| on replay at the end
    gradient_cnn: float = 0.0  # of the actor before clipping, at the end
    gradient_mlp: float = 0.0
    norm_sum_actor_cnn: float = 0.0  # largest sum of the norms of single tensors after clipping
    norm_sum_critic_cnn: float = 0.0
    saturated: float = 0.0  # at the end
    exponent: float | None = None  # of the power law, if the magnitude grows without slowing down
    r2_power: float | None = None
    r2_exponential: float | None = None
    law: str = ""
    seconds: float = 0.0


class Follow(BaseCallback):
    """Follows every update and ends the run when it is decided.

    :param row: what to fill in
    :param updates: when to end
    """

    def __init__(self, row: Row, updates: int) -> None:
        super().__init__()
        self.row, self.updates, self.seen = row, updates, 0
        self.largest_reward = 0.0
        self.trace: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        update, row = self.model.last_update, self.row  # type: ignore[attr-defined]
        if update is None or update.n_updates == self.seen:
            return True
        self.seen = row.updates = update.n_updates
        self.largest_reward = max(self.largest_reward, abs(update.reward_min), abs(update.reward_max))
        row.bound = self.largest_reward / (1 - update.gamma)
        row.q_replay, row.critics_apart = update.q_replay_mean, update.q_gap
        if update.q_policy_mean is not None:
            self._follow_actor(update, row)
        return row.updates < self.updates and row.ten_times_at is None

    def _follow_actor(self, update: Any, row: Row) -> None:
        row.q_policy = update.q_policy_mean
        self.trace.append((row.updates, row.q_policy))
        ratio = abs(row.q_policy) / row.bound
        row.q_over_bound = max(row.q_over_bound, ratio)
        if ratio <= 1:
            row.left_bound_at = None
        elif row.left_bound_at is None:
            row.left_bound_at = row.updates
        if ratio > ENDS_AT or not np.isfinite(ratio):
            row.ten_times_at = row.updates
        row.gradient_cnn, row.gradient_mlp = (update.grad_norms.get(f"actor_{part}", 0.0) for part in ("cnn", "mlp"))
        row.saturated = update.saturated_share or 0.0
        row.norm_sum_actor_cnn = max(row.norm_sum_actor_cnn, self._sum_of_norms("actor_cnn"))
        row.norm_sum_critic_cnn = max(row.norm_sum_critic_cnn, self._sum_of_norms("critic_cnn"))

    def _sum_of_norms(self, part: str) -> float:
        """What the founding system logged as "the gradient norm": single tensors' norms added up, after the clip."""
        parameters = self.model.parts.get(part, ())  # type: ignore[attr-defined]
        return sum(float(one.grad.norm()) for one in parameters if one.grad is not None)


def clip_jointly(model: TD3) -> None:
    """Clip the actor as a whole and the critic as a whole, just before their optimizers step."""
    for optimizer, limit in ((model.actor.optimizer, JOINT["actor"]), (model.critic.optimizer, JOINT["critic"])):
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        optimizer.register_step_pre_hook(
            lambda *_, parameters=parameters, limit=limit: th.nn.utils.clip_grad_norm_(parameters, limit) and None
        )


def run(task: str, cell: Cell, seed: int, updates: int) -> Row:
    """Train one run.

    :param task: "carla" or "fixture"
    :param cell: what to train
    :param seed: of env and networks
    :param updates: at most
    """
    th.set_num_threads(1)
    start = time.perf_counter()
    row = Row(task, cell.name, seed)
    env = CarlaEnv(seed=seed) if task == "carla" else RandomFrames()
    settings = {**BASE, "batch_size": BATCH_SIZE[task], **cell.settings}
    if cell.clip == "separate":
        settings["max_grad_norm"] = SEPARATE
    try:
        algorithm = LeakyTD3 if cell.leak else TD3
        model = algorithm(
            "CnnPolicy", env, seed=seed, learning_starts=LEARNING_STARTS, buffer_size=10_000, device="cpu", **settings
        )
        model.set_logger(Logger(None, []))
        if cell.clip == "joint":
            clip_jointly(model)
        follow = Follow(row, updates * cell.longer)
        model.learn(LEARNING_STARTS + 3 * follow.updates, callback=follow, log_interval=10**9)
    finally:
        env.close()
    row.exploded = row.left_bound_at is not None
    _fit(row, follow.trace)
    row.seconds = round(time.perf_counter() - start, 1)
    return row


def _fit(row: Row, trace: list[tuple[int, float]]) -> None:
    if not trace:
        return
    counts, values = np.array(trace, dtype=np.float64).T
    ends = np.array([0.0, counts[-1]])
    growth = fit_growth("q", Series(counts, values), Clock("updates", ends, ends))
    if growth is not None:
        row.exponent, row.r2_power = round(growth.power.rate, 3), round(growth.power.r2, 5)
        row.r2_exponential, row.law = round(growth.exponential.r2, 5), growth.better or "not decided"


# -- the results file --------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[dict[str, str]]:
    """The runs so far; a row that was cut off is left out and run again.

    :param path: results file
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds")]


def append(path: Path, row: Row) -> None:
    """Add one run.

    :param path: results file
    :param row: the run
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text() if path.exists() else ""
    new = not before
    with path.open("a", newline="") as file:
        if before and not before.endswith("\n"):  # a killed process left half a row
            file.write("\n")
        writer = csv.DictWriter(file, [one.name for one in fields(Row)])
        if new:
            writer.writeheader()
        writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in asdict(row).items()})


def train_missing(path: Path, todo: list[tuple[Cell, int]], task: str, updates: int, jobs: int) -> None:
    """Train what is missing, so many runs at a time.

    :param path: results file
    :param todo: cells and seeds
    :param task: "carla" or "fixture"
    :param updates: at most, per run
    :param jobs: processes
    """
    spawn = multiprocessing.get_context("spawn")  # a forked torch can hang
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        futures = {pool.submit(run, task, cell, seed, updates): (cell, seed) for cell, seed in todo}
        for done, future in enumerate(as_completed(futures), start=1):
            cell, seed = futures[future]
            row = future.result()
            append(path, row)
            end = f"left the bound at update {row.left_bound_at}" if row.exploded else "stayed within the bound"
            print(f"[{done}/{len(futures)}] {cell.name}, seed {seed}: {end} ({row.seconds:.0f} s)", file=sys.stderr)


# -- table and picture -------------------------------------------------------------------------------------------------


def table(rows: Sequence[dict[str, str]]) -> str:
    """One line per cell: medians over its runs.

    :param rows: of the results file
    """
    titles = ["cell", "exploded", "leaves the bound at update", "10x at update", "largest Q / bound", "Q on replay"]
    titles += ["abs(Q1 - Q2)", "gradient actor CNN / MLP", "saturated", "growth"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name in dict.fromkeys(row["cell"] for row in rows):
        runs = [row for row in rows if row["cell"] == name]
        exploded = sum(row["exploded"] == "True" for row in runs)
        cells = [name, f"{exploded} of {len(runs)}", _median(runs, "left_bound_at"), _median(runs, "ten_times_at")]
        cells += [_median(runs, "q_over_bound"), _median(runs, "q_replay"), _median(runs, "critics_apart")]
        cells += [f"{_median(runs, 'gradient_cnn')} / {_median(runs, 'gradient_mlp')}"]
        cells += [f"{100 * float(_median(runs, 'saturated')):.0f} %", _growth(runs)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _median(rows: Iterable[dict[str, str]], name: str) -> str:
    values = [float(row[name]) for row in rows if row[name]]
    return f"{statistics.median(values):.3g}" if values else "-"


def _growth(rows: list[dict[str, str]]) -> str:
    return f"t^{_median(rows, 'exponent')} ({_laws(rows)})" if _laws(rows) else "-"


def _laws(rows: Iterable[dict[str, str]]) -> str:
    laws = [row["law"] for row in rows if row["law"]]
    return ", ".join(f"{laws.count(law)} {law}" for law in sorted(set(laws), key=laws.count, reverse=True))


def totals(rows: Sequence[dict[str, str]]) -> str:
    """One sentence over all cells.

    :param rows: of the results file
    """
    parts = []
    for kind in ("leaky", "healthy"):
        runs = [row for row in rows if row["cell"].startswith(f"{kind}: ")]
        parts.append(f"{sum(row['exploded'] == 'True' for row in runs)} of {len(runs)} {kind} runs exploded")
    return f"Together: {', '.join(parts)}; growth: {_laws(rows) or 'of none long enough to tell'}."


def norm_sums(rows: Sequence[dict[str, str]]) -> str:
    """One sentence on the founding system's way to log a norm.

    :param rows: of the results file
    """
    clipped = [row for row in rows if row["cell"].startswith("leaky: clip separate")]
    if not clipped:
        return ""
    actor, critic = (max(float(row[f"norm_sum_{part}_cnn"]) for row in clipped) for part in ("actor", "critic"))
    return (
        "Sum of the norms of the single tensors after clipping (leaky: clip separate): actor CNN up to "
        f"{actor:.3g} under the limit {SEPARATE['actor_cnn']:g}, critic CNN up to {critic:.3g} under the limit "
        f"{SEPARATE['critic_cnn']:g}; the norm itself never exceeds its limit (TD3 raises an error if it does)."
    )


def draw(rows: Sequence[dict[str, str]], path: Path, task: str) -> None:
    """Draw when each run left its bound.

    :param rows: of the results file
    :param path: PNG file to write
    :param task: for the title
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    levels = list(dict.fromkeys(row["cell"].split(": ", 1)[1] for row in rows))
    figure = Figure(figsize=(10, 1.8 + 0.42 * len(levels)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for form, color, marker, shift in (("leaky", "#D55E00", "o", -0.14), ("healthy", "#0072B2", "s", 0.14)):
        runs = [row for row in rows if row["cell"].startswith(form)]
        places = [levels.index(row["cell"].split(": ", 1)[1]) + shift + 0.06 * (int(row["seed"]) - 1) for row in runs]
        for left, label in ((True, "leaves the bound here"), (False, "ends here, still within")):
            points = [
                (float(row["left_bound_at"] or row["updates"]), place)
                for row, place in zip(runs, places, strict=True)
                if bool(row["left_bound_at"]) == left
            ]
            if points:
                x, y = zip(*points, strict=True)
                fill = color if left else "none"
                axes.plot(x, y, marker, color=color, markerfacecolor=fill, alpha=0.85, label=f"{form}: {label}")
    axes.set_yticks(range(len(levels)), levels)
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("gradient updates; the bound is what the largest reward earns at every step for ever")
    axes.set_title(f"Which runs explode ({'embedded simulator' if task == 'carla' else 'random frames'})")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("carla", "fixture"), default="carla")
    parser.add_argument("--updates", type=int, default=500, help="gradient updates per run at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--cells", default="", help="only cells whose name matches this regular expression")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--results", type=Path, help="results file (default: benchmarks/results/ablation_TASK.csv)")
    parser.add_argument("--show", action="store_true", help="train nothing")
    options = parser.parse_args()
    path = options.results or RESULTS / f"ablation_{options.task}.csv"

    start = time.perf_counter()
    if not options.show:
        known = {(row["task"], row["cell"], int(row["seed"])) for row in read_rows(path)}
        wanted = [cell for cell in cells() if re.search(options.cells, cell.name)]
        if not wanted:
            parser.error(
                f"no cell matches {options.cells!r}; the cells are: {'; '.join(cell.name for cell in cells())}"
            )
        todo = [(cell, seed) for seed in options.seeds for cell in wanted]
        todo = [(cell, seed) for cell, seed in todo if (options.task, cell.name, seed) not in known]
        train_missing(path, todo, options.task, options.updates, options.jobs)
    order = {cell.name: place for place, cell in enumerate(cells())}
    rows = [row for row in read_rows(path) if row["task"] == options.task]
    rows.sort(key=lambda row: (order.get(row["cell"], len(order)), int(row["seed"])))
    if not rows:
        parser.error(f"{path} holds no run of {options.task}; leave --show out to train")
    print(table(rows))
    print(f"\n{totals(rows)}\n\n{norm_sums(rows)}\n")
    print(f"{len(rows)} runs took {sum(float(row['seconds']) for row in rows) / 60:.1f} minutes of one core each.")
    draw(rows, path.with_suffix(".png"), options.task)
    print(f"Picture: {path.with_suffix('.png')}; this call took {time.perf_counter() - start:.0f} s.", file=sys.stderr)


if __name__ == "__main__":
    main()
