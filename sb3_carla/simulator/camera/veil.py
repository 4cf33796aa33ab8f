"""What lies on the ground like a veil: the shadows of houses and trees, and the light of street lamps."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.bodies import Solids
from sb3_carla.simulator.camera.look import Look
from sb3_carla.simulator.camera.shapes import CROWN, LAMP, RANGES

_FINEST = 0.4  # metres per pixel
_MOST_PIXELS = 4_000_000
_TURN = 2.0  # the sun's direction is rounded to this, so that a slowly changing weather costs little [deg]
_DARKEST = 225  # of a house's shadow, of 255
_CROWN_DARKEST = 170  # light comes through leaves
_LONGEST = 6.0  # a shadow in heights of what casts it
_LAMP_RADIUS = 11.0  # of the lit ground around a lamp [m]
_KEPT = 4  # directions of the sun

Image = npt.NDArray[np.uint8]


class Veil:
    """Shadow and lamplight over the town, kept per direction of the sun.

    :param x: of the picture's first corner [m]
    :param y: of the picture's first corner [m]
    :param width: along x [m]
    :param height: along y [m]
    :param solids: the scenery
    """

    def __init__(self, x: float, y: float, width: float, height: float, solids: Solids) -> None:
        self.resolution = max(_FINEST, math.sqrt(width * height / _MOST_PIXELS))
        self._origin = np.array([x, y])
        self._shape = (math.ceil(height / self.resolution), math.ceil(width / self.resolution))
        self._solids = solids
        self._lamps = self._paint_lamps()
        self._kept: dict[tuple[int, int] | None, Image] = {}

    def of(self, look: Look) -> Image:
        """The veil of a weather, (2, rows, columns): shadow and lamplight, 0..255."""
        key = None
        if look.casts_shadows:
            altitude, azimuth = math.asin(look.sun[2]), math.atan2(look.sun[1], look.sun[0])
            key = round(math.degrees(altitude) / _TURN), round(math.degrees(azimuth) / _TURN)
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = np.stack([self._paint_shadows(key), self._lamps])
        return self._kept[key]

    def _paint_shadows(self, key: tuple[int, int] | None) -> Image:
        picture = np.zeros(self._shape, np.uint8)
        if key is None:
            return picture
        altitude, azimuth = (math.radians(_TURN * part) for part in key)
        reach = min(1.0 / math.tan(max(altitude, 0.05)), _LONGEST)
        away = -reach * np.array([math.cos(azimuth), math.sin(azimuth)])
        numbers, turns = self._solids.numbers, self._solids.turns
        corners = np.array([(1, 1), (1, -1), (-1, -1), (-1, 1)], float)
        crown_first = RANGES[CROWN, 0]
        # Leaves first: where a house's shadow falls too, it is as dark as that.
        crowns = self._solids.traits[:, 0] == crown_first
        for i in [*np.flatnonzero(crowns).tolist(), *np.flatnonzero(~crowns).tolist()]:
            middle, half = numbers[i, :2], numbers[i, 3:6]
            if crowns[i]:
                bottom = max(2.0, 0.0)
                at = self._pixels((middle + away * (bottom + half[2]))[None])[0]
                long = math.hypot(1.0, reach * half[2] / max(half[0], 0.1) * 0.7)
                axes = (half[0] * 0.85 * long / self.resolution, half[0] * 0.85 / self.resolution)
                size = (max(1, round(axes[0])), max(1, round(axes[1])))
                centre = (int(at[0]) >> _SHIFT, int(at[1]) >> _SHIFT)
                cv2.ellipse(picture, centre, size, math.degrees(azimuth), 0, 360, _CROWN_DARKEST, -1)
                continue
            foot = middle + (corners * half[:2]) @ turns[i, :2, :2].T
            plan = np.concatenate([foot, foot + away * 2.0 * half[2]])
            hull = cv2.convexHull(self._pixels(plan))
            cv2.fillConvexPoly(picture, hull, _DARKEST, cv2.LINE_8, _SHIFT)
        return np.asarray(cv2.blur(picture, (3, 3)), np.uint8)

    def _paint_lamps(self) -> Image:
        picture = np.zeros(self._shape, np.uint8)
        radius = math.ceil(_LAMP_RADIUS / self.resolution)
        across = np.arange(-radius, radius + 1) * self.resolution
        away = np.hypot(across[:, None], across[None])
        pool = np.rint(255 * np.clip(1 - away / _LAMP_RADIUS, 0, 1) ** 1.5).astype(np.uint8)
        for i in np.flatnonzero(self._solids.traits[:, 0] == RANGES[LAMP, 0]).tolist():
            column, row = (self._pixels(self._solids.numbers[i, None, :2])[0] >> _SHIFT).tolist()
            top, left = row - radius, column - radius
            part = picture[max(top, 0) : row + radius + 1, max(left, 0) : column + radius + 1]
            if part.size:
                mine = pool[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
                np.maximum(part, mine, out=part)
        return picture

    def _pixels(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        pixels = (points - self._origin) / self.resolution - 0.5
        return np.asarray(np.clip(np.rint(pixels * 2**_SHIFT), -(2**28), 2**28), np.int32)


_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
