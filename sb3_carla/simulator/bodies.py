"""Bodies that move, as a camera sees them: each in the shape that its semantic label stands for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.geometry import BODY, rotation_matrix
from sb3_carla.simulator.projection import NEAR, Floats, Indices, Polygons, View, lit, project
from sb3_carla.simulator.shapes import BOX, SHAPES, Shape
from sb3_carla.simulator.weather import Look

_DETAIL_PIXELS = 7.0  # a body's radius in the picture from which its details are drawn
_SMALLEST = 0.5  # and below which it is left out
_CONTAINS = 0.35  # a body whose box, enlarged by this, holds the camera is not drawn [m]


def rotations(angles: Floats) -> Floats:
    """The matrices (n, 3, 3) from bodies' axes to the world's for (n, 3) pitch, yaw, roll in degrees."""
    angles = np.radians(angles)
    (sp, sy, sr), (cp, cy, cr) = np.sin(angles).T, np.cos(angles).T
    result = np.zeros((len(angles), 3, 3))
    if not angles[:, ::2].any():  # level, as nearly always
        result[:, 0, 0] = result[:, 1, 1] = cy
        result[:, 0, 1], result[:, 1, 0] = -sy, sy
        result[:, 2, 2] = 1.0
        return result
    result[:, 0] = np.stack([cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr], axis=1)
    result[:, 1] = np.stack([cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr], axis=1)
    result[:, 2] = np.stack([sp, -cp * sr, cp * cr], axis=1)
    return result


class _Table:
    """All shapes' faces one below the other, so that bodies of all kinds are handled at once."""

    def __init__(self) -> None:
        shapes: list[Shape] = [BOX]
        kind = np.zeros(256, np.int64)
        for tag, shape in SHAPES.items():
            known = [shape is other for other in shapes]
            if not any(known):
                shapes.append(shape)
                known.append(True)
            kind[tag] = known.index(True)
        owner = np.repeat(np.arange(len(shapes)), [len(shape.offsets) for shape in shapes])
        self.faces = Shape(*(np.concatenate(parts) for parts in zip(*shapes, strict=True)))
        fine = kind[:, None] == owner
        self.of_tag = np.stack([fine & ~self.faces.detail, fine])  # (in detail or not, tag, face)
        self.outwards = self.faces.normals.T.copy()


_TABLE = _Table()


class MovingView(NamedTuple):
    """The bodies' faces in a picture."""

    polygons: Polygons
    colours: Floats  # (faces, 4) lit; empty without a look
    tags: npt.NDArray[np.uint8]  # (faces,)


def moving_view(view: View, bodies: npt.NDArray[np.void], look: Look | None) -> MovingView | None:
    """The bodies in the picture, or None when there is none.

    :param view: camera
    :param bodies: all bodies (dtype :data:`sb3_carla.simulator.geometry.BODY`)
    :param look: weather; without one there are neither colours nor shadows
    """
    if bodies.dtype != BODY:
        raise TypeError(f"Bodies must have the dtype geometry.BODY, not {bodies.dtype}.")
    if not len(bodies) or (len(bodies) == 1 and _holds(bodies[0], view.eye)):
        return None  # nobody, or nobody but the car that carries the camera
    bodies, large = _in_sight(view, bodies)
    if not len(bodies):
        return None
    extent, tag = np.maximum(bodies["extent"], 1e-3), bodies["tag"]
    turn = rotations(bodies["rotation"])
    relative = view.eye - bodies["centre"]
    eyes = (relative[:, None, :] @ turn)[:, 0] / extent  # the camera in units of each body's box
    faces = _TABLE.faces
    visible = eyes @ _TABLE.outwards > faces.offsets
    visible &= _TABLE.of_tag[large, tag]
    visible[(np.abs(eyes) <= 1.0 + _CONTAINS / extent).all(axis=1)] = False
    if look is None:
        visible &= ~faces.shadow
    body, face = visible.nonzero()
    into_picture = extent[:, :, None] * (turn.transpose(0, 2, 1) @ view.matrix)
    corners = faces.corners[face] @ into_picture[body] - (relative @ view.matrix)[body, None, :]
    polygons, index = project(view, corners.transpose(2, 1, 0))
    if len(index) > 1 and (index[1:] < index[:-1]).any():
        order = np.argsort(index)  # cut faces come last out of ``project``; back to the painter's order
        polygons, index = [polygons[i] for i in order.tolist()], index[order]
    body, face = body[index], face[index]
    x, y = relative[body, :2].T
    colours = np.zeros((0, 4))
    if look is not None:
        own = np.where(faces.painted[face, None], bodies["colour"][body][:, ::-1], faces.own[face])
        facing = np.array(look.sun) @ turn @ _TABLE.outwards  # (bodies, faces): cosines towards the sun
        colours = lit(own, facing[body, face], look)
    return MovingView(Polygons(polygons, index, np.sqrt(x * x + y * y)), colours, tag[body])


def _in_sight(view: View, bodies: npt.NDArray[np.void]) -> tuple[npt.NDArray[np.void], Indices]:
    """Those that may be in the picture and are not too small, and whether (1) or not (0) they are shown in detail."""
    extent = bodies["extent"]
    radius = np.sqrt((extent * extent).sum(axis=1))
    forward, side, _ = view.axes.T @ (bodies["centre"] - view.eye).T
    slope = view.width / 2 / view.focal
    pixels = radius * view.focal
    seen = (forward > NEAR - radius) & (pixels > _SMALLEST * forward)
    seen &= np.abs(side) < slope * forward + radius * (1 + slope)
    index = seen.nonzero()[0]
    return bodies[index], (pixels > _DETAIL_PIXELS * forward)[index].astype(np.int64)


def _holds(body: np.void, eye: Floats) -> bool:
    """Whether a body's enlarged box holds the camera."""
    local = (eye - body["centre"]) @ rotation_matrix(*body["rotation"].tolist())
    return bool((np.abs(local) <= body["extent"] + _CONTAINS).all())
