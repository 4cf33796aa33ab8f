"""One loaded map with everything static that belongs to it: roads, ground, scenery, what cameras see."""

from __future__ import annotations

import copy
import logging
import math
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import numpy as np

from sb3_carla.simulator.camera import Camera, Scene
from sb3_carla.simulator.collision import Scenery
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.rays import RayScene
from sb3_carla.simulator.road_paint import paint
from sb3_carla.simulator.roads import MapError, RoadMap, built_in_maps
from sb3_carla.simulator.roadside import place_roadside
from sb3_carla.simulator.scenery import place_scenery
from sb3_carla.simulator.signals import read_signals
from sb3_carla.simulator.walkways import build_navigation

log = logging.getLogger(__name__)

_FOLDER: Final = "/Game/Carla/Maps/"
_START_CLEAR: Final = 14.0  # a car should be able to drive so far before it meets a red light [m]
_KEPT: Final = 3  # towns that stay in memory for the next load_world
_MOST_PIXELS: Final = 2**27  # of all cameras of a town that differ; each takes some ten bytes
GENERATED: Final = "OpenDriveMap"  # the name under which CARLA loads a map that a client sent
# CARLA's towns, which programs load by name, and ours of the same manner, which stand in for those that are not there.
_STAND_INS: Final = {
    "Town01": "Town_Quarter",
    "Town02": "Town_Curves",
    "Town03": "Town_Blocks",
    "Town04": "Town_Ring",
    "Town05": "Town_Blocks",
    "Town06": "Town_Ring",
    "Town07": "Town_Hills",
    "Town10HD": "Town_Blocks",
}
_LAYERED: Final = "_Opt"  # how CARLA marks the same town with layers that can be switched off
# CARLA's names for what is no actor, by semantic label.
_SCENERY_NAMES: Final = {
    3: "static.building",
    4: "static.wall",
    5: "static.fence",
    6: "static.pole",
    7: "static.trafficlight",
    8: "static.trafficsign",
    9: "static.vegetation",
    28: "static.guardrail",
}


class Town:
    """A map, ready to be driven on.

    :param roads: its roads
    """

    def __init__(self, roads: RoadMap):
        self.roads = roads
        self.signals = read_signals(roads)
        roads.lanes = paint(roads, self.signals)
        roadside = place_roadside(self.signals)
        self.bodies = np.concatenate([roadside, place_scenery(roads, roadside["centre"][:, :2].tolist())])
        self.scenery = Scenery(self.bodies)
        self._cameras: WeakValueDictionary[tuple[int, int, float], Camera] = WeakValueDictionary()
        heights = np.concatenate([lane.centre[:, 2] for lane in roads.lanes])
        self.flat = bool(np.ptp(heights) < 0.01)

    @property
    def name(self) -> str:
        """Short name."""
        return self.roads.name

    def renamed(self, name: str) -> Town:
        """The same town under another name; all that was made of it is shared."""
        twin = copy.copy(self)
        twin.roads = copy.copy(self.roads)
        twin.roads.name = name
        return twin

    @cached_property
    def spawn_points(self) -> list[Transform]:
        """The map's spawn points; those just before a traffic light come last, for a car there may have to wait."""
        free: list[Transform] = []
        waiting: list[Transform] = []
        for point in self.roads.spawn_points:
            (waiting if self._faces_light(point) else free).append(point)
        return free + waiting

    def _faces_light(self, point: Transform) -> bool:
        yaw = math.radians(point.yaw)
        longer = (
            lane._replace(length=lane.length + _START_CLEAR) for light in self.signals.lights for lane in light.lanes
        )
        return any(lane.holds(point.x, point.y, math.cos(yaw), math.sin(yaw)) for lane in longer)

    @cached_property
    def scene(self) -> Scene:
        """What cameras see; made when the first camera needs it."""
        return Scene(self.roads, self.bodies)

    @cached_property
    def rays(self) -> RayScene:
        """What lidars and radars meet; made when the first of them needs it."""
        return RayScene(self.roads, self.bodies)

    @cached_property
    def navigation(self) -> bytes:
        """The navigation mesh for the client's walkers; empty where nobody can walk."""
        return build_navigation(self.roads.lanes)

    @property
    def navigation_file(self) -> str:
        """The name under which clients keep that mesh; another mesh has another name."""
        return f"Carla/Maps/Nav/{self.name}-{zlib.crc32(self.navigation):08x}.bin"

    def camera(self, width: int, height: int, fov: float) -> Camera:
        """A camera for pictures of this size [pixels] and horizontal field of view [deg].

        It keeps nothing from picture to picture, so all sensors of one lens share one.

        :raises ValueError: when the cameras in use would become too large together
        """
        camera = self._cameras.get((width, height, fov))
        if camera is None:
            used = sum(one.width * one.height for one in self._cameras.values())
            if used + width * height > _MOST_PIXELS:
                raise ValueError(
                    f"cameras of different sizes and fields of view may have {_MOST_PIXELS} pixels together, and "
                    f"{used} are in use; destroy some, or ask for smaller pictures than {width} x {height}"
                )
            camera = self._cameras[width, height, fov] = Camera(self.scene, width, height, fov)
        return camera

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

    :param map: a built-in town's name, the path of an OpenDRIVE file, or of a folder of such files
    :param start: name of the map to begin with (default: the one that ``map`` names; of a folder, the first)
    :raises MapError: when it is not usable
    """

    def __init__(self, map: str, start: str | None = None):
        self._files: dict[str, str] = {name: name for name in built_in_maps()}
        self._loaded: dict[str, Town] = {}
        self._sent: str | None = None
        path = Path(map)
        if path.is_dir():
            own = {one.stem: str(one.resolve()) for one in sorted(path.glob("*.xodr"))}
            if not own:
                raise MapError(f"The folder {map!r} has no OpenDRIVE file. Give a folder with .xodr files.")
            self._files.update(own)
            first = next(iter(own))
        elif map.endswith(".xodr"):
            self._files[path.stem] = str(path.resolve())
            first = path.stem
        else:
            first = map
        self.start = self.town(start or first)

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
        # A client may send back the map that it got from here.
        known = next((town for town in self._loaded.values() if town.roads.opendrive == opendrive), None)
        self._keep(Town(RoadMap(GENERATED, opendrive)) if known is None else known.renamed(GENERATED))
        self._sent = opendrive

    def town(self, name: str) -> Town:
        """The town of this name, short or with folders.

        Of CARLA's own towns, the ones that this server does not have are stood in for, under their names.

        :raises MapError: when there is none or it is not usable
        """
        short = name.rsplit("/", 1)[-1]
        if short in self._loaded:
            return self._loaded[short]
        if short in self._files:
            log.info("loading map %s", short)
            return self._keep(Town(RoadMap.load(self._files[short])))
        meant = short.removesuffix(_LAYERED)
        if meant not in self._files:
            meant = _STAND_INS.get(meant, "")
            if not meant:
                known = ", ".join(sorted(self._files))
                raise MapError(f"There is no map {name!r}. This server has {known}.")
            log.warning("%s stands in for %s, which this server does not have", meant, short)
        return self._keep(self.town(meant).renamed(short))

    def _keep(self, town: Town) -> Town:
        self._loaded[town.name] = town
        while len(self._loaded) > _KEPT:
            oldest = next(name for name in self._loaded if name != GENERATED)
            del self._loaded[oldest]
        return town
