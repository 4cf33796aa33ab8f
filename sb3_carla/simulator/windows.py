"""Windows on the walls of houses that are near enough for windows to be told apart."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sb3_carla.simulator.projection import NEAR, Floats, Indices, Pixels, View

_STOREY = 3.2  # [m]
_BAY = 2.6  # width of wall per window [m]
_FEWEST_PIXELS = 11.0  # height of a storey in the picture from which windows are painted


def window_range(focal: float) -> float:
    """The distance [m] up to which windows are painted."""
    return focal * _STOREY / _FEWEST_PIXELS


@lru_cache(maxsize=256)
def _panes(rows: int, columns: int) -> Floats:
    """Weights (panes * 4, 4) of a wall's corners for the corners of its windows."""
    weights = []
    for i in range(rows):
        low, high = (i + 0.32) / rows, (i + 0.78) / rows
        for j in range(columns):
            left, right = (j + 0.27) / columns, (j + 0.73) / columns
            for s, t in ((left, low), (right, low), (right, high), (left, high)):
                weights.append(((1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t))
    return np.array(weights)


def windows_of(view: View, walls: Floats, number: Indices) -> list[tuple[list[Pixels], list[Pixels]]]:
    """The windows of some walls.

    :param view: camera
    :param walls: (n, 4, 3) corners: along the foot, then back along the top
    :param number: (n,) of the walls; decides behind which windows somebody is at home
    :return: per wall the windows that are dark at night and those that are lit
    """
    result = []
    for wall, seed in zip(walls, number.tolist(), strict=True):
        foot, side = wall[1] - wall[0], wall[3] - wall[0]
        columns = max(1, round(float(np.linalg.norm(foot)) / _BAY))
        rows = max(1, round(float(np.linalg.norm(side)) / _STOREY))
        homogeneous = _panes(rows, columns) @ ((wall - view.eye) @ view.matrix)
        panes = homogeneous.reshape(-1, 4, 3)
        kept = panes[..., 2].min(axis=1) > NEAR
        corners = (panes[..., :2] / np.maximum(panes[..., 2:], NEAR)).astype(np.int32)
        dark: list[Pixels] = []
        bright: list[Pixels] = []
        for i in kept.nonzero()[0].tolist():
            (bright if (i * 7 + seed * 5 + i * i) % 3 == 0 else dark).append(corners[i])
        result.append((dark, bright))
    return result
