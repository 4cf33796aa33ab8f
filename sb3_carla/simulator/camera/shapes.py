"""How a body (a plain box to the physics) looks: flat faces and rounded parts in units of the box.

Corners are in the body's own axes divided by its half sizes: x = 1 is the front, y = 1 the right side, z = 1 the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Colour = tuple[float, float, float]  # B, G, R
Box = tuple[float, float, float, float, float, float]  # x, y, z from - to, in units of the body's box


class Finish(IntEnum):
    """What a face is made of, for the colour camera."""

    PLAIN = 0
    WALL = 1  # of a house: windows
    ROOF = 2  # flat, of a house
    GLASS = 3  # mirrors the sky
    GLOW = 4  # shines by itself, by day and by night
    ROUND = 5  # an ellipsoid; all from here on are
    LEAVES = 6  # an ellipsoid with a ragged edge
    BULB = 7  # an ellipsoid that shines by itself


class Shape(NamedTuple):
    """The faces of one kind of body, or those of all kinds one below the other."""

    corners: Floats  # (n, 4, 3); of an ellipsoid: its middle, its half sizes, unused
    normals: Floats  # (n, 3) outwards; 0 for ellipsoids
    offsets: Floats  # (n,) normals . a corner
    colours: Floats  # (n, 3) B, G, R; negative: the body's own colour times this
    finish: npt.NDArray[np.int64]  # (n,) see :class:`Finish`
    detail: npt.NDArray[np.int64]  # (n,) 1 for what is left out when the body is small in the picture


class _Face(NamedTuple):
    corners: Sequence[tuple[float, float, float]]
    colour: Colour | float = 1.0  # its own, or a gain on the body's
    detail: bool = False
    finish: Finish = Finish.PLAIN


_GLASS: Colour = (62.0, 54.0, 48.0)
_TYRE: Colour = (28.0, 27.0, 27.0)
_RIM: Colour = (150.0, 148.0, 146.0)
_TRIM: Colour = (40.0, 40.0, 42.0)
_FRONT_LIGHT: Colour = (226.0, 242.0, 246.0)
_REAR_LIGHT: Colour = (40.0, 34.0, 205.0)
_PLATE: Colour = (216.0, 222.0, 224.0)
_CLOTH: Colour = (84.0, 66.0, 58.0)
_SKIN: Colour = (140.0, 168.0, 208.0)
_HAIR: Colour = (36.0, 48.0, 62.0)
_CARGO: Colour = (214.0, 214.0, 210.0)


def _frustum(
    base: Box,
    top: tuple[float, float, float, float],
    colour: Colour | float = 1.0,
    roof: Colour | float | None = None,
    finish: Finish = Finish.PLAIN,
) -> list[_Face]:
    """A box whose top (x from - to, y from - to) may be smaller than its base: rear, front, left, right, top."""
    x0, x1, y0, y1, z0, z1 = base
    a0, a1, b0, b1 = top
    return [
        _Face([(x0, y0, z0), (x0, y1, z0), (a0, b1, z1), (a0, b0, z1)], colour, finish=finish),
        _Face([(x1, y1, z0), (x1, y0, z0), (a1, b0, z1), (a1, b1, z1)], colour, finish=finish),
        _Face([(x1, y0, z0), (x0, y0, z0), (a0, b0, z1), (a1, b0, z1)], colour, finish=finish),
        _Face([(x0, y1, z0), (x1, y1, z0), (a1, b1, z1), (a0, b1, z1)], colour, finish=finish),
        _Face([(a0, b0, z1), (a0, b1, z1), (a1, b1, z1), (a1, b0, z1)], colour if roof is None else roof),
    ]


def _box(box: Box, colour: Colour | float = 1.0) -> list[_Face]:
    return _frustum(box, box[:4], colour)


def _floor(box: Box, colour: Colour | float = 0.5) -> _Face:
    """The underside of a box."""
    x0, x1, y0, y1, z, _ = box
    return _Face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], colour)


def _round(
    middle: tuple[float, float, float], half: tuple[float, float, float], colour: Colour | float = 1.0,
    detail: bool = False, finish: Finish = Finish.ROUND,
) -> _Face:  # fmt: skip
    return _Face([middle, half, middle, middle], colour, detail, finish)


def _wheels(front: float, rear: float, radius: float, height: float) -> list[_Face]:
    """Four flat ellipsoids that stand on the ground; ``height`` is their diameter."""
    middle = height / 2 - 1.0
    return [
        part
        for x in (front, rear)
        for y in (-0.86, 0.86)
        for part in (
            _round((x, y, middle), (radius, 0.15, height / 2), _TYRE, detail=True),
            _round((x, y * 1.13, middle), (radius * 0.55, 0.06, height * 0.28), _RIM, detail=True),
        )
    ]


def _patch(x: float, y0: float, y1: float, z0: float, z1: float, colour: Colour, finish: Finish) -> _Face:
    """A patch on the front (x > 0) or the rear."""
    if x > 0:
        y0, y1 = y1, y0
    return _Face([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], colour, True, finish)


def _lights(low: float, high: float, front: float = 1.01, rear: float = -1.01) -> list[_Face]:
    """White patches in front and red ones behind, and plates between them."""
    faces = []
    for a, b in ((-0.92, -0.52), (0.52, 0.92)):
        faces.append(_patch(rear, a, b, low, high, _REAR_LIGHT, Finish.GLOW))
        faces.append(_patch(front, a, b, low, high, _FRONT_LIGHT, Finish.GLOW))
    middle = (low + high) / 2
    for x in (rear, front):
        faces.append(_patch(x, -0.26, 0.26, middle - 0.14, middle + 0.0, _PLATE, Finish.PLAIN))
    return faces


def _shape(faces: Sequence[_Face]) -> Shape:
    corners = np.array([face.corners for face in faces], float)
    round_ones = np.array([face.finish >= Finish.ROUND for face in faces])
    # Every face above is listed clockwise as seen from outside (in left-handed axes), so this points outwards.
    normals = np.cross(corners[:, 3] - corners[:, 0], corners[:, 1] - corners[:, 0])
    normals[round_ones] = 0.0
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Shape(
        corners,
        normals,
        np.einsum("ij,ij->i", normals, corners[:, 0]),
        np.array([(-face.colour,) * 3 if isinstance(face.colour, float) else face.colour for face in faces]),
        np.array([face.finish for face in faces], np.int64),
        np.array([face.detail for face in faces], np.int64),
    )


_WHOLE: Box = (-1, 1, -1, 1, -1, 1)
_BOX = _shape([*_box(_WHOLE), _floor(_WHOLE)])
_HOUSE = _shape(
    [face._replace(finish=Finish.WALL) for face in _box(_WHOLE)[:4]]
    + [_box(_WHOLE)[4]._replace(finish=Finish.ROOF), _floor(_WHOLE)]
)
_CROWN = _shape(
    [
        _round((0.0, 0.0, 0.1), (0.86, 0.86, 0.9), 1.0, finish=Finish.LEAVES),
        _round((0.42, 0.3, -0.3), (0.56, 0.6, 0.62), 0.93, True, Finish.LEAVES),
        _round((-0.4, 0.36, -0.42), (0.56, 0.58, 0.55), 0.87, True, Finish.LEAVES),
        _round((0.05, -0.44, -0.36), (0.6, 0.54, 0.58), 0.97, True, Finish.LEAVES),
        _round((-0.2, -0.1, 0.52), (0.52, 0.52, 0.48), 1.06, True, Finish.LEAVES),
    ]
)
_CAR = _shape(
    [
        *_box((-0.97, 0.97, -0.96, 0.96, -0.62, -0.1)),
        _floor((-0.97, 0.97, -0.96, 0.96, -0.62, 0.0), 0.25),
        *_frustum((-0.99, 0.99, -0.97, 0.97, -0.42, 0.16), (-0.96, 0.9, -0.9, 0.9)),
        *_frustum((-0.84, 0.44, -0.86, 0.86, 0.16, 0.97), (-0.56, 0.08, -0.7, 0.7), _GLASS, 1.0, Finish.GLASS),
        *_wheels(0.62, -0.62, 0.145, 0.86),
        *_lights(-0.2, 0.02, 0.995, -0.995),
        # Bumpers, and the pillars between the side windows.
        *(face._replace(detail=True) for face in _box((0.94, 1.0, -0.92, 0.92, -0.62, -0.34), _TRIM)),
        *(face._replace(detail=True) for face in _box((-1.0, -0.94, -0.92, 0.92, -0.62, -0.34), _TRIM)),
        _Face([(-0.3, -0.71, 0.97), (-0.24, -0.71, 0.97), (-0.24, -0.865, 0.16), (-0.3, -0.865, 0.16)], 0.9, True),
        _Face([(-0.3, 0.865, 0.16), (-0.24, 0.865, 0.16), (-0.24, 0.71, 0.97), (-0.3, 0.71, 0.97)], 0.9, True),
    ]
)  # fmt: skip
_TRUCK = _shape(
    [
        *_box((0.55, 1, -0.96, 0.96, -0.8, 0.1)),
        *_frustum((0.55, 1, -0.96, 0.96, 0.1, 0.62), (0.55, 0.93, -0.9, 0.9), _GLASS, 1.0, Finish.GLASS),
        *_box((-1, 0.52, -1, 1, -0.66, 1), _CARGO),
        _floor((-1, 1, -0.9, 0.9, -0.7, 1), _TRIM),
        *_wheels(0.74, -0.62, 0.09, 0.5),
        *_wheels(-0.8, -0.42, 0.09, 0.5),
        *_lights(-0.62, -0.42),
    ]
)
_BUS = _shape(
    [
        *_box((-1, 1, -1, 1, -0.74, -0.08)),
        *_frustum((-0.99, 0.99, -0.98, 0.98, -0.08, 0.62), (-0.99, 0.97, -0.96, 0.96), _GLASS, _GLASS, Finish.GLASS),
        *_box((-1, 0.99, -1, 1, 0.62, 1)),
        _floor((-1, 1, -0.9, 0.9, -0.74, 1), _TRIM),
        *_wheels(0.66, -0.5, 0.09, 0.52),
        *_lights(-0.56, -0.36),
    ]
)
_CYCLE = _shape(
    [
        _round((-0.66, 0.0, -0.62), (0.33, 0.14, 0.38), _TYRE),
        _round((0.66, 0.0, -0.62), (0.33, 0.14, 0.38), _TYRE),
        *_box((-0.6, 0.66, -0.16, 0.16, -0.55, -0.18)),
        *_box((0.42, 0.52, -0.8, 0.8, 0.02, 0.1), _TRIM),
        *_box((-0.2, 0.12, -0.5, 0.5, -0.5, -0.12), _CLOTH),
        *_frustum((-0.3, 0.12, -0.55, 0.55, -0.2, 0.56), (-0.12, 0.2, -0.7, 0.7)),
        _round((0.1, 0.0, 0.76), (0.13, 0.34, 0.23), _TRIM),
    ]
)
_PERSON = _shape(
    [
        *_box((-0.34, 0.34, -0.52, -0.06, -1, -0.1), _CLOTH),
        *_box((-0.3, 0.38, 0.06, 0.52, -1, -0.1), _CLOTH),
        _round((0.0, 0.0, 0.24), (0.5, 0.72, 0.46)),
        *_box((-0.24, 0.24, -0.92, -0.66, -0.16, 0.5), 0.92),
        *_box((-0.24, 0.24, 0.66, 0.92, -0.16, 0.5), 0.92),
        _round((0.04, 0.0, 0.85), (0.34, 0.32, 0.15), _SKIN),
        _round((-0.06, 0.0, 0.89), (0.34, 0.34, 0.115), _HAIR, detail=True),
    ]
)
_POST = _shape([*_box(_WHOLE)])
_LAMP = _shape(
    [
        *_box((-0.8, 0.8, -0.8, 0.8, -1, 1)),
        *_box((-1.6, 1.6, -1.6, 1.6, -1, -0.86), 0.85),
        *_frustum((-3.6, 3.6, -3.6, 3.6, 0.93, 0.985), (-2.4, 2.4, -2.4, 2.4), (214.0, 236.0, 244.0), 0.8, Finish.GLOW),
    ]
)
_BULB = _shape([_round((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), finish=Finish.BULB)])
_SIGN = _shape(  # a disc with a red rim
    [
        _round((0.0, 0.0, 0.0), (0.6, 1.0, 1.0), (36.0, 30.0, 196.0)),
        _round((0.0, 0.0, 0.0), (1.0, 0.8, 0.8)),
    ]
)

BOX, HOUSE, CROWN, CAR, TRUCK, BUS, CYCLE, PERSON, POST, LAMP, BULB, SIGN = range(12)
_ALL = (_BOX, _HOUSE, _CROWN, _CAR, _TRUCK, _BUS, _CYCLE, _PERSON, _POST, _LAMP, _BULB, _SIGN)
FACES = Shape(*(np.ascontiguousarray(np.concatenate(parts)) for parts in zip(*_ALL, strict=True)))
_ENDS = np.cumsum([0, *(len(shape.offsets) for shape in _ALL)])
RANGES = np.stack([_ENDS[:-1], _ENDS[1:]], axis=1)  # (kinds, 2) first face of each kind and the one after its last

# By CARLA's semantic label; everything else is a plain box.
_OF_TAG = {3: HOUSE, 6: POST, 8: SIGN, 12: PERSON, 13: PERSON, 14: CAR, 15: TRUCK, 16: BUS, 18: CYCLE, 19: CYCLE}
KIND_OF_TAG = np.full(256, BOX, np.int64)
KIND_OF_TAG[list(_OF_TAG)] = list(_OF_TAG.values())
# Three labels stand for two shapes each, which the size tells apart.
POLE, TRAFFIC_LIGHT, VEGETATION = 6, 7, 9
BULB_SIZE = 0.25  # half size of the largest lamp of a traffic light; what is larger is its housing [m]
LAMP_HEIGHT = 3.05  # half height from which a pole carries a street lamp [m]
