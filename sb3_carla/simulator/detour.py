"""Navigation meshes in the binary form of Detour 7, as the carla client loads them for its walkers.

The form is that of Recast/Detour's sample programs, which CARLA's map files have too: a set header, then tiles as
``dtNavMesh::addTile`` takes them (D. Mikko Mononen, Recast & Detour, ``DetourNavMesh.h``: struct layouts, version 7,
32-bit references). One tile holds the whole map. Detour's axes are x, up, z: CARLA's y is its z.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

_SET: Final = struct.Struct("<3i5f2i")  # magic, version, tiles; origin, tile width and depth, most tiles, most polygons
_TILE: Final = struct.Struct("<Ii")  # reference, size
_HEADER: Final = struct.Struct("<5iI9i3f3f3ff")
_POLYGON: Final = np.dtype(
    [("link", "<u4"), ("vertices", "<u2", 6), ("beside", "<u2", 6), ("flags", "<u2"), ("count", "u1"), ("area", "u1")]
)
_DETAIL: Final = np.dtype(
    [("vertex", "<u4"), ("triangle", "<u4"), ("vertices", "u1"), ("triangles", "u1"), ("_", "<u2")]
)
_LINK: Final = 12  # bytes of a link; Detour fills them in
_NODE: Final = np.dtype([("low", "<u2", 3), ("high", "<u2", 3), ("index", "<i4")])
_SET_MAGIC, _SET_VERSION = int.from_bytes(b"MSET", "big"), 1
_TILE_MAGIC, _TILE_VERSION = int.from_bytes(b"DNAV", "big"), 7
_WALKER: Final = (1.8, 0.3, 0.5)  # height, radius, climb [m]
_FINEST: Final = 0.05  # of the boxes in the search tree [m]
_MOST_VERTICES: Final = 0xFFFE

Vertex = tuple[float, float, float]


class Area(IntEnum):
    """CARLA's kinds of ground; the polygon's flag is the bit of the same place."""

    BLOCK = 0
    SIDEWALK = 1
    CROSSWALK = 2
    ROAD = 3
    GRASS = 4


class Polygon(NamedTuple):
    """A convex polygon in CARLA's world."""

    vertices: tuple[int, ...]  # rows of the mesh's points, three to six, either way round
    area: Area


def navigation_mesh(points: Sequence[Vertex], polygons: Sequence[Polygon]) -> bytes:
    """The file that the carla client loads.

    Polygons that share two neighbouring points are connected.

    :param points: x, y, z in CARLA's world [m]
    :param polygons: what walkers may stand on
    :raises ValueError: when there is nothing to stand on, or more than one tile can hold
    """
    if not polygons or len(points) > _MOST_VERTICES:
        raise ValueError(f"A navigation mesh of {len(polygons)} polygons and {len(points)} points cannot be made.")
    vertices = np.array(points, np.float32)[:, [0, 2, 1]]
    rings = [_clockwise(polygon.vertices, vertices) for polygon in polygons]
    low, high = vertices.min(axis=0) - 1.0, vertices.max(axis=0) + 1.0
    table, edges = _polygons(rings, polygons)
    details, triangles = _details(rings)
    factor = min(1.0 / _FINEST, 60_000.0 / float((high - low).max()))
    nodes = _tree([vertices[list(ring)] for ring in rings], low, factor)
    header = _HEADER.pack(
        _TILE_MAGIC, _TILE_VERSION, 0, 0, 0, 0,
        len(rings), len(vertices), edges, len(rings), 0, len(triangles), len(nodes), 0, len(rings),
        *_WALKER, *low, *high, factor,
    )  # fmt: skip
    parts = (header, vertices, table, bytes(_LINK * edges), details, triangles, nodes)
    tile = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    most = 1 << (len(rings) - 1).bit_length()
    size = high - low
    start = _SET.pack(_SET_MAGIC, _SET_VERSION, 1, *low, size[0], size[2], 1, most)
    return start + _TILE.pack(most, len(tile)) + tile  # salt 1, tile 0, polygon 0


def _clockwise(ring: tuple[int, ...], vertices: npt.NDArray[Any]) -> tuple[int, ...]:
    """The ring in the order that Detour's corridors need: clockwise with x to the right and z up."""
    x, z = vertices[list(ring), 0].astype(float), vertices[list(ring), 2].astype(float)
    turned = float(np.dot(x, np.roll(z, -1)) - np.dot(z, np.roll(x, -1)))
    return ring if turned < 0.0 else ring[::-1]


def _polygons(rings: list[tuple[int, ...]], polygons: Sequence[Polygon]) -> tuple[npt.NDArray[Any], int]:
    """The polygons with their neighbours, and how many edges they have in all."""
    table = np.zeros(len(rings), _POLYGON)
    open_edges: dict[tuple[int, int], tuple[int, int]] = {}
    for row, (ring, polygon) in enumerate(zip(rings, polygons, strict=True)):
        one = table[row]
        one["vertices"][: len(ring)], one["count"] = ring, len(ring)
        one["flags"], one["area"] = 1 << polygon.area, polygon.area
        for edge, (a, b) in enumerate(zip(ring, ring[1:] + ring[:1], strict=True)):
            other = open_edges.pop((min(a, b), max(a, b)), None)
            if other is None:
                open_edges[min(a, b), max(a, b)] = row, edge
            else:
                one["beside"][edge] = other[0] + 1
                table[other[0]]["beside"][other[1]] = row + 1
    return table, sum(len(ring) for ring in rings)


def _details(rings: list[tuple[int, ...]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Fans of triangles, by which Detour finds heights; the last number says which edges lie on the outside."""
    details = np.zeros(len(rings), _DETAIL)
    triangles: list[tuple[int, int, int, int]] = []
    for row, ring in enumerate(rings):
        details[row]["triangle"], details[row]["triangles"] = len(triangles), len(ring) - 2
        for corner in range(2, len(ring)):
            outside = 4 | (1 if corner == 2 else 0) | (16 if corner == len(ring) - 1 else 0)
            triangles.append((0, corner - 1, corner, outside))
    return details, np.array(triangles, np.uint8)


def _tree(rings: list[npt.NDArray[Any]], low: npt.NDArray[Any], factor: float) -> npt.NDArray[Any]:
    """The search tree over the polygons' boxes: depth first, a branch's index is minus the nodes to skip."""
    lows = np.floor((np.array([ring.min(axis=0) for ring in rings]) - low) * factor).astype(int)
    highs = np.ceil((np.array([ring.max(axis=0) for ring in rings]) - low) * factor).astype(int)
    highs[:, 1] += 1
    nodes: list[tuple[Any, Any, int]] = []

    def add(rows: npt.NDArray[Any]) -> None:
        place = len(nodes)
        box = lows[rows].min(axis=0), highs[rows].max(axis=0)
        if len(rows) == 1:
            nodes.append((*box, int(rows[0])))
            return
        nodes.append((*box, 0))
        longest = int(np.argmax((box[1] - box[0])[[0, 2]])) * 2
        rows = rows[np.argsort(lows[rows, longest] + highs[rows, longest], kind="stable")]
        add(rows[: len(rows) // 2])
        add(rows[len(rows) // 2 :])
        nodes[place] = (*box, -(len(nodes) - place))

    add(np.arange(len(rings)))
    return np.array(nodes, _NODE)
