"""The loop that casts rays, compiled to machine code: boxes found through a grid seen from above, and the ground.

Boxes that stand still are in the grid once and for all; those that move are linked into its cells for one call.
"""

from __future__ import annotations

import math
from typing import Any

from sb3_carla.simulator.compiled import inner, kernel

NOTHING = -1  # targets: what a ray met, a box's row from 0 on
GROUND = -2
COARSE = 8  # nodes of a height raster per node of the raster of its steepest slopes
_REFINEMENTS = 5  # of the point where a ray goes through the ground
MOST_CELLS = 64  # a moving box over more cells than this is tried with every ray


@inner
def _bilinear(grid: Any, storey: int, column: float, row: float) -> float:
    """The height between four nodes; beyond the edge it goes on as it is there."""
    _, rows, columns = grid.shape
    column = min(max(column, 0.0), columns - 1.001)
    row = min(max(row, 0.0), rows - 1.001)
    i, j = int(row), int(column)
    v, u = row - i, column - j
    near = grid[storey, i, j] * (1.0 - u) + grid[storey, i, j + 1] * u
    far = grid[storey, i + 1, j] * (1.0 - u) + grid[storey, i + 1, j + 1] * u
    return float(near * (1.0 - v) + far * v)


@inner
def _meet_surface(
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    start: float,
    reach: float,
    heights: Any,
    slopes: Any,
    storey: int,
    left: float,
    top: float,
    cell: float,
) -> float:
    """The distance at which a ray goes through a height raster from above, ``reach`` if it does not."""
    run = math.sqrt(dx * dx + dy * dy)
    step = cell / max(run, 0.05)
    before = start
    column, row = (x + dx * before - left) / cell, (y + dy * before - top) / cell
    above = z + dz * before - _bilinear(heights, storey, column, row)
    while before < reach:
        j = min(max(int(row) // COARSE, 0), slopes.shape[1] - 1)
        i = min(max(int(column) // COARSE, 0), slopes.shape[2] - 1)
        # The ground nearby is no steeper than ``slopes`` says: so far the ray cannot meet it.
        nearing = slopes[storey, j, i] * run - dz
        stride = step
        if above > 0.0 and nearing * step < above:
            stride = min(COARSE * step, above / nearing if nearing > 0.0 else math.inf)
        after = min(before + stride, reach)
        column, row = (x + dx * after - left) / cell, (y + dy * after - top) / cell
        now = z + dz * after - _bilinear(heights, storey, column, row)
        if above >= 0.0 > now:
            for _ in range(_REFINEMENTS):
                middle = before + (after - before) * above / (above - now)
                height = _bilinear(heights, storey, (x + dx * middle - left) / cell, (y + dy * middle - top) / cell)
                if z + dz * middle >= height:
                    before, above = middle, z + dz * middle - height
                else:
                    after, now = middle, z + dz * middle - height
            return before + (after - before) * above / (above - now)
        above, before = now, after
    return reach


@inner
def _meet_box(dx: float, dy: float, dz: float, boxes: Any, row: int, reach: float) -> tuple[float, float]:
    """The distance at which a ray enters a box, ``reach`` if it does not before, and the cosine on the face."""
    near, far, facing = 0.0, reach, 0.0
    for axis in range(3):
        along = dx * boxes[row, axis] + dy * boxes[row, 3 + axis] + dz * boxes[row, 6 + axis]
        offset, half = boxes[row, 9 + axis], boxes[row, 12 + axis]
        if abs(along) < 1e-12:
            if abs(offset) > half:
                return reach, 0.0
            continue
        one, other = (-half - offset) / along, (half - offset) / along
        if one > other:
            one, other = other, one
        if one > near:
            near, facing = one, abs(along)
        far = min(far, other)
        if near >= far:
            return reach, 0.0
    if facing == 0.0:
        return reach, 0.0  # the ray starts inside
    return near, facing


@kernel(
    "void(f8[::1], f8[:,::1], f8, f8[:,::1], b1[::1], i8, f8[:,::1], i4[::1], i4[::1],"
    " f8, f8, f8, i8, i8, f8, b1, f8, f4[:,:,::1], f4[:,:,::1], f8, f8, f8, f8, f8[::1], i8[::1], f8[::1],"
    " i4[::1], i4[:,::1], i4[::1])"
)
def cast(
    origin: Any,
    directions: Any,
    reach: float,
    boxes: Any,
    skipped: Any,
    still: int,
    footprints: Any,
    starts: Any,
    items: Any,
    left: float,
    top: float,
    cell: float,
    columns: int,
    rows: int,
    ceiling: float,
    flat: bool,
    level: float,
    heights: Any,
    slopes: Any,
    ground_left: float,
    ground_top: float,
    ground_cell: float,
    ground_ceiling: float,
    distance: Any,
    target: Any,
    cosine: Any,
    heads: Any,
    links: Any,
    loose: Any,
) -> None:
    """Cast rays from one point.

    :param origin: (3,) [m]
    :param directions: (rays, 3) of length one
    :param reach: length of the rays [m]
    :param boxes: (boxes, 15) nine for the matrix with a box's axes as columns, three for the origin in these axes and
        three for the half sizes [m]
    :param skipped: (boxes,) not to be met
    :param still: so many of the boxes, the first ones, are in the grid; the others move
    :param footprints: (boxes that move, 4) x and y from, x and y to [m]
    :param starts: (cells + 1,) where a cell's boxes begin in ``items``
    :param items: rows of the boxes that stand still, cell by cell
    :param left: x of the grid's first column [m]
    :param top: y of its first row [m]
    :param cell: its cells' size [m]
    :param columns: of the grid
    :param rows: of the grid
    :param ceiling: no box is higher [m]
    :param flat: the ground is a plane at ``level``
    :param level: of flat ground [m]
    :param heights: (storeys, rows, columns) rasters of the ground; two where roads pass over each other
    :param slopes: (storeys, ...) the steepest rise among every ``COARSE`` nodes and those around them (1 = 45 degrees)
    :param ground_left: x of the rasters' first column [m]
    :param ground_top: y of their first row [m]
    :param ground_cell: between their nodes [m]
    :param ground_ceiling: no ground is higher [m]
    :param distance: (rays,) to be filled [m], ``reach`` where nothing is met
    :param target: (rays,) to be filled: row of a box, ``GROUND`` or ``NOTHING``
    :param cosine: (rays,) to be filled: of the angle between ray and surface normal
    :param heads: (cells,) all -1, scratch: the first link of each cell's boxes that move; empty when nothing moves
    :param links: (``MOST_CELLS`` * boxes that move, 2) scratch: a box and the next link
    :param loose: (boxes that move,) scratch: those that are in no cell
    """
    x, y, z = origin[0], origin[1], origin[2]
    moving = len(footprints)
    linked = wild = 0
    for k in range(moving):
        i0, i1 = math.floor((footprints[k, 0] - left) / cell), math.floor((footprints[k, 2] - left) / cell)
        j0, j1 = math.floor((footprints[k, 1] - top) / cell), math.floor((footprints[k, 3] - top) / cell)
        if i0 < 0 or j0 < 0 or i1 >= columns or j1 >= rows or (i1 - i0 + 1) * (j1 - j0 + 1) > MOST_CELLS:
            loose[wild] = still + k
            wild += 1
            continue
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                links[linked, 0], links[linked, 1] = still + k, heads[j * columns + i]
                heads[j * columns + i] = linked
                linked += 1
    for ray in range(len(directions)):
        dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
        best, met, slant = reach, NOTHING, 0.0
        if flat:
            if dz < 0.0 and z > level:
                at = (level - z) / dz
                if at < best:
                    best, met, slant = at, GROUND, -dz
        else:
            start, end = 0.0, best
            if z > ground_ceiling:
                start = (ground_ceiling - z) / dz if dz < 0.0 else best
            elif dz > 0.0:
                end = min(end, (ground_ceiling - z) / dz)
            for storey in range(len(heights)):
                if start < end:
                    at = _meet_surface(
                        x, y, z, dx, dy, dz, start, end, heights, slopes, storey, ground_left, ground_top, ground_cell
                    )
                    if at < end:
                        end = best = at
                        met = GROUND
                        u, v = (x + dx * at - ground_left) / ground_cell, (y + dy * at - ground_top) / ground_cell
                        rise_x = (
                            _bilinear(heights, storey, u + 0.5, v) - _bilinear(heights, storey, u - 0.5, v)
                        ) / ground_cell
                        rise_y = (
                            _bilinear(heights, storey, u, v + 0.5) - _bilinear(heights, storey, u, v - 0.5)
                        ) / ground_cell
                        length = math.sqrt(1.0 + rise_x * rise_x + rise_y * rise_y)
                        slant = abs(dx * rise_x + dy * rise_y - dz) / length
        for k in range(wild):
            box = loose[k]
            if not skipped[box]:
                at, facing = _meet_box(dx, dy, dz, boxes, box, best)
                if at < best:
                    best, met, slant = at, box, facing
        # From where the ray is in the grid and not above everything ...
        t, end = 0.0, best
        if dz > 0.0:
            end = min(end, (ceiling - z) / dz)
        elif z > ceiling:
            t = (ceiling - z) / dz if dz < 0.0 else end
        for axis in range(2):
            p, d = (x - left, dx) if axis == 0 else (y - top, dy)
            size = cell * (columns if axis == 0 else rows)
            if abs(d) < 1e-12:
                if p < 0.0 or p >= size:
                    t = end
                continue
            one, other = -p / d, (size - p) / d
            t, end = max(t, min(one, other)), min(end, max(one, other))
        if t < end:
            # ... step from cell to cell.
            i = min(max(int((x + dx * t - left) / cell), 0), columns - 1)
            j = min(max(int((y + dy * t - top) / cell), 0), rows - 1)
            next_x = next_y = step_x = step_y = math.inf
            if abs(dx) > 1e-12:
                step_x = cell / abs(dx)
                next_x = (left + (i + (1 if dx > 0.0 else 0)) * cell - x) / dx
            if abs(dy) > 1e-12:
                step_y = cell / abs(dy)
                next_y = (top + (j + (1 if dy > 0.0 else 0)) * cell - y) / dy
            while True:
                here = j * columns + i
                for k in range(starts[here], starts[here + 1]):
                    box = items[k]
                    if not skipped[box]:
                        at, facing = _meet_box(dx, dy, dz, boxes, box, best)
                        if at < best:
                            best, met, slant = at, box, facing
                if moving:
                    link = heads[here]
                    while link >= 0:
                        box = links[link, 0]
                        if not skipped[box]:
                            at, facing = _meet_box(dx, dy, dz, boxes, box, best)
                            if at < best:
                                best, met, slant = at, box, facing
                        link = links[link, 1]
                leave = min(next_x, next_y)
                if leave >= min(best, end):
                    break
                if next_x < next_y:
                    next_x += step_x
                    i += 1 if dx > 0.0 else -1
                    if i < 0 or i >= columns:
                        break
                else:
                    next_y += step_y
                    j += 1 if dy > 0.0 else -1
                    if j < 0 or j >= rows:
                        break
        distance[ray], target[ray], cosine[ray] = best, met, slant
