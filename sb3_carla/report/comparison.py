"""Several runs in one report: a table of outcomes, their curves overlaid, every metric side by side."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from sb3_carla.report.analysis import Analysis, analyse
from sb3_carla.report.checks import alerts_fired, q_values
from sb3_carla.report.data import as_data, write_json
from sb3_carla.report.html import write_html
from sb3_carla.report.logs import ReportError
from sb3_carla.report.markdown import link, number, table
from sb3_carla.report.settings import RunSettings
from sb3_carla.report.writing import write_report

_NUMBERED = re.compile(r"[-_. ]?(?:seed|run)?[-_. ]?\d+$")


def compare_runs(run_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write a report on several runs together, and one on each of them.

    Runs whose names differ in a number at the end only (``TD3_1``, ``TD3_2``) count as repetitions of the same and
    are drawn in the same colour. A run that cannot be read is named in the report, and the others are compared.

    :param run_dirs: folders with the logs of one run each
    :param out: folder to write to; ``comparison`` in the folder that holds all runs if None
    :return: the path of comparison.md; comparison.html beside it says the same in one file
    :raises ReportError: a folder was given twice, or none of them can be read
    """
    from sb3_carla.report.plots import draw_comparison  # matplotlib is slow to import

    labels = _labels(run_dirs)
    runs: dict[str, Analysis] = {}
    unread: dict[str, str] = {}
    for label, run_dir in zip(labels, run_dirs, strict=True):
        try:
            runs[label] = analyse(Path(run_dir))
        except ReportError as error:
            unread[label] = str(error)
    if not runs:
        raise ReportError("None of the runs can be read. " + " ".join(unread.values()))
    folder = Path(os.path.commonpath([Path(path).resolve() for path in run_dirs])) / "comparison"
    folder = folder if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    pages = {label: write_report(run, folder / label.replace("/", "_")) for label, run in runs.items()}
    picture = folder / "comparison.png"
    draw_comparison({label: run.logs for label, run in runs.items()}, groups(labels), picture)
    sections = [
        f"# Comparison of {len(runs)} run{'s' if len(runs) > 1 else ''}",
        "## Outcomes\n\n" + _outcomes(runs, pages, folder),
        *[f"**Not compared:** {reason}" for reason in unread.values()],
        f"## Curves\n\n![Curves of all runs]({link(picture, folder)})",
        _differences(runs),
        "## Metrics, first to last value\n\n" + _metrics(runs),
        "## Reports of the single runs\n\n" + _links(pages, folder),
    ]
    page = folder / "comparison.md"
    page.write_text("\n\n".join(section for section in sections if section) + "\n", encoding="utf-8")
    write_html(folder / "comparison.html", page.read_text(encoding="utf-8"), folder)
    data = {"runs": {label: as_data(run) for label, run in runs.items()}, "not_compared": unread}
    write_json(folder / "comparison.json", data)
    return page


def groups(labels: Sequence[str]) -> dict[str, str]:
    """The name of the group of each run: its own name without the number at the end, if others share that.

    :param labels: names of the runs
    """
    stems = [_NUMBERED.sub("", label) or label for label in labels]
    return {label: stem if stems.count(stem) > 1 else label for label, stem in zip(labels, stems, strict=True)}


def _labels(run_dirs: Sequence[Path]) -> list[str]:
    """The shortest names that tell the runs apart: the last parts of their paths, as many as it takes."""
    paths = [Path(path).resolve() for path in run_dirs]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ReportError(f"{twice} was given twice. Name every run once.")
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        labels = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]


def _outcomes(runs: Mapping[str, Analysis], pages: Mapping[str, Path], folder: Path) -> str:
    header = ("run", "steps", "checks failed", "first alert", "most likely cause", "reward", "mean Q(s, π(s))")
    return table(header, [_outcome(label, run) for label, run in runs.items()])


def _outcome(label: str, run: Analysis) -> tuple[str, ...]:
    failed = [check.question for check in run.checks if check.status == "FAIL"]
    alerts = sorted((step, name) for name, step in alerts_fired(run.logs).items())
    q = q_values(run.logs)
    reward = run.logs.metrics.get("eval/mean_reward", run.logs.metrics.get("rollout/ep_rew_mean"))

    def ends(values: list[float]) -> str:
        return f"{number(values[0])} → {number(values[-1])}" if values else "-"

    return (
        label,
        f"{run.logs.last_step:,}",
        f"**{len(failed)}:** {'; '.join(failed)}" if failed else "none",
        f"{alerts[0][1]} at step {alerts[0][0]:,}" if alerts else "none",
        run.causes[0].name if run.causes else "the logs do not say",
        ends([] if reward is None else reward.finite.values.tolist()),
        ends([] if q is None else q.finite.values.tolist()),
    )


def _differences(runs: Mapping[str, Analysis]) -> str:
    """What is known of the settings and not the same in all runs."""
    rows = []
    for field in fields(RunSettings):
        values = [getattr(run.settings, field.name) for run in runs.values()]
        if field.name != "source" and any(value != values[0] for value in values):
            rows.append((field.name, *["not known" if value in (None, {}) else str(value) for value in values]))
    return "## Settings that differ\n\n" + table(("setting", *runs), rows) if rows else ""


def _metrics(runs: Mapping[str, Analysis]) -> str:
    names = sorted({name for run in runs.values() for name in run.summaries})

    def cell(run: Analysis, name: str) -> str:
        one = run.summaries.get(name)
        return "" if one is None else f"{number(one.initial)} → {number(one.final)}"

    return table(("metric", *runs), [(f"`{name}`", *[cell(run, name) for run in runs.values()]) for name in names])


def _links(pages: Mapping[str, Path], folder: Path) -> str:
    def of(page: Path, label: str) -> str:
        return f"- {label}: [Markdown]({link(page, folder)}), [HTML]({link(page.with_suffix('.html'), folder)})"

    return "\n".join(of(page, label) for label, page in pages.items())
