"""Roads: an OpenDRIVE map as the simulator uses it."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.lanes import Lane, Mark, arc_length, lanes_of
from sb3_carla.simulator.opendrive import MapError, read_roads
from sb3_carla.simulator.raster import RoadRaster
from sb3_carla.simulator.trial import try_map

__all__ = ["Lane", "MapError", "Mark", "RoadMap", "built_in_maps"]

_LARGEST = 12_000.0  # extent of a map along x and y [m]
_SPAWN_EVERY = 20.0  # [m] along a lane
_SPAWN_ENOUGH = 100  # programs written for CARLA's towns count on so many; a small map has them closer together
_SPAWN_CLOSER = 14.0  # [m]
_SPAWN_CLEAR = 7.0  # distance from either end of a lane [m]
_SPAWN_HEIGHT = 0.3  # above the lane [m], as in CARLA's towns


def built_in_maps() -> list[str]:
    """The names of the towns that come with the package.

    >>> "Town_Blocks" in built_in_maps()
    True
    """
    return sorted(path.stem for path in _map_folder().glob("*.xodr"))


def _map_folder() -> Path:
    return Path(__file__).with_name("maps")


class RoadMap:
    """The roads of one town.

    :param name: short name of the town
    :param opendrive: the OpenDRIVE text
    :param tried: the map is known to be good; others are first tried in a process of their own
    :raise MapError: when it is not a usable OpenDRIVE map, or the carla wheel that reads it is not there
    """

    def __init__(self, name: str, opendrive: str, *, tried: bool = False) -> None:
        entries = read_roads(opendrive)
        try:
            import carla
        except ImportError as error:
            raise MapError(
                f"Maps are read with the carla wheel, which cannot be imported here ({error}). "
                "Install it with 'pip install carla==0.9.16' (Linux x86-64 or Windows, Python 3.10 to 3.12)."
            ) from error
        if not tried:
            try_map(name, opendrive)
        self.name = name
        self.opendrive = opendrive
        try:
            self._map = carla.Map(name, opendrive)
            self.lanes = [lane for entry in entries for lane in lanes_of(self._map, entry)]
        except (RuntimeError, IndexError, MemoryError) as error:  # whatever the wheel makes of C++ exceptions
            raise MapError(f"The carla client cannot read map {name!r}: {error}. Check the file's roads.") from error
        if not any(lane.kind == "driving" for lane in self.lanes):
            raise MapError(f"No driving lane of map {name!r} has any length. Check the file's lane sections.")
        _check_extent(name, self.lanes)
        self._raster = RoadRaster(self.lanes, {entry.id: entry.speeds for entry in entries})

    @classmethod
    def load(cls, map: str) -> RoadMap:
        """A built-in town by its name (with or without a path such as ``/Game/Carla/Maps/``), or an OpenDRIVE file.

        :param map: name of a built-in town, or the path of a ``.xodr`` file
        :raise MapError: when there is no such town or file, or it is not usable
        """
        if map.endswith(".xodr"):
            path = Path(map)
        elif (name := map.rsplit("/", 1)[-1]) in built_in_maps():
            path = _map_folder() / f"{name}.xodr"
            return cls(name, path.read_text(encoding="utf-8"), tried=True)
        else:
            raise MapError(
                f"There is no town {map!r}. Use one of {', '.join(built_in_maps())}, or a .xodr file's path."
            )
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise MapError(
                f"The map file {str(path)!r} cannot be read: {error}. Give an OpenDRIVE (.xodr) file."
            ) from error
        try:
            return cls(path.stem, text)
        except MapError as error:
            raise MapError(f"{path} cannot be used: {error}") from error

    @cached_property
    def spawn_points(self) -> list[Transform]:
        """Poses on all driving lanes outside junctions from which traffic can go on, in the map's own order."""
        points = self._spawn_points(_SPAWN_EVERY)
        return points if len(points) >= _SPAWN_ENOUGH else self._spawn_points(_SPAWN_CLOSER)

    def _spawn_points(self, every: float) -> list[Transform]:
        points = []
        for lane in self.lanes:
            if lane.kind != "driving" or lane.junction != -1:
                continue
            travelled = arc_length(lane.centre)
            room = travelled[-1] - 2 * _SPAWN_CLEAR
            for i in range(int(room // every) + 1 if room > 0 else 0):
                distance = _SPAWN_CLEAR + i * every
                s = float(np.interp(distance, travelled, lane.s))
                waypoint = self._map.get_waypoint_xodr(lane.road, lane.id, s)
                if waypoint is None or not waypoint.next(5.0):
                    continue
                at, turned = waypoint.transform.location, waypoint.transform.rotation
                pitch, yaw = (math.remainder(angle, 360.0) for angle in (turned.pitch, turned.yaw))
                points.append(Transform(at.x, at.y, at.z + _SPAWN_HEIGHT, pitch, yaw, 0.0))
        return points

    @property
    def carla_map(self) -> Any:
        """The ``carla.Map`` itself: waypoints, topology, geolocation."""
        return self._map

    @property
    def raster(self) -> RoadRaster:
        """Heights and speed limits by place."""
        return self._raster

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The smallest and largest x and y [m] that any lane reaches: (x_min, y_min, x_max, y_max)."""
        return self._raster.bounds

    def height(self, x: float, y: float, z: float | None = None) -> float:
        """The height [m] of the ground at a point: that of the nearest road surface.

        :param x: [m]
        :param y: [m]
        :param z: height [m] of who asks; where roads pass over each other, the one nearest to it counts (default: the
            lowest)
        """
        return self._raster.height(x, y, z)

    def slope(self, x: float, y: float, z: float | None = None) -> tuple[float, float]:
        """How steeply the ground rises along x and along y (1 = 45 degrees), ``z`` as in :meth:`height`."""
        return self._raster.slope(x, y, z)

    def speed_limit_kmh(self, x: float, y: float) -> float:
        """The speed limit on the nearest driving lane; 30 where the map is silent, never 0."""
        return self._raster.limit(x, y)


def _check_extent(name: str, lanes: list[Lane]) -> None:
    edges = np.concatenate([part[:, :2] for lane in lanes for part in (lane.inner, lane.outer)])
    extent = float(np.ptp(edges, axis=0).max())
    if not extent <= _LARGEST:  # also when it is not a number
        raise MapError(
            f"Map {name!r} spans {extent / 1000:.0f} km, and at most {_LARGEST / 1000:.0f} km are possible. "
            "Cut it, or correct the place of its roads."
        )
