"""Read what a Stable-Baselines3 run logged: TensorBoard event files, ``progress.csv``, ``monitor.csv``,
``evaluations.npz``.

Nothing is assumed about who wrote the run. What could not be read (a file cut off in the middle of a record, a row with
missing cells) is told in :attr:`RunLogs.notes` and the rest is used.
"""

from __future__ import annotations

import csv
import math
import struct
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Metric name to its steps and values in the order in which they were logged; arrays, as logs can hold millions.
Points = dict[str, tuple["array[float]", "array[float]"]]

# The columns of a progress.csv that can count steps, best first.
_STEP_COLUMNS = ("time/total_timesteps", "time/total timesteps", "total_timesteps", "timesteps", "step", "Step")

# Texts under these tags are meant for people; other programs log whole configurations as text.
_MESSAGES = ("stability/", "alerts/")


class ReportError(Exception):
    """There is nothing to report on; the message says why and what to do."""


@dataclass(frozen=True)
class Series:
    """One logged metric.

    :param steps: environment steps, ascending
    :param values: the metric at these steps; may hold NaN and infinity
    """

    steps: Floats
    values: Floats

    @property
    def finite(self) -> Series:
        """The same without NaN and infinity."""
        keep = np.isfinite(self.values)
        return Series(self.steps[keep], self.values[keep])

    def __len__(self) -> int:
        return len(self.values)


@dataclass
class RunLogs:
    """Everything that was read of one run.

    :param folder: the run's folder
    :param metrics: metric name to series
    :param messages: (step, text) of what callbacks had to say, such as the reason for a stop
    :param sources: the files that were read
    :param notes: what could not be read
    """

    folder: Path
    metrics: dict[str, Series] = field(default_factory=dict)
    messages: list[tuple[int, str]] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def under(self, prefix: str) -> dict[str, Series]:
        """The metrics whose name starts with ``prefix``, by the rest of their name."""
        return {name[len(prefix) :]: series for name, series in self.metrics.items() if name.startswith(prefix)}

    @property
    def last_step(self) -> int:
        """The last step at which anything was logged."""
        return int(max((series.steps[-1] for series in self.metrics.values() if len(series)), default=0))


def read_logs(folder: Path) -> RunLogs:
    """Read all logs of one run.

    :param folder: a folder that holds one run's logs, directly or in folders below it
    :raises ReportError: no such folder, no logs, the logs of several runs, or nothing readable in them
    """
    if not folder.is_dir():
        raise ReportError(f"{folder} is not a directory. Give the directory that a training wrote its logs to.")
    events, tables, monitors, evaluations = _log_files(folder)
    if not (events or tables or monitors or evaluations):
        raise ReportError(
            f"{folder} holds neither TensorBoard event files (events.out.tfevents.*) nor a progress.csv. Give the "
            "directory that a training wrote its logs to, or train with tensorboard_log=... or a csv logger."
        )
    logs = RunLogs(folder)
    points: Points = {}
    for path in events:
        _read_events(path, logs, points)
    from_events = _as_series(points, "event files", logs)
    points = {}
    for path in tables:
        _read_table(path, logs, points)
    from_tables = _as_series(points, "CSV files", logs)
    for name in sorted(from_events.keys() | from_tables.keys()):
        # Both hold the same numbers as a rule; the longer one lost less.
        candidates = [source[name] for source in (from_events, from_tables) if name in source]
        logs.metrics[name] = max(candidates, key=len)
    _read_monitors(monitors, logs)
    for path in evaluations:
        _read_evaluations(path, logs)
    if not any(len(series) for series in logs.metrics.values()):
        reason = "; ".join(logs.notes) or "they are empty"
        raise ReportError(
            f"The logs in {folder} hold no numbers ({reason}). Train for one log interval at least, or give another."
        )
    return logs


def _log_files(folder: Path) -> tuple[list[Path], list[Path], list[Path], list[Path]]:
    def found(pattern: str) -> list[Path]:
        return sorted(path for path in folder.rglob(pattern) if path.is_file())

    events, tables = found("*events.out.tfevents*"), found("progress*.csv")
    for kind, paths in (("TensorBoard logs", events), ("CSV logs", tables)):
        homes = sorted({path.parent for path in paths})
        if len(homes) > 1:
            names = ", ".join(str(home.relative_to(folder)) for home in homes[:5])
            more = "" if len(homes) <= 5 else f" and {len(homes) - 5} more"
            raise ReportError(
                f"{folder} holds {kind} of {len(homes)} runs ({names}{more}), and a report is about one. "
                f"Give one of them, for instance {homes[-1]}, or several by name to compare them."
            )
    return events, tables, found("*monitor.csv"), found("evaluations.npz")


def _as_series(points: Points, source: str, logs: RunLogs) -> dict[str, Series]:
    series, backward = {}, 0
    for name, (logged_steps, logged_values) in points.items():
        if not logged_steps:  # a column of empty cells or of text
            continue
        steps, values = np.array(logged_steps), np.array(logged_values)
        backward = max(backward, int(np.count_nonzero(np.diff(steps) < 0)))
        order = np.argsort(steps, kind="stable")  # values of one step stay in the order in which they were logged
        series[name] = Series(steps[order], values[order])
    if backward:
        logs.notes.append(
            f"the steps in the {source} go back {backward} time(s), as after a restart from an earlier step, or when "
            "two runs share a folder; the values were put in the order of their steps"
        )
    return series


# -- TensorBoard -------------------------------------------------------------------------------------------------------


def _read_events(path: Path, logs: RunLogs, points: Points) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    missing = bytes_cut_off(path)
    if missing:
        logs.notes.append(f"{path.name} is cut off in the middle of a record: what was logged last is missing")
    # 0 keeps every event; purging would drop what a run logged before it was resumed from an earlier step.
    reader = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False)
    try:
        reader.Reload()
    except Exception as error:  # the reader raises whatever the bytes make protobuf raise
        logs.notes.append(f"{path.name} is no readable event file ({error})")
        return
    logs.sources.append(path)
    tags = reader.Tags()
    for tag in tags["scalars"]:
        steps, values = points.setdefault(tag, (array("d"), array("d")))
        for event in reader.Scalars(tag):
            steps.append(event.step)
            values.append(event.value)
    for tag in tags["tensors"]:
        if not tag.startswith(_MESSAGES):
            continue
        for event in reader.Tensors(tag):
            text = make_ndarray(event.tensor_proto)
            if text.dtype == object and text.size:
                logs.messages.append((int(event.step), text.ravel()[0].decode("utf-8", "replace")))


def bytes_cut_off(path: Path) -> int:
    """How many bytes of its last record an event file lacks; 0 if it is whole.

    A record is a length (8 bytes), a checksum (4), the data, a checksum (4): TensorFlow's TFRecord format.

    :param path: an event file
    """
    size, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            header = file.read(8)
            if len(header) < 8:
                return 8 - len(header)
            position += 8 + 4 + struct.unpack("<Q", header)[0] + 4
    return position - size


# -- CSV ---------------------------------------------------------------------------------------------------------------


def _rows(path: Path, skip: int = 0) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        # A killed process can leave NUL bytes, which the csv module refuses.
        yield from islice(csv.reader(line.replace("\0", "") for line in file), skip, None)


def _number(cell: str) -> float | None:
    if not cell:  # by far the most common reason for not being a number
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _read_table(path: Path, logs: RunLogs, points: Points) -> None:
    rows = _rows(path)
    header = next(rows, None)
    if header is None:
        logs.notes.append(f"{path.name} is empty")
        return
    logs.sources.append(path)
    counter = next((header.index(name) for name in _STEP_COLUMNS if name in header), None)
    columns = [points.setdefault(name, (array("d"), array("d"))) for name in header]
    broken, step, count = 0, 0.0, -1
    for count, row in enumerate(rows):
        if len(row) != len(header):
            broken += 1
            continue
        counted = float(count) if counter is None else _number(row[counter])
        step = step if counted is None or not math.isfinite(counted) else counted
        for (steps, values), cell in zip(columns, row, strict=True):
            value = _number(cell)
            if value is not None:
                steps.append(step)
                values.append(value)
    if counter is None and count >= 0:
        logs.notes.append(f"{path.name} has no column of steps, so its rows are counted instead")
    if broken:
        logs.notes.append(f"{path.name} has {broken} row(s) with another number of cells than its header, left out")


def _read_monitors(paths: list[Path], logs: RunLogs) -> None:
    """Take rewards and lengths of single episodes from SB3's Monitor.

    They are preferred to the logged means over the last 100 episodes, in which a short run's success does not show.
    """
    episodes: list[tuple[float, float, float]] = []  # end [s], reward, length
    for path in paths:
        rows = [[_number(cell) for cell in row] for row in _rows(path, skip=2)]
        known = [(row[2], row[0], row[1]) for row in rows if len(row) >= 3]
        episodes += [(t, r, n) for t, r, n in known if t is not None and r is not None and n is not None]
        logs.sources.append(path)
    if not episodes:
        return
    episodes.sort()
    _, rewards, lengths = np.array(episodes, dtype=np.float64).T
    steps = np.cumsum(lengths)
    logs.metrics["rollout/ep_rew_mean"] = Series(steps, rewards)
    logs.metrics["rollout/ep_len_mean"] = Series(steps, lengths)
    logs.notes.append("rewards and episode lengths are those of single episodes, from monitor.csv")


def _read_evaluations(path: Path, logs: RunLogs) -> None:
    """Take rewards and lengths from what SB3's EvalCallback keeps, where the log does not hold them."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            steps = kept["timesteps"].astype(np.float64)
            found = {
                name: kept[key].astype(np.float64).mean(axis=1)
                for name, key in (("eval/mean_reward", "results"), ("eval/mean_ep_length", "ep_lengths"))
                if key in kept
            }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        logs.notes.append(f"{path.name} cannot be read ({error})")
        return
    logs.sources.append(path)
    for name, values in found.items():
        if name not in logs.metrics and len(values) == len(steps):
            logs.metrics[name] = Series(steps, values)
