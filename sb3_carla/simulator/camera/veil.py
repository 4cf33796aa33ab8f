"""What lies on the ground like a veil: sunshine, the shadows of houses and trees, and the light of street lamps."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.bodies import Solids
from sb3_carla.simulator.camera.ground import Ground
from sb3_carla.simulator.camera.look import Look
from sb3_carla.simulator.camera.shapes import CROWN, LAMP, RANGES
from sb3_carla.simulator.camera.terrain import Terrain

_FINEST = 0.4  # metres per pixel
_MOST_PIXELS = 4_000_000
_TURN = 2.0  # the sun's direction is rounded to this, so that a slowly changing weather costs little [deg]
_DARKEST = 225  # of a house's shadow, of 255
_CROWN_DARKEST = 170  # light comes through leaves
_LONGEST = 6.0  # a shadow in heights of what casts it
_LAMP_RADIUS = 11.0  # of the lit ground around a lamp [m]

Image = npt.NDArray[np.uint8]


class Veil:
    """Sunshine and lamplight on a town's ground.

    Sunshine depends on the direction of the sun; it is kept in the uppermost byte of the ground's texels (in
    steps of 2; its lowest bit says whether the ground is paved), so that who looks a colour up has its light, too.

    :param ground: the town's ground, whose texels are written to
    :param terrain: its shape
    :param solids: the scenery
    """

    def __init__(self, ground: Ground, terrain: Terrain, solids: Solids) -> None:
        _, rows, columns, micrometres = ground.levels[0].tolist()
        height, width = rows * micrometres * 1e-6, columns * micrometres * 1e-6
        self.resolution = max(_FINEST, math.sqrt(width * height / _MOST_PIXELS))
        self._origin = ground.place[:2]
        # A pixel more than that, for the pictures made of it.
        self._shape = (math.ceil(height / self.resolution) + 1, math.ceil(width / self.resolution) + 1)
        self._ground, self._terrain, self._solids = ground, terrain, solids
        self.lamps = self._paint_lamps()
        self._key: tuple[int, int] | str | None = "nothing yet"
        self._brightest = 1.0

    def lay(self, look: Look) -> float:
        """Let the texels have the sunshine of a weather; what their 255 stands for, level ground in the sun being 1."""
        key = None
        if look.casts_shadows:
            altitude, azimuth = math.asin(look.sun[2]), math.atan2(look.sun[1], look.sun[0])
            key = round(math.degrees(altitude) / _TURN), round(math.degrees(azimuth) / _TURN)
        if key != self._key:
            self._key = key
            self._brightest = self._bake(self._paint_shadows(key), key)
        return self._brightest

    def _bake(self, shadows: Image, key: tuple[int, int] | None) -> float:
        """Write sunshine to the texels."""
        brightest, sunshine = 1.0, 255 - shadows
        if key is not None and not self._terrain.flat:
            facing = self._facing(key)
            brightest = float(facing.max())
            sunshine = np.rint(facing * (sunshine / brightest)).astype(np.uint8)
        for begin, rows, columns, micrometres in self._ground.levels.tolist():
            scale = 1e6 * self.resolution / micrometres
            way = cv2.INTER_LINEAR if scale >= 1.0 else cv2.INTER_AREA
            fine = cv2.resize(sunshine, None, fx=scale, fy=scale, interpolation=way)[:rows, :columns]
            part = slice(begin, begin + rows * columns)
            paved = self._ground.materials[part].reshape(rows, columns) != 0
            fine = np.asarray(fine, np.uint8) & np.uint8(254) | paved
            texels = self._ground.texels[part].view(np.uint8).reshape(rows, columns, 4)
            cv2.mixChannels([fine], [texels], [0, 3])
        return brightest

    def _facing(self, key: tuple[int, int]) -> npt.NDArray[np.float32]:
        """How much sunshine hills get by their slopes, on the veil's pixels; level ground has 1."""
        altitude, azimuth = (math.radians(_TURN * part) for part in key)
        x, y, step, _ = self._terrain.place.tolist()
        slope_y, slope_x = np.gradient(self._terrain.heights, step)
        level = max(math.tan(altitude), 0.05)
        facing = 1.0 - (slope_x * math.cos(azimuth) + slope_y * math.sin(azimuth)) / level
        facing = np.maximum(facing / np.sqrt(1.0 + slope_x**2 + slope_y**2), 0.0).astype(np.float32)
        # From the veil's pixels to the grid's nodes.
        scale = self.resolution / step
        first = (self._origin + 0.5 * self.resolution - (x, y)) / step
        matrix = np.array([[scale, 0.0, first[0]], [0.0, scale, first[1]]])
        return np.asarray(
            cv2.warpAffine(
                facing, matrix, self._shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT, borderValue=1.0,
            )
        )  # fmt: skip

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
