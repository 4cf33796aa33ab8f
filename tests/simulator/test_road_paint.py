"""Stop lines and crosswalks among the lanes' marks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sb3_carla.simulator.road_paint import paint
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.signals import Signals


@pytest.fixture(scope="module")
def town(atlas):
    return atlas.start


def added(town):
    """The marks that the map's own lanes do not have."""
    own = RoadMap.load(town.name).lanes
    return [mark for lane, bare in zip(town.roads.lanes, own, strict=True) for mark in lane.marks[len(bare.marks) :]]


def test_every_lane_before_a_light_has_a_stop_line_across_it(town):
    lines = [mark for mark in added(town) if mark.width == pytest.approx(0.4)]
    for light in town.signals.lights:
        for lane in light.lanes:
            (line,) = [one for one in lines if np.hypot(*(one.points.mean(axis=0)[:2] - (lane.x, lane.y))) < 0.2]
            along = line.points[1, :2] - line.points[0, :2]
            yaw = math.radians(lane.yaw)
            assert abs(along @ (math.cos(yaw), math.sin(yaw))) < 0.05
            assert 0.8 * lane.width < np.hypot(*along) < lane.width


def test_every_crosswalk_of_the_map_has_its_stripes(town):
    stripes = [mark.points for mark in added(town) if mark.width == pytest.approx(0.5)]
    corners = town.roads.carla_map.get_crosswalks()
    assert len(stripes) >= len(corners)  # five corners each, the first one twice; at least as many stripes
    assert {round(float(np.linalg.norm(one[1] - one[0])), 1) for one in stripes} == {3.0}


def test_a_map_without_signals_gets_no_paint():
    roads = RoadMap.load("Town_Curves")
    assert paint(roads, Signals((), (), ())) == roads.lanes
