"""Contacts between solid boxes: vehicle against vehicle, walker or prop, and all of them against static scenery.

Boxes are upright: seen from above they are turned rectangles, and they hit when their height ranges overlap. Contacts
are solved one after the other with an impulse at the point of contact and a shift that takes the boxes apart; order
follows the actors' ids, so equal worlds give equal results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy.typing as npt

_RESTITUTION: Final = 0.15  # how much of the closing speed is given back
_FRICTION: Final = 0.4  # between bodies in contact
_STEP: Final = 0.3  # boxes that overlap less than this in height slide over each other: kerbs, roofs of tunnels [m]
_TILE: Final = 32.0  # of the grid that holds the static boxes [m]
_SQUARE: Final = 4.0  # of the grid by which bodies find them [m]
_SAME_DEPTH: Final = 0.02  # corners within this depth touch together [m]

Point = tuple[float, float]


class Box:
    """An upright box, the shape of everything that can be hit.

    :param owner: the actor, or the row of the scenery
    :param half_length: along the box's forward axis [m]
    :param half_width: across it [m]
    """

    __slots__ = ("bottom", "c", "half_length", "half_width", "owner", "reach", "s", "top", "x", "y")

    def __init__(self, owner: Any, half_length: float, half_width: float):
        self.owner = owner
        self.half_length = half_length
        self.half_width = half_width
        self.reach = math.hypot(half_length, half_width)
        self.x = self.y = self.bottom = self.top = self.s = 0.0
        self.c = 1.0

    def place(self, x: float, y: float, bottom: float, top: float, yaw_deg: float) -> None:
        """Move the box: centre [m], height range [m] and heading."""
        yaw = math.radians(yaw_deg)
        self.x, self.y, self.bottom, self.top = x, y, bottom, top
        self.c, self.s = math.cos(yaw), math.sin(yaw)

    def corners(self) -> list[Point]:
        """The four corners seen from above."""
        lx, ly = self.half_length * self.c, self.half_length * self.s
        wx, wy = -self.half_width * self.s, self.half_width * self.c
        x, y = self.x, self.y
        return [
            (x + lx + wx, y + ly + wy),
            (x + lx - wx, y + ly - wy),
            (x - lx - wx, y - ly - wy),
            (x - lx + wx, y - ly + wy),
        ]


class Contact(NamedTuple):
    """Where two boxes touch; the normal points from the second to the first."""

    nx: float
    ny: float
    depth: float  # [m]
    x: float
    y: float


def contact(a: Box, b: Box) -> Contact | None:
    """How far two boxes overlap seen from above, along the direction that parts them soonest; None when apart."""
    dx, dy = a.x - b.x, a.y - b.y
    reach = a.reach + b.reach
    if dx * dx + dy * dy >= reach * reach or a.bottom >= b.top - _STEP or b.bottom >= a.top - _STEP:
        return None
    least = math.inf
    nx = ny = 0.0
    corners_of = a
    cos, sin = abs(a.c * b.c + a.s * b.s), abs(a.c * b.s - a.s * b.c)
    for face, other in ((a, b), (b, a)):
        for ux, uy, half, across, along in (
            (face.c, face.s, face.half_length, cos, sin),
            (-face.s, face.c, face.half_width, sin, cos),
        ):
            distance = dx * ux + dy * uy
            depth = half + other.half_length * across + other.half_width * along - abs(distance)
            if depth <= 0.0:
                return None
            if depth < least - 1e-9:
                sign = 1.0 if distance >= 0.0 else -1.0
                least, nx, ny, corners_of = depth, ux * sign, uy * sign, other
    # The corners of the one box that lie deepest in the other.
    into = -1.0 if corners_of is a else 1.0
    depths = [(into * (x * nx + y * ny), x, y) for x, y in corners_of.corners()]
    deepest = max(depths)[0]
    touching = [(x, y) for depth, x, y in depths if depth > deepest - _SAME_DEPTH]
    return Contact(
        nx, ny, least, sum(x for x, _ in touching) / len(touching), sum(y for _, y in touching) / len(touching)
    )


class Solid:
    """A box with mass that contacts can move; what the world's vehicles, walkers and props hand to :func:`resolve`.

    ``inverse_mass`` and ``inverse_inertia`` are 0 for what cannot be moved.
    """

    __slots__ = ()
    id: int
    box: Box
    moving: bool
    inverse_mass: float
    inverse_inertia: float

    def velocity_at(self, x: float, y: float) -> Point:
        """Velocity of the body's point there [m/s]."""
        raise NotImplementedError

    def push(self, jx: float, jy: float, spin: float) -> None:
        """Take an impulse [N s] and its moment about the centre [N m s]."""
        raise NotImplementedError

    def shift(self, dx: float, dy: float) -> None:
        """Move out of an overlap [m]."""
        raise NotImplementedError


class Hit(NamedTuple):
    """One contact of a step."""

    body: Any  # the solid
    other: Any  # the other solid, or the row of the scenery
    impulse: Point  # on ``body`` [N s]


class Scenery:
    """The static boxes of a map, found by place.

    Which of them a body in some small square of the map might touch is worked out once, when the first body gets there.

    :param bodies: structured array of :data:`~sb3_carla.simulator.geometry.BODY`
    """

    def __init__(self, bodies: npt.NDArray[Any]):
        self._tiles: dict[tuple[int, int], list[Box]] = {}
        self._known: dict[tuple[int, int, int], tuple[Box, ...]] = {}
        columns = (bodies[name].tolist() for name in ("centre", "rotation", "extent"))
        for row, ((x, y, z), (_, yaw, _), (length, width, height)) in enumerate(zip(*columns, strict=True)):
            box = Box(row, length, width)
            box.place(x, y, z - height, z + height, yaw)
            for tile in _squares(box, _TILE):
                self._tiles.setdefault(tile, []).append(box)

    def near(self, box: Box) -> Sequence[Box]:
        """The static boxes that the box might touch, each once."""
        square = int(box.x // _SQUARE), int(box.y // _SQUARE), int(box.reach) + 1
        known = self._known.get(square)
        if known is None:
            known = self._known[square] = self._look_around(*square)
        return known

    def within(self, box: Box) -> list[Box]:
        """The static boxes that overlap the box, each once."""
        found = dict.fromkeys(one for tile in _squares(box, _TILE) for one in self._tiles.get(tile, ()))
        return [one for one in found if contact(box, one) is not None]

    def overlaps(self, box: Box) -> bool:
        """Whether a box stands in the scenery."""
        return any(contact(box, one) is not None for one in self.near(box))

    def _look_around(self, i: int, j: int, reach: int) -> tuple[Box, ...]:
        half = 0.5 * _SQUARE + reach
        around = Box(None, half, half)
        around.place((i + 0.5) * _SQUARE, (j + 0.5) * _SQUARE, -math.inf, math.inf, 0.0)
        return tuple(self.within(around))


def _squares(box: Box, size: float) -> Iterable[tuple[int, int]]:
    """The squares of a grid that a box may touch."""
    for i in range(int((box.x - box.reach) // size), int((box.x + box.reach) // size) + 1):
        for j in range(int((box.y - box.reach) // size), int((box.y + box.reach) // size) + 1):
            yield i, j


def resolve(solids: Sequence[Solid], scenery: Scenery) -> list[Hit]:
    """Find all contacts of the moving solids, part and push them.

    :param solids: everything that can be hit, in the order of the ids
    :param scenery: what never moves
    :return: the contacts, in a fixed order
    """
    hits: list[Hit] = []
    for solid in solids:
        if solid.moving:
            for wall in scenery.near(solid.box):
                touch = contact(solid.box, wall)
                if touch is not None:
                    hits.append(Hit(solid, wall.owner, _bounce(solid, None, touch)))
    if len(solids) < 2:
        return hits
    # Sweep along x: only boxes whose ranges overlap there are compared.
    order = sorted(solids, key=_left_edge)
    for index, a in enumerate(order):
        box = a.box
        right, y, reach = box.x + box.reach, box.y, box.reach
        for b in order[index + 1 :]:
            other = b.box
            if other.x - other.reach > right:
                break
            if abs(other.y - y) > reach + other.reach or not (a.moving or b.moving):
                continue
            first, second = (a, b) if a.id < b.id else (b, a)
            touch = contact(first.box, second.box)
            if touch is not None:
                hits.append(Hit(first, second, _bounce(first, second, touch)))
    return hits


def _left_edge(solid: Solid) -> tuple[float, int]:
    return solid.box.x - solid.box.reach, solid.id


def _bounce(a: Solid, b: Solid | None, touch: Contact) -> Point:
    """Part two overlapping bodies and change their velocities; the impulse on ``a``. ``b`` None: immovable."""
    nx, ny, depth, x, y = touch
    inverse_a = a.inverse_mass
    inverse_b = b.inverse_mass if b is not None else 0.0
    if inverse_a + inverse_b == 0.0:
        return 0.0, 0.0
    share = inverse_a / (inverse_a + inverse_b)
    a.shift(nx * depth * share, ny * depth * share)
    vx, vy = a.velocity_at(x, y)
    if b is not None:
        b.shift(-nx * depth * (1.0 - share), -ny * depth * (1.0 - share))
        bx, by = b.velocity_at(x, y)
        vx, vy = vx - bx, vy - by
    closing = vx * nx + vy * ny
    if closing >= 0.0:
        return 0.0, 0.0
    jn = -(1.0 + _RESTITUTION) * closing / _mobility(a, b, touch, nx, ny)
    tx, ty = -ny, nx
    jt = -(vx * tx + vy * ty) / _mobility(a, b, touch, tx, ty)
    jt = min(max(jt, -_FRICTION * jn), _FRICTION * jn)
    jx, jy = jn * nx + jt * tx, jn * ny + jt * ty
    a.push(jx, jy, (x - a.box.x) * jy - (y - a.box.y) * jx)
    if b is not None:
        b.push(-jx, -jy, -((x - b.box.x) * jy - (y - b.box.y) * jx))
    return jx, jy


def _mobility(a: Solid, b: Solid | None, touch: Contact, ux: float, uy: float) -> float:
    """Change of the relative velocity along a direction per impulse along it [1/kg]."""
    total = a.inverse_mass + ((touch.x - a.box.x) * uy - (touch.y - a.box.y) * ux) ** 2 * a.inverse_inertia
    if b is not None:
        total += b.inverse_mass + ((touch.x - b.box.x) * uy - (touch.y - b.box.y) * ux) ** 2 * b.inverse_inertia
    return total


def first_on_ray(
    boxes: Iterable[Box],
    start: tuple[float, float, float],
    direction: tuple[float, float, float],
    reach: float,
    radius: float,
) -> tuple[float, Box] | None:
    """The nearest box that a thick ray meets: the boxes are grown by the ray's radius.

    :param boxes: what can be met
    :param start: [m]
    :param direction: of length one
    :param reach: length of the ray [m]
    :param radius: of the ray [m]
    :return: distance [m] and box, or None
    """
    best: tuple[float, Box] | None = None
    for box in boxes:
        dx, dy = start[0] - box.x, start[1] - box.y
        near, far = 0.0, reach if best is None else best[0]
        for offset, step, low, high in (
            (dx * box.c + dy * box.s, direction[0] * box.c + direction[1] * box.s, -box.half_length, box.half_length),
            (dy * box.c - dx * box.s, direction[1] * box.c - direction[0] * box.s, -box.half_width, box.half_width),
            (start[2], direction[2], box.bottom, box.top),
        ):
            low, high = low - radius, high + radius
            if abs(step) < 1e-12:
                if not low <= offset <= high:
                    near = math.inf
                continue
            enter, leave = (low - offset) / step, (high - offset) / step
            near, far = max(near, min(enter, leave)), min(far, max(enter, leave))
        if near <= far and near < math.inf:
            best = (near, box)
    return best
