"""Bodies laid out for the kernels: numbers one below the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.shapes import RANGES, kinds_of
from sb3_carla.simulator.geometry import BODY

_LEAST = 1e-3  # half size of the flattest body [m]


class Solids(NamedTuple):
    """Bodies as the kernels take them."""

    numbers: npt.NDArray[np.float64]  # (n, 7): centre, half sizes, radius
    turns: npt.NDArray[np.float64]  # (n, 3, 3) from the body's axes to the world's
    traits: npt.NDArray[np.int64]  # (n, 7): first face, end of the faces, label, instance, R, G, B

    @property
    def number(self) -> int:
        """How many."""
        return len(self.traits)


def solids_of(bodies: npt.NDArray[np.void], *, scenery: bool = False) -> Solids:
    """Lay bodies out.

    :param bodies: dtype :data:`sb3_carla.simulator.geometry.BODY`
    :param scenery: number the instances, which have no actor's id, from 65535 downwards
    :raises TypeError: when the dtype is another one
    """
    if bodies.dtype != BODY:
        raise TypeError(f"Bodies must have the dtype geometry.BODY, not {bodies.dtype}.")
    count = len(bodies)
    numbers = np.empty((count, 7))
    traits = np.empty((count, 7), np.int64)
    if not count:
        return Solids(numbers, np.empty((0, 3, 3)), traits)
    extent = np.maximum(bodies["extent"], _LEAST)
    numbers[:, 0:3] = bodies["centre"]
    numbers[:, 3:6] = extent
    numbers[:, 6] = np.sqrt((extent * extent).sum(axis=1))
    traits[:, 0:2] = RANGES[kinds_of(bodies["tag"], extent)]
    traits[:, 2] = bodies["tag"]
    traits[:, 3] = 65535 - np.arange(count) % 30000 if scenery else bodies["id"]
    traits[:, 4:7] = bodies["colour"]
    return Solids(numbers, rotations(bodies["rotation"]), traits)


def rotations(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The matrices (n, 3, 3) from bodies' axes to the world's for (n, 3) pitch, yaw, roll in degrees."""
    angles = np.radians(angles)
    (sp, sy, sr), (cp, cy, cr) = np.sin(angles).T, np.cos(angles).T
    result = np.empty((len(angles), 3, 3))
    result[:, 0, 0], result[:, 0, 1], result[:, 0, 2] = cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr
    result[:, 1, 0], result[:, 1, 1], result[:, 1, 2] = cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr
    result[:, 2, 0], result[:, 2, 1], result[:, 2, 2] = sp, -cp * sr, cp * cr
    return result
