"""How a body (a plain box to the physics) looks: its faces in units of the box, with their own colours.

A shape lists flat faces with four corners each, in the order in which they may be painted over each other. Corners are
in the body's own axes divided by its half sizes: x = 1 is the front, y = 1 the right side, z = 1 the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Box = tuple[float, float, float, float, float, float]  # x, y, z from - to, in units of the body's box

SHADOW_TAG = 0  # a shadow is seen by the colour camera only: it has no label of its own

_GLASS = (58.0, 50.0, 44.0)  # all colours here: B, G, R
_TYRE = (26.0, 25.0, 25.0)
_FRONT_LIGHT = (220.0, 240.0, 244.0)
_REAR_LIGHT = (36.0, 30.0, 205.0)
_SHADOW = (52.0, 51.0, 50.0)
_CLOTH = (74.0, 62.0, 58.0)
_SKIN = (140.0, 168.0, 208.0)
_CARGO = (214.0, 214.0, 210.0)


class Shape(NamedTuple):
    """The faces of one kind of body."""

    corners: Floats  # (n, 4, 3)
    normals: Floats  # (n, 3), unit length, outwards
    offsets: Floats  # (n,) normals . a corner
    own: Floats  # (n, 3) B, G, R of faces that have a colour of their own
    painted: npt.NDArray[np.bool_]  # (n,) faces in the body's colour
    shadow: npt.NDArray[np.bool_]  # (n,)
    detail: npt.NDArray[np.bool_]  # (n,) faces that are left out when the body is small in the picture


class _Face(NamedTuple):
    corners: Sequence[tuple[float, float, float]]
    colour: tuple[float, float, float] | None = None  # None: the body's
    detail: bool = False
    shadow: bool = False


def _frustum(
    base: Box, top: tuple[float, float, float, float], sides: tuple[float, float, float] | None = None
) -> list[_Face]:
    """A box whose top (x from - to, y from - to) may be smaller than its base: rear, front, left, right, top.

    ``sides`` colours all but the top.
    """
    x0, x1, y0, y1, z0, z1 = base
    a0, a1, b0, b1 = top
    return [
        _Face([(x0, y0, z0), (x0, y1, z0), (a0, b1, z1), (a0, b0, z1)], sides),
        _Face([(x1, y1, z0), (x1, y0, z0), (a1, b0, z1), (a1, b1, z1)], sides),
        _Face([(x1, y0, z0), (x0, y0, z0), (a0, b0, z1), (a1, b0, z1)], sides),
        _Face([(x0, y1, z0), (x1, y1, z0), (a1, b1, z1), (a0, b1, z1)], sides),
        _Face([(a0, b0, z1), (a0, b1, z1), (a1, b1, z1), (a1, b0, z1)]),
    ]


def _box(box: Box, colour: tuple[float, float, float] | None = None) -> list[_Face]:
    return [face._replace(colour=colour) for face in _frustum(box, box[:4])]


def _shadow(length: float = 1.06, width: float = 1.12) -> _Face:
    """A dark patch under the body: it makes a car stand on the road instead of floating over it."""
    corners = [(-length, -width, -1.0), (-length, width, -1.0), (length, width, -1.0), (length, -width, -1.0)]
    return _Face(corners, _SHADOW, shadow=True)


def _wheels(front: float, rear: float, radius: float, height: float) -> list[_Face]:
    """Four dark patches on the sides."""
    faces = []
    for x in (front, rear):
        a, b = x - radius, x + radius
        faces.append(_Face([(b, -1.01, -1.0), (a, -1.01, -1.0), (a, -1.01, height), (b, -1.01, height)], _TYRE, True))
        faces.append(_Face([(a, 1.01, -1.0), (b, 1.01, -1.0), (b, 1.01, height), (a, 1.01, height)], _TYRE, True))
    return faces


def _lights(low: float, high: float) -> list[_Face]:
    """White patches in front and red ones behind."""
    faces = []
    for a, b in ((-0.92, -0.5), (0.5, 0.92)):
        faces.append(_Face([(-1.01, a, low), (-1.01, b, low), (-1.01, b, high), (-1.01, a, high)], _REAR_LIGHT, True))
        faces.append(_Face([(1.01, b, low), (1.01, a, low), (1.01, a, high), (1.01, b, high)], _FRONT_LIGHT, True))
    return faces


def _shape(faces: Sequence[_Face]) -> Shape:
    corners = np.array([face.corners for face in faces], float)
    # Every face above is listed clockwise as seen from outside (in left-handed axes), so this points outwards.
    normals = np.cross(corners[:, 3] - corners[:, 0], corners[:, 1] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Shape(
        corners,
        normals,
        np.einsum("ij,ij->i", normals, corners[:, 0]),
        np.array([face.colour or (0.0, 0.0, 0.0) for face in faces]),
        np.array([face.colour is None for face in faces]),
        np.array([face.shadow for face in faces]),
        np.array([face.detail for face in faces]),
    )


_BOTTOM = [(-1.0, -1.0, -1.0), (1.0, -1.0, -1.0), (1.0, 1.0, -1.0), (-1.0, 1.0, -1.0)]
BOX = _shape([*_box((-1, 1, -1, 1, -1, 1)), _Face(_BOTTOM)])

CAR = _shape(
    [
        _shadow(),
        *_box((-1, 1, -1, 1, -0.72, 0.12)),
        *_wheels(0.62, -0.62, 0.15, -0.28),
        *_lights(-0.3, -0.02),
        *_frustum((-0.86, 0.42, -0.92, 0.92, 0.12, 1.0), (-0.62, 0.12, -0.76, 0.76), _GLASS),
    ]
)

TRUCK = _shape(
    [
        _shadow(),
        *_box((0.55, 1, -0.96, 0.96, -0.8, 0.1)),
        *_frustum((0.55, 1, -0.96, 0.96, 0.1, 0.62), (0.55, 0.93, -0.9, 0.9), _GLASS),
        *_box((-1, 0.52, -1, 1, -0.72, 1), _CARGO),
        *_wheels(0.72, -0.6, 0.1, -0.5),
        *_lights(-0.62, -0.42),
    ]
)

CYCLE = _shape(
    [
        _shadow(0.9, 0.8),
        *_box((-1, -0.36, -0.16, 0.16, -1, -0.28), _TYRE),
        *_box((0.36, 1, -0.16, 0.16, -1, -0.28), _TYRE),
        *_box((-0.7, 0.72, -0.3, 0.3, -0.6, 0.02)),
        *_box((-0.4, 0.1, -0.7, 0.7, -0.05, 0.62), _CLOTH),
        *_box((-0.25, 0.1, -0.35, 0.35, 0.62, 1.0), _SKIN),
    ]
)

PERSON = _shape(
    [
        _shadow(1.3, 1.3),
        *_box((-0.5, 0.5, -0.75, 0.75, -1, -0.1), _CLOTH),
        *_box((-0.6, 0.6, -1, 1, -0.1, 0.66)),
        *_box((-0.4, 0.4, -0.4, 0.4, 0.7, 1.0), _SKIN),
    ]
)

# By CARLA's semantic label; everything else is a plain box.
SHAPES = {12: PERSON, 13: PERSON, 14: CAR, 15: TRUCK, 16: TRUCK, 18: CYCLE, 19: CYCLE}
