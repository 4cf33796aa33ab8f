"""Compose the report's Markdown page and its CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from os.path import relpath
from pathlib import Path

import numpy as np

from sb3_carla.report.checks import Check
from sb3_carla.report.logs import RunLogs
from sb3_carla.report.settings import RunSettings
from sb3_carla.report.statistics import summarise

_SIGNS = {"pass": "pass", "warn": "**warn**", "FAIL": "**FAIL**", "unknown": "unknown"}
_MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".mp4", ".webm")
_COUNTERS = ("time/total_timesteps", "time/time_elapsed", "time/episodes", "time/iterations", "train/n_updates")
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")


def write_page(
    path: Path, logs: RunLogs, settings: RunSettings, checks: Sequence[Check], pictures: Sequence[tuple[str, Path]]
) -> None:
    """Write report.md.

    :param path: the file to write
    :param logs: what was read of the run
    :param settings: gradient limits and discount, as far as known
    :param checks: the checklist
    :param pictures: title and file of the pictures drawn for this report
    """
    folder = path.parent
    sections = [
        f"# Report: {logs.folder.resolve().name}",
        _verdict(logs, checks),
        "## Checklist\n\n" + _table(("check", "status", "what was seen", "what to do"), map(_check_row, checks)),
        *[f"**At step {step}:** {text}" for step, text in dict.fromkeys(logs.messages)],
        *[f"## {title}\n\n![{title}]({_link(picture, folder)})" for title, picture in pictures],
        "## Metrics\n\n" + _metrics(logs),
        _media(logs, folder),
        _origin(logs, settings, folder),
    ]
    path.write_text("\n\n".join(section for section in sections if section) + "\n", encoding="utf-8")


def write_series(path: Path, logs: RunLogs, names: Iterable[str]) -> None:
    """Write some metrics side by side as a CSV file, one row per step; empty cells where a metric has no value.

    :param path: the file to write
    :param logs: what was read of the run
    :param names: the metrics; those that the run does not have are left out
    """
    present = [name for name in names if name in logs.metrics]
    series = [logs.metrics[name] for name in present]
    columns = [dict(zip(one.steps.tolist(), one.values.tolist(), strict=True)) for one in series]
    steps = sorted(set().union(*columns)) if columns else []
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *present])
        for step in steps:
            writer.writerow([int(step), *(column.get(step, "") for column in columns)])


# -- sections ----------------------------------------------------------------------------------------------------------


def _verdict(logs: RunLogs, checks: Sequence[Check]) -> str:
    failed = [check.question for check in checks if check.status == "FAIL"]
    warned = [check.question for check in checks if check.status == "warn"]
    length = f"{logs.last_step:,} environment steps."
    if failed:
        return f"{length} **{len(failed)} of {len(checks)} checks failed:** {'; '.join(failed)}."
    if warned:
        return f"{length} No check failed, {len(warned)} of {len(checks)} gave a warning: {'; '.join(warned)}."
    return f"{length} No check failed."


def _check_row(check: Check) -> tuple[str, ...]:
    return (check.question, _SIGNS[check.status], check.evidence, check.advice)


def _metrics(logs: RunLogs) -> str:
    def rows() -> Iterable[tuple[str, ...]]:
        for name, series in sorted(logs.metrics.items()):
            if name in _COUNTERS:
                continue
            one = summarise(series)
            count = str(one.count) if not one.not_finite else f"{one.count} ({one.not_finite} not finite)"
            spread = f"{_number(one.mean)} ± {_number(one.std)}"
            extent = f"{_number(one.low)} … {_number(one.high)}"
            yield (f"`{name}`", _number(one.initial), _number(one.final), spread, extent, one.trend, count)

    return _table(("metric", "initial", "final", "mean ± std", "min … max", "trend", "values"), rows())


def _media(logs: RunLogs, folder: Path) -> str:
    """Pictures and videos that others put into the run's folder."""
    found = sorted(
        path
        for path in logs.folder.rglob("*")
        if path.suffix.lower() in _MEDIA and path.is_file() and folder.resolve() not in path.resolve().parents
    )
    if not found:
        return ""
    lines = [
        f"![{path.stem}]({_link(path, folder)})"
        if path.suffix.lower() in _PICTURES
        else f"- video: [{path.name}]({_link(path, folder)})"
        for path in found
    ]
    return "## Pictures and videos of the run\n\n" + "\n\n".join(lines)


def _origin(logs: RunLogs, settings: RunSettings, folder: Path) -> str:
    lines = [f"- read: [{path.name}]({_link(path, folder)})" for path in logs.sources]
    lines += [f"- note: {note}" for note in logs.notes]
    if settings.grad_limits:
        limits = ", ".join(f"{part} {limit:g}" for part, limit in settings.grad_limits.items())
        lines.append(f"- gradient limits, from {settings.source}: {limits}")
    else:
        lines.append("- gradient limits: not known")
    if settings.gamma is not None:
        lines.append(f"- discount factor: {settings.gamma:g}")
    lines.append("- data of the pictures: [q_values.csv](q_values.csv), [episodes.csv](episodes.csv)")
    return "## Where this comes from\n\n" + "\n".join(lines)


# -- text --------------------------------------------------------------------------------------------------------------


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return str(int(value)) if value == np.floor(value) and abs(value) < 1e7 else f"{value:.4g}"


def _link(target: Path, folder: Path) -> str:
    return relpath(target.resolve(), folder.resolve()).replace("\\", "/").replace(" ", "%20")
