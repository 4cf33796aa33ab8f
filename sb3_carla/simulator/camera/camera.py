"""The cameras: one drawing of what is where, from which colour, labels, instances, depth and motion are read."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.bodies import Solids, rotations, solids_of
from sb3_carla.simulator.camera.draw import SHADOW_QUADS, draw_bodies, draw_polygons, shadow_quads
from sb3_carla.simulator.camera.ground import TAGS
from sb3_carla.simulator.camera.look import Look, light_of, look_of
from sb3_carla.simulator.camera.rain import Rain
from sb3_carla.simulator.camera.resolve import encode_depth, label_pixels, trace_motion
from sb3_carla.simulator.camera.scene import Scene
from sb3_carla.simulator.camera.shade import shade_ground, shade_sky
from sb3_carla.simulator.camera.shade_faces import light_faces, shade_faces
from sb3_carla.simulator.camera.shapes import FACES
from sb3_carla.simulator.camera.sky import clouds, skyline
from sb3_carla.simulator.camera.terrain import lay_plane
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.weather import Weather

Image = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Bodies = npt.NDArray[np.void]

_MOST_FACES = 40_000  # in one picture


class _View(NamedTuple):
    """One pose, see draw.py."""

    eye: Floats
    rays: Floats
    matrix: Floats
    axes: Floats


class Camera:
    """A pinhole camera.

    :param scene: what there is to see
    :param width: of the picture [pixels]
    :param height: of the picture [pixels]
    :param fov: horizontal field of view [deg]
    """

    def __init__(self, scene: Scene, width: int, height: int, fov: float = 90.0) -> None:
        if width < 1 or height < 1:
            raise ValueError(f"A picture of {width} x {height} pixels is not possible. Ask for at least 1 x 1.")
        if not 1.0 <= fov <= 175.0:
            raise ValueError(f"A field of view of {fov} degrees is not possible. Ask for 1 to 175.")
        self.width = width
        self.height = height
        self.focal = width / (2 * math.tan(math.radians(fov) / 2))
        self._scene = scene
        self._reach = scene.ground.reach(self.focal)
        self._ground = np.array([*scene.ground.place, 1.0 / scene.veil.resolution])
        self._rain = Rain(width, height)
        self._clouds, self._skyline = clouds(), skyline()
        self._inverse = np.zeros((height, width), np.float32)
        self._surface = np.zeros((height, width), np.int32)
        self._shade = np.zeros((height, width), np.uint8)
        self._drawn = np.zeros((_MOST_FACES, 2), np.int32)
        self._work, self._faces = np.zeros((24, 12)), np.zeros((2, _MOST_FACES, 3))
        self._quads, self._normals = np.zeros((96, 4, 3)), np.zeros((96, 3))
        self._depths, self._lists = np.zeros((2, width)), np.zeros((4, 1024), np.int64)
        cx, cy, f = (width - 1) / 2, (height - 1) / 2, self.focal
        self._to_ray = np.array([[0.0, 0.0, 1.0], [1 / f, 0.0, -cx / f], [0.0, -1 / f, cy / f]])
        self._to_pixels = np.array([[cx, cy, 1.0], [f, 0.0, 0.0], [0.0, -f, 0.0]])

    def rgb(self, pose: Transform, bodies: Bodies, weather: Weather | None = None) -> Image:
        """The colour picture.

        :param pose: of the camera in the world
        :param bodies: what moves (dtype ``geometry.BODY``); a body that holds the camera is not seen
        :param weather: default ClearNoon
        :return: (height, width, 4) B, G, R, A with A = 255
        """
        look = look_of(weather or Weather())
        view = self._view(pose)
        moving = solids_of(bodies)
        stage, count = self._draw(view, moving)
        if len(self._quads) < 6 * moving.number:
            self._quads, self._normals = np.zeros((12 * moving.number, 4, 3)), np.zeros((12 * moving.number, 3))
        if moving.number:
            quads = shadow_quads(
                view.eye, view.matrix, moving.numbers, moving.turns, SHADOW_QUADS, np.array(look.sun),
                look.casts_shadows, self._work, self._quads, self._normals,
            )  # fmt: skip
            draw_polygons(
                self._inverse, self._surface, self._shade, view.eye, view.rays, view.matrix,
                self._quads[:quads], self._normals[:quads], self._drawn, -1, self._work,
            )  # fmt: skip
        image = np.empty((self.height, self.width, 4), np.uint8)
        self._colour(image.view(np.uint32)[..., 0], view, look, stage, count)
        if moving.number:
            self._shade.fill(0)
        self._rain.paint(image, pose, look)
        return image

    def semantic(self, pose: Transform, bodies: Bodies) -> Image:
        """The semantic segmentation: CARLA's labels in the red channel.

        :param pose: of the camera in the world
        :param bodies: as in :meth:`rgb`
        :return: (height, width, 4), label in channel 2, A = 255
        """
        return self._labels(pose, bodies, instances=False)

    def instance(self, pose: Transform, bodies: Bodies) -> Image:
        """The instance segmentation: labels in red, the lower 16 bits of an actor's id in green (low) and blue (high).

        Houses, trees and posts are no actors; each has a number of its own from 65535 downwards. Ground and sky have 0.

        :param pose: of the camera in the world
        :param bodies: as in :meth:`rgb`
        :return: (height, width, 4), A = 255
        """
        return self._labels(pose, bodies, instances=True)

    def depth(self, pose: Transform, bodies: Bodies) -> Image:
        """The distance along the camera's axis in CARLA's code: metres = 1000 (R + 256 G + 65536 B) / (2**24 - 1).

        :param pose: of the camera in the world
        :param bodies: as in :meth:`rgb`
        :return: (height, width, 4) B, G, R, A; the sky and what is farther than 1000 m are 1000 m away
        """
        self._draw(self._view(pose), solids_of(bodies))
        image = np.empty((self.height, self.width, 4), np.uint8)
        encode_depth(image.view(np.uint32)[..., 0], self._inverse)
        return image

    def normals(self, pose: Transform, bodies: Bodies) -> Image:
        """Which way each surface faces in the world: x, y, z from -1..1 to R, G, B from 0..255.

        :param pose: of the camera in the world
        :param bodies: as in :meth:`rgb`
        :return: (height, width, 4) B, G, R, A; the sky, which faces nowhere, has 128
        """
        view = self._view(pose)
        self._draw(view, solids_of(bodies))
        inverse = self._inverse.astype(np.float64)
        # On a plane n.p = h the inverse depth is n.ray / h, and the ray is linear in the column and the row: its slopes
        # there give n. Of both sides, the smaller step is the one that does not cross an edge.
        across, down = (_slope(inverse, axis) for axis in (1, 0))
        rows, columns = np.indices(inverse.shape)
        facing = np.stack([across, down, inverse - across * columns - down * rows], axis=2) @ np.linalg.inv(view.rays)
        length = np.linalg.norm(facing, axis=2, keepdims=True)
        unit = np.divide(-facing, length, out=np.zeros_like(facing), where=(length > 0.0) & (inverse > 0.0)[..., None])
        image = np.full((self.height, self.width, 4), 255, np.uint8)
        image[..., 2::-1] = np.rint((unit + 1.0) * 127.5)
        return image

    def optical_flow(self, pose: Transform, bodies: Bodies, previous_pose: Transform, previous_bodies: Bodies) -> Flow:
        """How far what is seen has moved in the picture since the previous frame.

        :param pose: of the camera in the world
        :param bodies: as in :meth:`rgb`
        :param previous_pose: of the camera in the previous frame
        :param previous_bodies: in the previous frame; bodies are told apart by their ids
        :return: (height, width, 2): to the right in halves of the width, up in halves of the height, within -2..2
        """
        view, before = self._view(pose), self._view(previous_pose)
        moving = solids_of(bodies)
        stage, _ = self._draw(view, moving)
        motions, moved = np.zeros((stage.number, 3, 4)), np.zeros(stage.number, np.bool_)
        first = self._scene.solids.number
        rows = {int(number): row for row, number in enumerate(previous_bodies["id"])}
        turns = rotations(previous_bodies["rotation"])
        for i, number in enumerate(bodies["id"].tolist()):
            row = rows.get(number)
            if row is not None:
                matrix = turns[row] @ moving.turns[i].T
                motions[first + i, :, :3] = matrix
                motions[first + i, :, 3] = previous_bodies["centre"][row] - matrix @ bodies["centre"][i]
                moved[first + i] = True
        flow = np.empty((self.height, self.width, 2), np.float32)
        trace_motion(
            flow, self._inverse, self._surface, view.eye, view.rays, before.eye, before.matrix,
            self._drawn, motions, moved, self._work,
        )  # fmt: skip
        return flow

    def _labels(self, pose: Transform, bodies: Bodies, *, instances: bool) -> Image:
        view = self._view(pose)
        stage, _ = self._draw(view, solids_of(bodies))
        ground = self._scene.ground
        image = np.empty((self.height, self.width, 4), np.uint8)
        label_pixels(
            image.view(np.uint32)[..., 0], self._inverse, self._surface, view.eye, view.rays,
            ground.materials, ground.levels, self._reach, self._ground, TAGS, self._drawn, stage.traits,
            self._scene.decks.tags, instances,
        )  # fmt: skip
        return image

    def _view(self, pose: Transform) -> _View:
        if not all(map(math.isfinite, pose)):
            raise ValueError(f"The camera's pose {pose} is not finite. Give numbers.")
        axes = rotation_matrix(pose.pitch, pose.yaw, pose.roll)
        return _View(np.array(pose[:3], np.float64), axes @ self._to_ray, axes @ self._to_pixels, axes)

    def _draw(self, view: _View, moving: Solids) -> tuple[Solids, int]:
        """Find out what is where; all bodies as :attr:`_drawn` numbers them, and how many faces are seen."""
        scene = self._scene
        eye, rays, matrix = view.eye, view.rays, view.matrix
        if scene.terrain.flat:
            lay_plane(self._inverse, self._surface, eye, rays, scene.terrain.place[3])
        else:
            from sb3_carla.simulator.camera.hills import lay_terrain

            lay_terrain(
                self._inverse, self._surface, eye, rays, *scene.terrain, self._work, self._depths, self._upright(view)
            )
        stage, still = scene.stage(moving), scene.solids.number
        if self._lists.shape[1] < stage.number:
            self._lists = np.zeros((4, 2 * stage.number), np.int64)
        count = 0
        for solids, first in ((moving, still), (scene.solids, 0)):
            if solids.number:
                count = draw_bodies(
                    self._inverse, self._surface, self._shade, eye, rays, matrix, self.focal,
                    *solids, first,
                    FACES.corners, FACES.normals, FACES.offsets, FACES.finish, FACES.detail, self._drawn, count,
                    self._work, self._lists,
                )  # fmt: skip
        if len(scene.decks.tags):
            count = draw_polygons(
                self._inverse, self._surface, self._shade, eye, rays, matrix,
                scene.decks.corners, scene.decks.normals, self._drawn, count, self._work,
            )  # fmt: skip
        return stage, count

    def _colour(self, image: npt.NDArray[np.uint32], view: _View, look: Look, stage: Solids, count: int) -> None:
        """Give what was drawn its colours."""
        scene, ground, light = self._scene, self._scene.ground, light_of(look)
        shade_sky(
            image, self._surface, view.rays, self.focal, light.numbers, light.gradient, light.cover,
            self._clouds, self._skyline,
        )  # fmt: skip
        brightest = scene.veil.lay(look)
        bits = self._inverse.view(np.int32)
        shade_ground(
            image, self._inverse, self._surface, self._shade, view.eye, view.rays, self.focal,
            ground.texels, ground.levels, self._reach, self._ground, brightest, scene.veil.lamps,
            light.numbers, light.haze, light.gradient, light.cover, self._clouds, self._skyline, bits,
        )  # fmt: skip
        if not count:
            return
        light_faces(
            self._drawn, count, stage.numbers, stage.turns, stage.traits, FACES.normals, FACES.colours, FACES.finish,
            scene.decks.normals, scene.decks.colours, light.numbers, self._faces,
        )  # fmt: skip
        shade_faces(
            image, self._inverse, self._surface, view.eye, view.rays, self.focal,
            self._drawn, stage.numbers, stage.turns, stage.traits, FACES.normals, FACES.finish, FACES.corners,
            light.numbers, light.haze, bits, self._faces, self._work,
        )  # fmt: skip

    def _upright(self, view: _View) -> bool:
        """Whether a ray higher in the picture always looks farther: level enough, and not down past the nadir."""
        forward, up = view.axes[:, 0], view.axes[:, 2]
        if up[2] < 0.3 or abs(view.axes[2, 1]) > 0.5:
            return False
        ahead = np.array([forward[0], forward[1], 0.0])
        below = [view.rays @ (u, self.height - 1.0, 1.0) for u in (0.0, self.width / 2, self.width - 1.0)]
        return all(float(ray @ ahead) > 1e-3 for ray in below)


def _slope(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Change from pixel to pixel along an axis, on the side where it is smaller."""
    step = np.diff(values, axis=axis)
    if not step.size:
        return np.zeros_like(values)
    first, last = np.take(step, [0], axis), np.take(step, [-1], axis)
    before, after = np.concatenate([first, step], axis), np.concatenate([step, last], axis)
    return np.where(np.abs(before) < np.abs(after), before, after)
