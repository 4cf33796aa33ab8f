"""How well the detectors of sb3_stability tell faulty trainings from healthy ones, over a battery of short runs.

    python benchmarks/detectors.py [--processes 2] [--results detectors.csv] [--only leak] [--limit N]

Each run trains one of five algorithms on a task of a few seconds, with all detectors watching and none stopping it,
and adds a line to the results file; runs that are there already are not repeated. The table that is printed says for
each detector: how many of the runs that exploded it caught, after how many updates (median, from the start of the
fault), how large |Q| was then in multiples of the feasible bound (largest), and in how many healthy runs it fired, with
the upper 95 % limit of that share.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import median
from typing import Any

import torch as th
from detector_runs import Run, Spoil, faulty_runs, healthy_runs, largest_reward, make, onset_of, updates_of

from sb3_stability import LeakyActorLossError, Limits, UnprobedModelError, check_actor_loss
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.watch import EXPLOSIONS, State, Watch
from sb3_stability.watching import WatchingCallback

# In this order in the table; the first four are what a training is stopped by
STOPS = ("actor_loss_leak", *EXPLOSIONS)
WARNINGS = ("q_gap", "action_saturation", "gradient_norm", "gradient_norm_critical", "episode_collapse")
BY_ARGUMENT = ("max_abs_q=1e4", "max_abs_loss=1e6", "feature_growth=10", "loss_growth=10")
DETECTORS = (*STOPS, *WARNINGS, *BY_ARGUMENT)
COLUMNS = ["name", "fault", "algorithm", "task", "seconds", "updates", "onset", "exploded", "largest_ratio", "reason"]
COLUMNS += [f"{detector}:{what}" for detector in DETECTORS for what in ("update", "ratio")]


_RATIO = "largest &#124;Q&#124; / bound"


class Recorder(WatchingCallback):
    """Notes when each detector fires first. Ends a run a while after a stop, or far beyond the bound.

    :param run: the run
    """

    def __init__(self, run: Run) -> None:
        super().__init__(verbose=0)
        self.run, self.fired = run, {}
        self.largest_ratio, self.exploded, self.reason, self.over = 0.0, False, "", False
        self._in_a_row = 0

    def _start(self, readings: Readings) -> None:
        super()._start(readings)
        switched_off = {name: None for name in ("margin", "gap", "saturated_share", "collapse", "grad_norm")}
        fixed = Limits(max_abs_q=1e4, max_abs_loss=1e6, feature_growth=10, loss_growth=10, **switched_off)
        self._by_argument = Watch(self.model, fixed)

    def _prepare(self, readings: Readings, scale: float | None) -> None:
        super()._prepare(readings, scale)
        try:
            check_actor_loss(self.model)
        except LeakyActorLossError:
            self.fired["actor_loss_leak"] = (0, 0.0)
        except UnprobedModelError as error:
            self.reason = str(error)

    def _see(self, reading: Reading) -> None:
        super()._see(reading)
        value = reading.q_policy_mean or 0.0
        ratio = abs(value) / self._bound(reading) if math.isfinite(value) else math.inf
        self.largest_ratio = max(self.largest_ratio, ratio)
        # 3 looks beyond twice the true bound, or no number at all, is what counts as an explosion
        self._in_a_row = self._in_a_row + 1 if ratio > 2.0 else 0
        self.exploded = self.exploded or self._in_a_row >= 3 or ratio > 100.0 or self._broken()
        argued = dict(
            zip(
                BY_ARGUMENT,
                ("q_value_explosion", "actor_loss_explosion", "feature_norm", "actor_loss_growth"),
                strict=True,
            )
        )
        self._by_argument.observe(reading)
        for detector in DETECTORS:
            watch = self._by_argument if detector in argued else self._watch
            assert watch is not None
            state = watch.states.get(argued.get(detector, detector))
            if state is not None and state.alarm is not None and detector not in self.fired:
                if detector in argued and not _is_about_size(state):
                    continue
                self.fired[detector] = (reading.n_updates, ratio)
                if state.is_explosion and detector in STOPS and not self.reason:
                    self.reason = str(state.alarm)
        stopped = [update for name, (update, _) in self.fired.items() if name in EXPLOSIONS]
        waited = bool(stopped) and reading.n_updates > min(stopped) + 150
        self.over = self.over or ratio > 1000.0 or waited or self._broken()

    def _broken(self) -> bool:
        return self.states["non_finite"].alarm is not None

    def _bound(self, reading: Reading) -> float:
        """The feasible bound from what the task is meant to pay, whatever was seen."""
        reward = largest_reward(self.run)
        if math.isnan(reward):
            reward = reading.rewards.magnitude
        bonus = 0.0 if reading.bonus.is_empty else max(reading.bonus.high, -reading.bonus.low, 0.0)
        floor = 0.0 if self._scale is None else 10.0 * self._scale / 1.5  # no reward: what the floor allows
        return max((reward + bonus) / (1.0 - self.model.gamma), floor)

    @property
    def _scale(self) -> float | None:
        return getattr(self._watch, "initial_scale", None)

    def _on_step(self) -> bool:
        super()._on_step()
        return not self.over and self.model._n_updates < updates_of(self.run)


def _is_about_size(state: State) -> bool:
    return state.value is not None and math.isfinite(state.value)


def train(run: Run) -> dict[str, Any]:
    """Do one run; a line of the results."""
    th.set_num_threads(1)
    warnings.simplefilter("ignore")
    started = time.process_time()
    recorder, model = Recorder(run), make(run)
    try:
        model.learn(1_000_000, callback=[Spoil(run.fault), recorder])
    except ValueError as error:  # SAC and its kin cannot act with NaN
        recorder.exploded, recorder.reason = True, recorder.reason or f"ValueError: {error}"
    line: dict[str, Any] = {
        "name": run.name,
        "fault": run.fault,
        "algorithm": run.algorithm,
        "task": run.task,
        "seconds": round(time.process_time() - started, 2),
        "updates": model._n_updates,
        "onset": onset_of(run),
        "exploded": int(recorder.exploded),
        "largest_ratio": recorder.largest_ratio,
        "reason": recorder.reason,
    }
    for detector, (update, ratio) in recorder.fired.items():
        line[f"{detector}:update"], line[f"{detector}:ratio"] = update, ratio
    return line


def upper_limit(events: int, runs: int) -> float:
    """The share that is excluded at 95 % (one-sided, Clopper and Pearson 1934) if ``events`` of ``runs`` were seen."""
    if runs == 0 or events >= runs:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        seen = sum(math.comb(runs, k) * middle**k * (1.0 - middle) ** (runs - k) for k in range(events + 1))
        low, high = (middle, high) if seen > 0.05 else (low, middle)
    return high


def table(lines: list[dict[str, str]]) -> str:
    """The table, as Markdown."""
    healthy = [line for line in lines if not line["fault"]]
    exploded = [line for line in lines if line["fault"] and int(line["exploded"])]
    calm = [line for line in lines if line["fault"] and not int(line["exploded"])]
    minutes = sum(float(line["seconds"]) for line in lines) / 60
    rows = [
        f"{len(healthy)} healthy runs, {len(exploded)} faulty runs that exploded, {len(calm)} that did not; "
        f"{minutes:.1f} CPU minutes.",
        "",
        f"| detector | caught | latency, updates | {_RATIO} when it fired | false alarms | upper limit |",
        "|---|---|---|---|---|---|",
    ]
    rows.append(_row("**any default stop**", EXPLOSIONS, exploded, healthy))
    rows += [_row(f"`{detector}`", (detector,), exploded, healthy) for detector in DETECTORS]
    rows += [
        "",
        f"| fault | runs | exploded | caught by a default stop | {_RATIO} at the stop |",
        "|---|---|---|---|---|",
    ]
    for fault in dict.fromkeys(line["fault"] for line in lines if line["fault"]):
        runs = [line for line in lines if line["fault"] == fault]
        bad = [line for line in runs if int(line["exploded"])]
        caught = [first for line in bad if (first := _first(line, EXPLOSIONS)) is not None]
        rows.append(
            f"| {fault} | {len(runs)} | {len(bad)} | {len(caught)} | {_largest(ratio for _, ratio in caught)} |"
        )
    missed = [line["name"] for line in exploded if _first(line, EXPLOSIONS) is None]
    false = [f"{line['name']}: {line['reason']}" for line in healthy if _first(line, EXPLOSIONS) is not None]
    rows += ["", f"Missed: {', '.join(missed) or 'none'}", f"False stops: {'; '.join(false) or 'none'}"]
    return "\n".join(rows)


def _row(name: str, detectors: tuple[str, ...], exploded: list[dict[str, str]], healthy: list[dict[str, str]]) -> str:
    caught = [(line, first) for line in exploded if (first := _first(line, detectors)) is not None]
    latencies = [max(0, update - int(line["onset"])) for line, (update, _) in caught]
    latency = f"{median(latencies):.0f}" if latencies else ""
    alarms = sum(_first(line, detectors) is not None for line in healthy)
    limit = f"{upper_limit(alarms, len(healthy)):.1%}"
    largest = _largest(ratio for _, (_, ratio) in caught)
    return f"| {name} | {len(caught)}/{len(exploded)} | {latency} | {largest} | {alarms}/{len(healthy)} | {limit} |"


def _largest(ratios: Iterable[float]) -> str:
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    return f"{max(finite):.3g}" if finite else ""


def _first(line: dict[str, str], detectors: tuple[str, ...]) -> tuple[int, float] | None:
    fired = [(int(line[f"{d}:update"]), float(line[f"{d}:ratio"])) for d in detectors if line.get(f"{d}:update")]
    return min(fired) if fired else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("detectors.csv"))
    parser.add_argument("--only", default="", help="only runs with this in their name")
    parser.add_argument("--limit", type=int, default=None, help="do at most so many runs, then print the table")
    arguments = parser.parse_args()
    done = _read(arguments.results)
    runs = [run for run in (*healthy_runs(), *faulty_runs()) if arguments.only in run.name]
    waiting = [run for run in runs if run.name not in done][: arguments.limit]
    new_file = not arguments.results.exists()
    # Processes of their own for each run: nothing of one can reach the next
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(arguments.processes, mp_context=context) as pool,
        arguments.results.open("a", newline="") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        if new_file:
            writer.writeheader()
        for number, future in enumerate(as_completed([pool.submit(train, run) for run in waiting]), start=1):
            line = future.result()
            writer.writerow(line)
            file.flush()
            print(f"{number}/{len(waiting)} {line['name']}: {line['seconds']} s {line['reason'][:80]}", flush=True)
    print("\n" + table([line for line in _read(arguments.results).values() if arguments.only in line["name"]]))


def _read(results: Path) -> dict[str, dict[str, str]]:
    if not results.exists():
        return {}
    with results.open(newline="") as file:
        return {line["name"]: line for line in csv.DictReader(file)}


if __name__ == "__main__":
    main()
