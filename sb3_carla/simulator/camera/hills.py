"""Trace each pixel's ray to hilly ground. Imported, and so compiled, for maps that need it only."""

from __future__ import annotations

import math
from typing import Any

from sb3_carla.simulator.camera.terrain import FARTHEST, LOWEST_EYE
from sb3_carla.simulator.compiled import inner, kernel

_SLACK = 0.97  # a ray starts at this share of the depth at which its lower neighbours met the ground
_CLOSE = 1.5  # and so much nearer [m]


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
    enter, leave = 0.0, FARTHEST
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
    if plane > FARTHEST:
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

    :param place: with ``heights``, ``maxima`` and ``table``: see ``terrain.Terrain``
    :param work: scratch
    :param depths: scratch, (2, columns)
    :param upright: what is higher in the picture is farther, so that a pixel's ray may start where those below ended
    """
    rows, columns = surface.shape
    x, y = eye[0], eye[1]
    z = max(eye[2], height_at(place, heights, x, y) + LOWEST_EYE)
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
            if start < FARTHEST:
                depth = trace(place, heights, maxima, table, x, y, z, ray, max(start, 0.0))
            ground = depth < FARTHEST
            inverse[v, u] = 1.0 / max(depth, 1e-3) if ground else 0.0
            surface[v, u] = 1 if ground else 0
            now[u] = depth
        before, now = now, before
