"""The ground's shape: a plane where the map is flat, elsewhere a grid of heights that each pixel's ray is traced to."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.compiled import inner, kernel
from sb3_carla.simulator.raster import RoadRaster

_FARTHEST = 3000.0  # ground is seen up to this depth [m]
_LOWEST_EYE = 0.05  # over the ground [m]
_SLACK = 0.97  # a ray starts at this share of the depth at which its lower neighbours met the ground
_CLOSE = 1.5  # and so much nearer [m]
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
    drop = max(eye[2] - level, _LOWEST_EYE)
    across, least = -rays[2, 0] / drop, 1.0 / _FARTHEST
    for v in range(rows):
        row = -(rays[2, 1] * v + rays[2, 2]) / drop
        for u in range(columns):
            near = across * u + row
            ground = near >= least
            inverse[v, u] = near if ground else 0.0
            surface[v, u] = 1 if ground else 0


@inner
def height_at(place: Any, heights: Any, x: float, y: float) -> float:
    """The ground's height at a point."""
    j, i = (x - place[0]) / place[2], (y - place[1]) / place[2]
    if not (0.0 <= j < heights.shape[1] - 1 and 0.0 <= i < heights.shape[0] - 1):
        return float(place[3])
    a, b = int(i), int(j)
    v, u = i - a, j - b
    near = heights[a, b] * (1.0 - u) + heights[a, b + 1] * u
    far = heights[a + 1, b] * (1.0 - u) + heights[a + 1, b + 1] * u
    return float(near * (1.0 - v) + far * v)


@inner
def trace(place: Any, heights: Any, maxima: Any, table: Any, x: float, y: float, z: float, ray: Any, w: float) -> float:
    """The depth at which ``(x, y, z) + depth * ray`` first meets the ground, from depth w on; inf for never."""
    step = place[2]
    rows, columns = heights.shape[0] - 1, heights.shape[1] - 1
    ox, oy = (x - place[0]) / step, (y - place[1]) / step
    dx, dy, dz = ray[0] / step, ray[1] / step, ray[2]
    # The part of the ray over the grid.
    enter, leave = 0.0, _FARTHEST
    for side in range(2):
        o, d, size = (ox, dx, columns) if side == 0 else (oy, dy, rows)
        if abs(d) < 1e-12:
            if o < 0.0 or o > size:
                leave = -1.0
        else:
            first, last = -o / d, (size - o) / d
            enter, leave = max(enter, min(first, last)), min(leave, max(first, last))
    # Level ground outside.
    plane = (place[3] - z) / dz if dz < 0.0 else math.inf
    if plane > _FARTHEST:
        plane = math.inf
    if max(enter, w) >= leave or 0.0 <= plane < enter:
        return max(plane, w)
    at, level, top = max(enter, w), 0, len(table) - 1
    while at < leave:
        gx, gy = ox + dx * at, oy + dy * at
        size = float(1 << level)
        j, i = math.floor(gx / size), math.floor(gy / size)
        j, i = min(max(j, 0), table[level, 2] - 1), min(max(i, 0), table[level, 1] - 1)
        out = leave
        if dx != 0.0:
            out = min(out, ((j + 1 if dx > 0.0 else j) * size - ox) / dx)
        if dy != 0.0:
            out = min(out, ((i + 1 if dy > 0.0 else i) * size - oy) / dy)
        out = max(out, at)
        if min(z + dz * at, z + dz * out) > maxima[table[level, 0] + i * table[level, 2] + j]:
            at = out + 1e-9 + 1e-9 * out  # over into the next cell
            if level < top:
                level += 1
        elif level > 0:
            level -= 1
        else:
            # Over one cell the ray's clearance is quadratic in the way: f0 + b t + a t t with t from 0 to 1.
            f0 = z + dz * at - height_at(place, heights, x + ray[0] * at, y + ray[1] * at)
            if f0 <= 0.0:
                return at
            middle, inside = 0.5 * (at + out), out - 1e-9
            fm = z + dz * middle - height_at(place, heights, x + ray[0] * middle, y + ray[1] * middle)
            f1 = z + dz * inside - height_at(place, heights, x + ray[0] * inside, y + ray[1] * inside)
            a, b = 2.0 * (f0 + f1) - 4.0 * fm, 4.0 * fm - 3.0 * f0 - f1
            root = b * b - 4.0 * a * f0
            if root >= 0.0:
                q = -0.5 * (b + math.copysign(math.sqrt(root), b))
                t = 2.0
                if q != 0.0 and 0.0 <= f0 / q <= 1.0:
                    t = f0 / q
                if a != 0.0 and 0.0 <= q / a <= 1.0:
                    t = min(t, q / a)
                if t <= 1.0:
                    return at + t * (out - at)
            at = out + 1e-9 + 1e-9 * out
            level = 1
    return max(plane, leave)


@kernel(
    "void(float32[:,::1], int32[:,::1], float64[::1], float64[:,::1], float64[::1], float32[:,::1], float32[::1],"
    " int64[:,::1], float64[:,::1], float64[:,::1], boolean)"
)
def lay_terrain(
    inverse: Any, surface: Any, eye: Any, rays: Any, place: Any, heights: Any, maxima: Any, table: Any,
    work: Any, depths: Any, upright: bool,
) -> None:  # fmt: skip
    """Begin a picture with sky and hilly ground.

    :param place: with ``heights``, ``maxima`` and ``table``: see :class:`Terrain`
    :param work: scratch
    :param depths: scratch, (2, columns)
    :param upright: what is higher in the picture is farther, so that a pixel's ray may start where those below ended
    """
    rows, columns = surface.shape
    x, y = eye[0], eye[1]
    z = max(eye[2], height_at(place, heights, x, y) + _LOWEST_EYE)
    ray, before, now = work[0], depths[0], depths[1]
    for v in range(rows - 1, -1, -1):
        for u in range(columns):
            for m in range(3):
                ray[m] = rays[m, 0] * u + rays[m, 1] * v + rays[m, 2]
            start = 0.0
            if upright and v < rows - 1:
                start = min(before[u], min(before[max(u - 1, 0)], before[min(u + 1, columns - 1)]))
                start = start * _SLACK - _CLOSE
            depth = math.inf
            if start < _FARTHEST:
                depth = trace(place, heights, maxima, table, x, y, z, ray, max(start, 0.0))
            ground = depth < _FARTHEST
            inverse[v, u] = 1.0 / max(depth, 1e-3) if ground else 0.0
            surface[v, u] = 1 if ground else 0
            now[u] = depth
        before, now = now, before
