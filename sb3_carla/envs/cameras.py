"""The picture that the agent sees, by the scenario's ``camera``; uint8, channel first.

============ ======== ==================================================================================
camera       channels picture
============ ======== ==================================================================================
``gray``     1        the front camera in grey
``rgb``      3        the front camera in colour
``semantic`` 1        the class of each pixel, CARLA's tag times 8
``depth``    1        the logarithm of the distance, as CARLA's own logarithmic depth: near dark, far bright
``birdview`` 3        seen from above, the car in the lower middle, driving up: lanes; the way ahead; road users
============ ======== ==================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import carla
import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.client import CameraImage, CarlaClient, image_array
from sb3_carla.envs.observation import CHANNELS, Picture
from sb3_carla.envs.planner import RouteTracker
from sb3_carla.envs.route import LaneGraph, LaneTracker
from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.traffic import still_there

SENSORS = {
    "gray": "sensor.camera.rgb",
    "rgb": "sensor.camera.rgb",
    "semantic": "sensor.camera.semantic_segmentation",
    "depth": "sensor.camera.depth",
}
TAG_SCALE = 8  # CARLA has 29 classes
BIRDVIEW_METRES = 40.0  # [m] that the picture's height shows
BIRDVIEW_BEHIND = 0.2  # share of it that lies behind the car


class AgentCamera:
    """The camera of one ego vehicle.

    :param client: attaches the sensor
    :param ego: carries it
    :param scenario: says which camera, and where it sits
    """

    def __init__(self, client: CarlaClient, ego: carla.Vehicle, scenario: Scenario) -> None:
        height, width = scenario.image_shape
        mount = carla.Transform(
            carla.Location(x=scenario.camera_x, z=scenario.camera_z), carla.Rotation(pitch=scenario.camera_pitch_deg)
        )
        self._converted: Callable[[CameraImage], Picture] = _CONVERTERS[scenario.camera]
        self._sensor = client.attach_sensor(
            SENSORS[scenario.camera],
            ego,
            mount,
            image_size_x=width,
            image_size_y=height,
            fov=scenario.camera_fov_deg,
        )

    def at_frame(self, frame: int) -> Picture:
        """The picture of a frame.

        :raises LostFrameError: when it does not come
        """
        return self._converted(image_array(self._sensor.at_frame(frame)))


def _gray(bgra: CameraImage) -> Picture:
    return cv2.cvtColor(bgra, cv2.COLOR_BGRA2GRAY)[None]  # type: ignore[return-value]


def _rgb(bgra: CameraImage) -> Picture:
    return np.ascontiguousarray(bgra[:, :, 2::-1].transpose(2, 0, 1))


def _semantic(bgra: CameraImage) -> Picture:
    picture: Picture = bgra[None, :, :, 2] * np.uint8(TAG_SCALE)  # the tag is the red channel
    return picture


def _depth(bgra: CameraImage) -> Picture:
    blue, green, red = (bgra[:, :, channel].astype(np.float32) for channel in range(3))
    share = (red + 256.0 * green + 65536.0 * blue) / (256.0**3 - 1.0)  # of 1000 m
    logarithm = 1.0 + np.log(np.maximum(share, 1e-6)) / 5.70378
    picture: Picture = (np.clip(logarithm, 0.005, 1.0) * 255.0).astype(np.uint8)[None]
    return picture


_CONVERTERS: dict[str, Callable[[CameraImage], Picture]] = {
    "gray": _gray,
    "rgb": _rgb,
    "semantic": _semantic,
    "depth": _depth,
}


class BirdView:
    """Draws the ego vehicle's neighbourhood from above.

    :param graph: the map's lanes
    :param shape: height and width of the picture [pixel]
    """

    def __init__(self, graph: LaneGraph, shape: tuple[int, int]) -> None:
        self._lanes = [(lane.points, float(lane.widths.mean())) for lane in graph.lanes.values()]
        self._boxes = np.array([(*points.min(axis=0), *points.max(axis=0)) for points, _ in self._lanes])
        self._height, self._width = shape
        self._scale = self._height / BIRDVIEW_METRES

    def draw(self, ego: carla.Transform, tracker: LaneTracker | RouteTracker, road_users: list[carla.Actor]) -> Picture:
        """The picture at the ego's pose.

        :param ego: pose of the ego vehicle
        :param tracker: knows the way ahead
        :param road_users: drawn as boxes, the ego vehicle itself too if it is among them
        """
        picture = np.zeros((CHANNELS["birdview"], self._height, self._width), np.uint8)
        x, y = ego.location.x, ego.location.y
        reach = BIRDVIEW_METRES * (1.0 + self._width / self._height)
        low_x, low_y, high_x, high_y = self._boxes.T
        near = (low_x < x + reach) & (high_x > x - reach) & (low_y < y + reach) & (high_y > y - reach)
        for index in np.flatnonzero(near):
            points, width = self._lanes[int(index)]
            thickness = max(round(width * self._scale), 1)
            cv2.polylines(picture[0], [self._pixels(points, ego)], False, 255, thickness)
        path = np.array([tracker.ahead(distance) for distance in np.arange(0.0, BIRDVIEW_METRES, 2.0)])
        cv2.polylines(picture[1], [self._pixels(path, ego)], False, 255, max(round(self._scale), 1))
        for actor, transform, _ in still_there(road_users):
            cv2.fillConvexPoly(picture[2], self._pixels(_corners(actor, transform), ego), 255)
        return picture

    def _pixels(self, points: npt.NDArray[np.float64], ego: carla.Transform) -> npt.NDArray[Any]:
        """World points as picture coordinates: the car's forward is up, its right is right."""
        yaw = math.radians(ego.rotation.yaw)
        dx, dy = points[:, 0] - ego.location.x, points[:, 1] - ego.location.y
        forward, right = dx * math.cos(yaw) + dy * math.sin(yaw), dy * math.cos(yaw) - dx * math.sin(yaw)
        columns = self._width / 2.0 + right * self._scale
        rows = self._height * (1.0 - BIRDVIEW_BEHIND) - forward * self._scale
        pixels: npt.NDArray[Any] = np.stack([columns, rows], axis=1).round().astype(np.int32)
        return pixels


def _corners(actor: carla.Actor, transform: carla.Transform) -> npt.NDArray[np.float64]:
    """The corners of an actor's box from above, in the world."""
    extent = actor.bounding_box.extent
    yaw = math.radians(transform.rotation.yaw)
    forward, right = np.array([math.cos(yaw), math.sin(yaw)]), np.array([-math.sin(yaw), math.cos(yaw)])
    centre = np.array([transform.location.x, transform.location.y])
    signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    return np.array([centre + a * extent.x * forward + b * extent.y * right for a, b in signs])
