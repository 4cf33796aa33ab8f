"""Towns drawn at random: what was learned on many roads carries over to roads that no training has seen.

The idea is that of procedurally generated levels (Cobbe et al., "Leveraging Procedural Generation to Benchmark
Reinforcement Learning", 2020) and maps (Li et al., "MetaDrive", 2022): how well a policy does on unseen ones depends on
the number of those it was trained in.
"""

from __future__ import annotations

import itertools
import math
import random

import networkx

from sb3_carla.simulator.maps.alignment import Corner, Point, course
from sb3_carla.simulator.maps.network import Road, Town

_BLOCK = 90.0  # side of a block before anything is moved [m]
_CLOSEST = 14.0  # least distance between the middles of two roads, away from junctions [m]
_AT_JUNCTION = 24.0  # how far a junction reaches at most, and where roads may be closer, from its centre [m]
_SHARPEST = math.radians(50)  # least angle between two roads that meet

_Node = tuple[int, int]  # column and row


def random_town(name: str, seed: int) -> Town:
    """A town of 4 to 11 junctions on a bent grid, some of whose streets are left out.

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
            town = _draw(name, size, bends, rng)
            town.opendrive()
        except ValueError:
            continue  # A course or a turn does not fit: draw again.
        if _has_room(town):
            return town


def _draw(name: str, size: tuple[int, int], bends: tuple[int, ...], rng: random.Random) -> Town:
    """One try, which may not fit.

    :param size: columns and rows of the grid
    :param bends: from how many bends a street draws, per side of a block
    :raise ValueError: when it cannot be a town
    """
    columns, rows = ([i * _BLOCK + rng.uniform(-12, 12) for i in range(count)] for count in size)
    place: dict[_Node, Point] = {
        (i, j): (x + rng.uniform(-14, 14), y + rng.uniform(-14, 14))
        for (i, x), (j, y) in itertools.product(enumerate(columns), enumerate(rows))
    }
    streets = networkx.grid_2d_graph(*size)
    streets.remove_edges_from(rng.sample(sorted(streets.edges), k=rng.randint(1, len(place) // 3)))
    if not networkx.is_connected(streets) or networkx.has_bridges(streets):
        raise ValueError("Who drives over a bridge of the graph cannot come back.")
    junctions = sorted(node for node in streets if streets.degree[node] > 2)
    roads: dict[frozenset[_Node], Road] = {}
    for start in junctions:
        for second in sorted(streets[start]):
            path = _along(streets, start, second)
            ends = frozenset((path[0], path[-1]))
            if path > path[::-1]:
                continue  # It is drawn from its other end.
            if len(ends) == 1 or ends in roads:
                raise ValueError("Two junctions have one road between them, so that a name says which.")
            corners: list[Corner] = []
            for here, there in itertools.pairwise(path):
                corners += _wind(place[here], place[there], rng.choice(bends), rng)
                if there != path[-1]:
                    corners.append(Corner(*place[there], rng.uniform(20, 36), rng.uniform(4, 8)))
            roads[ends] = Road(_label(path[0]), _label(path[-1]), tuple(corners), speed_kmh=rng.choice((30, 50)))
    return Town(
        name,
        {_label(node): place[node] for node in junctions},
        list(roads.values()),
        middle_mark=rng.choice(("white", "yellow")),
        sidewalks=rng.random() < 0.7,
        lights=frozenset(_label(node) for node in junctions if rng.random() < 0.4),
    )


def _along(streets: networkx.Graph[_Node], start: _Node, second: _Node) -> list[_Node]:
    """The nodes from a junction by way of its neighbour to the next junction."""
    path = [start, second]
    while streets.degree[path[-1]] == 2:
        path.append(next(node for node in streets[path[-1]] if node != path[-2]))
    return path


def _label(node: _Node) -> str:
    return f"column-{node[0]}-row-{node[1]}"


def _wind(start: Point, end: Point, count: int, rng: random.Random) -> list[Corner]:
    """So many bends beside the straight line between two points."""
    way = complex(*end) - complex(*start)
    corners = []
    for i in range(count):
        along, aside = (i + 1 + rng.uniform(-0.2, 0.2)) / (count + 1), rng.uniform(-14, 14)
        point = complex(*start) + along * way + aside * 1j * way / abs(way)
        corners.append(Corner(point.real, point.imag, rng.uniform(20, 40), rng.uniform(4, 10)))
    return corners


def _has_room(town: Town) -> bool:
    """Whether the town has junctions enough, none is too wide or too sharp, and no road comes too close to another."""
    if len(town.junctions) < 4:
        return False
    for name in town.junctions:
        for arm, other in itertools.combinations(town.arms(name), 2):
            angle = abs(math.remainder(arm.outward - other.outward, math.tau))
            if angle < _SHARPEST or max(arm.setback, other.setback) > _AT_JUNCTION:
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
