"""Trajectories over the map, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from sb3_carla.evaluation.episodes import Episode

MARGIN = 25.0  # [m] around the trajectories


def plot_trajectories(
    path: Path, episodes: Sequence[Episode], lanes: Sequence[npt.NDArray[np.float64]], title: str
) -> None:
    """Draw the trajectories of one scenario, coloured by speed, each with its beginning and its end.

    :param path: of the picture
    :param episodes: of one scenario
    :param lanes: centre lines of the map's lanes, (n, 2) [m] each
    :param title: above the picture
    """
    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.add_collection(LineCollection([line for line in lanes], colors="0.8", linewidths=2.0))
    fastest = max(float(episode.speeds.max()) for episode in episodes)
    coloured = None
    for episode in episodes:
        points = episode.poses[:, :2]
        if episode.route is not None:
            axes.plot(*episode.route.T, color="tab:blue", linewidth=4.0, alpha=0.2)
        segments = np.stack([points[:-1], points[1:]], axis=1)
        coloured = LineCollection(list(segments), cmap="viridis", linewidths=1.6)
        coloured.set_clim(0.0, max(fastest, 1.0))
        coloured.set_array(episode.speeds[1:])
        axes.add_collection(coloured)
        axes.plot(*points[0], "o", color="black", markersize=4)
        well = episode.metrics["status"] == "Completed"
        axes.plot(*points[-1], "^" if well else "X", color="tab:green" if well else "tab:red", markersize=8)
        if not well:
            axes.annotate(episode.metrics["status"].removeprefix("Failed - "), points[-1], fontsize=7)
    everywhere = np.concatenate([episode.poses[:, :2] for episode in episodes])
    low, high = everywhere.min(axis=0) - MARGIN, everywhere.max(axis=0) + MARGIN
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))  # y grows to the right of x: downwards, seen from above
    axes.set_aspect("equal")
    axes.set(title=title, xlabel="x [m]", ylabel="y [m]")
    if coloured is not None:
        figure.colorbar(coloured, ax=axes, label="km/h", shrink=0.7)
    figure.savefig(path, dpi=110)
