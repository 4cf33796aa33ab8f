"""From surfaces to labels, instances, depth, motion and normals, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sb3_carla.simulator.compiled import inner, kernel

_SKY, _GROUND, _FIRST = 0, 1, 2  # see draw.py
_SKY_LABEL = 11
_ROUND = 5  # shapes.Finish
_FAR = 1000.0  # the depth camera's far plane [m]
_OPAQUE = 0xFF000000


@inner
def _label(
    v: int, u: int, inverse: Any, surface: Any, eye: Any, rays: Any,
    materials: Any, levels: Any, reach: Any, ground: Any, tags: Any,
    drawn: Any, traits: Any, deck_tags: Any,
) -> int:  # fmt: skip
    """CARLA's semantic label of a pixel."""
    number = surface[v, u]
    if number == _SKY:
        return _SKY_LABEL
    if number >= _FIRST:
        body, face = drawn[number - _FIRST, 0], drawn[number - _FIRST, 1]
        return int(deck_tags[face]) if body < 0 else int(traits[body, 2])
    depth = 1.0 / inverse[v, u]
    level = 0
    while level < len(reach) - 1 and depth > reach[level + 1]:
        level += 1
    resolution = 1e-6 * levels[level, 3]
    x = eye[0] + depth * (rays[0, 0] * u + rays[0, 1] * v + rays[0, 2]) - ground[0]
    y = eye[1] + depth * (rays[1, 0] * u + rays[1, 1] * v + rays[1, 2]) - ground[1]
    x, y = x / resolution, y / resolution
    if not (0.0 <= x < levels[level, 2] and 0.0 <= y < levels[level, 1]):
        return int(tags[0])
    return int(tags[materials[levels[level, 0] + int(y) * levels[level, 2] + int(x)]])


_SIGNATURE = (
    "void(uint32[:,::1], float32[:,::1], int32[:,::1], float64[::1], float64[:,::1],"
    " uint8[::1], int64[:,::1], float64[::1], float64[::1], uint8[::1], int32[:,::1], int64[:,::1], uint8[::1],"
    " boolean)"
)


@kernel(_SIGNATURE)
def label_pixels(
    image: Any, inverse: Any, surface: Any, eye: Any, rays: Any,
    materials: Any, levels: Any, reach: Any, ground: Any, tags: Any, drawn: Any, traits: Any, deck_tags: Any,
    instances: bool,
) -> None:  # fmt: skip
    """The semantic segmentation: labels in the red channel.

    :param instances: also the lower 16 bits of each instance's number in green (low) and blue (high)
    """
    rows, columns = image.shape
    for v in range(rows):
        for u in range(columns):
            pixel = _OPAQUE | _label(
                v, u, inverse, surface, eye, rays, materials, levels, reach, ground, tags, drawn, traits, deck_tags
            ) << 16  # fmt: skip
            if instances and surface[v, u] >= _FIRST:
                body = drawn[surface[v, u] - _FIRST, 0]
                if body >= 0:
                    number = traits[body, 3]
                    pixel |= (number & 0xFF) << 8 | (number >> 8 & 0xFF)
            image[v, u] = pixel


@kernel("void(uint32[:,::1], float32[:,::1])")
def encode_depth(image: Any, inverse: Any) -> None:
    """CARLA's depth picture: R + 256 G + 65536 B counts steps of 1000 m / (2**24 - 1)."""
    rows, columns = image.shape
    for v in range(rows):
        for u in range(columns):
            near = inverse[v, u]
            steps = 0xFFFFFF
            if near * _FAR > 1.0:
                steps = math.floor(0xFFFFFF / (np.float64(near) * _FAR) + 0.5)
            image[v, u] = _OPAQUE | (steps & 0xFF) << 16 | (steps & 0xFF00) | steps >> 16


@kernel(
    "void(float32[:,:,::1], float32[:,::1], int32[:,::1], float64[::1], float64[:,::1], float64[::1],"
    " float64[:,::1], int32[:,::1], float64[:,:,::1], boolean[::1], float64[:,::1])"
)
def trace_motion(
    flow: Any, inverse: Any, surface: Any, eye: Any, rays: Any, eye_before: Any, matrix_before: Any,
    drawn: Any, motions: Any, moved: Any, work: Any,
) -> None:  # fmt: skip
    """How far each pixel's point moved in the picture, in halves of its width and height; up is positive.

    :param motions: (bodies, 3, 4) where a body's points were: the matrix and the offset to apply to world points
    :param moved: (bodies,) whether a body has such an entry
    :param work: scratch
    """
    rows, columns = surface.shape
    at, was = work[0], work[1]
    for v in range(rows):
        for u in range(columns):
            number = surface[v, u]
            depth = 1.0 / inverse[v, u] if number != _SKY else 1.0
            for m in range(3):
                at[m] = depth * (rays[m, 0] * u + rays[m, 1] * v + rays[m, 2])
                if number != _SKY:
                    at[m] += eye[m]
                was[m] = at[m]
            if number >= _FIRST:
                body = drawn[number - _FIRST, 0]
                if body >= 0 and moved[body]:
                    for m in range(3):
                        was[m] = motions[body, m, 3]
                        for k in range(3):
                            was[m] += motions[body, m, k] * at[k]
            if number != _SKY:
                for m in range(3):
                    was[m] -= eye_before[m]
            w = was[0] * matrix_before[0, 2] + was[1] * matrix_before[1, 2] + was[2] * matrix_before[2, 2]
            if w < 1e-3:
                flow[v, u, 0] = flow[v, u, 1] = 0.0
                continue
            before_u = (was[0] * matrix_before[0, 0] + was[1] * matrix_before[1, 0] + was[2] * matrix_before[2, 0]) / w
            before_v = (was[0] * matrix_before[0, 1] + was[1] * matrix_before[1, 1] + was[2] * matrix_before[2, 1]) / w
            flow[v, u, 0] = min(max((u - before_u) * 2.0 / columns, -2.0), 2.0)
            flow[v, u, 1] = min(max((before_v - v) * 2.0 / rows, -2.0), 2.0)
