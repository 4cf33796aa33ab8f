"""The camera: a pinhole over a flat painted ground, solids as flat polygons, a sky behind.

Everything is numpy and OpenCV on the CPU. Colour and labels are painted by the same steps, so they agree pixel for
pixel.
The ground is taken as the plane through the road's height and slope below the camera: exact on flat maps, approximate
where the road's slope changes within sight.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.bodies import moving_view
from sb3_carla.simulator.geometry import Transform, rotation_matrix
from sb3_carla.simulator.ground import TAGS, Ground, paint_ground
from sb3_carla.simulator.projection import SHIFT, Floats, Pixels, View, hazy, paint
from sb3_carla.simulator.rain import Rain
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.sky import Sky
from sb3_carla.simulator.static_view import StaticView, solids_of
from sb3_carla.simulator.weather import Look, Weather, look_of

Image = npt.NDArray[np.uint8]

SKY_TAG = 11
_COARSER = 1.4  # a pixel may span this many of a level's before the next coarser one is taken
_FARTHEST_GROUND = 3000.0  # [m]
_LOWEST_EYE = 0.05  # over the ground [m]
_WINDOWS_FROM = 60.0  # focal length from which houses have windows [pixels]
_FEWEST_ROWS = 3  # a level with less than this is left to the next finer one
_UNSEEN_HAZE = 0.05  # share of haze on the ground that is not worth painting
_INTO_SOURCE = cv2.WARP_INVERSE_MAP


class Scene:
    """Everything static that a camera can see. Build it once per map and share it between cameras.

    :param roads: the map
    :param scenery: static boxes, see :func:`sb3_carla.simulator.scenery.place_scenery`
    """

    def __init__(self, roads: RoadMap, scenery: npt.NDArray[np.void]) -> None:
        self.roads = roads
        self.ground: Ground = paint_ground(roads)
        self.solids = solids_of(scenery)


class _Plane(NamedTuple):
    """The ground below a camera. The inverse depth at pixel (u, v) is ``across u + down v + constant``."""

    across: float
    down: float
    constant: float
    to_world: list[list[float]]  # 3 x 3: pixel (u, v, 1) to homogeneous world x, y


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
        self._sky = Sky(width, height, self.focal)
        self._rain = Rain(width, height)
        self._static = StaticView(scene.solids, self.focal)
        self._fog_look: Look | None = None
        self._fog_row = np.zeros((1, width, 4), np.uint8)
        # The middle of the picture in OpenCV's coordinates, whose whole numbers are the pixels' centres.
        cx, cy, f = (width - 1) / 2, (height - 1) / 2, self.focal
        self._centre = (cx, cy)
        self._to_ray = np.array([[0.0, 0.0, 1.0], [1 / f, 0.0, -cx / f], [0.0, -1 / f, cy / f]])
        # Rows: what a metre forward, right and up adds to (u w, v w, w), see projection.py.
        self._to_pixels = np.array([[cx, cy, 1.0], [f, 0.0, 0.0], [0.0, -f, 0.0]]) * (2**SHIFT, 2**SHIFT, 1.0)

    def rgb(self, pose: Transform, bodies: npt.NDArray[np.void], weather: Weather | None = None) -> Image:
        """The colour picture.

        :param pose: of the camera in the world
        :param bodies: what moves (dtype ``geometry.BODY``); a body that holds the camera is not seen
        :param weather: default ClearNoon
        :return: (height, width, 4) B, G, R, A with A = 255
        """
        look = look_of(weather or Weather())
        view = self._view(pose)
        image = np.empty((self.height, self.width, 4), np.uint8)
        self._paint_background(image, view, look)
        self._paint_solids(image, view, bodies, look)
        self._rain.paint(image, pose, look)
        return image

    def semantic(self, pose: Transform, bodies: npt.NDArray[np.void]) -> Image:
        """The semantic segmentation: CARLA's labels in the red channel.

        :param pose: of the camera in the world
        :param bodies: as in :meth:`rgb`
        :return: (height, width, 4), label in channel 2, A = 255
        """
        view = self._view(pose)
        labels = np.empty((self.height, self.width), np.uint8)
        self._paint_background(labels, view, None)
        self._paint_solids(labels, view, bodies, None)
        image = np.zeros((self.height, self.width, 4), np.uint8)
        image[..., 2] = labels
        image[..., 3] = 255
        return image

    def _view(self, pose: Transform) -> View:
        if not all(map(math.isfinite, pose)):
            raise ValueError(f"The camera's pose {pose} is not finite. Give numbers.")
        axes = rotation_matrix(pose.pitch, pose.yaw, pose.roll)
        ground = self._scene.roads.height(pose.x, pose.y, pose.z)
        eye = np.array(pose[:3])
        return View(eye, axes, axes @ self._to_pixels, self.focal, self.width, self.height, ground)

    def _plane(self, view: View) -> _Plane:
        """The plane of the ground below the camera."""
        x, y, z = view.eye.tolist()
        slope_x, slope_y = self._scene.roads.slope(x, y, z)
        drop = -max(z - view.ground, _LOWEST_EYE)  # normal . (ground - eye), with normal = (-slope_x, -slope_y, 1)
        rays = view.axes @ self._to_ray
        towards = rays[2]  # normal . ray of pixel (u, v, 1): negative where it looks at the ground
        if slope_x or slope_y:
            towards = towards - slope_x * rays[0] - slope_y * rays[1]
        to_world = drop * rays
        to_world[0] += x * towards
        to_world[1] += y * towards
        to_world[2] = towards
        across, down, constant = (towards / drop).tolist()
        return _Plane(across, down, constant, to_world.tolist())

    def _paint_background(self, image: Image, view: View, look: Look | None) -> None:
        plane = self._plane(view)
        tilt = abs(plane.across) * self.width
        if plane.down > 0 and tilt < 0.5 * plane.down and abs(view.axes[2, 0]) < 0.5:
            self._paint_upright(image, view, plane, look)
        else:
            self._paint_tilted(image, view, plane, look)

    def _paint_upright(self, image: Image, view: View, plane: _Plane, look: Look | None) -> None:
        """Whole rows: sky above the horizon, below it the ground's levels from coarse to fine."""
        constant = plane.constant + plane.across * self._centre[0]
        horizon = -constant / plane.down

        def row_of(distance: float) -> int:
            row = math.ceil((1 / distance - constant) / plane.down)
            return min(max(row, 0), self.height)

        first = row_of(_FARTHEST_GROUND)
        if first > 0:
            self._paint_sky_rows(image, view, first, horizon, look)
        levels = self._scene.ground.levels
        for i in reversed(range(len(levels))):
            end = row_of(self.focal * levels[i].resolution * _COARSER / 2) if i > 0 else self.height
            if end - first >= (_FEWEST_ROWS if i > 0 else 1):
                self._warp(image[first:end], i, plane, first, look)
                first = end
        if look is not None:
            start = row_of(_FARTHEST_GROUND)
            table = look.ground_table
            if table is not None and start < self.height:
                cv2.LUT(image[start:], table, image[start:])
            end = row_of(look.clear + _UNSEEN_HAZE / look.haze)
            if end > start:
                fog = self._fog(look)
                for row in range(start, end):
                    depth = 1 / (plane.down * row + constant)
                    share = 1 - math.exp(-look.haze * max(depth - look.clear, 0.0)) - _UNSEEN_HAZE
                    if share > 0:
                        line = image[row : row + 1]
                        cv2.addWeighted(line, 1 - share, fog, share, 0.0, line)

    def _paint_sky_rows(self, image: Image, view: View, rows: int, horizon: float, look: Look | None) -> None:
        if look is None:
            image[:rows] = SKY_TAG
            return
        yaw = math.degrees(math.atan2(view.axes[1, 0], view.axes[0, 0]))
        self._sky.paint_rows(image, rows, max(math.ceil(horizon), rows), yaw, look)

    def _fog(self, look: Look) -> Image:
        """One row of nothing but haze."""
        if look is not self._fog_look:
            self._fog_look = look
            self._fog_row = np.full((1, self.width, 4), np.array([*look.horizon, 255.0]).astype(np.uint8))
        return self._fog_row

    def _warp(self, target: Image, level: int, plane: _Plane, first_row: int, look: Look | None) -> None:
        """Fill some rows with the ground at one level."""
        ground = self._scene.ground
        resolution = ground.levels[level].resolution
        (xu, xv, x1), (yu, yv, y1), (wu, wv, w1) = plane.to_world
        # World to the level's pixels, whose centres have whole numbers; and the target's rows start further down.
        shift_x, shift_y = ground.x / resolution + 0.5, ground.y / resolution + 0.5
        xu, xv, x1 = xu / resolution - shift_x * wu, xv / resolution - shift_x * wv, x1 / resolution - shift_x * w1
        yu, yv, y1 = yu / resolution - shift_y * wu, yv / resolution - shift_y * wv, y1 / resolution - shift_y * w1
        down = first_row
        matrix = np.array(((xu, xv, x1 + down * xv), (yu, yv, y1 + down * yv), (wu, wv, w1 + down * wv)))
        size = (self.width, len(target))
        if look is None:
            materials = ground.levels[level].materials
            cv2.warpPerspective(
                materials, matrix, size, target, cv2.INTER_NEAREST | _INTO_SOURCE, cv2.BORDER_CONSTANT, 0
            )
            cv2.LUT(target, TAGS, target)
        else:
            colours = ground.levels[level].colours
            flags = cv2.INTER_LINEAR | _INTO_SOURCE
            cv2.warpPerspective(colours, matrix, size, target, flags, cv2.BORDER_CONSTANT, ground.beyond)

    def _paint_tilted(self, image: Image, view: View, plane: _Plane, look: Look | None) -> None:
        """Pixel by pixel, for any pose."""
        u, v = np.arange(self.width), np.arange(self.height)[:, None]
        inverse = plane.across * u + plane.down * v + plane.constant
        sky = inverse < 1 / _FARTHEST_GROUND
        if look is None:
            image[...] = SKY_TAG
        elif sky.any():
            rows, columns = sky.nonzero()
            pixels = np.stack([columns, rows, np.ones(len(rows))])
            self._sky.paint_pixels(image, sky, (view.axes @ self._to_ray @ pixels).T, look)
        levels = self._scene.ground.levels
        farther = 1 / _FARTHEST_GROUND
        whole = np.empty_like(image)
        for i in reversed(range(len(levels))):
            nearer = 2 / (self.focal * levels[i].resolution * _COARSER) if i > 0 else math.inf
            mask = (inverse >= farther) & (inverse < nearer)
            farther = nearer
            if mask.any():
                self._warp(whole, i, plane, 0, look)
                image[mask] = whole[mask]
        if look is not None and not sky.all():
            ground = image[~sky][:, None]
            if look.ground_table is not None:
                ground = np.asarray(cv2.LUT(ground, look.ground_table), np.uint8)
            _fade(ground, np.maximum(look.haze_at(1 / inverse[~sky]) - _UNSEEN_HAZE, 0.0)[:, None], look)
            image[~sky] = ground[:, 0]

    def _paint_solids(self, image: Image, view: View, bodies: npt.NDArray[np.void], look: Look | None) -> None:
        square, still = self._static.polygons(view)
        moving = moving_view(view, bodies, look)
        shapes: list[Pixels | list[Pixels]] = [*still.corners]
        away = [still.away]
        if look is None:
            tags: list[float] = square.solids.tags[still.things].tolist()
            if moving is not None:
                shapes += moving.polygons.corners
                away.append(moving.polygons.away)
                tags += moving.tags.tolist()
            paint(image, shapes, tags, np.concatenate(away))
            return
        colours = [square.colours(look)[still.things]]
        if view.focal > _WINDOWS_FROM:
            panes, distances, lights = square.windows(view, still)
            shapes += panes
            away.append(distances)
            colours.append(look.glass[np.array(lights, np.int64)])
        if moving is not None:
            shapes += moving.polygons.corners
            away.append(moving.polygons.away)
            colours.append(moving.colours)
        distance = np.concatenate(away)
        paint(image, shapes, hazy(np.concatenate(colours), distance, look), distance)


def _fade(image: Image, shares: Floats, look: Look) -> None:
    """Mix haze into pixels (rows, columns, 4), in place; ``shares`` (0..1) must fit (rows, columns)."""
    weight = np.rint(shares * 256).astype(np.int32)[..., None]
    haze = np.array([*look.horizon, 255.0]).astype(np.int32)
    image[...] = (image * (256 - weight) + haze * weight) >> 8
