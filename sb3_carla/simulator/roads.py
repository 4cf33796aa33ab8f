"""Roads: an OpenDRIVE map as the simulator uses it, with every lane's geometry taken out of ``carla.Map``.

Asking the very class that client programs use means that the picture, the spawn points and the client's waypoints agree.
"""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.opendrive import MapError, RoadEntry, read_roads

__all__ = ["Lane", "Mark", "MapError", "RoadMap", "built_in_maps"]

SILENT_LIMIT_KMH = 30.0  # where the map names no speed limit: 0 would park every NPC
_SPAWN_EVERY = 20.0  # [m] along a lane
_SPAWN_CLEAR = 7.0  # distance from either end of a lane [m]
_SPAWN_HEIGHT = 0.3  # above the lane [m], as in CARLA's towns
_CELL = 2.0  # raster for heights and speed limits [m]
_MARGIN = 40.0  # of the raster around the outermost lanes [m]

_STOREY = 2.5  # a road this much above another one passes over it [m]

Floats = npt.NDArray[np.float64]
Raster = npt.NDArray[np.float32]


class Mark(NamedTuple):
    """A line painted along a lane's edge."""

    kind: str  # CARLA's name: Solid, Broken, SolidSolid, Curb, ...
    colour: str  # White, Yellow, ...
    width: float  # [m]
    points: Floats  # (n, 3), along s


class Lane(NamedTuple):
    """One lane over one lane section, sampled along s. Points are in CARLA's world."""

    road: int
    id: int
    kind: str  # OpenDRIVE's type: driving, shoulder, sidewalk, ...
    junction: int  # -1 outside junctions
    s: Floats  # (n,) [m]
    centre: Floats  # (n, 3)
    inner: Floats  # (n, 3) edge nearer to the road's middle
    outer: Floats  # (n, 3) the other edge
    heading: Floats  # (n, 2) pitch, yaw [deg] of traffic
    marks: tuple[Mark, ...]


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
    :raise MapError: when it is not a usable OpenDRIVE map, or the carla wheel that reads it is not there
    """

    def __init__(self, name: str, opendrive: str) -> None:
        entries = read_roads(opendrive)
        try:
            import carla
        except ImportError as error:
            raise MapError(
                f"Maps are read with the carla wheel, which cannot be imported here ({error}). "
                "Install it with 'pip install carla==0.9.16' (Linux x86-64 or Windows, Python 3.10 to 3.12)."
            ) from error
        try:
            self._map = carla.Map(name, opendrive)
        except RuntimeError as error:
            raise MapError(f"The carla client cannot read map {name!r}: {error}. Check the file's roads.") from error
        self.name = name
        self.opendrive = opendrive
        self.lanes = [lane for entry in entries for lane in _sample_road(self._map, entry)]
        if not any(lane.kind == "driving" for lane in self.lanes):
            raise MapError(f"No driving lane of map {name!r} has any length. Check the file's lane sections.")
        self._raster = _Raster(self.lanes, {entry.id: entry.speeds for entry in entries})

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
        return cls(path.stem, text)

    @cached_property
    def spawn_points(self) -> list[Transform]:
        """Poses on all driving lanes outside junctions from which traffic can go on, in the map's own order."""
        points = []
        for lane in self.lanes:
            if lane.kind != "driving" or lane.junction != -1:
                continue
            travelled = _arc_length(lane.centre)
            room = travelled[-1] - 2 * _SPAWN_CLEAR
            for i in range(int(room // _SPAWN_EVERY) + 1 if room > 0 else 0):
                distance = _SPAWN_CLEAR + i * _SPAWN_EVERY
                waypoint = self._map.get_waypoint_xodr(
                    lane.road, lane.id, float(np.interp(distance, travelled, lane.s))
                )
                if waypoint is None or not waypoint.next(5.0):
                    continue
                at, turned = waypoint.transform.location, waypoint.transform.rotation
                pitch, yaw = (math.remainder(angle, 360.0) for angle in (turned.pitch, turned.yaw))
                points.append(Transform(at.x, at.y, at.z + _SPAWN_HEIGHT, pitch, yaw, 0.0))
        return points

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


def _arc_length(points: Floats) -> Floats:
    """The distance travelled at each point of a line."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _sample_road(carla_map: Any, road: RoadEntry) -> list[Lane]:
    """Every lane of a road, section by section."""
    lanes = []
    for section in road.sections:
        length = section.end - section.start
        if length < 0.01:
            continue
        # Both ends of a section belong to two sections: stay just inside. 1 m in junctions keeps tight arcs round.
        count = max(2, int(np.ceil(length / (1.0 if road.junction != -1 else 2.0))) + 1)
        stations = np.linspace(section.start + 1e-3, section.end - 1e-3, count)
        for lane_id, kind in section.lanes:
            lane = _sample_lane(carla_map, road, lane_id, kind, stations)
            if lane is not None:
                lanes.append(lane)
    return lanes


def _sample_lane(carla_map: Any, road: RoadEntry, lane_id: int, kind: str, stations: Floats) -> Lane | None:
    rows, painted, kept = [], [], []
    for s in stations.tolist():
        waypoint = carla_map.get_waypoint_xodr(road.id, lane_id, s)
        if waypoint is None:  # carla.Map knows no lane where its width is zero
            continue
        pose = waypoint.transform
        at, turned = pose.location, pose.rotation
        rows.append((at.x, at.y, at.z, waypoint.lane_width, turned.pitch, turned.yaw))
        painted.append((waypoint.left_lane_marking, waypoint.right_lane_marking))
        kept.append(s)
    if len(rows) < 2:
        return None
    table = np.array(rows)
    centre, width, heading = table[:, :3], table[:, 3], table[:, 4:]
    yaw = np.radians(heading[:, 1])
    to_right = np.stack([-np.sin(yaw), np.cos(yaw), np.zeros_like(yaw)], axis=1) * (width / 2)[:, None]
    left, right = centre - to_right, centre + to_right
    marks = _marks([pair[1] for pair in painted], right)
    if abs(lane_id) == 1:  # the line in the road's middle belongs to no side: the innermost lane paints it
        marks += _marks([pair[0] for pair in painted], left)
    return Lane(road.id, lane_id, kind, road.junction, np.array(kept), centre, left, right, heading, tuple(marks))


def _marks(markings: list[Any], edge: Floats) -> list[Mark]:
    """The lines along an edge, cut where the marking changes."""
    keys = [(m.type.name, m.color.name, float(m.width)) if m is not None else ("NONE", "", 0.0) for m in markings]
    marks = []
    first = 0
    for i in range(1, len(keys) + 1):
        if i == len(keys) or keys[i] != keys[first]:
            kind, colour, width = keys[first]
            points = edge[first : i + 1]  # on to where the next one starts
            if kind != "NONE" and len(points) > 1:
                marks.append(Mark(kind, colour, width, points))
            first = i
    return marks


class _Raster:
    """Heights and speed limits on a grid, so that asking costs next to nothing."""

    def __init__(self, lanes: list[Lane], speeds: dict[int, tuple[tuple[float, float], ...]]) -> None:
        edges = np.concatenate([part for lane in lanes for part in (lane.inner, lane.outer)])
        low, high = edges[:, :2].min(axis=0), edges[:, :2].max(axis=0)
        self.bounds = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        self._x, self._y = self.bounds[0] - _MARGIN, self.bounds[1] - _MARGIN
        columns, rows = np.ceil((high - low + 2 * _MARGIN) / _CELL).astype(int) + 1
        self._shape = (int(rows), int(columns))
        self._level = float(np.median(edges[:, 2]))
        self._flat = bool(np.abs(edges[:, 2] - self._level).max() < 0.01)
        if not self._flat:
            self._lower, self._upper = self._storeys(edges)
        driving = [lane for lane in lanes if lane.kind == "driving"]
        limits = np.concatenate([_limits(lane, speeds.get(lane.road, ())) for lane in driving])
        self._limits, _ = self._spread(np.concatenate([lane.centre[:, :2] for lane in driving]), limits)

    def _storeys(self, points: Floats) -> tuple[Raster, Raster]:
        """The heights of the lowest road at each place, and of the highest where another one passes over it."""
        column, row = self._cells(points[:, :2])
        floor = np.full(self._shape, np.inf, np.float32)
        np.minimum.at(floor, (row, column), points[:, 2])
        floor = cv2.erode(floor, np.ones((5, 5), np.uint8))  # the lowest within two cells
        above = points[:, 2] > floor[row, column] + _STOREY
        lower, _ = self._spread(points[~above, :2], points[~above, 2], smooth=True)
        if not above.any():
            return lower, lower
        upper, distance = self._spread(points[above, :2], points[above, 2], smooth=True)
        return lower, np.where(distance <= 2, upper, lower)

    def _spread(self, points: Floats, values: Floats, smooth: bool = False) -> tuple[Raster, Raster]:
        """A raster of the value at the nearest point (``smooth``: of a weighted mean there), and how many cells off it is."""
        column, row = self._cells(points)
        empty = np.full(self._shape, 255, np.uint8)
        empty[row, column] = 0
        seeds = empty == 0
        raster = np.zeros(self._shape, np.float32)
        raster[row, column] = values
        if smooth:
            total, weight = np.zeros(self._shape), np.zeros(self._shape)
            np.add.at(total, (row, column), values)
            np.add.at(weight, (row, column), 1.0)
            total, weight = (cv2.GaussianBlur(grid, (0, 0), 1.0) for grid in (total, weight))
            raster[seeds] = total[seeds] / weight[seeds]
        distance, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        by_label = np.zeros(int(labels.max()) + 1, np.float32)
        by_label[labels[seeds]] = raster[seeds]
        return by_label[labels], distance

    def _cells(self, points: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns and rows of the nodes nearest to points (n, 2)."""
        column, row = np.rint((points - (self._x, self._y)) / _CELL).astype(np.int64).T
        return column, row

    def _cell(self, x: float, y: float) -> tuple[float, float]:
        """Column and row (with fractions) of a point, moved to the raster's edge where it lies outside."""
        rows, columns = self._shape
        column = min(max((x - self._x) / _CELL, 0.0), columns - 1.001)
        row = min(max((y - self._y) / _CELL, 0.0), rows - 1.001)
        return column, row

    def height(self, x: float, y: float, z: float | None) -> float:
        if self._flat:
            return self._level
        lower = self._height(self._lower, x, y)
        if z is None or self._upper is self._lower:
            return lower
        upper = self._height(self._upper, x, y)
        return upper if abs(upper - z) < abs(lower - z) else lower

    def _height(self, grid: Raster, x: float, y: float) -> float:
        """Bilinear, so that a car does not climb stairs."""
        column, row = self._cell(x, y)
        i, j = int(row), int(column)
        v, u = row - i, column - j
        near = grid.item(i, j) * (1 - u) + grid.item(i, j + 1) * u
        far = grid.item(i + 1, j) * (1 - u) + grid.item(i + 1, j + 1) * u
        return near * (1 - v) + far * v

    def slope(self, x: float, y: float, z: float | None) -> tuple[float, float]:
        if self._flat:
            return 0.0, 0.0
        rise_x = self.height(x + _CELL, y, z) - self.height(x - _CELL, y, z)
        rise_y = self.height(x, y + _CELL, z) - self.height(x, y - _CELL, z)
        return rise_x / (2 * _CELL), rise_y / (2 * _CELL)

    def limit(self, x: float, y: float) -> float:
        column, row = self._cell(x, y)
        return self._limits.item(round(row), round(column))


def _limits(lane: Lane, speeds: tuple[tuple[float, float], ...]) -> Floats:
    """The speed limit [km/h] at each station of a lane."""
    limits = np.full(len(lane.s), SILENT_LIMIT_KMH)
    for start, limit in speeds:
        limits[lane.s >= start] = limit
    return limits
