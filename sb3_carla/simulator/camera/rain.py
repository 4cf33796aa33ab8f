"""Rain in front of the lens: streaks that depend on nothing but the camera's pose, so that pictures can be repeated."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.look import Look
from sb3_carla.simulator.geometry import Transform

_MOST = 2048  # streaks
_PIXELS_PER_STREAK = 420  # in the heaviest rain
_LENGTH = 0.09  # of a streak, as a share of the picture's height
_OPACITY = 0.3


class Rain:
    """Streaks for pictures of one size.

    :param width: of the picture [pixels]
    :param height: of the picture [pixels]
    """

    def __init__(self, width: int, height: int) -> None:
        random = np.random.default_rng(5)
        most = min(_MOST, width * height // _PIXELS_PER_STREAK + 1)
        start = random.uniform((0, -_LENGTH), (1, 1), (most, 2)) * (width, height)
        fall = random.uniform(0.5, 1.0, (most, 1)) * (0.15, 1.0) * (_LENGTH * height)
        self._streaks = np.rint(np.stack([start, start + fall], axis=1)).astype(np.int32)
        self._size = np.array([width, height], np.int32)

    def paint(self, image: npt.NDArray[np.uint8], pose: Transform, look: Look) -> None:
        """Draw the streaks of a pose over a picture."""
        count = int(look.rain * len(self._streaks))
        if not count:
            return
        # Another place or direction, other drops: shift the pattern, and let it come in again on the other side.
        a, b = (int(abs(part) * 1000) for part in (pose.x + 0.37 * pose.y + pose.z, pose.y + 0.21 * pose.yaw))
        streaks = self._streaks[:count]
        shifted = (streaks[:, :1] + np.array([a * 7 + b, a + b * 5])) % self._size
        wet = image.copy()
        cv2.polylines(wet, list(shifted + (streaks - streaks[:, :1])), False, (*look.cloud, 255.0), 1, cv2.LINE_8)
        cv2.addWeighted(image, 1 - _OPACITY, wet, _OPACITY, 0.0, image)
