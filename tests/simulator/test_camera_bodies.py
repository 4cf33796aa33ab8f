"""How bodies are gathered from the world and laid out for the kernels that draw them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_carla.simulator.camera import shapes
from sb3_carla.simulator.camera.bodies import rotations, solids_of
from sb3_carla.simulator.geometry import BODY, Transform, rotation_matrix
from sb3_carla.simulator.wire.values import ActorDescription

CAR = ActorDescription("vehicle.tesla.model3", {})
angles = st.floats(-720.0, 720.0)


def body(tag=14, extent=(2.0, 1.0, 0.7), id=7):
    return np.array([(id, tag, (10, 20, 30), (1.0, 2.0, 3.0), (5.0, 60.0, -7.0), extent)], BODY)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(angles, angles, angles), max_size=5))
def test_many_rotations_are_those_of_each_body(turns):
    found = rotations(np.array(turns).reshape(-1, 3))
    assert found.shape == (len(turns), 3, 3)
    for matrix, turn in zip(found, turns, strict=True):
        np.testing.assert_allclose(matrix, rotation_matrix(*turn), atol=1e-12)


def test_a_body_keeps_its_place_size_label_number_and_colour():
    solids = solids_of(body(id=4_000_000_000))
    assert solids.numbers[0].tolist() == pytest.approx([1.0, 2.0, 3.0, 2.0, 1.0, 0.7, np.sqrt(5.49)])
    assert solids.traits[0, 2:].tolist() == [14, 4_000_000_000, 10, 20, 30]


def test_a_body_without_thickness_can_still_be_drawn():
    assert solids_of(body(extent=(2.0, 0.0, 0.0))).numbers[0, 3:6].min() > 0.0


def test_scenery_is_numbered_from_the_top_downwards():
    scenery = np.concatenate([body(id=0)] * 3)
    assert solids_of(scenery, scenery=True).traits[:, 3].tolist() == [65535, 65534, 65533]


@pytest.mark.parametrize(
    ("tag", "extent", "kind"),
    [
        (14, (2.3, 0.9, 0.7), shapes.CAR),
        (3, (9.0, 9.0, 6.0), shapes.HOUSE),
        (20, (0.3, 0.3, 0.5), shapes.BOX),
        (9, (3.0, 3.0, 3.0), shapes.CROWN),
        (9, (0.2, 0.2, 3.0), shapes.BOX),  # a trunk
        (6, (0.1, 0.1, 2.0), shapes.POST),
        (6, (0.1, 0.1, 4.0), shapes.LAMP),
        (7, (0.2, 0.2, 0.5), shapes.BOX),  # a housing
        (7, (0.1, 0.1, 0.1), shapes.BULB),
    ],
)
def test_label_and_size_decide_what_a_body_looks_like(tag, extent, kind):
    assert solids_of(body(tag, extent)).traits[0, :2].tolist() == shapes.RANGES[kind].tolist()


def test_cameras_see_actors_where_they_are_while_others_come_and_go(world):
    def places():
        world.step(0.05)
        return {int(one["id"]): one["centre"][:2].tolist() for one in world.bodies() if one["tag"] == 14}

    first, second, third = world.town.roads.spawn_points[:3]
    a, b = world.spawn(CAR, first), world.spawn(CAR, second)
    assert places() == {a.id: pytest.approx(first[:2]), b.id: pytest.approx(second[:2])}
    a.place(Transform(*third))
    assert places() == {a.id: pytest.approx(third[:2]), b.id: pytest.approx(second[:2])}
    world.destroy(a.id)
    assert places() == {b.id: pytest.approx(second[:2])}
    c = world.spawn(CAR, first)
    assert places() == {b.id: pytest.approx(second[:2]), c.id: pytest.approx(first[:2])}
