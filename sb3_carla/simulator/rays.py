"""Rays through a town: what lidars and radars meet, as distance, body and angle.

The solids are the boxes of the static scenery and of everything that moves; the ground is a plane on flat maps and a
raster of heights on others.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.geometry import rotation_matrices
from sb3_carla.simulator.ray_kernel import COARSE, GROUND, MOST_CELLS, cast
from sb3_carla.simulator.roads import RoadMap

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_CELL: Final = 8.0  # of the grid that holds the boxes [m]
_MARGIN: Final = 60.0  # of the grid around the roads and the scenery [m]
_MOST_CELLS: Final = 250_000  # a vast town has larger cells
_LABEL_PIXEL: Final = 0.25  # of the raster of ground labels [m]
_MOST_PIXELS: Final = 16_000_000  # of that raster
_HELD: Final = 0.02  # a box, enlarged by this, that holds the sensor is not seen by it [m]
_SPARE: Final = 128  # rows for boxes that move, to begin with

_ROAD_LABEL, _SIDEWALK_LABEL, _TERRAIN_LABEL = 1, 2, 10  # CARLA's semantic labels


class Hits(NamedTuple):
    """What rays met, one entry per ray."""

    distance: Floats  # [m], the reach where nothing was met
    target: Rows  # row of the static bodies, their number + row of the moving ones, GROUND or NOTHING
    cosine: Floats  # of the angle between ray and surface normal, 0..1

    def only(self, which: npt.NDArray[np.bool_]) -> Hits:
        """Those of some of the rays."""
        return Hits(self.distance[which], self.target[which], self.cosine[which])


class RayScene:
    """Everything in a town that rays can meet. Build it once per town.

    :param roads: the map
    :param scenery: static bodies (dtype :data:`sb3_carla.simulator.geometry.BODY`)
    """

    def __init__(self, roads: RoadMap, scenery: npt.NDArray[Any]) -> None:
        self._scenery = scenery
        self.still = len(scenery)  # rows of the bodies that never move
        size = self.still + _SPARE
        self._boxes = np.zeros((size, 15))  # as the kernel has them, see there
        self._centres = np.zeros((size, 3))
        self._enter(0, scenery)
        self._lay_grid(roads)
        self._flat = roads.raster.grid() is None
        self._level = roads.height(*roads.bounds[:2])
        self._measure_ground(roads)
        self._paint_labels(roads)

    def cast(
        self, origin: tuple[float, float, float], directions: Floats, reach: float, bodies: npt.NDArray[Any]
    ) -> Hits:
        """Cast rays from one point.

        :param origin: in the world [m]
        :param directions: (rays, 3), in the world, of length one
        :param reach: of the rays [m]
        :param bodies: what moves (dtype ``BODY``); a body that holds the origin is not seen
        """
        still, count = self.still, self.still + len(bodies)
        self._enter(still, bodies)
        boxes, centres = self._boxes[:count], self._centres[:count]
        start = np.array(origin, np.float64)
        np.einsum("ni,nij->nj", start - centres, _axes(boxes), out=boxes[:, 9:12])
        held = (np.abs(boxes[:, 9:12]) <= boxes[:, 12:] + _HELD).all(axis=1)
        half = _reaches(boxes[still:])
        ceiling = max(self._ceiling, float((centres[still:, 2] + half[:, 2]).max(initial=-math.inf)))
        footprints = np.concatenate([centres[still:] - half, centres[still:] + half], axis=1)[:, [0, 1, 3, 4]]
        rays, moving = len(directions), len(bodies)
        hits = Hits(np.empty(rays), np.empty(rays, np.int64), np.empty(rays))
        cast(
            start, np.ascontiguousarray(directions, np.float64), float(reach), boxes, held,
            still, np.ascontiguousarray(footprints), self._starts, self._items,
            self._left, self._top, self._cell, self._columns, self._rows, ceiling,
            self._flat, self._level, self._heights, self._slopes,
            self._ground_left, self._ground_top, self._ground_cell, self._ground_ceiling,
            *hits, np.full(self._columns * self._rows if moving else 0, -1, np.int32),
            np.empty((MOST_CELLS * moving, 2), np.int32), np.empty(moving, np.int32),
        )  # fmt: skip
        return hits

    def ids_and_labels(
        self, hits: Hits, points: Floats, bodies: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Actor ids (0 for what is no actor) and semantic labels of what rays met.

        :param hits: of :meth:`cast`
        :param points: (rays, 2 or 3), where each ray ended, in the world [m]
        :param bodies: as given to :meth:`cast`
        """
        ids, labels = np.zeros(len(points), np.uint32), np.zeros(len(points), np.uint32)
        solid = hits.target >= 0
        rows = hits.target[solid]
        ids[solid] = np.concatenate([self._scenery["id"], bodies["id"]])[rows]
        labels[solid] = np.concatenate([self._scenery["tag"], bodies["tag"]])[rows]
        ground = hits.target == GROUND
        column, row = ((points[ground, :2] - self._label_origin) / self._label_pixel).astype(np.int64).T
        height, width = self._labels.shape
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        found = np.full(len(column), _TERRAIN_LABEL, np.uint32)
        found[inside] = self._labels[row[inside], column[inside]]
        labels[ground] = found
        return ids, labels

    def _enter(self, first: int, bodies: npt.NDArray[Any]) -> None:
        """Write bodies into the table of boxes from a row on."""
        last = first + len(bodies)
        more = last + _SPARE - len(self._boxes) if last > len(self._boxes) else 0
        if more:
            self._boxes = np.concatenate([self._boxes, np.zeros((more, 15))])
            self._centres = np.concatenate([self._centres, np.zeros((more, 3))])
        self._centres[first:last] = bodies["centre"]
        self._boxes[first:last, 12:] = bodies["extent"]
        self._boxes[first:last, :9] = rotation_matrices(bodies["rotation"]).reshape(-1, 9)

    def _lay_grid(self, roads: RoadMap) -> None:
        """Note which static boxes each cell of the grid may hold."""
        still = self.still
        half = _reaches(self._boxes[:still])
        low, high = (self._centres[:still] - half)[:, :2], (self._centres[:still] + half)[:, :2]
        corner = np.minimum(low.min(axis=0, initial=math.inf), roads.bounds[:2]) - _MARGIN
        far = np.maximum(high.max(axis=0, initial=-math.inf), roads.bounds[2:]) + _MARGIN
        self._cell = max(_CELL, math.sqrt(float((far - corner).prod()) / _MOST_CELLS))
        self._left, self._top = corner.tolist()
        self._columns, self._rows = (int(n) for n in np.ceil((far - corner) / self._cell))
        self._ceiling = float((self._centres[:still, 2] + half[:, 2]).max(initial=-math.inf))
        cells: list[list[int]] = [[] for _ in range(self._columns * self._rows)]
        first, last = (((edge - corner) // self._cell).astype(int).tolist() for edge in (low, high))
        for row, ((i0, j0), (i1, j1)) in enumerate(zip(first, last, strict=True)):
            for j in range(j0, j1 + 1):
                for i in range(i0, i1 + 1):
                    cells[j * self._columns + i].append(row)
        self._starts = np.cumsum([0, *map(len, cells)]).astype(np.int32)
        self._items = np.array([row for cell in cells for row in cell], np.int32)

    def _measure_ground(self, roads: RoadMap) -> None:
        """Take the heights of a hilly map; where roads pass over each other there are two."""
        heights = np.full((1, 2, 2), self._level, np.float32)
        self._ground_left, self._ground_top, self._ground_cell = 0.0, 0.0, 1.0
        grid = roads.raster.grid()
        if grid is not None:
            self._ground_left, self._ground_top, self._ground_cell, _ = grid
            heights = np.array(roads.raster.storeys())
        self._heights = heights
        self._slopes = np.ascontiguousarray([_steepest(storey, self._ground_cell) for storey in heights])
        self._ground_ceiling = float(heights.max()) + 1.0

    def _paint_labels(self, roads: RoadMap) -> None:
        """A raster of the ground's semantic labels; the lines on the roads are not in it."""
        x_min, y_min, x_max, y_max = roads.bounds
        self._label_origin = np.array([x_min, y_min])
        size = np.array([x_max, y_max]) - self._label_origin
        self._label_pixel = max(_LABEL_PIXEL, math.sqrt(float(size.prod()) / _MOST_PIXELS))
        columns, rows = (int(n) + 1 for n in np.ceil(size / self._label_pixel))
        self._labels = np.full((rows, columns), _TERRAIN_LABEL, np.uint8)
        for walkable in (True, False):
            for lane in roads.lanes:
                if lane.kind != "none" and (lane.kind == "sidewalk") is walkable:
                    outline = np.concatenate([lane.inner, lane.outer[::-1]])[:, :2] - self._label_origin
                    pixels = np.rint(outline / self._label_pixel * 16.0 - 8.0).astype(np.int32)
                    cv2.fillPoly(self._labels, [pixels], _SIDEWALK_LABEL if walkable else _ROAD_LABEL, cv2.LINE_8, 4)


def _axes(boxes: Floats) -> Floats:
    """The boxes' matrices (n, 3, 3)."""
    return boxes[:, :9].reshape(-1, 3, 3)


def _reaches(boxes: Floats) -> Floats:
    """How far boxes reach from their centres along the world's axes (n, 3)."""
    return np.asarray(np.einsum("nij,nj->ni", np.abs(_axes(boxes)), boxes[:, 12:]))


def _steepest(heights: npt.NDArray[np.float32], node: float) -> npt.NDArray[np.float32]:
    """The steepest slope among every ``COARSE`` x ``COARSE`` nodes and those around them."""
    rise = np.zeros_like(heights)
    for axis, part in ((0, rise[:-1]), (1, rise[:, :-1])):
        part[...] += np.abs(np.diff(heights, axis=axis)) / node
    rows, columns = (-(-n // COARSE) for n in heights.shape)
    padded = np.pad(rise, ((0, rows * COARSE - rise.shape[0]), (0, columns * COARSE - rise.shape[1])))
    most = padded.reshape(rows, COARSE, columns, COARSE).max(axis=(1, 3))
    return np.asarray(cv2.dilate(most, np.ones((3, 3), np.uint8)), np.float32)
