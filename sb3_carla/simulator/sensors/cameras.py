"""Cameras. All of them see the same scene, so pictures of one pose agree pixel for pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.blueprints import Blueprint
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.sensors.base import Message, Sensor
from sb3_carla.simulator.wire.layouts import DVS_EVENT_DTYPE, IMAGE_HEAD
from sb3_carla.simulator.wire.streams import HEADED, write_head

if TYPE_CHECKING:
    from sb3_carla.simulator.camera import Camera
    from sb3_carla.simulator.town import Town
    from sb3_carla.simulator.world import World

Picture = npt.NDArray[Any]

_LARGEST: Final = 8192  # picture, in either direction [pixels]
_LEAST_CONTRAST: Final = 0.01  # threshold of an event, however its noise falls
# R, G, B of the semantic labels from 0 on.
_COLOURS: Final = (
    (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
    (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
    (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32), (110, 190, 160),
    (170, 120, 50), (55, 90, 80), (45, 60, 150), (157, 234, 50), (81, 0, 81), (150, 100, 100), (230, 150, 140),
    (180, 165, 180),
)  # fmt: skip
_PALETTE: Final = np.array([(blue, green, red, 255) for red, green, blue in _COLOURS], np.uint8)


class CameraSensor(Sensor):
    """What all cameras share: the lens, the size, and messages of a head and a picture."""

    late = True
    pixel: ClassVar[tuple[int, type]] = (4, np.uint8)  # channels and type of a pixel

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self.width = int(self.number("image_size_x", 800, 1, _LARGEST))
        self.height = int(self.number("image_size_y", 600, 1, _LARGEST))
        self.fov = self.number("fov", 90.0, 1.0, 175.0)
        self._head = bytearray(HEADED + IMAGE_HEAD.size)
        IMAGE_HEAD.pack_into(self._head, HEADED, self.width, self.height, self.fov)
        self._camera: Camera | None = None

    @property
    def camera(self) -> Camera:
        """What draws; there once the sensor was prepared."""
        assert self._camera is not None
        return self._camera

    def prepare(self, town: Town) -> None:
        """Make the camera now: the first one of a town takes long, and the spawn can wait better than a tick."""
        self._camera = town.camera(self.width, self.height, self.fov)

    def measure(self, world: World) -> Message | None:
        """Head and pixels of this frame's picture; all zero when rendering is switched off."""
        if world.settings.no_rendering:
            channels, kind = self.pixel
            picture: Picture = np.zeros((self.height, self.width, channels), kind)
        else:
            picture = np.ascontiguousarray(self.draw(world))
        self._write_head(world, picture.nbytes)
        return self._head, picture

    def draw(self, world: World) -> Picture:
        """The picture of this frame (height, width, channels)."""
        raise NotImplementedError

    def _write_head(self, world: World, size: int) -> None:
        write_head(self._head, IMAGE_HEAD.size + size, self.kind, world.frame, world.elapsed, self.pose)


class RgbCamera(CameraSensor):
    """Colours."""

    def draw(self, world: World) -> Picture:
        """B, G, R, A."""
        return self.camera.rgb(self.pose, world.bodies(), world.weather)


class SemanticCamera(CameraSensor):
    """Semantic labels."""

    def draw(self, world: World) -> Picture:
        """The label in channel 2 (R)."""
        return self.camera.semantic(self.pose, world.bodies())


class DepthCamera(CameraSensor):
    """Distances along the camera's axis."""

    def draw(self, world: World) -> Picture:
        """Metres = 1000 (R + 256 G + 65536 B) / (2^24 - 1)."""
        return self.camera.depth(self.pose, world.bodies())


class InstanceCamera(CameraSensor):
    """Semantic labels, and which of the things of a label it is."""

    def draw(self, world: World) -> Picture:
        """The label in channel 2 (R), the instance in G and B."""
        return self.camera.instance(self.pose, world.bodies())


class NormalsCamera(CameraSensor):
    """Which way surfaces face."""

    def draw(self, world: World) -> Picture:
        """World axes x, y, z from -1..1 in R, G, B."""
        return self.camera.normals(self.pose, world.bodies())


class CosmosCamera(CameraSensor):
    """Labels in colours, as pictures that steer Cosmos Transfer show them."""

    def draw(self, world: World) -> Picture:
        """CARLA's colour of each pixel's label, the one of the client's ``CityScapesPalette``."""
        return _PALETTE[self.camera.semantic(self.pose, world.bodies())[..., 2]]


class OpticalFlowCamera(CameraSensor):
    """How far each point has moved through the picture since the sensor's last one."""

    pixel = (2, np.float32)

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._before: tuple[Transform, npt.NDArray[Any]] | None = None

    def draw(self, world: World) -> Picture:
        """To the right in halves of the width, up in halves of the height."""
        pose, bodies = self.pose, world.bodies()
        before, self._before = self._before or (pose, bodies), (pose, bodies.copy())
        return self.camera.optical_flow(pose, bodies, *before)


class EventCamera(CameraSensor):
    """A dynamic vision sensor: an event wherever a pixel's brightness has gone through another threshold.

    Brightness is taken to change evenly from picture to picture (Rebecq et al., "ESIM: an Open Event Camera
    Simulator", CoRL 2018).
    """

    def __init__(self, id: int, blueprint: Blueprint, attributes: dict[str, str], pose: Transform, stream_id: int):
        super().__init__(id, blueprint, attributes, pose, stream_id)
        self._random = self.random()
        signs = ("negative", "positive")
        self._threshold = [self.number(f"{sign}_threshold", 0.3, least=_LEAST_CONTRAST) for sign in signs]
        self._deviation = [self.number(f"sigma_{sign}_threshold", 0.0, least=0.0) for sign in signs]
        self._refractory = self.number("refractory_period_ns", 0.0, least=0.0)
        self._logarithmic = self.flag("use_log", True)
        self._least = self.number("log_eps", 0.001, least=1e-12)
        self._before: npt.NDArray[np.float64] | None = None
        self._time = 0.0  # of the last picture [ns]
        self._crossed = np.zeros((self.height, self.width))  # the threshold that each pixel went through last
        self._fired = np.full((self.height, self.width), -np.inf)  # when each pixel had its last event [ns]

    def measure(self, world: World) -> Message | None:
        """The events since the last picture, in the order of time; None when there are none."""
        if world.settings.no_rendering:
            return None
        time = world.elapsed * 1e9
        blue, green, red, _ = np.moveaxis(self.camera.rgb(self.pose, world.bodies(), world.weather), 2, 0)
        light = 0.2989 * red + 0.587 * green + 0.114 * blue
        now = np.log(self._least + light / 255.0) if self._logarithmic else light
        before, self._before = self._before, now
        start, self._time = self._time, time
        if before is None:
            self._crossed = now.copy()
            return None
        events = self._events(before, now, start, time)
        if not len(events):
            return None
        self._write_head(world, events.nbytes)
        return self._head, events.tobytes()

    def _events(
        self, before: npt.NDArray[np.float64], now: npt.NDArray[np.float64], start: float, end: float
    ) -> npt.NDArray[Any]:
        rising = now >= before
        step = np.where(rising, self._threshold[1], self._threshold[0])
        if any(self._deviation):
            step += self._random.normal(0.0, np.where(rising, self._deviation[1], self._deviation[0]))
            step = np.maximum(step, _LEAST_CONTRAST)
        sign = np.where(rising, 1.0, -1.0)
        found = []
        rows, columns = (np.abs(now - before) > 1e-6).nonzero()
        while len(rows):
            at = rows, columns
            level = self._crossed[at] + sign[at] * step[at]
            through = (sign[at] * (level - before[at]) > 0.0) & (sign[at] * (now[at] - level) >= 0.0)
            rows, columns, level = rows[through], columns[through], level[through]
            at = rows, columns
            self._crossed[at] = level
            when = np.floor(start + (level - before[at]) / (now[at] - before[at]) * (end - start))
            ready = when - self._fired[at] >= self._refractory
            rested = rows[ready], columns[ready]
            self._fired[rested] = when[ready]
            events = np.zeros(len(rested[0]), DVS_EVENT_DTYPE)
            events["x"], events["y"] = rested[1], rested[0]
            events["t"], events["polarity"] = when[ready], rising[rested]
            found.append(events)
        events = np.concatenate([np.zeros(0, DVS_EVENT_DTYPE), *found])
        return events[np.argsort(events["t"], kind="stable")]
