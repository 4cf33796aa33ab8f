"""Write the report of one run: pages, pictures and data files."""

from __future__ import annotations

from pathlib import Path

from sb3_carla.report.analysis import Analysis, analyse
from sb3_carla.report.checks import Q_NAMES
from sb3_carla.report.data import as_data, write_json
from sb3_carla.report.html import write_html
from sb3_carla.report.markdown import write_page, write_series

_Q_SERIES = (*Q_NAMES, "stability/q_policy_mean", "stability/q_replay_mean", "train/actor_loss", "train/critic_loss")
_EPISODE_SERIES = ("rollout/ep_rew_mean", "rollout/ep_len_mean", "eval/mean_reward", "eval/mean_ep_length")


def make_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write a report on one run: report.md, report.html, report.json, pictures and CSV files.

    :param run_dir: folder with the logs of one run
    :param out: folder to write to; ``run_dir/report`` if None
    :return: the path of report.md; report.html beside it says the same in one file
    :raises ReportError: there is nothing to report on
    """
    run_dir = Path(run_dir)
    return write_report(analyse(run_dir), run_dir / "report" if out is None else Path(out))


def write_report(run: Analysis, folder: Path) -> Path:
    """Write what is said of a run.

    :param run: the run, read and judged
    :param folder: where to write; made if it is not there
    :return: the path of report.md
    """
    from sb3_carla.report.plots import draw_gradients, draw_overview  # matplotlib is slow to import

    folder.mkdir(parents=True, exist_ok=True)
    pictures = [("Training run", folder / "overview.png")]
    draw_overview(run.logs, folder / "overview.png")
    if run.logs.under("grad_norm/") or run.logs.under("grad_norm_clipped/"):
        pictures.append(("Gradient norms", folder / "gradients.png"))
        draw_gradients(run.logs, run.settings, folder / "gradients.png")
    write_series(folder / "q_values.csv", run.logs, _Q_SERIES)
    write_series(folder / "episodes.csv", run.logs, _EPISODE_SERIES)
    write_json(folder / "report.json", as_data(run))
    page = folder / "report.md"
    write_page(page, run, pictures)
    write_html(folder / "report.html", page.read_text(encoding="utf-8"), folder)
    return page
