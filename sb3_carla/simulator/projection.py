"""From the world into the picture: one camera pose, and flat polygons cut at the near plane.

All positions are projected with one matrix: ``(point - eye) @ matrix`` is ``(u w, v w, w)``, with w the distance along the
camera's axis [m] and u, v OpenCV's pixel coordinates (a pixel's centre has whole numbers) times 2**SHIFT.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.weather import Look

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.int32]

NEAR = 0.2  # nothing nearer than this is seen [m]
SHIFT = 4  # fractional bits of the polygons' coordinates


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
    """Polygons to be painted. Their order is that of ``keys``, and among equal keys that of this list."""

    keys: Floats  # (n,) squared distance in plan: larger ones are painted first
    corners: list[Pixels]  # n arrays (m, 2), fixed point with SHIFT fractional bits
    colours: Floats  # (n, 4) B, G, R, A, lit but without haze; zeros where no look was given
    depths: Floats  # (n,) [m]
    tags: npt.NDArray[np.uint8]  # (n,) CARLA's semantic labels


def lit(colours: Floats, normals: Floats, look: Look) -> Floats:
    """Faces' colours (n, 3) with an alpha of 255 in the light of a weather."""
    result = np.full((len(colours), 4), 255.0)
    gain = 1.0 + look.contrast * (normals @ np.array(look.sun) - 0.55)
    result[:, :3] = colours * np.array(look.light) * gain[:, None]
    return np.minimum(result, 255.0)


def cut(corners: Floats) -> Floats:
    """The part of a projected polygon (n, 3) that lies beyond NEAR: (m, 3), empty when nothing does."""
    kept: list[Floats] = []
    for i in range(len(corners)):
        a, b = corners[i - 1], corners[i]
        if (a[2] >= NEAR) != (b[2] >= NEAR):
            kept.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
        if b[2] >= NEAR:
            kept.append(b)
    return np.array(kept).reshape(-1, 3)


def project(
    view: View, homogeneous: Floats, chosen: npt.NDArray[np.bool_] | None = None
) -> tuple[list[Pixels], npt.NDArray[np.int64]]:
    """Faces whose corners were multiplied with the view's matrix, as polygons.

    :param view: camera
    :param homogeneous: (n, 4, 3) corners
    :param chosen: (n,) which faces to look at (default: all)
    :return: the polygons that may be in the picture, and the indices of their faces; cut ones come last
    """
    depth = homogeneous[..., 2]
    whole = depth.min(axis=1) >= NEAR
    across = homogeneous[..., 0] / np.maximum(depth, NEAR)
    # Left and right only: what is above or below the picture is rare, and OpenCV clips it.
    seen = whole & (across.max(axis=1) >= -(2**SHIFT)) & (across.min(axis=1) <= view.width * 2**SHIFT)
    if chosen is not None:
        seen &= chosen
    index = seen.nonzero()[0]
    faces = homogeneous[index]
    polygons = list((faces[..., :2] / faces[..., 2:]).astype(np.int32))
    if not whole.all():
        crossing = ~whole & (depth.max(axis=1) > NEAR)
        if chosen is not None:
            crossing &= chosen
        extra = crossing.nonzero()[0]
        for i in extra.tolist():
            part = cut(homogeneous[i])
            # Beyond a few million pixels the direction of an edge changes nothing that is seen.
            polygons.append(np.clip(part[:, :2] / part[:, 2:], -1e8, 1e8).astype(np.int32))
        index = np.concatenate([index, extra])
    return polygons, index
