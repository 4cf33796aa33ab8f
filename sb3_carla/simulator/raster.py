"""A raster over the map that answers what the road is like at a point, in about a microsecond."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.lanes import Floats, Lane

SILENT_LIMIT_KMH = 30.0  # where the map names no speed limit: 0 would park every NPC

_CELL = 2.0  # between the nodes [m]
_MARGIN = 40.0  # around the outermost lanes [m]
_STOREY = 2.5  # a road this much above another one passes over it [m]

Grid = npt.NDArray[np.float32]


class RoadRaster:
    """Heights, slopes and speed limits.

    :param lanes: all lanes of the map
    :param speeds: per road id the limits that the map names: (s from which it holds [m], limit [km/h])
    """

    def __init__(self, lanes: list[Lane], speeds: dict[int, tuple[tuple[float, float], ...]]) -> None:
        edges = np.concatenate([part for lane in lanes for part in (lane.inner, lane.outer)])
        low, high = edges[:, :2].min(axis=0), edges[:, :2].max(axis=0)
        self.bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        self._x, self._y = self.bounds[0] - _MARGIN, self.bounds[1] - _MARGIN
        columns, rows = np.ceil((high - low + 2 * _MARGIN) / _CELL).astype(int) + 1
        self._shape = (int(rows), int(columns))
        self.level = float(np.median(edges[:, 2]))
        self._flat = bool(np.abs(edges[:, 2] - self.level).max() < 0.01)
        if not self._flat:
            self._lower, self._upper = self._storeys(edges)
        driving = [lane for lane in lanes if lane.kind == "driving"]
        limits = np.concatenate([_limits(lane, speeds.get(lane.road, ())) for lane in driving])
        self._limits, _ = self._spread(np.concatenate([lane.centre[:, :2] for lane in driving]), limits)

    def grid(self) -> tuple[float, float, float, Grid] | None:
        """The heights of the lower storey, or None where everything is at height :attr:`level`.

        :return: x and y of the first node, the step between nodes [m], heights (rows, columns): x grows with the column
        """
        return None if self._flat else (self._x, self._y, _CELL, self._lower)

    def storeys(self) -> tuple[Grid, ...]:
        """The heights on :meth:`grid`, of the lower storey and, where roads pass over each other, of the upper one."""
        return () if self._flat else (self._lower,) if self._upper is self._lower else (self._lower, self._upper)

    def overpass(self, points: Floats) -> npt.NDArray[np.bool_]:
        """Which of some points (n, 3) of roads lie on a road that passes over another one."""
        if self._flat or self._upper is self._lower:
            return np.zeros(len(points), bool)
        column, row = self._cells(points[:, :2])
        lower, upper = self._lower[row, column], self._upper[row, column]
        return np.asarray((upper > lower + _STOREY / 2) & (points[:, 2] > (lower + upper) / 2))

    def _storeys(self, points: Floats) -> tuple[Grid, Grid]:
        """The heights of the lowest road at each place, and of the highest where another one passes over it."""
        column, row = self._cells(points[:, :2])
        floor = np.full(self._shape, np.inf, np.float32)
        np.minimum.at(floor, (row, column), points[:, 2])
        floor = np.asarray(cv2.erode(floor, np.ones((5, 5), np.uint8)), np.float32)  # the lowest within two cells
        above = points[:, 2] > floor[row, column] + _STOREY
        lower, _ = self._spread(points[~above, :2], points[~above, 2], smooth=True)
        if not above.any():
            return lower, lower
        upper, distance = self._spread(points[above, :2], points[above, 2], smooth=True)
        return lower, np.where(distance <= 2, upper, lower)

    def _spread(self, points: Floats, values: Floats, smooth: bool = False) -> tuple[Grid, Grid]:
        """A grid of the value at the nearest point, and how many cells off that point is.

        :param smooth: take a weighted mean around each point
        """
        column, row = self._cells(points)
        empty = np.full(self._shape, 255, np.uint8)
        empty[row, column] = 0
        seeds = empty == 0
        raster = np.zeros(self._shape, np.float32)
        raster[row, column] = values
        if smooth:
            total, weight = np.zeros(self._shape), np.zeros(self._shape)
            np.add.at(total, (row, column), values)
            np.add.at(weight, (row, column), 1.0)
            near = [np.asarray(cv2.GaussianBlur(grid, (0, 0), 1.0)) for grid in (total, weight)]
            raster[seeds] = near[0][seeds] / near[1][seeds]
        distance, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        by_label = np.zeros(int(labels.max()) + 1, np.float32)
        by_label[labels[seeds]] = raster[seeds]
        return by_label[labels], np.asarray(distance, np.float32)

    def _cells(self, points: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns and rows of the nodes nearest to points (n, 2)."""
        column, row = np.rint((points - (self._x, self._y)) / _CELL).astype(np.int64).T
        return column, row

    def _cell(self, x: float, y: float) -> tuple[float, float]:
        """Column and row (with fractions) of a point, moved to the raster's edge where it lies outside."""
        rows, columns = self._shape
        column = min(max((x - self._x) / _CELL, 0.0), columns - 1.001)
        row = min(max((y - self._y) / _CELL, 0.0), rows - 1.001)
        return column, row

    def height(self, x: float, y: float, z: float | None) -> float:
        """The height [m] of the lowest road nearby, or of the one nearest to height ``z``."""
        if self._flat:
            return self.level
        lower = self._height(self._lower, x, y)
        if z is None or self._upper is self._lower:
            return lower
        upper = self._height(self._upper, x, y)
        return upper if abs(upper - z) < abs(lower - z) else lower

    def _height(self, grid: Grid, x: float, y: float) -> float:
        """Bilinear, so that a car does not climb stairs."""
        column, row = self._cell(x, y)
        i, j = int(row), int(column)
        v, u = row - i, column - j
        near = grid.item(i, j) * (1 - u) + grid.item(i, j + 1) * u
        far = grid.item(i + 1, j) * (1 - u) + grid.item(i + 1, j + 1) * u
        return near * (1 - v) + far * v

    def slope(self, x: float, y: float, z: float | None) -> tuple[float, float]:
        """How steeply that road rises along x and y."""
        if self._flat:
            return 0.0, 0.0
        rise_x = self.height(x + _CELL, y, z) - self.height(x - _CELL, y, z)
        rise_y = self.height(x, y + _CELL, z) - self.height(x, y - _CELL, z)
        return rise_x / (2 * _CELL), rise_y / (2 * _CELL)

    def limit(self, x: float, y: float) -> float:
        """The speed limit [km/h] on the nearest driving lane."""
        column, row = self._cell(x, y)
        return self._limits.item(round(row), round(column))


def _limits(lane: Lane, speeds: tuple[tuple[float, float], ...]) -> Floats:
    """The speed limit [km/h] at each station of a lane."""
    limits = np.full(len(lane.s), SILENT_LIMIT_KMH)
    for start, limit in speeds:
        limits[lane.s >= start] = limit
    return limits
