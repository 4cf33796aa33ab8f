"""Roads that pass over other ground: they are drawn as triangles, since the ground has one height at each place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.lanes import Floats, Lane, Mark
from sb3_carla.simulator.raster import RoadRaster

_LINE_HEIGHT = 0.04  # of painted lines over the deck [m]
_THICKNESS = 0.9  # [m]
_PARAPET = 0.8  # height of the wall on either side [m]
_ROAD, _SIDEWALK, _WALL, _LINE = 1, 2, 28, 24  # CARLA's semantic labels; the parapet is a guard rail
_ASPHALT, _PAVING, _CONCRETE = (96.0, 94.0, 92.0), (158.0, 164.0, 168.0), (150.0, 152.0, 152.0)  # B, G, R
_WHITE, _YELLOW = (238.0, 240.0, 240.0), (60.0, 196.0, 236.0)


class Decks(NamedTuple):
    """Triangles that are seen from both sides."""

    corners: npt.NDArray[np.float64]  # (n, 3, 3) [m]
    normals: npt.NDArray[np.float64]  # (n, 3)
    colours: npt.NDArray[np.float64]  # (n, 3) B, G, R
    tags: npt.NDArray[np.uint8]  # (n,)


def split(lanes: list[Lane], raster: RoadRaster) -> tuple[list[Lane], Decks]:
    """The parts of lanes that lie on the ground, and the rest as triangles."""
    on_ground: list[Lane] = []
    builder = _Builder()
    outermost = {(lane.road, lane.id > 0): 0 for lane in lanes}
    for lane in lanes:
        if lane.kind != "none":
            key = (lane.road, lane.id > 0)
            outermost[key] = max(outermost[key], abs(lane.id))
    for lane in lanes:
        above = raster.overpass(lane.centre)
        if not above.any():
            on_ground.append(lane)
            continue
        for first, end in _runs(~above):
            marks = tuple(mark for one in lane.marks for mark in _below(one, raster))
            on_ground.append(
                lane._replace(
                    s=lane.s[first:end], centre=lane.centre[first:end], inner=lane.inner[first:end],
                    outer=lane.outer[first:end], heading=lane.heading[first:end], marks=marks,
                )
            )  # fmt: skip
        if lane.kind != "none":
            builder.lane(lane, above, abs(lane.id) == outermost[lane.road, lane.id > 0])
            for mark in lane.marks:
                builder.mark(mark, raster.overpass(mark.points))
    return on_ground, builder.decks()


def _runs(chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where at least two neighbours are chosen: first, and one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(np.int8)))
    for first, end in edges.reshape(-1, 2).tolist():
        if end - first >= 2:
            yield first, end


def _below(mark: Mark, raster: RoadRaster) -> Iterator[Mark]:
    for first, end in _runs(~raster.overpass(mark.points)):
        yield mark._replace(points=mark.points[first:end])


class _Builder:
    """Collects triangles."""

    def __init__(self) -> None:
        self._corners: list[Floats] = []
        self._colours: list[tuple[float, float, float]] = []
        self._tags: list[int] = []

    def lane(self, lane: Lane, above: npt.NDArray[np.bool_], edge: bool) -> None:
        pavement = lane.kind == "sidewalk"
        # One station more at either end closes the gap to the ground.
        for i in np.flatnonzero(above[1:] | above[:-1]).tolist():
            a, b, c, d = lane.inner[i], lane.inner[i + 1], lane.outer[i + 1], lane.outer[i]
            self._quad(a, b, c, d, _PAVING if pavement else _ASPHALT, _SIDEWALK if pavement else _ROAD)
            if edge:
                foot, top = np.array([0.0, 0.0, _THICKNESS]), np.array([0.0, 0.0, _PARAPET])
                self._quad(d - foot, c - foot, c + top, d + top, _CONCRETE, _WALL)

    def mark(self, mark: Mark, above: npt.NDArray[np.bool_]) -> None:
        if mark.kind == "Curb":
            return
        colour = _YELLOW if mark.colour == "Yellow" else _WHITE
        up = np.array([0.0, 0.0, _LINE_HEIGHT])
        for i in np.flatnonzero(above[1:] & above[:-1]).tolist():
            if mark.kind == "Broken" and i % 4 > 1:
                continue
            a, b = mark.points[i] + up, mark.points[i + 1] + up
            along = b - a
            side = np.array([-along[1], along[0], 0.0]) * (max(mark.width, 0.15) / 2 / max(np.hypot(*along[:2]), 1e-6))
            self._quad(a - side, b - side, b + side, a + side, colour, _LINE)

    def _quad(self, a: Floats, b: Floats, c: Floats, d: Floats, colour: tuple[float, float, float], tag: int) -> None:
        for triangle in ((a, b, c), (a, c, d)):
            self._corners.append(np.array(triangle))
            self._colours.append(colour)
            self._tags.append(tag)

    def decks(self) -> Decks:
        corners = np.array(self._corners).reshape(-1, 3, 3)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        solid = np.linalg.norm(normals, axis=1) > 1e-9
        return Decks(
            np.ascontiguousarray(corners[solid]),
            np.ascontiguousarray(normals[solid]),
            np.array(self._colours, float).reshape(-1, 3)[solid],
            np.array(self._tags, np.uint8)[solid],
        )
