"""Compose the report's Markdown page and its CSV files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from os.path import relpath
from pathlib import Path

import numpy as np

from sb3_carla.report.analysis import Analysis
from sb3_carla.report.causes import Cause
from sb3_carla.report.checks import Check
from sb3_carla.report.growth import Growth
from sb3_carla.report.logs import RunLogs

_SIGNS = {"pass": "pass", "warn": "**warn**", "FAIL": "**FAIL**", "unknown": "unknown"}
_MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".mp4", ".webm")
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")


def write_page(path: Path, run: Analysis, pictures: Sequence[tuple[str, Path]]) -> None:
    """Write report.md.

    :param path: the file to write
    :param run: what is said of the run
    :param pictures: title and file of the pictures drawn for this report
    """
    folder = path.parent
    sections = [
        f"# Report: {run.name}",
        f"{run.logs.last_step:,} environment steps. {run.verdict}",
        "## Checklist\n\n" + table(("check", "status", "what was seen", "what to do"), map(_check_row, run.checks)),
        *[f"**At step {step}:** {text}" for step, text in dict.fromkeys(run.logs.messages)],
        "## Likely causes\n\n" + causes_text(run.causes),
        *[f"## {title}\n\n![{title}]({link(picture, folder)})" for title, picture in pictures],
        "## What happened when\n\n" + _timeline(run),
        "## Growth\n\n" + growth_text(run.growths),
        "## Metrics\n\n" + _metrics(run),
        _media(run.logs, folder),
        _origin(run, folder),
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


def _check_row(check: Check) -> tuple[str, ...]:
    return (check.question, _SIGNS[check.status], check.evidence, check.advice)


def causes_text(causes: Sequence[Cause]) -> str:
    """The ranked causes with their evidence.

    :param causes: most likely first
    """
    if not causes:
        return "The logs do not hold enough to name one."
    return "\n\n".join(_cause(rank, cause) for rank, cause in enumerate(causes, start=1))


def _cause(rank: int, cause: Cause) -> str:
    lines = [f"{rank}. **{cause.name}** ({cause.strength} evidence)"]
    for title, texts in (("for", cause.evidence_for), ("against", cause.evidence_against), ("open", cause.unknown)):
        if texts:
            lines.append(f"   - {title}: {'; '.join(texts)}")
    return "\n".join([*lines, f"   - what to try: {cause.advice}"])


def growth_text(growths: Sequence[Growth]) -> str:
    """The fits of the metrics that grow, and what they would come to.

    :param growths: largest final value first
    """
    if not growths:
        return "No metric grows without slowing down."
    header = ("metric", "from", "to", "law", "power law", "exponential", "float32 overflows at", "float64 overflows at")
    text = table(header, [_growth_row(growth) for growth in growths])
    return (
        f"{text}\n\nBoth laws are fitted to the logarithm of the magnitude over the growing part; t counts "
        f"{growths[0].clock} since the training began. A law is named only if its error is less than half of the "
        "other's, it predicts the last third better from the first two, and three decades are spanned. Overflow is "
        "told in environment steps, for the law that is named or for both, if it went on like this."
    )


def _growth_row(growth: Growth) -> tuple[str, ...]:
    power, exponential, best = growth.power, growth.exponential, growth.best
    ends = [f"{number(value)} at {step:,.0f}" for value, step in zip(growth.values, growth.steps, strict=True)]
    fits = [best] if best else [power, exponential]
    overflow = [
        " or ".join(dict.fromkeys(_step(getattr(fit, kind)) for fit in fits))
        for kind in ("overflow_float32", "overflow_float64")
    ]
    return (
        ", ".join(f"`{name}`" for name in (growth.metric, *growth.also)),
        *ends,
        growth.better or f"not decided: {growth.reason}",
        f"t^{power.rate:.2f}, R² {power.r2:.4f}",
        f"e^({exponential.rate:.3g} t), R² {exponential.r2:.4f}",
        *overflow,
    )


def _step(step: float) -> str:
    return f"step {step:.3g}" if step < 1e15 else "never in practice"


def _timeline(run: Analysis) -> str:
    if not run.timeline:
        return "No alert and no turn of a curve."
    rows = [(f"{event.step:,}", event.origin, event.what) for event in run.timeline]
    text = table(("step", "seen in", "what"), rows)
    return f"{text}\n\nAn alert was logged by a callback during the run; a curve was read by this report."


def _metrics(run: Analysis) -> str:
    def rows() -> Iterable[tuple[str, ...]]:
        for name, one in run.summaries.items():
            count = str(one.count) if not one.not_finite else f"{one.count} ({one.not_finite} not finite)"
            spread = f"{number(one.mean)} ± {number(one.std)}"
            extent = f"{number(one.low)} … {number(one.high)}"
            yield (f"`{name}`", number(one.initial), number(one.final), spread, extent, one.trend, count)

    return table(("metric", "initial", "final", "mean ± std", "min … max", "trend", "values"), rows())


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
        f"![{path.stem}]({link(path, folder)})"
        if path.suffix.lower() in _PICTURES
        else f"- video: [{path.name}]({link(path, folder)})"
        for path in found
    ]
    return "## Pictures and videos of the run\n\n" + "\n\n".join(lines)


def _origin(run: Analysis, folder: Path) -> str:
    logs, settings = run.logs, run.settings
    lines = [f"- read: [{path.name}]({link(path, folder)})" for path in logs.sources]
    lines += [f"- note: {note}" for note in logs.notes]
    if settings.grad_limits:
        limits = ", ".join(f"{part} {limit:g}" for part, limit in settings.grad_limits.items())
        lines.append(f"- gradient limits, from {settings.source}: {limits}")
    else:
        lines.append("- gradient limits: not known")
    if settings.gamma is not None:
        lines.append(f"- discount factor: {settings.gamma:g}")
    lines.append("- data: [q_values.csv](q_values.csv), [episodes.csv](episodes.csv), [report.json](report.json)")
    return "## Where this comes from\n\n" + "\n".join(lines)


# -- text --------------------------------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    :param header: titles of the columns
    :param rows: cells, as Markdown
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float) -> str:
    """A number in at most four digits, a dash for NaN.

    :param value: any number
    """
    if math.isnan(value):
        return "-"
    return str(int(value)) if value == np.floor(value) and abs(value) < 1e7 else f"{value:.4g}"


def link(target: Path, folder: Path) -> str:
    """A relative link.

    :param target: the file to link to
    :param folder: where the page lies
    """
    return relpath(target.resolve(), folder.resolve()).replace("\\", "/").replace(" ", "%20")
