"""Poses and bodies: the two value types that the simulator's parts hand to each other.

Frame of reference everywhere: CARLA's world, left-handed, x forward, y right, z up; metres and degrees. Yaw grows
clockwise seen from above, pitch is positive nose up, roll is positive to the right.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Transform(NamedTuple):
    """A pose in world coordinates, in the order in which CARLA's wire and snapshots carry it."""

    x: float = 0.0  # [m]
    y: float = 0.0  # [m]
    z: float = 0.0  # [m]
    pitch: float = 0.0  # [deg]
    yaw: float = 0.0  # [deg]
    roll: float = 0.0  # [deg]

    def compose(self, relative: Transform) -> Transform:
        """The world pose of something mounted rigidly at ``relative`` on a body at this pose.

        Exact for a flat body (pitch = roll = 0); with slopes the angles are added per axis, which is right to first
        order in pitch and roll.

        >>> Transform(10, 0, 0, 0, 90, 0).compose(Transform(2, 0, 1.5))
        Transform(x=10.0, y=2.0, z=1.5, pitch=0, yaw=90, roll=0)
        """
        offset = rotation_matrix(self.pitch, self.yaw, self.roll) @ (relative.x, relative.y, relative.z)
        return Transform(
            round(self.x + float(offset[0]), 9),
            round(self.y + float(offset[1]), 9),
            round(self.z + float(offset[2]), 9),
            self.pitch + relative.pitch,
            self.yaw + relative.yaw,
            self.roll + relative.roll,
        )


def rotation_matrix(pitch: float, yaw: float, roll: float) -> npt.NDArray[np.float64]:
    """The 3x3 rotation matrix from a body's axes to the world's, angles in degrees, CARLA's convention."""
    sp, cp = math.sin(math.radians(pitch)), math.cos(math.radians(pitch))
    sy, cy = math.sin(math.radians(yaw)), math.cos(math.radians(yaw))
    sr, cr = math.sin(math.radians(roll)), math.cos(math.radians(roll))
    return np.array(
        [
            [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
            [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
            [sp, -cp * sr, cp * cr],
        ]
    )


def rotation_matrices(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """:func:`rotation_matrix` of many: (n, 3, 3) for (n, 3) pitch, yaw, roll in degrees."""
    (sp, sy, sr), (cp, cy, cr) = np.sin(np.radians(angles)).T, np.cos(np.radians(angles)).T
    return np.stack(
        [
            np.stack([cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr], axis=1),
            np.stack([cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr], axis=1),
            np.stack([sp, -cp * sr, cp * cr], axis=1),
        ],
        axis=1,
    )


# One solid box that can be seen and hit: vehicles, walkers, buildings, trees.
BODY = np.dtype(
    [
        ("id", "<u4"),  # actor id, 0 for static scenery
        (
            "tag",
            "u1",
        ),  # CARLA semantic label: 3 building, 9 vegetation, 14 car, 15 truck, 18 motorcycle, 12 pedestrian ...
        ("colour", "u1", 3),  # R, G, B
        ("centre", "<f8", 3),  # centre of the box, world [m]
        ("rotation", "<f8", 3),  # pitch, yaw, roll [deg]
        ("extent", "<f8", 3),  # half sizes along the body's own axes [m]
    ]
)
