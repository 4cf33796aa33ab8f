"""Towns drawn at random, for a training on more roads than somebody would draw by hand.

The idea is that of procedurally generated levels (Cobbe et al., "Leveraging Procedural Generation to Benchmark
Reinforcement Learning", 2020) and maps (Li et al., "MetaDrive", 2022), where how well a policy does on unseen ones
depends on the number of those it was trained in. What it brings here is in docs/results.md.
"""

from __future__ import annotations

import cmath
import itertools
import math
import random

import networkx

from sb3_carla.simulator.maps.alignment import Corner, Point, course
from sb3_carla.simulator.maps.network import Road, Town

_AT_JUNCTION = 24.0  # a road is straight so far from the centre of a junction, whose turns need no more room [m]
_SHARPEST = math.radians(50)  # least angle between two roads that meet, for which that is room enough
_ASTRAY = math.radians(15)  # most by which a road leaves a junction beside the direction of its block's next corner
_CLOSEST = 14.0  # least distance between the middles of two roads, away from junctions [m]
_TRIES = 200  # to wind a road, before everything is drawn again

_Node = tuple[int, int]  # column and row


class _Misfit(Exception):
    """What was drawn cannot be a town."""


def random_town(name: str, seed: int) -> Town:
    """A town of at least four junctions on a bent grid, some of whose streets are left out.

    :param name: what it is called
    :param seed: the same seed draws the same town
    :return: every lane of it can be reached from every other

    >>> random_town("Town_Example", 1) == random_town("Town_Example", 1)
    True
    """
    rng = random.Random(seed)
    size = rng.choice((3, 3, 4)), rng.choice((3, 4))
    bends = rng.choice(((0, 0, 1), (0, 1, 2), (0, 1, 2, 2)))
    while True:
        try:
            return _draw(name, size, bends, rng)
        except _Misfit:
            continue


def _draw(name: str, size: tuple[int, int], bends: tuple[int, ...], rng: random.Random) -> Town:
    """One try.

    :param size: columns and rows of the grid
    :param bends: from how many bends a street draws, per side of a block
    :raise _Misfit: when it cannot be a town
    """
    columns, rows = (list(itertools.accumulate(rng.uniform(75, 105) for _ in range(count))) for count in size)
    place: dict[_Node, Point] = {
        (i, j): (x + rng.uniform(-10, 10), y + rng.uniform(-10, 10))
        for (i, x), (j, y) in itertools.product(enumerate(columns), enumerate(rows))
    }
    streets = networkx.grid_2d_graph(*size)
    streets.remove_edges_from(rng.sample(sorted(streets.edges), k=rng.randint(1, len(place) // 3)))
    # Who drives over a bridge of the graph cannot come back.
    if not networkx.is_connected(streets) or networkx.has_bridges(streets):
        raise _Misfit
    junctions = sorted(node for node in streets if streets.degree[node] > 2)
    paths = sorted({_along(streets, node, second) for node in junctions for second in streets[node]})
    ends = {frozenset((path[0], path[-1])) for path in paths}
    # Two junctions have one road between them at most, so that their names say which.
    if len(junctions) < 4 or len(ends) < len(paths) or any(len(pair) == 1 for pair in ends):
        raise _Misfit
    town = Town(
        name,
        {_label(node): place[node] for node in junctions},
        [_wind([place[node] for node in path], _label(path[0]), _label(path[-1]), bends, rng) for path in paths],
        middle_mark=rng.choice(("white", "yellow")),
        sidewalks=rng.random() < 0.7,
        lights=frozenset(_label(node) for node in junctions if rng.random() < 0.4),
    )
    if not _has_room(town):
        raise _Misfit
    return town


def _along(streets: networkx.Graph[_Node], start: _Node, second: _Node) -> tuple[_Node, ...]:
    """The nodes from a junction by way of its neighbour to the next junction, the same from both ends."""
    path = [start, second]
    while streets.degree[path[-1]] == 2:
        path.append(next(node for node in streets[path[-1]] if node != path[-2]))
    return min(tuple(path), tuple(path[::-1]))


def _label(node: _Node) -> str:
    return f"column-{node[0]}-row-{node[1]}"


def _wind(points: list[Point], start: str, end: str, bends: tuple[int, ...], rng: random.Random) -> Road:
    """A road along these points with bends beside the straight lines between them."""
    speed_kmh = rng.choice((30, 50))
    for _ in range(_TRIES):
        corners: list[Corner] = []
        for here, there in itertools.pairwise(points):
            count, way = rng.choice(bends), complex(*there) - complex(*here)
            for i in range(count):
                along, aside = (i + 1 + rng.uniform(-0.2, 0.2)) / (count + 1), rng.uniform(-14, 14)
                point = complex(*here) + along * way + aside * 1j * way / abs(way)
                corners.append(Corner(point.real, point.imag, rng.uniform(20, 40), rng.uniform(4, 10)))
            corners.append(Corner(*there, rng.uniform(20, 36), rng.uniform(4, 8)))
        corners.pop()  # the last point is a junction
        try:
            pieces = course(points[0], corners, points[-1])
        except ValueError:
            continue
        ends_straight = min(pieces[0].length, pieces[-1].length) > _AT_JUNCTION
        turned = _angle(points[0], points[1], pieces[0].end[:2]), _angle(points[-1], points[-2], pieces[-1].start[:2])
        if ends_straight and max(turned) < _ASTRAY:
            return Road(start, end, tuple(corners), speed_kmh=speed_kmh)
    raise _Misfit


def _angle(centre: Point, one: Point, other: Point) -> float:
    """The angle between the directions from a centre to two points [rad]."""
    to_one, to_other = complex(*one) - complex(*centre), complex(*other) - complex(*centre)
    return abs(cmath.phase(to_one / to_other))


def _has_room(town: Town) -> bool:
    """Whether no junction is too sharp and no road comes too close to another."""
    for name in town.junctions:
        for arm, other in itertools.combinations(town.arms(name), 2):
            if abs(math.remainder(arm.outward - other.outward, math.tau)) < _SHARPEST:
                return False
    ways = []
    for road in town.roads:
        pieces = course(town.junctions[road.start], road.corners, town.junctions[road.end])
        ways.append([piece.pose_at(piece.length * i / 8)[:2] for piece in pieces for i in range(9)])
    for one, two in itertools.combinations(ways, 2):
        for point in one:
            at_junction = min(math.dist(point, centre) for centre in town.junctions.values()) < _AT_JUNCTION
            if not at_junction and min(math.dist(point, other) for other in two) < _CLOSEST:
                return False
    return True
