"""One loaded map with everything static that belongs to it: roads, ground, scenery, what cameras see."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from sb3_carla.simulator.camera import Camera, Scene
from sb3_carla.simulator.collision import Scenery
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.roads import MapError, RoadMap, built_in_maps
from sb3_carla.simulator.scenery import place_scenery

log = logging.getLogger(__name__)

_FOLDER: Final = "/Game/Carla/Maps/"
_KEPT: Final = 3  # towns that stay in memory for the next load_world
GENERATED: Final = "OpenDriveMap"  # the name under which CARLA loads a map that a client sent
_SCENERY_NAMES: Final = {3: "static.building", 9: "static.vegetation"}  # by semantic label


class Town:
    """A map, ready to be driven on.

    :param roads: its roads
    """

    def __init__(self, roads: RoadMap):
        self.roads = roads
        self.bodies = place_scenery(roads)
        self.scenery = Scenery(self.bodies)
        heights = np.concatenate([lane.centre[:, 2] for lane in roads.lanes])
        self.flat = bool(np.ptp(heights) < 0.01)

    @property
    def name(self) -> str:
        """Short name."""
        return self.roads.name

    @cached_property
    def scene(self) -> Scene:
        """What cameras see; made when the first camera needs it."""
        return Scene(self.roads, self.bodies)

    def camera(self, width: int, height: int, fov: float) -> Camera:
        """A camera for pictures of this size [pixels] and horizontal field of view [deg]."""
        return Camera(self.scene, width, height, fov)

    def scenery_record(self, row: int) -> tuple[Any, ...]:
        """The actor record by which sensors name a building or a tree; its id is 0, it is no actor."""
        body = self.bodies[row]
        tag = int(body["tag"])
        box = (body["centre"].tolist(), body["extent"].tolist(), (0.0, 0.0, 0.0), 0)
        return 0, 0, (0, _SCENERY_NAMES.get(tag, "static.static"), ()), box, bytes([tag]), b""

    def geolocation(self, pose: Transform) -> tuple[float, float, float]:
        """Latitude, longitude [deg] and altitude [m] of a point, as the client's own map has them."""
        import carla  # here, as in roads.py: importing the server must not need the wheel

        place = self.roads.carla_map.transform_to_geolocation(carla.Location(pose.x, pose.y, pose.z))
        return place.latitude, place.longitude, place.altitude


class Atlas:
    """The maps that a server knows, by name: the built-in towns, the user's files and what clients send.

    :param start: the map to begin with: a built-in town's name or the path of an OpenDRIVE file
    :raises MapError: when it is not usable
    """

    def __init__(self, start: str):
        self._files: dict[str, str] = {name: name for name in built_in_maps()}
        self._loaded: dict[str, Town] = {}
        self._sent: str | None = None
        if start.endswith(".xodr"):
            self._files = {Path(start).stem: str(Path(start).resolve()), **self._files}
        self.start = self.town(Path(start).stem if start.endswith(".xodr") else start)

    def names(self) -> list[str]:
        """Full names of all maps, the start map first, as ``get_available_maps`` gives them."""
        first = self.start.name
        return [_FOLDER + name for name in (first, *sorted(set(self._files) - {first}))]

    def receive(self, opendrive: str) -> None:
        """Keep an OpenDRIVE text that a client sent, to be loaded under the name :data:`GENERATED`.

        :raises MapError: when it is not usable
        """
        if self._sent == opendrive and GENERATED in self._loaded:
            return
        self._keep(Town(RoadMap(GENERATED, opendrive)))
        self._sent = opendrive

    def town(self, name: str) -> Town:
        """The town of this name, short or with folders.

        :raises MapError: when there is none or it is not usable
        """
        short = name.rsplit("/", 1)[-1]
        if short in self._loaded:
            return self._loaded[short]
        if short not in self._files:
            known = ", ".join(sorted(self._files))
            raise MapError(f"There is no map {name!r}. This server has {known}.")
        log.info("loading map %s", short)
        return self._keep(Town(RoadMap.load(self._files[short])))

    def _keep(self, town: Town) -> Town:
        self._loaded[town.name] = town
        while len(self._loaded) > _KEPT:
            oldest = next(name for name in self._loaded if name != GENERATED)
            del self._loaded[oldest]
        return town
