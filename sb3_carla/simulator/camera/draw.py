"""Draw faces and ellipsoids into a depth buffer: per pixel the inverse depth and the number of the nearest surface.

Depth w is measured along the camera's axis [m]. ``(point - eye) @ matrix`` is ``(u w, v w, w)``, u and v being pixel
coordinates whose whole numbers are the pixels' centres, and ``eye + w * rays @ (u, v, 1)`` is the point again. Over a
plane the inverse depth is linear in u and v, so every surface's depth is exact at every pixel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_carla.simulator.compiled import inner, kernel

SKY, GROUND, FIRST = 0, 1, 2  # numbers of surfaces; FIRST + i is the i-th entry of the list of drawn faces
NEAR = 0.2  # nothing flat nearer than this is seen [m]
_DETAIL = 7.0  # a body's radius in the picture from which its details are drawn [pixels]
_SMALLEST = 0.7  # and below which it is left out [pixels]
_CONTAINS = 0.35  # a body whose box, enlarged by this, holds the camera is not drawn [m]
_ROUND, _LEAVES = 5, 6  # shapes.Finish
_RAGGED = 9.0  # cells of a crown's edge per radius
_FARTHEST_SHADOW = 120.0  # [m]
_SHADED = 0.03  # a shadow falls on ground whose inverse depth differs by no more than this share


@inner
def _turn(x: float, y: float, z: float, matrix: Any, result: Any) -> None:
    """``(x, y, z) @ matrix``."""
    for m in range(3):
        result[m] = x * matrix[0, m] + y * matrix[1, m] + z * matrix[2, m]


@kernel(
    "boolean(float32[:,::1], int32[:,::1], uint8[:,::1], float64[::1], float64[::1], int64, float64, float64, float64,"
    " int64)"
)
def _fill(
    inverse: Any, surface: Any, shade: Any, us: Any, vs: Any, n: int,
    across: float, down: float, constant: float, number: int,
) -> bool:  # fmt: skip
    """Fill a convex polygon where it is nearest; number 0 darkens the ground there instead. Whether any pixel was."""
    height, width = surface.shape
    low, high, area = vs[0], vs[0], 0.0
    left, right = us[0], us[0]
    j = n - 1
    for i in range(n):
        low, high = min(low, vs[i]), max(high, vs[i])
        left, right = min(left, us[i]), max(right, us[i])
        area += us[j] * vs[i] - us[i] * vs[j]
        j = i
    if area == 0.0 or right < 0.0 or left > width - 1.0 or high < 0.0 or low > height - 1.0:
        return False
    first, last = math.ceil(max(low, 0.0)), math.ceil(min(high, float(height))) - 1
    drawn = False
    for v in range(first, last + 1):
        begin, end = 0.0, float(width)
        j = n - 1
        for i in range(n):
            rise = vs[i] - vs[j]
            if abs(rise) > 1e-9:
                u = us[j] + (v - vs[j]) * ((us[i] - us[j]) / rise)
                if (rise > 0.0) == (area > 0.0):
                    end = min(end, u)
                else:
                    begin = max(begin, u)
            j = i
        start, stop = math.ceil(begin), math.ceil(end)
        row = down * v + constant
        if number == 0:
            for u in range(start, stop):
                depth = inverse[v, u]
                if surface[v, u] == GROUND and abs(across * u + row - depth) < _SHADED * depth:
                    shade[v, u] = 1
        else:
            for u in range(start, stop):
                near = np.float32(across * u + row)
                if near > inverse[v, u]:
                    inverse[v, u] = near
                    surface[v, u] = number
                    drawn = True
    return drawn


@kernel(
    "boolean(float32[:,::1], int32[:,::1], uint8[:,::1], float64[:,::1], int64, float64[::1], float64[:,::1],"
    " float64[:,::1], int64, float64[:,::1])"
)
def _polygon(
    inverse: Any, surface: Any, shade: Any, points: Any, n: int, normal: Any, rays: Any, matrix: Any, number: int,
    work: Any,
) -> bool:  # fmt: skip
    """Draw a flat polygon; whether any pixel of it is seen.

    :param points: (n, 3) corners, world axes, relative to the eye
    :param normal: of the polygon's plane, of any length
    :param work: (4, 12) scratch
    """
    us, vs, h, h0 = work[0], work[1], work[2], work[3]
    _turn(points[n - 1, 0], points[n - 1, 1], points[n - 1, 2], matrix, h0)
    count = 0
    for i in range(n):
        _turn(points[i, 0], points[i, 1], points[i, 2], matrix, h)
        if (h0[2] >= NEAR) != (h[2] >= NEAR):  # cut at the near plane
            t = (NEAR - h0[2]) / (h[2] - h0[2])
            us[count] = (h0[0] + t * (h[0] - h0[0])) / NEAR
            vs[count] = (h0[1] + t * (h[1] - h0[1])) / NEAR
            count += 1
        if h[2] >= NEAR:
            us[count] = h[0] / h[2]
            vs[count] = h[1] / h[2]
            count += 1
        h, h0 = h0, h
    if count < 3:
        return False
    away = normal[0] * points[0, 0] + normal[1] * points[0, 1] + normal[2] * points[0, 2]
    _turn(normal[0] / away, normal[1] / away, normal[2] / away, rays, h)
    return _fill(inverse, surface, shade, us, vs, count, h[0], h[1], h[2], number)


@inner
def _hash(x: int, y: int, z: int) -> int:
    """A number 0 .. 255 that looks random."""
    h = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791)
    h = (h ^ (h >> 13)) * 1274126177
    return ((h ^ (h >> 16)) >> 3) & 255


@inner
def _fill_round(
    inverse: Any, surface: Any, box: Any, e: Any, d: Any, number: int, ragged: bool
) -> bool:  # fmt: skip
    """Fill an ellipsoid where it is nearest.

    :param box: first and last column and row to look at
    :param e: the eye in the ellipsoid's own space, where it is the unit sphere
    :param d: (3, 3) rays in that space
    """
    c = e[0] * e[0] + e[1] * e[1] + e[2] * e[2] - 1.0
    if c <= 0.0:
        return False
    drawn = False
    for v in range(box[2], box[3] + 1):
        x0, y0, z0 = d[0, 1] * v + d[0, 2], d[1, 1] * v + d[1, 2], d[2, 1] * v + d[2, 2]
        for u in range(box[0], box[1] + 1):
            x, y, z = x0 + d[0, 0] * u, y0 + d[1, 0] * u, z0 + d[2, 0] * u
            a = x * x + y * y + z * z
            b = x * e[0] + y * e[1] + z * e[2]
            rest = b * b - a * c
            if rest <= 0.0 or b >= 0.0:
                continue
            near = np.float32((math.sqrt(rest) - b) / c)
            if near <= inverse[v, u]:
                continue
            if ragged and rest < 0.3 * a:
                w = 1.0 / near
                cell = _hash(
                    math.floor((e[0] + w * x) * _RAGGED), math.floor((e[1] + w * y) * _RAGGED),
                    math.floor((e[2] + w * z) * _RAGGED),
                )  # fmt: skip
                if rest < 0.3 * a * cell / 255.0:
                    continue
            inverse[v, u] = near
            surface[v, u] = number
            drawn = True
    return drawn


@inner
def _order(numbers: Any, eye: Any, matrix: Any, focal: float, width: int, height: int, work: Any, lists: Any) -> int:
    """List the bodies that may be in the picture and are not too small in ``lists[0]``, the nearest first; how many."""
    h, steep, sides = work[0], work[1], work[8:12]
    # The four planes that bound what is in sight: u w + w / 2 >= 0 and so on; and how far a metre of radius reaches.
    for k in range(4):
        for m in range(3):
            sides[k, m] = 0.0
    sides[0, 0] = sides[2, 1] = 1.0
    sides[1, 0] = sides[3, 1] = -1.0
    sides[0, 2] = sides[2, 2] = 0.5
    sides[1, 2], sides[3, 2] = width - 0.5, height - 0.5
    for k in range(4):
        total = 0.0
        for m in range(3):
            part = matrix[m, 0] * sides[k, 0] + matrix[m, 1] * sides[k, 1] + matrix[m, 2] * sides[k, 2]
            total += part * part
        steep[k] = math.sqrt(total)
    queue, seen, where, start = lists[0], lists[1], lists[2], lists[3]
    for k in range(130):
        start[k] = 0
    visible = 0
    for i in range(len(numbers)):
        body = numbers[i]
        _turn(body[0] - eye[0], body[1] - eye[1], body[2] - eye[2], matrix, h)
        inside = h[2] >= NEAR - body[6] and focal * body[6] >= _SMALLEST * h[2]
        for k in range(4):
            inside = inside and sides[k, 0] * h[0] + sides[k, 1] * h[1] + sides[k, 2] * h[2] >= -body[6] * steep[k]
        if inside:
            seen[visible] = i
            where[visible] = int(min(max(h[2], 0.0) * 0.25, 128.0))
            start[where[visible] + 1] += 1
            visible += 1
    for k in range(1, 130):
        start[k] += start[k - 1]
    for k in range(visible):
        queue[start[where[k]]] = seen[k]
        start[where[k]] += 1
    return visible


@kernel(
    "int64(float32[:,::1], int32[:,::1], uint8[:,::1], float64[::1], float64[:,::1], float64[:,::1], float64,"
    " float64[:,::1], float64[:,:,::1], int64[:,::1], int64,"
    " float64[:,:,::1], float64[:,::1], float64[::1], int64[::1], int64[::1], int32[:,::1], int64,"
    " float64[:,::1], int64[:,::1])"
)
def draw_bodies(
    inverse: Any, surface: Any, shade: Any, eye: Any, rays: Any, matrix: Any, focal: float,
    numbers: Any, turns: Any, traits: Any, first_body: int,
    corners: Any, normals: Any, offsets: Any, finish: Any, detail: Any, drawn: Any, count: int,
    work: Any, lists: Any,
) -> int:  # fmt: skip
    """Draw bodies into the buffers, the nearest first.

    :param inverse: inverse depth, 0 where there is nothing
    :param surface: numbers of surfaces
    :param numbers: with ``turns``, ``traits``: see ``bodies.Solids``; ``first_body`` is added to the rows in ``drawn``
    :param corners: with ``normals``, ``offsets``, ``finish`` and ``detail``: see ``shapes.Shape``
    :param drawn: list of (body, face) per surface; filled from ``count`` on
    :param work: scratch, (24, 12)
    :param lists: scratch, (4, bodies or more)
    :return: the new count
    """
    height, width = surface.shape
    points, d, normal, e, local, h, box = work[4:8], work[8:11], work[11], work[12], work[13], work[14], lists[1]
    for index in range(_order(numbers, eye, matrix, focal, width, height, work, lists)):
        i = lists[0, index]
        body = numbers[i]
        half, axes = body[3:6], turns[i]
        x, y, z = body[0] - eye[0], body[1] - eye[1], body[2] - eye[2]
        _turn(-x, -y, -z, axes, local)  # the eye in the body's own space
        holds = True
        for m in range(3):
            holds = holds and abs(local[m]) <= half[m] + _CONTAINS
            local[m] /= half[m]
        if holds:
            continue
        large = focal * body[6] > _DETAIL * (x * matrix[0, 2] + y * matrix[1, 2] + z * matrix[2, 2])
        for face in range(traits[i, 0], traits[i, 1]):
            if count >= len(drawn):
                return count
            if detail[face] and not large:
                continue
            if finish[face] < _ROUND:
                n = normals[face]
                if n[0] * local[0] + n[1] * local[1] + n[2] * local[2] <= offsets[face] + 1e-9:  # seen from behind
                    continue
                for k in range(4):
                    corner = corners[face, k]
                    a, b, c = corner[0] * half[0], corner[1] * half[1], corner[2] * half[2]
                    points[k, 0] = x + axes[0, 0] * a + axes[0, 1] * b + axes[0, 2] * c
                    points[k, 1] = y + axes[1, 0] * a + axes[1, 1] * b + axes[1, 2] * c
                    points[k, 2] = z + axes[2, 0] * a + axes[2, 1] * b + axes[2, 2] * c
                a, b, c = n[0] / half[0], n[1] / half[1], n[2] / half[2]
                for m in range(3):
                    normal[m] = axes[m, 0] * a + axes[m, 1] * b + axes[m, 2] * c
                new = _polygon(inverse, surface, shade, points, 4, normal, rays, matrix, FIRST + count, work)
            else:
                middle, size = corners[face, 0], corners[face, 1]
                left, right, top, bottom = 1e9, -1e9, 1e9, -1e9
                behind = beside_left = beside_right = above = below = 0
                for k in range(8):
                    a = (middle[0] + (size[0] if k & 1 else -size[0])) * half[0]
                    b = (middle[1] + (size[1] if k & 2 else -size[1])) * half[1]
                    c = (middle[2] + (size[2] if k & 4 else -size[2])) * half[2]
                    _turn(
                        x + axes[0, 0] * a + axes[0, 1] * b + axes[0, 2] * c,
                        y + axes[1, 0] * a + axes[1, 1] * b + axes[1, 2] * c,
                        z + axes[2, 0] * a + axes[2, 1] * b + axes[2, 2] * c,
                        matrix,
                        h,
                    )
                    behind += h[2] < 0.01
                    beside_left += h[0] < 0.0
                    beside_right += h[0] > (width - 1) * h[2]
                    above += h[1] < 0.0
                    below += h[1] > (height - 1) * h[2]
                    u, v = h[0] / h[2], h[1] / h[2]
                    left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
                if behind == 8 or beside_left == 8 or beside_right == 8 or above == 8 or below == 8:
                    continue
                if behind > 0:  # look everywhere
                    left, right, top, bottom = 0.0, width - 1.0, 0.0, height - 1.0
                box[0], box[1] = math.ceil(max(left, 0.0)), math.floor(min(right, width - 1.0))
                box[2], box[3] = math.ceil(max(top, 0.0)), math.floor(min(bottom, height - 1.0))
                for m in range(3):
                    e[m] = (local[m] - middle[m]) / size[m]
                    shrink = half[m] * size[m]
                    for k in range(3):
                        d[m, k] = (axes[0, m] * rays[0, k] + axes[1, m] * rays[1, k] + axes[2, m] * rays[2, k]) / shrink
                new = _fill_round(inverse, surface, box, e, d, FIRST + count, finish[face] == _LEAVES and large)
            if new:
                drawn[count, 0], drawn[count, 1] = first_body + i, face
                count += 1
    return count


@kernel(
    "int64(float64[::1], float64[:,::1], float64[:,::1], float64[:,:,::1], int64[:,::1], float64[::1], boolean,"
    " float64[:,::1], float64[:,:,::1], float64[:,::1])"
)
def shadow_quads(
    eye: Any, matrix: Any, numbers: Any, turns: Any, quads: Any, sun: Any, long: bool,
    plan: Any, corners: Any, normals: Any,
) -> int:  # fmt: skip
    """The ground under bodies, and where their boxes keep the sun off, as polygons for :func:`draw_polygons`.

    :param quads: :data:`SHADOW_QUADS`
    :param sun: unit vector towards it
    :param long: the sun casts shadows; otherwise only what is under the bodies is dark
    :param plan: scratch
    :param corners: with ``normals``: the result
    :return: how many
    """
    count = 0
    for i in range(len(numbers)):
        body = numbers[i]
        half, axes = body[3:6], turns[i]
        w = 0.0
        for m in range(3):
            w += (body[m] - eye[m]) * matrix[m, 2]
        if w < -body[6] * (7.0 if long else 1.2) or w > _FARTHEST_SHADOW or axes[2, 2] < 0.5:
            continue
        facing = axes[0, 2] * sun[0] + axes[1, 2] * sun[1] + axes[2, 2] * sun[2]
        reach = 1.8 * half[2] / max(facing, 0.15)
        # On the plane that the body stands on: the foot's corners, then the top's, moved along the sun's rays.
        away = 0.0
        for k in range(4):
            a = half[0] * (0.98 if k == 0 or k == 3 else -0.98)
            b = half[1] * (0.98 if k < 2 else -0.98)
            for m in range(3):
                plan[k, m] = body[m] + axes[m, 0] * a + axes[m, 1] * b - axes[m, 2] * half[2]
                plan[4 + k, m] = plan[k, m] - reach * (sun[m] - facing * axes[m, 2])
        for m in range(3):
            away += axes[m, 2] * (plan[0, m] - eye[m])
        if away > -1e-6:
            continue
        for k in range(6 if long else 1):
            for m in range(3):
                normals[count, m] = axes[m, 2]
                for j in range(4):
                    corners[count, j, m] = plan[quads[k, j], m]
            count += 1
    return count


@kernel(
    "int64(float32[:,::1], int32[:,::1], uint8[:,::1], float64[::1], float64[:,::1], float64[:,::1],"
    " float64[:,:,::1], float64[:,::1], int32[:,::1], int64, float64[:,::1])"
)
def draw_polygons(
    inverse: Any, surface: Any, shade: Any, eye: Any, rays: Any, matrix: Any,
    corners: Any, normals: Any, drawn: Any, count: int, work: Any,
) -> int:  # fmt: skip
    """Draw polygons that are seen from both sides; their entries in ``drawn`` are (-1, row).

    :param shade: set to 1 where shadows fall
    :param corners: (n, corners, 3) in the world [m]
    :param normals: (n, 3)
    :param count: how many faces are drawn already; negative: these are shadows on the ground
    :param work: scratch, (24, 12)
    :return: the new count
    """
    points, h = work[4:8], work[8]
    width, n = surface.shape[1], corners.shape[1]
    for i in range(len(normals)):
        if count >= len(drawn):
            return count
        front = left = right = 0
        for k in range(n):
            for m in range(3):
                points[k, m] = corners[i, k, m] - eye[m]
            _turn(points[k, 0], points[k, 1], points[k, 2], matrix, h)
            front += h[2] > NEAR
            left += h[0] < 0.0
            right += h[0] > width * h[2]
        if front == 0 or left == n or right == n:
            continue
        number = FIRST + count if count >= 0 else 0
        if _polygon(inverse, surface, shade, points, n, normals[i], rays, matrix, number, work) and count >= 0:
            drawn[count, 0], drawn[count, 1] = -1, i
            count += 1
    return count


# Which corners of a shadow's plan make its parts: foot, top and the four sides.
SHADOW_QUADS = np.array(((0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)))
