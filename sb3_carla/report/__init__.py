"""Reports on training runs from their logs: checklist, likely causes, growth, pictures; Markdown, HTML, JSON, CSV.

Works on the folder of any Stable-Baselines3 run that has TensorBoard event files or a ``progress.csv``::

    from pathlib import Path
    from sb3_carla.report import compare_runs, make_report

    page = make_report(Path("logs/td3/Carla-v0_1"))
    page = compare_runs([Path("logs/td3/Carla-v0_1"), Path("logs/td3/Carla-v0_2")], out=Path("comparison"))

- :mod:`sb3_carla.report.logs` reads, :mod:`sb3_carla.report.settings` looks for limits and discount;
- :mod:`sb3_carla.report.statistics` sums up, :mod:`sb3_carla.report.growth` fits,
  :mod:`sb3_carla.report.checks` judges;
- :mod:`sb3_carla.report.signs` reads what :mod:`sb3_carla.report.causes` and :mod:`sb3_carla.report.timeline` tell;
- :mod:`sb3_carla.report.analysis` holds all of that for one run;
- :mod:`sb3_carla.report.plots` draws; :mod:`sb3_carla.report.markdown`, :mod:`sb3_carla.report.html` and
  :mod:`sb3_carla.report.data` write; :mod:`sb3_carla.report.comparison` sets several runs side by side.
"""

from __future__ import annotations

from sb3_carla.report.analysis import Analysis, analyse
from sb3_carla.report.checks import Check, run_checks
from sb3_carla.report.comparison import compare_runs
from sb3_carla.report.logs import ReportError, RunLogs, Series, read_logs
from sb3_carla.report.settings import RunSettings, read_settings
from sb3_carla.report.writing import make_report

__all__ = [
    "Analysis",
    "Check",
    "ReportError",
    "RunLogs",
    "RunSettings",
    "Series",
    "analyse",
    "compare_runs",
    "make_report",
    "read_logs",
    "read_settings",
    "run_checks",
]
