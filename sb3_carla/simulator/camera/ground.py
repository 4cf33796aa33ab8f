"""The ground as a picture seen from above: roads, lines, sidewalks, grass, at several resolutions.

Each level of the pyramid is painted from the lanes' outlines and not shrunk from the one before, so that painted lines
stay visible far away. A level holds the colours (for the camera) and the materials (for semantic segmentation), painted
by the same strokes. Row and column 0 are the smallest y and x: seen from above, x points right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.lanes import Floats, Lane, Mark, arc_length
from sb3_carla.simulator.roads import RoadMap

LEVELS = 4
FINEST = 0.125  # metres per pixel of the finest level
MARGIN = 25.0  # grass painted around the outermost lanes [m]
_MOST_PIXELS = 16_000_000  # of the finest level; a larger town is painted coarser
_COARSER = 1.4  # a pixel may span this many of a level's before the next coarser one is taken
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
_DASH, _GAP = 4.0, 4.0  # of broken lines [m]
_PERIOD = 512  # pixels of the finest level after which the ground's grain repeats
_GRAINS = 16

_ROAD_KINDS = {
    "driving", "bidirectional", "entry", "exit", "onRamp", "offRamp", "connectingRamp", "stop", "parking", "biking",
    "border", "restricted", "median", "roadWorks", "special1", "special2", "special3", "tram", "rail", "bus", "taxi",
    "HOV",
}  # fmt: skip


class Material(IntEnum):
    """What the ground is made of."""

    GRASS = 0
    ROAD = 1
    SHOULDER = 2
    SIDEWALK = 3
    CURB = 4
    WHITE_LINE = 5
    YELLOW_LINE = 6
    CROSSING = 7  # the road within junctions


# CARLA's semantic label of each material.
TAGS = np.zeros(256, np.uint8)
TAGS[[Material.GRASS, Material.ROAD, Material.SHOULDER, Material.SIDEWALK]] = 10, 1, 1, 2
TAGS[[Material.CURB, Material.WHITE_LINE, Material.YELLOW_LINE, Material.CROSSING]] = 2, 24, 24, 1

# B, G, R, and how much the grain lightens and darkens it.
_COLOURS = {
    Material.GRASS: (76, 124, 96, 22),
    Material.ROAD: (92, 90, 88, 9),
    Material.SHOULDER: (116, 116, 114, 9),
    Material.SIDEWALK: (158, 164, 168, 9),
    Material.CURB: (186, 190, 192, 4),
    Material.WHITE_LINE: (238, 240, 240, 5),
    Material.YELLOW_LINE: (60, 196, 236, 5),
    Material.CROSSING: (88, 86, 84, 9),
}


class Ground(NamedTuple):
    """The whole town's ground as the kernels take it: all levels one after the other, the finest first."""

    texels: npt.NDArray[np.uint32]  # colours, B, G, R, A packed from the lowest byte up
    materials: npt.NDArray[np.uint8]
    levels: npt.NDArray[np.int64]  # (levels, 4): where it begins, rows, columns, micrometres per pixel
    place: npt.NDArray[np.float64]  # x, y of the picture's first corner [m]; B, G, R of what lies outside

    def reach(self, focal: float) -> npt.NDArray[np.float64]:
        """From which depth [m] on each level is fine enough for a camera of this focal length [pixels]."""
        return np.concatenate([[0.0], focal * 1e-6 * self.levels[1:, 3] * _COARSER / 2])


def paint_ground(roads: RoadMap, lanes: list[Lane]) -> Ground:
    """Paint a town's ground.

    :param roads: the town
    :param lanes: what to paint, which may be less than all of the town's lanes
    :return: the pyramid; a few dozen megabytes for a town of half a kilometre
    """
    x_min, y_min, x_max, y_max = roads.bounds
    x, y = x_min - MARGIN, y_min - MARGIN
    width, height = x_max + MARGIN - x, y_max + MARGIN - y
    finest = math.ceil(1e6 * max(FINEST, math.sqrt(width * height / _MOST_PIXELS))) * 1e-6
    grain = _grain(finest)
    texels, materials, table, begin = [], [], [], 0
    for i in range(LEVELS):
        resolution = finest * 2**i
        # The same pattern at all levels, so that one does not see where one ends and the next begins.
        spots = cv2.resize(grain, (_PERIOD >> i, _PERIOD >> i), interpolation=cv2.INTER_AREA)
        rows, columns = int(np.ceil(height / resolution)), int(np.ceil(width / resolution))
        painter = _Painter(x, y, resolution, rows, columns, np.rint(spots).astype(np.uint8))
        colours = painter.paint(lanes)
        texels.append(np.ascontiguousarray(colours).view(np.uint32).ravel())
        materials.append(painter.materials.ravel())
        table.append((begin, rows, columns, round(1e6 * resolution)))
        begin += rows * columns
    b, g, r, _ = _COLOURS[Material.GRASS]
    return Ground(
        np.concatenate(texels), np.concatenate(materials), np.array(table, np.int64), np.array([x, y, b, g, r], float)
    )


class _Painter:
    """Paints one level."""

    def __init__(
        self, x: float, y: float, resolution: float, rows: int, columns: int, grain: npt.NDArray[np.uint8]
    ) -> None:
        self.origin = np.array([x, y])
        self.resolution = resolution
        self.materials = np.zeros((rows, columns), np.uint8)
        self.grain = grain

    def paint(self, lanes: list[Lane]) -> npt.NDArray[np.uint8]:
        """Fill the materials; the colours (rows, columns, 4) that go with them."""
        for kind, material in (("sidewalk", Material.SIDEWALK), ("shoulder", Material.SHOULDER)):
            for lane in lanes:
                if lane.kind == kind:
                    self._fill(lane, material)
        self._fill_junctions([lane for lane in lanes if lane.junction != -1 and lane.kind in _ROAD_KINDS])
        for lane in lanes:
            if lane.kind in _ROAD_KINDS:
                self._fill(lane, Material.CROSSING if lane.junction != -1 else Material.ROAD)
        marks = [mark for lane in lanes for mark in lane.marks]
        lines = [(points, width, material) for mark in marks for points, width, material in _lines(mark)]
        # Where two materials meet, colours are softened: their borders would look like stairs.
        colours = np.asarray(cv2.blur(self._grained(), (3, 3)), np.uint8)
        for points, width, material in lines:
            self._stroke(self.materials, points, width, int(material), cv2.LINE_8)
            self._stroke(colours, points, width, self._line_colour(material, width), cv2.LINE_AA)
        return colours

    def _pixels(self, points: Floats) -> npt.NDArray[np.int32]:
        """OpenCV's fixed-point coordinates; a pixel's centre has whole numbers."""
        pixels = (points[:, :2] - self.origin) / self.resolution - 0.5
        return np.asarray(np.rint(pixels * 2**_SHIFT), np.int32)

    def _fill(self, lane: Lane, material: Material) -> None:
        outline = self._pixels(np.concatenate([lane.inner, lane.outer[::-1]]))
        cv2.fillPoly(self.materials, [outline], int(material), cv2.LINE_8, _SHIFT)

    def _fill_junctions(self, lanes: list[Lane]) -> None:
        """Close the gaps that the turning lanes leave between them."""
        by_junction: dict[int, list[Lane]] = {}
        for lane in lanes:
            by_junction.setdefault(lane.junction, []).append(lane)
        for group in by_junction.values():
            outlines = [self._pixels(np.concatenate([lane.inner, lane.outer[::-1]])) for lane in group]
            corner = np.concatenate(outlines).min(axis=0) // 2**_SHIFT - 1
            far = np.concatenate(outlines).max(axis=0) // 2**_SHIFT + 2
            patch = np.zeros((far - corner)[::-1], np.uint8)
            for outline in outlines:
                cv2.fillPoly(patch, [outline - corner * 2**_SHIFT], 1, cv2.LINE_8, _SHIFT)
            contours, _ = cv2.findContours(patch, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            offset = (int(corner[0]), int(corner[1]))
            cv2.drawContours(self.materials, contours, -1, int(Material.CROSSING), cv2.FILLED, offset=offset)

    def _stroke(self, canvas: npt.NDArray[np.uint8], points: Floats, width: float, colour: Any, kind: int) -> None:
        thickness = max(1, round(width / self.resolution))
        cv2.polylines(canvas, [self._pixels(points)], False, colour, thickness, kind, _SHIFT)

    def _line_colour(self, material: Material, width: float) -> tuple[float, ...]:
        """A line thinner than a pixel is mixed with the road, less than its width says: far lines must stay visible."""
        share = min(1.0, float(np.sqrt(1.3 * width / self.resolution)))
        line, road = _COLOURS[material], _COLOURS[Material.ROAD]
        return (*(share * line[i] + (1 - share) * road[i] for i in range(3)), 255)

    def _grained(self) -> npt.NDArray[np.uint8]:
        """The materials' colours with a soft grain, so that the ground is seen to move."""
        rows, columns = self.materials.shape
        period = len(self.grain)
        tiles = np.tile(self.grain, (rows // period + 1, columns // period + 1))[:rows, :columns]
        palette = np.zeros((_GRAINS, 16, 4), np.uint8)
        for material, (*colour, depth) in _COLOURS.items():
            for i in range(_GRAINS):
                palette[i, material, :3] = np.clip(np.array(colour) + depth * (2 * i / (_GRAINS - 1) - 1), 0, 255)
        palette[..., 3] = 255
        tiles *= 16
        tiles += self.materials
        coloured = palette.reshape(-1, 4).view(np.uint32)[:, 0].take(tiles)
        return coloured.view(np.uint8).reshape(rows, columns, 4)


def _grain(finest: float) -> npt.NDArray[np.float32]:
    """A periodic pattern of 0 .. 15 for the finest level, coarse and fine spots mixed."""
    random = np.random.default_rng(7)
    total = np.zeros((_PERIOD, _PERIOD))
    for size, weight in ((0.3, 0.6), (1.5, 0.8), (6.0, 1.0)):  # spots of so many metres
        knots = int(min(_PERIOD, max(4, _PERIOD * finest / size)))
        spots = np.pad(random.standard_normal((knots, knots)), 2, mode="wrap")
        scale = _PERIOD / knots
        spots = np.asarray(cv2.resize(spots, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.float64)
        first = round(2 * scale)
        total += weight * spots[first : first + _PERIOD, first : first + _PERIOD]
    return np.asarray(np.clip(_GRAINS / 2 + 3 * total / total.std(), 0, _GRAINS - 1), np.float32)


def _lines(mark: Mark) -> Iterator[tuple[Floats, float, Material]]:
    """The strokes that paint a mark: (points, width, material)."""
    material = Material.YELLOW_LINE if mark.colour == "Yellow" else Material.WHITE_LINE
    width = max(mark.width, 0.15)
    if mark.kind == "Curb":
        yield mark.points, 0.2, Material.CURB
        return
    if mark.kind in ("Solid", "Broken"):
        sides = [(0.0, mark.kind)]
    elif mark.kind in ("SolidSolid", "SolidBroken", "BrokenSolid", "BrokenBroken"):
        first = "Solid" if mark.kind.startswith("Solid") else "Broken"
        second = "Solid" if mark.kind.endswith("Solid") else "Broken"
        sides = [(-width, first), (width, second)]
    elif mark.kind == "BottsDots":
        sides = [(0.0, "Broken")]
    else:
        return
    for offset, kind in sides:
        points = _beside(mark.points, offset)
        if kind == "Solid":
            yield points, width, material
        else:
            for dash in _dashes(points):
                yield dash, width, material


def _beside(points: Floats, offset: float) -> Floats:
    """A line ``offset`` metres to the right of another one."""
    if offset == 0.0:
        return points
    along = np.asarray(np.gradient(points[:, :2], axis=0))
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    moved: Floats = points.copy()
    moved[:, :2] += offset * np.stack([-along[:, 1], along[:, 0]], axis=1)
    return moved


def _dashes(points: Floats) -> Iterator[Floats]:
    """A broken line's dashes."""
    travelled = arc_length(points)
    for start in np.arange(_GAP / 2, travelled[-1], _DASH + _GAP):
        end = min(start + _DASH, travelled[-1])
        at = np.array([start, *travelled[(travelled > start) & (travelled < end)], end])
        yield np.stack([np.interp(at, travelled, points[:, i]) for i in range(points.shape[1])], axis=1)
