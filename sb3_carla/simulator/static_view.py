"""Houses, trees and posts as a camera sees them: boxes' faces, and sprites that look the same from all sides.

What can be seen at all from a square of the map is found out once per square, by painting everything with a colour of
its own from a few points in it; each picture then deals with those few dozen faces only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.bodies import rotations
from sb3_carla.simulator.geometry import rotation_matrix
from sb3_carla.simulator.projection import SHIFT, Floats, Pixels, Polygons, View, lit, paint, project
from sb3_carla.simulator.shapes import BOX
from sb3_carla.simulator.weather import Look
from sb3_carla.simulator.windows import window_range, windows_of

_CELL = 12.0  # side of a square [m]
_EYE_LEVEL = 4.0  # a camera higher than this over the ground gets everything in sight [m]
_EYES = (1.3, 2.2)  # heights over the ground from which squares are looked over [m]
_FEWEST = 14  # pixels that something must cover to count as visible from a square
_FINEST_SURVEY = 90.0  # focal length of the look around [pixels], at most
_FARTHEST = 400.0  # [m]
_BUILDING = 3  # CARLA's semantic label

_ANGLES = np.radians(np.arange(8) * 45 + 22.5)
_CROWN = np.stack([np.cos(_ANGLES), -np.sin(_ANGLES)], axis=1) * 1.05  # right, down
_STRIP = np.array([(-1, 1), (-1, 1), (-1, -1), (-1, -1), (1, -1), (1, -1), (1, 1), (1, 1)], float)
_SUNLIT = _CROWN * 0.62 + (-0.22, -0.26)  # the bright part of a crown: up and to the left


class Solids(NamedTuple):
    """Static things with eight corners each. A face has four, each twice; a sprite has its middle and an outline."""

    points: Floats  # (8, n, 3) [m]
    outlines: Floats  # (2, 8, n) metres to the right and down in the picture, 0 for faces
    normals: Floats  # (n, 3), 0 for sprites
    offsets: Floats  # (n,) normals . a corner, negative for sprites
    centres: Floats  # (n, 3)
    areas: Floats  # (n,) as seen from in front [m2]
    colours: Floats  # (n, 3) unlit B, G, R
    tags: npt.NDArray[np.uint8]  # (n,)

    def select(self, chosen: npt.NDArray[np.bool_]) -> Solids:
        """Only the chosen ones."""
        return Solids(
            points=self.points[:, chosen],
            outlines=self.outlines[:, :, chosen],
            normals=self.normals[chosen],
            offsets=self.offsets[chosen],
            centres=self.centres[chosen],
            areas=self.areas[chosen],
            colours=self.colours[chosen],
            tags=self.tags[chosen],
        )


def solids_of(bodies: npt.NDArray[np.void]) -> Solids:
    """Scenery as faces and sprites: slim things become upright strips, other vegetation crowns, the rest boxes."""
    width = bodies["extent"][:, :2].max(axis=1)
    posts = (width < 0.5) & (width < 0.2 * bodies["extent"][:, 2])
    crowns = (bodies["tag"] == 9) & ~posts
    faces = _faces(bodies[~posts & ~crowns])
    # A crown is painted as a whole in its shaded colour, then its sunlit part.
    sprites = [
        _sprites(bodies[posts], _STRIP, 1.0),
        _sprites(bodies[crowns], _CROWN, 0.78),
        _sprites(bodies[crowns], _SUNLIT, 1.0),
    ]
    parts = list(zip(faces, *sprites, strict=True))
    return Solids(
        np.concatenate(parts[0], axis=1),
        np.concatenate(parts[1], axis=2),
        *(np.concatenate(part) for part in parts[2:]),
    )


def _faces(bodies: npt.NDArray[np.void]) -> Solids:
    count = len(BOX.corners)
    turn = rotations(bodies["rotation"]).transpose(0, 2, 1)
    corners = BOX.corners * bodies["extent"][:, None, None, :]
    corners = (corners.reshape(len(bodies), 4 * count, 3) @ turn + bodies["centre"][:, None, :]).reshape(-1, 4, 3)
    normals = (BOX.normals @ turn).reshape(-1, 3)
    centres = corners.mean(axis=1)
    return Solids(
        np.repeat(corners.transpose(1, 0, 2), 2, axis=0),
        np.zeros((2, 8, len(corners))),
        normals,
        np.einsum("ij,ij->i", normals, centres),
        centres,
        np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]), axis=1),
        np.repeat(bodies["colour"][:, ::-1].astype(float), count, axis=0),
        np.repeat(bodies["tag"], count),
    )


def _sprites(bodies: npt.NDArray[np.void], outline: Floats, brightness: float) -> Solids:
    halves = np.stack([bodies["extent"][:, :2].mean(axis=1), bodies["extent"][:, 2]])
    return Solids(
        np.repeat(bodies["centre"][None], 8, axis=0),
        outline.T[:, :, None] * halves[:, None, :],
        np.zeros((len(bodies), 3)),
        np.full(len(bodies), -1.0),
        bodies["centre"].copy(),
        4 * halves.prod(axis=0),
        bodies["colour"][:, ::-1] * brightness,
        bodies["tag"].copy(),
    )


class _Square:
    """What can be seen from one square of the map, laid out for speed."""

    def __init__(self, solids: Solids) -> None:
        self.solids = solids
        self.points = solids.points.reshape(-1, 3).T.copy()  # (3, 8 n)
        self.sprites = int(solids.normals.any(axis=1).sum())  # where they begin
        self.outlines = solids.outlines[:, :, self.sprites :].copy()
        self.plan = solids.centres[:, :2].T.copy()
        self._look: Look | None = None
        self._lit = np.zeros((0, 4))

    def colours(self, look: Look) -> Floats:
        """Lit colours (n, 4), kept while the weather stays."""
        if look is not self._look:
            # A crown's own colours already hold its light and shade.
            has_normal = np.any(self.solids.normals != 0.0, axis=1, keepdims=True)
            upright = np.where(has_normal, self.solids.normals, np.array([0.0, 0.0, 0.9]))
            self._look, self._lit = look, lit(self.solids.colours, upright @ np.array(look.sun), look)
        return self._lit

    def polygons(self, view: View) -> Polygons:
        """What is in the picture."""
        matrix, eye = view.matrix.T, view.eye
        homogeneous = (matrix @ self.points - (matrix @ eye)[:, None]).reshape(3, 8, -1)
        if self.outlines.size:
            outlines = self.outlines
            if abs(view.axes[2, 0]) > 0.1 or abs(view.axes[2, 1]) > 0.01:
                outlines = _leaning(view, outlines)
            homogeneous[:2, :, self.sprites :] += outlines * (view.focal * 2**SHIFT)
        corners, index = project(view, homogeneous, self.solids.normals @ eye > self.solids.offsets)
        x, y = self.plan[:, index] - eye[:2, None]
        return Polygons(corners, index, np.sqrt(x * x + y * y))

    def windows(self, view: View, polygons: Polygons) -> tuple[list[list[Pixels]], Floats, list[bool]]:
        """The windows of the walls among some polygons: shapes, distances, and whether light falls out of them."""
        walls = (polygons.away < window_range(view.focal)) & (self.solids.tags[polygons.things] == _BUILDING)
        walls &= np.abs(self.solids.normals[polygons.things, 2]) < 0.5
        chosen = polygons.things[walls]
        shapes: list[list[Pixels]] = []
        away: list[float] = []
        lights: list[bool] = []
        corners = self.solids.points[::2, chosen].transpose(1, 0, 2)
        for panes, distance in zip(windows_of(view, corners, chosen), polygons.away[walls].tolist(), strict=True):
            for shape, light in zip(panes, (False, True), strict=True):
                if shape:
                    shapes.append(shape)
                    away.append(distance)
                    lights.append(light)
        return shapes, np.array(away), lights


class StaticView:
    """Static things as one camera sees them.

    :param solids: the whole map's
    :param focal: the camera's focal length [pixels]
    """

    def __init__(self, solids: Solids, focal: float) -> None:
        self._everything = _Square(solids)
        self._focal = focal
        self._ranges = np.minimum(focal * np.sqrt(solids.areas / _FEWEST), _FARTHEST)
        self._squares: dict[tuple[int, int], _Square] = {}

    def polygons(self, view: View) -> tuple[_Square, Polygons]:
        """What is in the picture, and the square that it belongs to."""
        square = self._square(view)
        return square, square.polygons(view)

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
        """Look around from the middle and two corners of a square."""
        solids = self._everything.solids
        near = np.linalg.norm(solids.centres[:, :2] - (x, y), axis=1) - _CELL < self._ranges
        candidates = _Square(solids.select(near))
        most = np.zeros(int(near.sum()), np.int64)  # pixels that each thing covers
        focal = min(self._focal, _FINEST_SURVEY)
        width = 2 * math.ceil(focal)  # 90 degrees
        scale, middle = focal * 2**SHIFT, (width - 1) / 2 * 2**SHIFT
        to_pixels = np.array([[middle, middle, 1.0], [scale, 0.0, 0.0], [0.0, -scale, 0.0]])
        half = 0.45 * _CELL
        for i, (dx, dy) in enumerate([(0.0, 0.0), (-half, -half), (half, half)]):
            eye = np.array([x + dx, y + dy, ground + _EYES[i % 2]])
            for yaw in (0.0, 90.0, 180.0, 270.0):
                axes = rotation_matrix(0.0, yaw, 0.0)
                polygons = candidates.polygons(View(eye, axes, axes @ to_pixels, focal, width, width, ground))
                canvas = np.zeros((width, width), np.int32)
                paint(canvas, polygons.corners, (polygons.things + 1.0).tolist(), polygons.away)
                most = np.maximum(most, np.bincount(canvas.ravel(), minlength=len(most) + 1)[1:])
        near[near] = most >= max(2.0, _FEWEST * (focal / self._focal) ** 2)
        return _Square(solids.select(near))


def _leaning(view: View, outlines: Floats) -> Floats:
    """Outlines (2, 8, n) for a camera that looks up or down or is rolled."""
    # Seen from above, an upright thing is as high in the picture as it is wide.
    level, steep = math.hypot(view.axes[0, 0], view.axes[1, 0]), abs(float(view.axes[2, 0]))
    size = np.abs(outlines).max(axis=1, keepdims=True)
    right, down = outlines[0], outlines[1] * (np.hypot(size[1] * level, size[0] * steep) / size[1])
    # Where the world's up points in the picture: to the right, down.
    u, v = float(view.axes[2, 1]), -float(view.axes[2, 2])
    length = math.hypot(u, v)
    u, v = (u / length, v / length) if length > 1e-6 else (0.0, -1.0)
    return np.stack([-v * right - u * down, u * right - v * down])
