"""The ground's shape: a plane where the map is flat, elsewhere a grid of heights that rays are traced to (hills.py)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.compiled import kernel
from sb3_carla.simulator.raster import RoadRaster

FARTHEST = 3000.0  # ground is seen up to this depth [m]
LOWEST_EYE = 0.05  # over the ground [m]
_LEVELS = 9  # of the pyramid of maxima


class Terrain(NamedTuple):
    """The ground's heights. Beyond the grid the ground is level."""

    place: npt.NDArray[np.float64]  # x, y of the first node, step between nodes [m], level outside [m]
    heights: npt.NDArray[np.float32]  # (rows, columns) of nodes; (1, 1) where the map is flat
    maxima: npt.NDArray[np.float32]  # per level the highest point of each square of 2**level cells, one by one
    table: npt.NDArray[np.int64]  # (levels, 3): where a level begins, rows, columns

    @property
    def flat(self) -> bool:
        """Whether the ground is one plane."""
        return self.heights.size == 1


def terrain_of(raster: RoadRaster) -> Terrain:
    """The ground under and around the roads.

    :param raster: the map's heights
    """
    grid = raster.grid()
    if grid is None:
        place = np.array([0.0, 0.0, 1.0, raster.level])
        return Terrain(place, np.full((1, 1), raster.level, np.float32), np.zeros(1, np.float32), np.zeros((1, 3), int))
    x, y, step, heights = grid
    outside = float(np.median(np.concatenate([heights[0], heights[-1], heights[:, 0], heights[:, -1]])))
    heights = _level_rim(heights, outside)
    level = np.maximum.reduce([heights[:-1, :-1], heights[1:, :-1], heights[:-1, 1:], heights[1:, 1:]])
    parts, table, begin = [], [], 0
    for _ in range(_LEVELS):
        parts.append(level.ravel())
        table.append((begin, *level.shape))
        begin += level.size
        rows, columns = -(-level.shape[0] // 2), -(-level.shape[1] // 2)
        wide = np.full((2 * rows, 2 * columns), -np.inf, np.float32)
        wide[: level.shape[0], : level.shape[1]] = level
        level = wide.reshape(rows, 2, columns, 2).max(axis=(1, 3))
    return Terrain(
        np.array([x, y, step, outside]),
        np.ascontiguousarray(heights, np.float32),
        np.ascontiguousarray(np.concatenate(parts), np.float32),
        np.array(table, np.int64),
    )


def _level_rim(heights: npt.NDArray[np.float32], outside: float) -> npt.NDArray[np.float32]:
    """Let the grid's last nodes run out into the level ground around it, over the outer half of its margin."""
    rows, columns = heights.shape
    rim = max(1, min(12, rows // 4, columns // 4))
    i, j = np.arange(rows), np.arange(columns)
    inwards = np.minimum(np.minimum(i, rows - 1 - i)[:, None], np.minimum(j, columns - 1 - j)[None])
    share = np.clip(inwards / rim, 0.0, 1.0).astype(np.float32)
    share = share * share * (3 - 2 * share)
    return np.asarray(outside + (heights - outside) * share, np.float32)


@kernel("void(float32[:,::1], int32[:,::1], float64[::1], float64[:,::1], float64)")
def lay_plane(inverse: Any, surface: Any, eye: Any, rays: Any, level: float) -> None:
    """Begin a picture with sky and level ground.

    :param level: height of the ground [m]
    """
    rows, columns = surface.shape
    drop = max(eye[2] - level, LOWEST_EYE)
    across, least = -rays[2, 0] / drop, 1.0 / FARTHEST
    for v in range(rows):
        row = -(rays[2, 1] * v + rays[2, 2]) / drop
        for u in range(columns):
            near = across * u + row
            ground = near >= least
            inverse[v, u] = near if ground else 0.0
            surface[v, u] = 1 if ground else 0
