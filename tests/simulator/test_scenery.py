"""Houses, trees and lamp posts: where they stand, and that they always stand there."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from sb3_carla.simulator.geometry import BODY
from sb3_carla.simulator.roads import RoadMap, built_in_maps
from sb3_carla.simulator.scenery import CLEARANCE, MOST_BODIES, place_scenery

RESOLUTION = 0.25  # metres per pixel of the plans that these tests draw
BUILDING, POLE, VEGETATION, RAIL = 3, 6, 9, 28


@pytest.fixture(scope="module", params=built_in_maps())
def roads(request: pytest.FixtureRequest) -> RoadMap:
    return RoadMap.load(request.param)


@pytest.fixture(scope="module")
def scenery(roads: RoadMap) -> Any:
    return place_scenery(roads)


def plan_of(roads: RoadMap) -> tuple[Any, Any]:
    """An empty plan with room around the roads, and where its first pixel is."""
    x_min, y_min, x_max, y_max = roads.bounds
    size = np.ceil(np.array([y_max - y_min + 120, x_max - x_min + 120]) / RESOLUTION).astype(int)
    return np.zeros(size, np.uint8), np.array([x_min - 60, y_min - 60])


def footprint(body: Any, origin: Any, shrink: float = 0.0) -> Any:
    """A body's outline on the plan."""
    yaw = math.radians(body["rotation"][1])
    half = np.maximum(body["extent"][:2] - shrink, 0)
    along, across = (
        np.array([math.cos(yaw), math.sin(yaw)]) * half[0],
        np.array([-math.sin(yaw), math.cos(yaw)]) * half[1],
    )
    corners = body["centre"][:2] + np.array([along + across, along - across, -along - across, across - along])
    return np.rint((corners - origin) / RESOLUTION).astype(np.int32)


def part_of(plan: Any, outline: Any) -> Any:
    """The part of the plan that an outline lies in, and the outline filled with ones in an equal part."""
    corner, end = np.maximum(outline.min(axis=0), 0), outline.max(axis=0) + 1
    part = plan[corner[1] : end[1], corner[0] : end[0]]
    patch = np.zeros(part.shape, np.uint8)
    cv2.fillConvexPoly(patch, outline - corner.astype(np.int32), 1)
    return part, patch


def test_nothing_stands_near_a_road_surface(roads: RoadMap, scenery: Any) -> None:
    surface, origin = plan_of(roads)
    for lane in roads.lanes:
        outline = np.concatenate([lane.inner, lane.outer[::-1]])[:, :2]
        cv2.fillPoly(surface, [np.rint((outline - origin) / RESOLUTION).astype(np.int32)], 1)
    distance = cv2.distanceTransform(1 - surface, cv2.DIST_L2, 5) * RESOLUTION
    for body in scenery:
        near, patch = part_of(distance, footprint(body, origin))
        assert near[patch > 0].min() > CLEARANCE - 1.5 * RESOLUTION


def test_nothing_stands_in_anything_else(roads: RoadMap, scenery: Any) -> None:
    taken, origin = plan_of(roads)
    for body in scenery:
        trunk = body["tag"] == VEGETATION and body["extent"][0] < 0.5  # stands in its own crown's shade
        if not trunk:
            place, patch = part_of(taken, footprint(body, origin, shrink=0.5))
            assert not (place & patch).any()
            place |= patch


def test_everything_stands_upright_on_the_ground(roads: RoadMap, scenery: Any) -> None:
    crowns = (scenery["tag"] == VEGETATION) & (scenery["extent"][:, 0] > 0.5)
    bottom = scenery["centre"][:, 2] - scenery["extent"][:, 2]
    ground = [roads.height(*place) for place in scenery["centre"][~crowns, :2].tolist()]
    assert bottom[~crowns] == pytest.approx(np.array(ground), abs=1e-6)
    assert (bottom[crowns] >= 1.5).all()
    assert not scenery["rotation"][:, ::2].any()
    assert (scenery["id"] == 0).all()


def test_streets_have_houses_and_lamp_posts_and_country_roads_have_trees(roads: RoadMap, scenery: Any) -> None:
    assert scenery.dtype == BODY
    assert len(scenery) <= MOST_BODIES
    tags = set(scenery["tag"].tolist())
    houses = scenery[scenery["tag"] == BUILDING]
    trees = scenery[scenery["tag"] == VEGETATION]
    if any(lane.kind == "sidewalk" for lane in roads.lanes):
        assert tags == {BUILDING, POLE, VEGETATION}
        assert len(houses) > 50
    else:
        assert POLE not in tags
        assert 10 < len(houses) < 0.2 * len(trees)
    assert len(np.unique(houses["colour"], axis=0)) > len(houses) / 2
    assert np.ptp(houses["extent"][:, 2]) > 1.5


def test_fast_roads_have_guard_rails() -> None:
    ring = place_scenery(RoadMap.load("Town_Ring"))
    rails = ring[ring["tag"] == RAIL]
    assert len(rails) > 200
    assert (rails["extent"][:, 2] < 0.5).all()


def test_scenery_is_the_same_every_time(roads: RoadMap, scenery: Any) -> None:
    assert place_scenery(RoadMap.load(roads.name)).tobytes() == scenery.tobytes()


def test_the_same_roads_under_another_name_look_different(roads: RoadMap, scenery: Any) -> None:
    other = place_scenery(RoadMap("Elsewhere", roads.opendrive, tried=True))
    assert other.tobytes() != scenery.tobytes()


def test_on_a_slope_scenery_stands_at_the_height_of_the_road() -> None:
    text = RoadMap.load("Town_Curves").opendrive.replace('s="0.0" a="0.0"', 's="0.0" a="7.5"')
    scenery = place_scenery(RoadMap("Plateau", text))
    houses = scenery[scenery["tag"] == BUILDING]
    assert houses["centre"][:, 2] - houses["extent"][:, 2] == pytest.approx(7.5, abs=1e-3)
