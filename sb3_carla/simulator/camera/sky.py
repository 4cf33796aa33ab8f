"""The sky's patterns: clouds as a picture that repeats, and the far skyline around the horizon."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

CLOUDS = 1024  # side of the clouds' picture [pixels]
SKYLINE = 2048  # entries around the horizon, by diamond angle
_HIGHEST = 0.035  # tangent of the highest point of the skyline's elevation, about


@lru_cache(maxsize=1)
def clouds() -> npt.NDArray[np.uint8]:
    """How likely there is a cloud, (CLOUDS, CLOUDS), 0..255; the picture repeats in both directions."""
    random = np.random.default_rng(11)
    total = np.zeros((CLOUDS, CLOUDS))
    for knots in (4, 8, 16, 32, 64, 128, 256):
        spots = np.pad(random.standard_normal((knots, knots)), 3, mode="wrap")
        scale = CLOUDS / knots
        wide = np.asarray(cv2.resize(spots, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.float64)
        first = round(3 * scale)
        total += wide[first : first + CLOUDS, first : first + CLOUDS] * (4 / knots) ** 0.8
    total = (total - total.mean()) / total.std()
    return np.asarray(np.clip(np.rint(128 + 48 * total), 0, 255), np.uint8)


@lru_cache(maxsize=1)
def skyline() -> npt.NDArray[np.float64]:
    """Tangent of the elevation up to which far trees and houses cover the sky, (SKYLINE,)."""
    random = np.random.default_rng(12)
    outline = np.zeros(SKYLINE)
    for waves, weight in ((5, 0.5), (17, 0.4), (61, 0.3), (149, 0.25)):
        outline += weight * np.sin(np.linspace(0, 2 * np.pi * waves, SKYLINE, endpoint=False) + random.uniform(0, 6))
    houses = np.repeat(random.uniform(0, 1, SKYLINE // 16) ** 3, 16)
    height: npt.NDArray[np.float64] = _HIGHEST * np.clip(0.45 + 0.2 * outline + 0.5 * houses, 0.05, 1.5)
    return height
