"""The sky: a panorama with haze, clouds and a far skyline, looked up by direction.

A camera that stands upright, as cars' cameras do, finds every pixel's direction in a table; for any other pose the
directions are worked out pixel by pixel.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.weather import Look

_STEP = 0.25  # degrees per pixel of the panorama
_COLUMNS = int(360 / _STEP)
_ROWS = int(90 / _STEP)  # row 0 is the horizon, the last one the zenith
_SKYLINE = 2.6  # height of the far trees and houses on the horizon [deg]


@lru_cache(maxsize=1)
def _shapes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """How much cloud and how much skyline covers each pixel of the panorama, 0..1."""
    random = np.random.default_rng(11)
    clouds = np.zeros((_ROWS, _COLUMNS), np.float32)
    for knots in (12, 24, 48, 96):
        noise = random.standard_normal((max(knots // 2, 4), knots)).astype(np.float32)
        noise[:, -1] = noise[:, 0]  # the panorama closes
        clouds += cv2.resize(noise, (_COLUMNS, _ROWS), interpolation=cv2.INTER_CUBIC) * (12 / knots) ** 0.7
    clouds = clouds / clouds.std()
    outline = np.zeros(_COLUMNS)
    for waves, weight in ((5, 0.5), (17, 0.4), (61, 0.3), (149, 0.25)):
        outline += weight * np.sin(np.linspace(0, 2 * np.pi * waves, _COLUMNS, endpoint=False) + random.uniform(0, 6))
    houses = np.repeat(random.uniform(0, 1, _COLUMNS // 12) ** 3, 12)
    top = (_SKYLINE * (0.45 + 0.2 * outline + 0.5 * houses) / _STEP)[None]
    rows = np.arange(_ROWS, dtype=np.float32)[:, None]
    return clouds, np.clip(top - rows, 0, 1).astype(np.float32)


@lru_cache(maxsize=4)
def _panorama(look: Look) -> npt.NDArray[np.uint32]:
    """The sky of a weather as BGRA pixels, flat, twice around."""
    clouds, skyline = _shapes()
    elevation = np.radians(np.arange(_ROWS) * _STEP)[:, None, None]
    fade = np.exp(-elevation * 4.5).astype(np.float32)
    zenith, horizon, cloud = (np.array(c, np.float32) for c in (look.zenith, look.horizon, look.cloud))
    picture = zenith + (horizon - zenith) * fade
    cover = np.clip((clouds - 1.1 + 2.6 * look.cloudiness) * 0.6, 0, 0.75 + 0.2 * look.cloudiness)[..., None]
    cover = cover * np.clip(elevation * 6, 0, 1).astype(np.float32)
    picture = picture + (cloud - picture) * cover
    # Far trees and houses: dark green-grey, mostly swallowed by haze.
    far = np.array((88.0, 98.0, 92.0), np.float32) * np.array(look.light, np.float32)
    swallowed = float(look.haze_at(np.array([450.0]))[0])
    silhouette = far + (horizon - far) * swallowed
    picture = picture + (silhouette - picture) * skyline[..., None]
    picture = picture + (255 - picture) * _glow(look)
    pixels = np.full((_ROWS, _COLUMNS, 4), 255, np.uint8)
    pixels[..., :3] = np.clip(picture, 0, 255)
    return np.tile(pixels.view(np.uint32)[..., 0], (1, 2)).reshape(-1)


def _glow(look: Look) -> npt.NDArray[np.float32]:
    """How strongly the sun (by night the moon) outshines each pixel, 0..1."""
    x, y, z = look.sun
    azimuth = np.radians(np.arange(_COLUMNS) * _STEP)[None]
    elevation = np.radians(np.arange(_ROWS) * _STEP)[:, None]
    cosine = np.cos(elevation) * (np.cos(azimuth) * x + np.sin(azimuth) * y) + np.sin(elevation) * z
    strength = (1 - 0.9 * look.cloudiness) * max(look.light) * math.exp(-40 * look.haze)
    glow = strength * (0.35 * np.exp((cosine - 1) * 60) + np.clip((cosine - 0.9993) * 4000, 0, 1))
    return np.asarray(np.clip(glow, 0, 1), np.float32)[..., None]


class Sky:
    """The sky as one camera sees it.

    :param width: of the picture [pixels]
    :param height: of the picture [pixels]
    :param focal: focal length [pixels]
    """

    def __init__(self, width: int, height: int, focal: float) -> None:
        across = (np.arange(width) + 0.5 - width / 2) / focal
        turns = np.arctan(across)  # azimuth of each column relative to the middle [rad]
        above = (np.arange(2 * height)[::-1] + 0.5) / focal  # of rows counted from the horizon upwards
        rows = np.degrees(np.arctan(above[:, None] * np.cos(turns))) / _STEP
        columns = np.rint(np.degrees(turns) / _STEP).astype(np.int64) % _COLUMNS
        # Last row: just above the horizon. A yaw is added as a shift, which the doubled panorama has room for.
        self._table = np.minimum(rows.astype(np.int64), _ROWS - 1) * (2 * _COLUMNS) + columns
        self._look: Look | None = None
        self._pixels = np.zeros(0, np.uint32)

    def paint_rows(self, image: npt.NDArray[np.uint8], rows: int, horizon: int, yaw: float, look: Look) -> None:
        """Fill the first ``rows`` rows of an upright picture whose horizon is row ``horizon`` (perhaps below it)."""
        shift = round(yaw / _STEP) % _COLUMNS
        first = max(len(self._table) - horizon, 0)
        part = self._table[first : first + rows]
        self._panorama(look).take(part + shift, out=image[:rows].view(np.uint32)[..., 0], mode="clip")

    def paint_pixels(
        self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], directions: npt.NDArray[np.float64], look: Look
    ) -> None:
        """Fill the pixels of a mask, whose directions (n, 3) in world axes need not have unit length."""
        x, y, z = directions.T
        rows = np.degrees(np.arctan2(z, np.hypot(x, y))) / _STEP
        columns = np.rint(np.degrees(np.arctan2(y, x)) / _STEP).astype(np.int64) % _COLUMNS
        rows = np.clip(rows.astype(np.int64), 0, _ROWS - 1)
        image.view(np.uint32)[..., 0][mask] = self._panorama(look)[rows * (2 * _COLUMNS) + columns]

    def _panorama(self, look: Look) -> npt.NDArray[np.uint32]:
        """The sky of a weather, kept while the weather stays."""
        if look is not self._look:
            self._look, self._pixels = look, _panorama(look)
        return self._pixels
