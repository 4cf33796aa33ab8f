"""From the world into the picture: one camera pose, and flat polygons cut at the near plane.

All positions are projected with one matrix: ``(point - eye) @ matrix`` is ``(u w, v w, w)``, with w the distance along
the camera's axis [m] and u, v OpenCV's pixel coordinates (a pixel's centre has whole numbers) times 2**SHIFT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.weather import Look

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.int32]
Canvas = npt.NDArray[np.uint8] | npt.NDArray[np.int32]

NEAR = 0.2  # nothing nearer than this is seen [m]
SHIFT = 4  # fractional bits of the polygons' coordinates
_BEYOND = 1e8  # fixed-point coordinates further out than this change nothing that is seen


class View(NamedTuple):
    """One pose of one camera."""

    eye: Floats  # (3,) [m]
    axes: Floats  # (3, 3): columns are the camera's forward, right and up in world axes
    matrix: Floats  # (3, 3), see the module's docstring
    focal: float  # [pixels]
    width: int
    height: int
    ground: float  # height of the ground below the camera [m]


class Polygons(NamedTuple):
    """Polygons to be painted, and which thing each of them shows."""

    corners: list[Pixels]  # n arrays (m, 2), fixed point with SHIFT fractional bits
    things: Indices  # (n,) which one each polygon shows
    away: Floats  # (n,) distance in plan [m]: larger ones are painted first, equal ones in this order


def lit(colours: Floats, facing: Floats, look: Look) -> Floats:
    """Faces' colours (n, 3) with an alpha of 255 in the light of a weather.

    :param colours: (n, 3) unlit
    :param facing: (n,) cosines between the faces' normals and the direction of the sun
    :param look: weather
    """
    result = np.empty((len(colours), 4))
    gain = 1.0 + look.contrast * (facing - 0.55)
    result[:, :3] = colours * np.array(look.light) * gain[:, None]
    result[:, 3] = 255.0
    return np.minimum(result, 255.0, out=result)


def hazy(colours: Floats, distance: Floats, look: Look) -> list[list[float]]:
    """Colours (n, 4) as they look from so far away, as OpenCV wants them."""
    share = look.haze_at(distance)[:, None]
    paints: list[list[float]] = (colours + (np.array([*look.horizon, 255.0]) - colours) * share).tolist()
    return paints


def paint(
    canvas: Canvas,
    corners: Sequence[Pixels | list[Pixels]],
    paints: Sequence[list[float] | float],
    away: Floats,
) -> None:
    """Fill polygons, the farthest first; a list of polygons is filled as one."""
    for i in np.argsort(-away, kind="stable").tolist():
        shape = corners[i]
        if type(shape) is list:
            cv2.fillPoly(canvas, shape, paints[i], cv2.LINE_8, SHIFT)
        else:
            cv2.fillConvexPoly(canvas, shape, paints[i], cv2.LINE_8, SHIFT)


def cut(corners: Floats) -> Pixels:
    """The part of a projected polygon (3, n) that lies beyond NEAR, as corners (m, 2); there must be one."""
    us, vs, ws = corners.tolist()
    kept = []
    for i in range(len(ws)):
        u, v, w = us[i], vs[i], ws[i]
        if (ws[i - 1] >= NEAR) != (w >= NEAR):
            t = (NEAR - ws[i - 1]) / (w - ws[i - 1])
            kept.append(((us[i - 1] + t * (u - us[i - 1])) / NEAR, (vs[i - 1] + t * (v - vs[i - 1])) / NEAR))
        if w >= NEAR:
            kept.append((u / w, v / w))
    return np.array([(_fixed(u), _fixed(v)) for u, v in kept], np.int32)


def _fixed(value: float) -> int:
    return int(min(max(value, -_BEYOND), _BEYOND))


def project(view: View, homogeneous: Floats, chosen: Bools | None = None) -> tuple[list[Pixels], Indices]:
    """Polygons whose corners were multiplied with the view's matrix.

    :param view: camera
    :param homogeneous: (3, corners, n): the first axis is (u w, v w, w)
    :param chosen: (n,) which polygons to look at (default: all)
    :return: what may be in the picture, and the indices of these polygons; cut ones come last
    """
    across, _, depth = homogeneous
    # Left and right of the picture only, as planes through the eye, which hold for corners behind it too. What is above
    # or below is rare, and OpenCV clips it.
    seen = (across.max(axis=0) >= 0.0) & ((across - (view.width << SHIFT) * depth).min(axis=0) <= 0.0)
    if chosen is not None:
        seen &= chosen
    whole = depth.min(axis=0) >= NEAR
    index = (seen & whole).nonzero()[0]
    chosen_corners = homogeneous[:, :, index]
    points = (chosen_corners[:2] / chosen_corners[2]).astype(np.int32)
    polygons = list(np.ascontiguousarray(points.transpose(2, 1, 0)))
    if len(index) != np.count_nonzero(seen):
        crossing = (seen & ~whole).nonzero()[0]
        crossing = crossing[depth[:, crossing].max(axis=0) > NEAR]
        polygons += [cut(homogeneous[:, :, i]) for i in crossing.tolist()]
        index = np.concatenate([index, crossing])
    return polygons, index
