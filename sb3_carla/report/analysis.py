"""Everything that a report says of one run, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sb3_carla.report.causes import Cause, rank_causes
from sb3_carla.report.checks import Check, run_checks
from sb3_carla.report.growth import Growth, find_growth
from sb3_carla.report.logs import RunLogs, read_logs
from sb3_carla.report.settings import RunSettings, read_settings
from sb3_carla.report.sign import Sign
from sb3_carla.report.signs import read_signs
from sb3_carla.report.statistics import Summary, summarise
from sb3_carla.report.timeline import Event, make_timeline

# Metrics that only count.
COUNTERS = ("time/total_timesteps", "time/time_elapsed", "time/episodes", "time/iterations", "train/n_updates")


@dataclass(frozen=True)
class Analysis:
    """One run, read and judged.

    :param name: of the run
    :param logs: what was read
    :param settings: what is known of its settings
    :param summaries: every metric summed up
    :param checks: the checklist
    :param growths: the metrics that grow without slowing down
    :param signs: yes-or-no readings
    :param causes: what the signs speak for, most likely first
    :param timeline: what happened when
    """

    name: str
    logs: RunLogs
    settings: RunSettings
    summaries: Mapping[str, Summary]
    checks: list[Check]
    growths: list[Growth]
    signs: Mapping[str, Sign]
    causes: list[Cause]
    timeline: list[Event]

    @property
    def verdict(self) -> str:
        """One sentence on the checklist."""
        failed = [check.question for check in self.checks if check.status == "FAIL"]
        warned = [check.question for check in self.checks if check.status == "warn"]
        if failed:
            return f"**{len(failed)} of {len(self.checks)} checks failed:** {'; '.join(failed)}."
        if warned:
            return f"No check failed, {len(warned)} of {len(self.checks)} gave a warning: {'; '.join(warned)}."
        return "No check failed."


def analyse(run_dir: Path) -> Analysis:
    """Read a run and judge it.

    :param run_dir: folder with the logs of one run
    :raises ReportError: there is nothing to report on
    """
    logs = read_logs(run_dir)
    with np.errstate(over="ignore"):  # squares of what an explosion leaves in a log
        return _judge(logs)


def _judge(logs: RunLogs) -> Analysis:
    settings = read_settings(logs)
    growths = find_growth(logs, settings)
    signs = read_signs(logs, settings, growths)
    return Analysis(
        name=logs.folder.resolve().name,
        logs=logs,
        settings=settings,
        summaries={name: summarise(series) for name, series in sorted(logs.metrics.items()) if name not in COUNTERS},
        checks=run_checks(logs, settings),
        growths=growths,
        signs=signs,
        causes=rank_causes(signs),
        timeline=make_timeline(logs, signs, growths),
    )
