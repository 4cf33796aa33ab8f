"""The report's pictures: four panels over the run, and the gradient norms against their limits.

Matplotlib's figure objects are used directly, so that no window system and no global state is touched. Colours are those of
Okabe and Ito, which colour-blind readers can tell apart; line styles differ too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from sb3_carla.report.checks import alerts_fired
from sb3_carla.report.logs import RunLogs, Series
from sb3_carla.report.settings import PARTS, RunSettings
from sb3_carla.report.statistics import smooth

BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
_GREY = "#767676"
_DECADES = 3.0  # values that span more than this many decades are drawn on a logarithmic axis
_FONT = {"title": 13, "label": 11, "tick": 10, "legend": 9.5, "note": 12}


@dataclass(frozen=True)
class _Line:
    name: str
    label: str
    color: str
    style: str = "-"


_Q_LINES = (
    _Line("train/q_policy_mean", "Q(s, π(s))", BLUE),
    _Line("train/q1_mean", "Q1 on replay", ORANGE, "--"),
    _Line("train/q2_mean", "Q2 on replay", GREEN, ":"),
    _Line("train/q_target_mean", "target", PINK, "-."),
)
_Q_FALLBACK = (
    _Line("stability/q_policy_mean", "Q(s, π(s))", BLUE),
    _Line("stability/q_replay_mean", "Q on replay", ORANGE, "--"),
)


def draw_overview(logs: RunLogs, path: Path) -> None:
    """Draw Q-values, rewards, losses and episode length over the steps of a run.

    :param logs: what was read of the run
    :param path: the PNG file to write
    """
    figure, panels = _figure(logs, "Training run")
    q_axes, reward_axes, loss_axes, length_axes = panels

    lines = _Q_LINES if "train/q_policy_mean" in logs.metrics else _Q_FALLBACK
    drawn = _draw_lines(q_axes, logs, lines)
    if not drawn and "train/actor_loss" in logs.metrics:
        loss = logs.metrics["train/actor_loss"]
        drawn = _draw(q_axes, Series(loss.steps, -loss.values), "minus the actor loss", BLUE)
    limits = [logs.metrics.get(f"stability/q_limit_{side}") for side in ("low", "high")]
    _finish(q_axes, logs, "Q-values", "mean Q", drawn, limits=[limit for limit in limits if limit is not None])

    for axes, name, title, unit, color in (
        (reward_axes, "rollout/ep_rew_mean", "Episode reward", "mean reward", GREEN),
        (length_axes, "rollout/ep_len_mean", "Episode length", "mean length [steps]", BLUE),
    ):
        drawn = _draw_smoothed(axes, logs.metrics.get(name), color)
        _finish(axes, logs, title, unit, drawn)

    drawn = _draw_lines(
        loss_axes,
        logs,
        (_Line("train/critic_loss", "critic", RED), _Line("train/actor_loss", "actor", BLUE, "--")),
    )
    _finish(loss_axes, logs, "Losses", "loss", drawn)
    _save(figure, path)


def draw_gradients(logs: RunLogs, settings: RunSettings, path: Path) -> None:
    """Draw the gradient norm of each part before and after clipping, and its limit.

    :param logs: what was read of the run
    :param settings: the limits, as far as known
    :param path: the PNG file to write
    """
    figure, panels = _figure(logs, "Gradient norms, before and after clipping")
    before, after = logs.under("grad_norm/"), logs.under("grad_norm_clipped/")
    for axes, part in zip(panels, PARTS, strict=True):
        drawn = []
        for series, label, color, style in (
            (before.get(part), "before", ORANGE, "-"),
            (after.get(part), "after", BLUE, "--"),
        ):
            if series is not None:
                drawn += _draw(axes, series, label, color, style)
        if drawn and part in settings.grad_limits:
            axes.axhline(settings.grad_limits[part], color=RED, linestyle=":", linewidth=2, label="limit")
        _finish(axes, logs, part.replace("_", " ").replace("cnn", "CNN").replace("mlp", "MLP"), "L2 norm", drawn)
    _save(figure, path)


# -- the parts of a picture --------------------------------------------------------------------------------------------


def _figure(logs: RunLogs, title: str) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: {logs.folder.resolve().name}", fontsize=_FONT["title"] + 2)
    panels = figure.subplots(2, 2, sharex=True)
    return figure, list(panels.flat)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _draw(axes: Axes, series: Series, label: str, color: str, style: str = "-") -> list[Series]:
    finite = series.finite
    if not len(finite):
        return []
    marker = "o" if len(finite) < 3 else None  # a line of one point would not be seen
    axes.plot(finite.steps, finite.values, style, color=color, label=label, linewidth=1.6, marker=marker)
    return [finite]


def _draw_lines(axes: Axes, logs: RunLogs, lines: Sequence[_Line]) -> list[Series]:
    drawn: list[Series] = []
    for line in lines:
        if line.name in logs.metrics:
            drawn += _draw(axes, logs.metrics[line.name], line.label, line.color, line.style)
    return drawn


def _draw_smoothed(axes: Axes, series: Series | None, color: str) -> list[Series]:
    if series is None or not len(series.finite):
        return []
    if len(series.finite) < 20:
        return _draw(axes, series, "logged", color)
    finite, means = series.finite, smooth(series, 0.05)
    axes.plot(finite.steps, finite.values, color=color, alpha=0.35, linewidth=1, label="logged")
    axes.plot(means.steps, means.values, color=color, linewidth=2, label="running mean")
    return [finite]


def _finish(
    axes: Axes, logs: RunLogs, title: str, ylabel: str, drawn: Sequence[Series], limits: Sequence[Series] = ()
) -> None:
    axes.set_title(title, fontsize=_FONT["title"])
    axes.set_ylabel(ylabel, fontsize=_FONT["label"])
    axes.set_xlabel("environment steps", fontsize=_FONT["label"])
    axes.tick_params(labelsize=_FONT["tick"], labelbottom=True)
    axes.spines[["top", "right"]].set_visible(False)
    if not drawn:
        _say_empty(axes, logs)
        return
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    values = np.concatenate([series.values for series in drawn])
    # Limits far outside of the curve would flatten it; they are drawn where they matter.
    for series in limits:
        bound = series.finite
        if len(bound) and np.abs(bound.values).max() <= 5 * np.abs(values).max():
            axes.plot(bound.steps, bound.values, color=RED, linestyle=(0, (1, 1)), linewidth=1.6, label="limit")
    _scale(axes, values)
    for step in alerts_fired(logs).values():
        axes.axvline(step, color=RED, linewidth=1.2, alpha=0.8, label="alert")
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one entry per label
    axes.legend(handles.values(), handles.keys(), fontsize=_FONT["legend"], framealpha=0.85)


def _scale(axes: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """Logarithmic, or symmetric logarithmic, if the sizes span many decades."""
    sizes = np.abs(values[values != 0])
    if not len(sizes):
        return
    typical, largest = float(np.percentile(sizes, 10)), float(sizes.max())
    if largest <= typical * 10**_DECADES:
        if largest >= 1e4:
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        return
    if (values > 0).all():
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=max(typical, largest * 1e-9))


def _say_empty(axes: Axes, logs: RunLogs) -> None:
    axes.text(0.5, 0.5, "not logged", transform=axes.transAxes, ha="center", va="center", color=_GREY, fontsize=14)
    axes.set_yticks([])
