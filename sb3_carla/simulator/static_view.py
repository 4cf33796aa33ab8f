"""Houses, trees and posts as a camera sees them: boxes' faces, and sprites that look the same from all sides.

What can be seen at all from a square of the map is found out once per square, by painting everything with a colour of its
own from a few points in it; each picture then deals with those few dozen faces only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.bodies import rotations
from sb3_carla.simulator.geometry import rotation_matrix
from sb3_carla.simulator.projection import SHIFT, Floats, Pixels, Polygons, View, lit, project
from sb3_carla.simulator.shapes import BOX
from sb3_carla.simulator.weather import Look

_CELL = 8.0  # side of a square [m]
_EYE_LEVEL = 4.0  # a camera higher than this over the ground gets everything in sight [m]
_EYES = (1.3, 2.2)  # heights over the ground from which squares are looked over [m]
_SMALLEST = 0.9  # radius in the picture below which something is left out [pixels]
_FEWEST = 2  # pixels that must be free for a face to count as visible from a square
_FINEST_SURVEY = 120.0  # focal length of the look around [pixels], at most
_FARTHEST = 400.0  # [m]
_NEAREST_SPRITE = 1.0  # [m]

_ANGLES = np.radians(np.arange(8) * 45 + 22.5)
_CROWN = np.stack([np.cos(_ANGLES), -np.sin(_ANGLES)], axis=1) * 1.05  # right, down
_STRIP = np.array([(-1, 1), (-1, 1), (-1, -1), (-1, -1), (1, -1), (1, -1), (1, 1), (1, 1)], float)
_SUNLIT = _CROWN * 0.62 + (-0.22, -0.26)  # the bright part of a crown: up and to the left


class Solids(NamedTuple):
    """Static things: first the faces of boxes, then the sprites."""

    corners: Floats  # (faces, 4, 3)
    normals: Floats  # (faces, 3)
    offsets: Floats  # (faces,) normals . a corner
    middles: Floats  # (sprites, 3)
    outlines: Floats  # (sprites, 8, 2) metres to the right and down
    centres: Floats  # (faces + sprites, 3)
    radii: Floats  # (faces + sprites,)
    colours: Floats  # (faces + sprites, 3) unlit B, G, R
    tags: npt.NDArray[np.uint8]  # (faces + sprites,)

    def select(self, chosen: npt.NDArray[np.bool_]) -> Solids:
        """Only the chosen ones of all (faces + sprites)."""
        faces, sprites = np.split(chosen, [len(self.corners)])
        return Solids(
            self.corners[faces],
            self.normals[faces],
            self.offsets[faces],
            self.middles[sprites],
            self.outlines[sprites],
            self.centres[chosen],
            self.radii[chosen],
            self.colours[chosen],
            self.tags[chosen],
        )

    def lit(self, look: Look) -> Floats:
        """Colours (faces + sprites, 4) in the light of a weather."""
        normals = np.zeros((len(self.tags), 3))
        normals[: len(self.normals)] = self.normals
        normals[len(self.normals) :, 2] = 0.9  # a crown's own colours already hold its light and shade
        return lit(self.colours, normals, look)


def solids_of(bodies: npt.NDArray[np.void]) -> Solids:
    """Scenery as faces and sprites: slim things become upright strips, other vegetation crowns, the rest boxes."""
    width = bodies["extent"][:, :2].max(axis=1)
    posts = (width < 0.5) & (width < 0.2 * bodies["extent"][:, 2])
    crowns = (bodies["tag"] == 9) & ~posts
    boxes = bodies[~posts & ~crowns]
    turn = rotations(boxes["rotation"])
    corners = BOX.corners[None] * boxes["extent"][:, None, None, :]
    corners = (corners.reshape(len(boxes), -1, 3) @ turn.transpose(0, 2, 1)).reshape(-1, len(BOX.corners), 4, 3)
    corners = (corners + boxes["centre"][:, None, None, :]).reshape(-1, 4, 3)
    normals = (BOX.normals[None] @ turn.transpose(0, 2, 1)).reshape(-1, 3)
    # A crown is painted as a whole in its shaded colour, then its sunlit part.
    sprites = np.concatenate([bodies[posts], bodies[crowns], bodies[crowns]])
    counts = [int(posts.sum()), int(crowns.sum()), int(crowns.sum())]
    halves = np.stack([sprites["extent"][:, :2].mean(axis=1), sprites["extent"][:, 2]], axis=1)
    shading = np.repeat([1.0, 0.78, 1.0], counts)[:, None]
    face_centres = corners.mean(axis=1)
    return Solids(
        corners,
        normals,
        np.einsum("ij,ij->i", normals, face_centres),
        sprites["centre"].copy(),
        np.repeat(np.stack([_STRIP, _CROWN, _SUNLIT]), counts, axis=0) * halves[:, None, :],
        np.concatenate([face_centres, sprites["centre"]]),
        np.concatenate([np.linalg.norm(corners - face_centres[:, None], axis=2).max(axis=1), halves.max(axis=1)]),
        np.concatenate(
            [np.repeat(boxes["colour"][:, ::-1], len(BOX.corners), axis=0), sprites["colour"][:, ::-1] * shading]
        ).astype(float),
        np.concatenate([np.repeat(boxes["tag"], len(BOX.corners)), sprites["tag"]]),
    )


class _Square:
    """What can be seen from one square of the map."""

    def __init__(self, solids: Solids) -> None:
        self.solids = solids
        self.points = np.concatenate([solids.corners.reshape(-1, 3), solids.middles])
        self.plan = solids.centres[:, :2].copy()
        self._look: Look | None = None
        self._lit = np.zeros((len(solids.tags), 4))

    def colours(self, look: Look | None) -> Floats:
        """Lit colours, kept while the weather stays."""
        if look is not self._look:
            self._look = look
            self._lit = np.zeros_like(self._lit) if look is None else self.solids.lit(look)
        return self._lit


class StaticView:
    """Static things as one camera sees them.

    :param solids: the whole map's
    :param focal: the camera's focal length [pixels]
    """

    def __init__(self, solids: Solids, focal: float) -> None:
        self._everything = _Square(solids)
        self._focal = focal
        self._ranges = np.minimum(solids.radii * focal / _SMALLEST, _FARTHEST)
        self._squares: dict[tuple[int, int], _Square] = {}

    def polygons(self, view: View, look: Look | None) -> Polygons:
        """What is in the picture; without a look the colours are zeros."""
        return _polygons(view, self._square(view), look)

    def _square(self, view: View) -> _Square:
        x, y, z = view.eye.tolist()
        if z > view.ground + _EYE_LEVEL or not len(self._ranges):
            return self._everything
        key = (math.floor(x / _CELL), math.floor(y / _CELL))
        square = self._squares.get(key)
        if square is None:
            if len(self._squares) >= 4096:  # a drive across a vast map must not fill the memory
                self._squares.clear()
            square = self._squares[key] = self._survey((key[0] + 0.5) * _CELL, (key[1] + 0.5) * _CELL, view.ground)
        return square

    def _survey(self, x: float, y: float, ground: float) -> _Square:
        """Look around from the middle and the corners of a square."""
        solids = self._everything.solids
        away = np.linalg.norm(solids.centres[:, :2] - (x, y), axis=1) - _CELL
        near = np.flatnonzero(away < self._ranges)
        mask = np.zeros(len(solids.tags), np.bool_)
        mask[near] = True
        candidates = _Square(solids.select(mask))
        count = np.zeros(len(near), np.int64)
        focal = min(self._focal, _FINEST_SURVEY)
        width = 2 * math.ceil(focal)
        # A picture of 90 degrees per side: forward to (u w, v w, w), see projection.py.
        scale, middle = focal * 2**SHIFT, (width - 1) / 2 * 2**SHIFT
        to_pixels = np.array([[middle, middle, 1.0], [scale, 0.0, 0.0], [0.0, -scale, 0.0]])
        half = 0.45 * _CELL
        for i, (dx, dy) in enumerate([(0.0, 0.0), (-half, -half), (half, -half), (-half, half), (half, half)]):
            eye = np.array([x + dx, y + dy, ground + _EYES[i % 2]])
            for yaw in (0.0, 90.0, 180.0, 270.0):
                axes = rotation_matrix(0.0, yaw, 0.0)
                view = View(eye, axes, axes @ to_pixels, focal, width, width, ground)
                seen = np.bincount(_numbered(view, candidates), minlength=len(near) + 1)[1:]
                count = np.maximum(count, seen)
        mask[near] = count >= _FEWEST
        return _Square(solids.select(mask))


def _numbered(view: View, square: _Square) -> npt.NDArray[np.int32]:
    """The number of the thing that is seen at each pixel, counted from 1; 0 where there is none."""
    corners, index, _, keys = _placed(view, square)
    canvas = np.zeros((view.height, view.width), np.int32)
    for i in np.argsort(-keys, kind="stable").tolist():
        cv2.fillConvexPoly(canvas, corners[i], float(index[i] + 1), cv2.LINE_8, SHIFT)
    return canvas.ravel()


def _placed(view: View, square: _Square) -> tuple[list[Pixels], npt.NDArray[np.int64], Floats, Floats]:
    """Polygons, the indices of what they show, depths and sorting keys."""
    solids = square.solids
    homogeneous = (square.points - view.eye) @ view.matrix
    split = 4 * len(solids.corners)
    front = solids.normals @ view.eye > solids.offsets
    faces = homogeneous[:split].reshape(-1, 4, 3)
    corners, index = project(view, faces, front)
    depths = faces[index, :, 2].mean(axis=1)
    sprites, chosen = _sprites(view, solids, homogeneous[split:])
    corners += sprites
    index = np.concatenate([index, chosen + len(solids.corners)])
    depths = np.concatenate([depths, homogeneous[split:, 2][chosen]])
    away = square.plan[index] - view.eye[:2]
    return corners, index, depths, np.einsum("ij,ij->i", away, away)


def _sprites(view: View, solids: Solids, homogeneous: Floats) -> tuple[list[Pixels], npt.NDArray[np.int64]]:
    """The sprites in the picture, by their middles' projections."""
    depth = homogeneous[:, 2]
    scale = view.focal * 2**SHIFT / np.maximum(depth, _NEAREST_SPRITE)
    across = homogeneous[:, 0] / np.maximum(depth, _NEAREST_SPRITE)
    reach = solids.radii[len(solids.corners) :] * scale
    seen = (depth > _NEAREST_SPRITE) & (across > -reach) & (across < view.width * 2**SHIFT + reach)
    index = seen.nonzero()[0]
    outlines = solids.outlines[index]
    if abs(view.axes[2, 0]) > 0.1 or abs(view.axes[2, 1]) > 0.01:
        outlines = _leaning(view, outlines)
    middles = homogeneous[index, :2] / depth[index, None]
    return list((middles[:, None, :] + outlines * scale[index, None, None]).astype(np.int32)), index


def _leaning(view: View, outlines: Floats) -> Floats:
    """Outlines for a camera that looks up or down or is rolled."""
    # Seen from above, an upright thing is as high in the picture as it is wide.
    level, steep = math.hypot(view.axes[0, 0], view.axes[1, 0]), abs(float(view.axes[2, 0]))
    size = np.abs(outlines).max(axis=1, keepdims=True)
    flattened = np.hypot(size[..., 1:] * level, size[..., :1] * steep) / size[..., 1:]
    right, down = outlines[..., :1], outlines[..., 1:] * flattened
    # Where the world's up points in the picture: to the right, down.
    u, v = float(view.axes[2, 1]), -float(view.axes[2, 2])
    length = math.hypot(u, v)
    u, v = (u / length, v / length) if length > 1e-6 else (0.0, -1.0)
    return np.concatenate([-v * right - u * down, u * right - v * down], axis=2)


def _polygons(view: View, square: _Square, look: Look | None) -> Polygons:
    corners, index, depths, keys = _placed(view, square)
    return Polygons(keys, corners, square.colours(look)[index], depths, square.solids.tags[index])
