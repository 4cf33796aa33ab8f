"""Bodies laid out for the kernels: numbers one below the other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.shapes import (
    BULB,
    BULB_SIZE,
    CROWN,
    KIND_OF_TAG,
    LAMP,
    LAMP_HEIGHT,
    POLE,
    RANGES,
    TRAFFIC_LIGHT,
    VEGETATION,
)
from sb3_carla.simulator.compiled import kernel
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
    solids = Solids(np.empty((count, 7)), rotations(bodies["rotation"]), np.empty((count, 7), np.int64))
    _lay_out(
        bodies["id"], bodies["tag"], bodies["colour"], bodies["centre"], bodies["extent"], scenery,
        KIND_OF_TAG, RANGES, solids.numbers, solids.traits,
    )  # fmt: skip
    return solids


def rotations(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The matrices (n, 3, 3) from bodies' axes to the world's for (n, 3) pitch, yaw, roll in degrees."""
    angles = np.radians(angles)
    result = np.empty((len(angles), 3, 3))
    _turn(np.sin(angles), np.cos(angles), result)
    return result


# Many bodies are laid out for every picture, and numpy would take longer for a dozen small arrays than for the sums.


@kernel(
    "void(uint32[:], uint8[:], uint8[:,:], float64[:,:], float64[:,:], boolean, int64[::1], int64[:,::1],"
    " float64[:,::1], int64[:,::1])"
)
def _lay_out(
    ids: Any, tags: Any, colours: Any, centres: Any, extents: Any, scenery: bool, kind_of_tag: Any, ranges: Any,
    numbers: Any, traits: Any,
) -> None:  # fmt: skip
    """Fill in numbers and traits of :class:`Solids`."""
    for i in range(len(tags)):
        square = 0.0
        for axis in range(3):
            half = max(extents[i, axis], _LEAST)
            numbers[i, axis], numbers[i, 3 + axis] = centres[i, axis], half
            square += half * half
        numbers[i, 6] = math.sqrt(square)
        tag = tags[i]
        width, height = max(numbers[i, 3], numbers[i, 4]), numbers[i, 5]
        slim = width < 0.5 and width < 0.2 * height
        kind = kind_of_tag[tag]
        if tag == VEGETATION and not slim:
            kind = CROWN
        elif tag == POLE and slim and height > LAMP_HEIGHT:
            kind = LAMP
        elif tag == TRAFFIC_LIGHT and max(width, height) < BULB_SIZE:
            kind = BULB
        traits[i, 0], traits[i, 1], traits[i, 2] = ranges[kind, 0], ranges[kind, 1], tag
        traits[i, 3] = 65535 - i % 30000 if scenery else ids[i]
        for channel in range(3):
            traits[i, 4 + channel] = colours[i, channel]


@kernel("void(float64[:,:], float64[:,:], float64[:,:,::1])")
def _turn(sines: Any, cosines: Any, result: Any) -> None:
    """Fill in the matrices of :func:`rotations`."""
    for i in range(len(result)):
        sp, sy, sr = sines[i, 0], sines[i, 1], sines[i, 2]
        cp, cy, cr = cosines[i, 0], cosines[i, 1], cosines[i, 2]
        matrix = result[i]
        matrix[0, 0], matrix[0, 1], matrix[0, 2] = cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr
        matrix[1, 0], matrix[1, 1], matrix[1, 2] = cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr
        matrix[2, 0], matrix[2, 1], matrix[2, 2] = sp, -cp * sr, cp * cr
