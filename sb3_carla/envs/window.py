"""The window of ``render_mode="human"``."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.errors import ConfigurationError

TITLE = "CarlaEnv"


def require_display() -> None:
    """Refuse early where no window can open: the window library would abort the whole process.

    :raises ConfigurationError: on Linux without a display
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigurationError(
            "render_mode='human' needs a display and there is none (DISPLAY is not set). "
            "Use 'rgb_array', or write a video."
        )


def show(image: npt.NDArray[np.uint8]) -> None:
    """Show an image in the window.

    :param image: (height, width, 3), RGB
    """
    cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    cv2.waitKey(1)
