"""Reports on a training run from its logs: checklist, table of metrics, pictures, CSV files.

Works on the folder of any Stable-Baselines3 run that has TensorBoard event files or a ``progress.csv``::

    from pathlib import Path
    from sb3_carla.report import make_report

    page = make_report(Path("logs/td3/Carla-v0_1"))

- :mod:`sb3_carla.report.logs` reads, :mod:`sb3_carla.report.settings` looks for limits and discount;
- :mod:`sb3_carla.report.statistics` sums up, :mod:`sb3_carla.report.checks` judges;
- :mod:`sb3_carla.report.plots` draws, :mod:`sb3_carla.report.markdown` writes.
"""

from __future__ import annotations

from pathlib import Path

from sb3_carla.report.checks import Q_NAMES, Check, run_checks
from sb3_carla.report.logs import ReportError, RunLogs, Series, read_logs
from sb3_carla.report.markdown import write_page, write_series
from sb3_carla.report.settings import RunSettings, read_settings

__all__ = [
    "Check",
    "ReportError",
    "RunLogs",
    "RunSettings",
    "Series",
    "make_report",
    "read_logs",
    "read_settings",
    "run_checks",
]

_Q_SERIES = (*Q_NAMES, "stability/q_policy_mean", "stability/q_replay_mean", "train/actor_loss", "train/critic_loss")
_EPISODE_SERIES = ("rollout/ep_rew_mean", "rollout/ep_len_mean")


def make_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write a report on one run: report.md, its pictures and CSV files.

    :param run_dir: folder with the logs of one run
    :param out: folder to write to; ``run_dir/report`` if None
    :return: the path of report.md
    :raises ReportError: there is nothing to report on
    """
    from sb3_carla.report.plots import draw_gradients, draw_overview  # matplotlib is slow to import

    run_dir = Path(run_dir)
    logs = read_logs(run_dir)
    settings = read_settings(logs)
    checks = run_checks(logs, settings)
    folder = run_dir / "report" if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [("Training run", folder / "overview.png")]
    draw_overview(logs, folder / "overview.png")
    if logs.under("grad_norm/") or logs.under("grad_norm_clipped/"):
        pictures.append(("Gradient norms", folder / "gradients.png"))
        draw_gradients(logs, settings, folder / "gradients.png")
    write_series(folder / "q_values.csv", logs, _Q_SERIES)
    write_series(folder / "episodes.csv", logs, _EPISODE_SERIES)
    page = folder / "report.md"
    write_page(page, logs, settings, checks, pictures)
    return page
