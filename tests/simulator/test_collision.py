"""Contacts between boxes: found when they overlap, and answered without making energy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sb3_carla.simulator.collision import Box, Scenery, Solid, contact, first_on_ray, resolve
from sb3_carla.simulator.geometry import BODY


class Block(Solid):
    """A free body on ice, of 1000 kg."""

    def __init__(self, id, x, y, yaw=0.0, vx=0.0, vy=0.0, length=4.0, width=2.0, mass=1000.0):
        self.id, self.vx, self.vy, self.r, self.moving = id, vx, vy, 0.0, True
        self.box = Box(self, length / 2, width / 2)
        self.box.place(x, y, 0.0, 1.5, yaw)
        self.inverse_mass = 1.0 / mass
        self.inverse_inertia = 12.0 / (mass * (length**2 + width**2))

    def velocity_at(self, x, y):
        return self.vx - self.r * (y - self.box.y), self.vy + self.r * (x - self.box.x)

    def push(self, jx, jy, spin):
        self.vx += jx * self.inverse_mass
        self.vy += jy * self.inverse_mass
        self.r += spin * self.inverse_inertia

    def shift(self, dx, dy):
        self.box.x += dx
        self.box.y += dy

    @property
    def energy(self):
        return 0.5 * (self.vx**2 + self.vy**2) / self.inverse_mass + 0.5 * self.r**2 / self.inverse_inertia


def scenery(*boxes):
    """Static boxes given as (x, y, half length, half width, yaw), 10 m high."""
    bodies = np.zeros(len(boxes), BODY)
    for body, (x, y, length, width, yaw) in zip(bodies, boxes, strict=True):
        body["centre"], body["extent"], body["rotation"] = (x, y, 5.0), (length, width, 5.0), (0.0, yaw, 0.0)
    return Scenery(bodies)


EMPTY = scenery()
coordinates = st.floats(-3.0, 3.0)
headings = st.floats(-180.0, 180.0)


def test_boxes_apart_do_not_touch():
    assert contact(Block(1, 0, 0).box, Block(2, 4.1, 0).box) is None
    assert contact(Block(1, 0, 0).box, Block(2, 3.9, 0).box) is not None


def test_a_box_above_another_does_not_touch_it():
    below, above = Block(1, 0, 0), Block(2, 0, 0)
    above.box.place(0.0, 0.0, 5.0, 6.5, 0.0)
    assert contact(below.box, above.box) is None


@given(coordinates, coordinates, headings, headings)
def test_a_contact_is_the_same_seen_from_either_box(x, y, yaw_a, yaw_b):
    a, b = Block(1, 0.0, 0.0, yaw_a).box, Block(2, x, y, yaw_b).box
    one, other = contact(a, b), contact(b, a)
    assert (one is None) == (other is None)
    if one is not None:
        assert other.depth == pytest.approx(one.depth, abs=1e-6)


@given(coordinates, coordinates, headings, headings)
def test_moving_a_box_out_by_the_depth_ends_the_contact(x, y, yaw_a, yaw_b):
    a, b = Block(1, 0.0, 0.0, yaw_a).box, Block(2, x, y, yaw_b).box
    touch = contact(a, b)
    assume(touch is not None)
    a.x += touch.nx * (touch.depth + 1e-6)
    a.y += touch.ny * (touch.depth + 1e-6)
    assert contact(a, b) is None


@given(coordinates, coordinates, headings, headings, st.floats(-20, 20), st.floats(-20, 20))
def test_a_collision_keeps_momentum_and_makes_no_energy(x, y, yaw_a, yaw_b, vx, vy):
    a, b = Block(1, 0.0, 0.0, yaw_a, vx, vy), Block(2, x, y, yaw_b)
    before = a.energy + b.energy
    hits = resolve([a, b], EMPTY)
    assert (a.vx + b.vx, a.vy + b.vy) == pytest.approx((vx, vy), abs=1e-6)
    assert a.energy + b.energy <= before * (1 + 1e-9) + 1e-6
    for hit in hits:
        assert (hit.body, hit.other) == (a, b)


def test_a_head_on_collision_stops_both():
    a, b = Block(1, 0.0, 0.0, vx=10.0), Block(2, 3.9, 0.0, yaw=180.0, vx=-10.0)
    (hit,) = resolve([a, b], EMPTY)
    assert abs(a.vx) < 2.0
    assert abs(b.vx) < 2.0
    assert hit.impulse[0] == pytest.approx(1000.0 * (a.vx - 10.0))


def test_a_wall_stops_a_body_and_stays_where_it_is():
    walls = scenery((3.0, 0.0, 1.0, 20.0, 0.0))
    body = Block(1, 0.1, 0.0, vx=15.0)
    (hit,) = resolve([body], walls)
    assert body.vx <= 0.0
    assert hit.other == 0
    assert hit.impulse[0] < -1000.0 * 15.0
    assert contact(body.box, walls.near(body.box)[0]) is None or body.box.x <= 0.0 + 1e-9


def test_an_off_centre_hit_turns_the_body():
    body = Block(1, 0.0, 0.0, vx=10.0)
    resolve([body], scenery((2.5, 1.5, 1.0, 1.0, 0.0)))
    assert body.r > 0.1  # the right corner is held back: it turns to the right


def test_bodies_that_stand_still_are_left_alone():
    a, b = Block(1, 0.0, 0.0), Block(2, 1.0, 0.0)
    a.moving = b.moving = False
    assert resolve([a, b], EMPTY) == []


@given(
    st.lists(st.tuples(st.floats(-60, 60), st.floats(-60, 60), headings), max_size=12),
    st.floats(-60, 60),
    st.floats(-60, 60),
    headings,
)
def test_the_scenery_finds_every_box_that_is_touched(walls, x, y, yaw):
    static = scenery(*[(wx, wy, 6.0, 2.0, wyaw) for wx, wy, wyaw in walls])
    body = Block(1, x, y, yaw).box
    touched = set()
    for row, (wx, wy, wyaw) in enumerate(walls):
        wall = Box(row, 6.0, 2.0)
        wall.place(wx, wy, 0.0, 10.0, wyaw)
        if contact(body, wall) is not None:
            touched.add(row)
    assert {one.owner for one in static.near(body) if contact(body, one) is not None} == touched


def test_a_ray_meets_the_nearest_box_at_its_face():
    near, far = Block(1, 10.0, 0.0).box, Block(2, 20.0, 0.0).box
    distance, box = first_on_ray([far, near], (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), 50.0, 0.0)
    assert box is near
    assert distance == pytest.approx(8.0)


@pytest.mark.parametrize("direction", [(-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_ray_that_looks_elsewhere_meets_nothing(direction):
    assert first_on_ray([Block(1, 10.0, 0.0).box], (0.0, 0.0, 1.0), direction, 50.0, 0.0) is None


def test_a_thick_ray_meets_what_a_thin_one_passes():
    beside = Block(1, 10.0, 1.3).box
    assert first_on_ray([beside], (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), 50.0, 0.1) is None
    assert first_on_ray([beside], (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), 50.0, 0.5) is not None
    assert math.isfinite(first_on_ray([beside], (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), 50.0, 0.5)[0])
