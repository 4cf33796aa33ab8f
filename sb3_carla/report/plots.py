"""The report's pictures: four panels over the run, and the gradient norms against their limits.

Matplotlib's figure objects are used directly, so that no window system and no global state is touched. Colours are
those of Okabe and Ito, which colour-blind readers can tell apart; line styles differ too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator

from sb3_carla.report.checks import alerts_fired, q_values
from sb3_carla.report.logs import RunLogs, Series
from sb3_carla.report.settings import PARTS, RunSettings
from sb3_carla.report.statistics import smooth

BLACK, ORANGE, SKY, GREEN, BLUE, RED, PINK = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
_GREY = "#767676"
_DECADES = 3.0  # values that span more than this many decades are drawn on a logarithmic axis
_FEWEST_TO_AVERAGE = 20
_WAVERS = 0.05  # share of the values at which a line that wavers about zero changes its sign
_STRETCHES = 1000  # of a long curve, of which each is drawn by two points
_APART = 50.0  # a line this many times smaller than the largest value of a panel would be flat on a linear axis
_FONT = {"title": 13, "label": 11, "tick": 10, "legend": 9.5}


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
_COLORS = (BLUE, RED, GREEN, ORANGE, PINK, SKY, BLACK)
_STYLES = ("-", "--", ":", "-.")
# What a comparison can show: title, label of the axis, metric. It shows the first four that any run has.
_COMPARED = (
    ("Q-values of the policy's actions", "mean Q(s, π(s))", "q"),
    ("Episode reward", "mean reward", "rollout/ep_rew_mean"),
    ("Critic loss", "loss", "train/critic_loss"),
    ("Episode length", "mean length [steps]", "rollout/ep_len_mean"),
    ("Reward in evaluations", "mean reward", "eval/mean_reward"),
    ("Loss of the value function", "loss", "train/value_loss"),
    ("Loss", "loss", "train/loss"),
    ("Step of the policy", "approximate KL divergence", "train/approx_kl"),
)
_LOSSES = (_Line("train/critic_loss", "critic", RED), _Line("train/actor_loss", "actor", BLUE, "--"))
_REWARD = _Line("rollout/ep_rew_mean", "logged", GREEN)
_LENGTH = _Line("rollout/ep_len_mean", "logged", BLUE)


def draw_overview(logs: RunLogs, path: Path) -> None:
    """Draw Q-values, rewards, losses and episode length over the steps of a run.

    :param logs: what was read of the run
    :param path: the PNG file to write
    """
    figure, panels = _canvas(f"Training run: {logs.folder.resolve().name}")
    q_axes, reward_axes, loss_axes, length_axes = panels
    _draw_q_values(q_axes, logs)
    _panel(reward_axes, logs, "Episode reward", "mean reward", [_REWARD], running_mean=True)
    _panel(loss_axes, logs, "Losses", "loss", _LOSSES)
    if _panel(length_axes, logs, "Episode length", "mean length [steps]", [_LENGTH], running_mean=True):
        _from_zero(length_axes)  # a collapse is a fall towards zero
    _save(figure, path)


def draw_gradients(logs: RunLogs, settings: RunSettings, path: Path) -> None:
    """Draw the gradient norm of each part before and after clipping, and its limit.

    :param logs: what was read of the run
    :param settings: the limits, as far as known
    :param path: the PNG file to write
    """
    figure, panels = _canvas(f"Gradient norms, before and after clipping: {logs.folder.resolve().name}")
    for axes, part in zip(panels, PARTS, strict=True):
        lines = [
            _Line(f"grad_norm/{part}", "before", ORANGE),
            _Line(f"grad_norm_clipped/{part}", "after", BLUE, "--"),
        ]
        title = part.replace("_", " ").replace("cnn", "CNN").replace("mlp", "MLP")
        if _panel(axes, logs, title, "L2 norm", lines) and part in settings.grad_limits:
            axes.axhline(settings.grad_limits[part], color=RED, linestyle=":", linewidth=2, label="limit")
            _legend(axes)
    _save(figure, path)


def draw_comparison(runs: Mapping[str, RunLogs], groups: Mapping[str, str], path: Path) -> None:
    """Draw Q-values, rewards, critic losses and episode lengths of several runs over each other.

    :param runs: what was read of each run, by its name
    :param groups: runs of the same group have the same colour
    :param path: the PNG file to write
    """
    figure, panels = _canvas("Comparison")
    names = list(dict.fromkeys(groups[label] for label in runs))
    sizes = [list(groups.values()).count(name) for name in names]
    legends = [name if size == 1 else f"{name} ({size} runs)" for name, size in zip(names, sizes, strict=True)]
    # False sorts before True: first what any run has, in the order of the table above.
    shown_first = sorted(_COMPARED, key=lambda panel: not any(_compared(logs, panel[2]) for logs in runs.values()))
    for axes, (title, ylabel, metric) in zip(panels, shown_first, strict=False):
        drawn: list[Series] = []
        for label, logs in runs.items():
            series = _compared(logs, metric)
            if not series:
                continue
            place = names.index(groups[label])
            style = _STYLES[place // len(_COLORS) % len(_STYLES)]
            line = _Line(label, legends[place], _COLORS[place % len(_COLORS)], style)
            shown = smooth(series, 0.05) if metric.startswith("rollout/") else series.finite
            _draw(axes, shown, line, running_mean=False)
            drawn.append(shown)
        _dress(axes, title, ylabel)
        if not drawn:
            _say_nothing_to_draw(axes, "not logged")
            continue
        _scale(axes, drawn)
        if metric == "rollout/ep_len_mean":
            _from_zero(axes)
        _legend(axes)
    _save(figure, path)


def _compared(logs: RunLogs, metric: str) -> Series | None:
    """The finite values of a metric; None or empty if there are none."""
    series = q_values(logs) if metric == "q" else logs.metrics.get(metric)
    return None if series is None else series.finite


def _draw_q_values(axes: Axes, logs: RunLogs) -> None:
    lines: Sequence[_Line] = _Q_LINES if "train/q_policy_mean" in logs.metrics else _Q_FALLBACK
    if not any(line.name in logs.metrics for line in lines) and "train/actor_loss" in logs.metrics:
        loss = logs.metrics["train/actor_loss"]
        logs = replace(logs, metrics={**logs.metrics, "minus": Series(loss.steps, -loss.values)})
        lines = (_Line("minus", "minus the actor loss", BLUE),)
    drawn = _panel(axes, logs, "Q-values", "mean Q", lines)
    for side, sign in (("low", -1.0), ("high", 1.0)):
        bound = logs.metrics.get(f"stability/q_limit_{side}")
        nearest = max((float((sign * series.values).max()) for series in drawn), default=0.0)
        # A limit far outside of the curve would flatten it, and matters the less.
        if bound is not None and len(bound.finite) and np.abs(bound.finite.values).max() <= 5 * nearest:
            steps, values = bound.finite.steps, bound.finite.values
            axes.plot(steps, values, color=RED, linestyle=(0, (1, 1)), linewidth=1.6, label="limit")
            _legend(axes)


# -- the parts of a picture --------------------------------------------------------------------------------------------


def _canvas(title: str) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(12, 8), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=_FONT["title"] + 2)
    panels = figure.subplots(2, 2, sharex=True)
    return figure, list(panels.flat)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _panel(
    axes: Axes, logs: RunLogs, title: str, ylabel: str, lines: Sequence[_Line], *, running_mean: bool = False
) -> list[Series]:
    """Draw the lines that the run has and dress the panel.

    :return: what was drawn; empty if the run has nothing to draw here, which the panel then says
    """
    _dress(axes, title, ylabel)
    present = [line for line in lines if line.name in logs.metrics]
    drawn = []
    for line in present:
        finite = logs.metrics[line.name].finite
        if len(finite):
            _draw(axes, finite, line, running_mean)
            drawn.append(finite)
    if not drawn:
        _say_nothing_to_draw(axes, "no finite value" if present else "not logged")
        return drawn
    _scale(axes, drawn)
    for step in alerts_fired(logs).values():
        axes.axvline(step, color=BLACK, linestyle="--", linewidth=1.2, label="alert")
    _legend(axes)
    return drawn


def _dress(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_title(title, fontsize=_FONT["title"])
    axes.set_ylabel(ylabel, fontsize=_FONT["label"])
    axes.set_xlabel("environment steps", fontsize=_FONT["label"])
    axes.tick_params(labelsize=_FONT["tick"], labelbottom=True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)


def _from_zero(axes: Axes) -> None:
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)


def _say_nothing_to_draw(axes: Axes, text: str) -> None:
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_GREY, fontsize=14)


def _draw(axes: Axes, series: Series, line: _Line, running_mean: bool) -> None:
    averaged = running_mean and len(series) >= _FEWEST_TO_AVERAGE
    shown = _thinned(series)
    axes.plot(
        shown.steps,
        shown.values,
        line.style,
        color=line.color,
        label=line.label,
        linewidth=1.0 if averaged else 1.6,
        alpha=0.35 if averaged else 1.0,
        marker="o" if len(series) < 3 else None,  # a line of one point would not be seen
    )
    if averaged:
        means = _thinned(smooth(series, 0.05))
        axes.plot(means.steps, means.values, color=line.color, linewidth=2, label="running mean")


def _thinned(series: Series) -> Series:
    """The smallest and the largest value of every stretch, where there are more values than pixels."""
    stretch = len(series) // _STRETCHES
    if stretch < 4:
        return series
    whole = len(series) // stretch * stretch
    rows = series.values[:whole].reshape(-1, stretch)
    first = np.arange(0, whole, stretch)
    kept = np.union1d(first + rows.argmin(axis=1), first + rows.argmax(axis=1))
    kept = np.union1d(kept, np.arange(whole, len(series)))
    return Series(series.steps[kept], series.values[kept])


def _legend(axes: Axes) -> None:
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # one entry per label
    axes.legend(handles.values(), handles.keys(), fontsize=_FONT["legend"], framealpha=0.85)


def _scale(axes: Axes, drawn: Sequence[Series]) -> None:
    """Logarithmic, or symmetric logarithmic, if one line spans many decades or two lines lie far apart."""
    sizes = [np.abs(series.values[series.values != 0]) for series in drawn]
    sizes = [size for size in sizes if len(size)]
    if not sizes:
        return
    largest = max(float(size.max()) for size in sizes)
    small = min(float(np.percentile(size, 10)) for size in sizes)
    apart = largest / min(float(np.median(size)) for size in sizes)
    if largest <= small * 10**_DECADES and not (len(sizes) > 1 and apart > _APART):
        if largest >= 1e4:
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        return
    if all((series.values > 0).all() for series in drawn):
        axes.set_yscale("log")
        return
    noise = max((_noise(series) for series in drawn), default=0.0)
    # On a full decade, or the tick at the threshold would cover the one at zero.
    threshold = 10.0 ** np.floor(np.log10(min(max(small, noise, largest * 1e-8), largest)))
    axes.set_yscale("symlog", linthresh=threshold)
    axes.yaxis.set_minor_locator(NullLocator())


def _noise(series: Series) -> float:
    """The size of a line that wavers about zero; 0 of one that does not. Its wavering is not worth decades."""
    signs = np.sign(series.values[series.values != 0])
    changes = float(np.mean(signs[1:] != signs[:-1])) if len(signs) > 1 else 0.0
    return float(np.percentile(np.abs(series.values), 90)) if changes > _WAVERS else 0.0
