"""Maps as the simulator uses them: what is accepted, where cars may start, heights and limits."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_maps import opendrive, straight

from sb3_carla.simulator.roads import MapError, RoadMap, built_in_maps

carla = pytest.importorskip("carla")


@pytest.fixture(scope="module")
def blocks() -> RoadMap:
    return RoadMap.load("Town_Blocks")


@pytest.mark.parametrize("name", ["Town_Blocks", "Carla/Maps/Town_Blocks", "/Game/Carla/Maps/Town_Blocks"])
def test_a_town_is_found_by_its_short_and_its_full_name(name: str) -> None:
    assert RoadMap.load(name).name == "Town_Blocks"


def test_a_file_is_a_map_named_after_it(tmp_path: Path, blocks: RoadMap) -> None:
    path = tmp_path / "My Town.xodr"
    path.write_text(blocks.opendrive, encoding="utf-8")
    loaded = RoadMap.load(str(path))
    assert loaded.name == "My Town"
    assert loaded.spawn_points == blocks.spawn_points


def test_the_big_town_has_more_than_a_hundred_spawn_points_all_in_different_places(blocks: RoadMap) -> None:
    points = blocks.spawn_points
    assert len(points) > 100
    apart = [math.dist(a[:2], b[:2]) for i, a in enumerate(points) for b in points[:i]]
    assert min(apart) > 3.0


@pytest.mark.parametrize("town", built_in_maps())
def test_spawn_points_lie_on_lanes_along_them_and_lead_on(town: str) -> None:
    roads = RoadMap.load(town)
    road_map = carla.Map(town, roads.opendrive)
    assert roads.spawn_points
    for point in roads.spawn_points:
        waypoint = road_map.get_waypoint(carla.Location(point.x, point.y, point.z), project_to_road=True)
        on_lane = waypoint.transform.location
        assert math.hypot(on_lane.x - point.x, on_lane.y - point.y) < 0.4  # carla.Map looks between samples
        assert abs(math.remainder(waypoint.transform.rotation.yaw - point.yaw, 360)) < 1.0
        assert point.z == pytest.approx(on_lane.z + 0.3, abs=0.05)
        assert not waypoint.is_junction
        assert waypoint.next(5.0)


def test_spawn_points_are_the_same_every_time(blocks: RoadMap) -> None:
    assert RoadMap.load("Town_Blocks").spawn_points == blocks.spawn_points


def test_a_road_that_leads_nowhere_has_spawn_points_only_where_there_is_way_left() -> None:
    points = RoadMap("x", opendrive(straight(40))).spawn_points
    assert points
    assert all(-13.5 <= point.x * (1 if point.yaw == 0 else -1) <= 13.5 for point in points)


def test_limits_are_those_of_the_map(blocks: RoadMap) -> None:
    assert {blocks.speed_limit_kmh(point.x, point.y) for point in blocks.spawn_points} == {30.0, 50.0}
    assert blocks.speed_limit_kmh(0, 46.5) == 50.0  # the avenue


def test_where_the_map_is_silent_the_limit_is_30() -> None:
    roads = RoadMap("x", opendrive(straight()))
    assert roads.speed_limit_kmh(0, 0) == 30.0
    assert roads.speed_limit_kmh(1e5, -1e5) == 30.0


@pytest.mark.parametrize(("unit", "limit"), [('unit="mph"', 40 * 1.609344), ('unit="km/h"', 40.0), ("", 144.0)])
def test_limits_are_converted_from_their_unit(unit: str, limit: float) -> None:
    text = opendrive(straight()).replace(
        "<planView>", f'<type s="0" type="town"><speed max="40" {unit}/></type><planView>'
    )
    assert RoadMap("x", text).speed_limit_kmh(3, 1) == pytest.approx(limit, abs=1e-4)


def test_flat_maps_are_flat_everywhere(blocks: RoadMap) -> None:
    assert blocks.height(12, 34) == 0.0
    assert blocks.height(1e6, -1e6) == 0.0
    assert blocks.slope(12, 34) == (0.0, 0.0)


def test_heights_follow_a_slope() -> None:
    roads = RoadMap("x", opendrive(straight(elevation='<elevation s="0" a="2" b="0.05" c="0" d="0"/>')))
    for x in (-30.0, -3.3, 0.0, 17.2, 30.0):
        assert roads.height(x, 0.5) == pytest.approx(2 + 0.05 * (x + 50), abs=0.05)
        assert roads.slope(x, 0.5) == pytest.approx((0.05, 0.0), abs=0.01)
    assert all(point.z == pytest.approx(roads.height(point.x, point.y) + 0.3, abs=0.05) for point in roads.spawn_points)


def test_under_a_bridge_the_height_is_that_of_who_asks() -> None:
    above = '<elevation s="0" a="6" b="0" c="0" d="0"/>'
    roads = RoadMap("x", opendrive(straight(), straight(road_id=1, heading=math.pi / 2, elevation=above)))
    assert roads.height(0, 0, 0.3) == pytest.approx(0.0, abs=0.05)
    assert roads.height(0, 0, 6.3) == pytest.approx(6.0, abs=0.05)
    assert roads.height(0, 0) == pytest.approx(0.0, abs=0.05)
    assert roads.height(40, 0, 6.3) == pytest.approx(0.0, abs=0.05)  # no bridge there


GOOD = opendrive(straight())

BAD_MAPS = {
    "empty": ("", "not XML"),
    "garbage": ("\x00\x01 garbage", "not XML"),
    "truncated": (GOOD[: len(GOOD) // 2], "not XML"),
    "another kind of XML": ("<html><body/></html>", "not <OpenDRIVE>"),
    "no road": (opendrive(), "no road"),
    "no driving lane": (GOOD.replace("driving", "sidewalk"), "no driving lane"),
    "no lanes at all": (GOOD.replace("<laneSection", "<other").replace("</laneSection", "</other"), "no lane section"),
    "no course": (GOOD.replace("<planView>", "<x>").replace("</planView>", "</x>"), "no course"),
    "an unknown shape": (GOOD.replace("<line/>", "<circle/>"), "without a shape"),
    "not a number": (GOOD.replace('hdg="0.0"', 'hdg="nan"'), "not a number"),
    "missing attribute": (GOOD.replace('hdg="0.0"', ""), "not a number"),
    "no lane width": (GOOD.replace("<width", "<breadth"), "no width"),
    "the same road twice": (opendrive(straight(), straight()), "id 0"),
    "a strange id": (GOOD.replace('id="0" junction', 'id="first" junction'), "not a whole number"),
    "a way to nowhere": (
        GOOD.replace("<link/><planView>", '<link><successor elementType="road" elementId="9"/></link><planView>'),
        "not in the file",
    ),
    "an absent junction": (GOOD.replace('junction="-1"', 'junction="7"'), "not in the file"),
}


@pytest.mark.parametrize("kind", BAD_MAPS)
def test_an_unusable_map_is_refused_with_the_reason(kind: str) -> None:
    document, reason = BAD_MAPS[kind]
    with pytest.raises(MapError, match=reason):
        RoadMap("x", document)


@given(st.one_of(st.text(), st.text().map(lambda text: f"<OpenDRIVE>{text}</OpenDRIVE>")))
def test_no_text_does_anything_worse_than_a_map_error(text: str) -> None:
    with pytest.raises(MapError):
        RoadMap("x", text)


@pytest.mark.parametrize("town", ["Town99", "", "Town_Blocks.xodr", "no/such/place.xodr"])
def test_an_unknown_town_or_file_is_named_in_the_error(town: str) -> None:
    with pytest.raises(MapError, match=town or "Town_Blocks"):
        RoadMap.load(town)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.xodr"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(MapError, match="cannot be read"):
        RoadMap.load(str(path))


def test_without_the_carla_wheel_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "carla", None)
    with pytest.raises(MapError, match="pip install carla"):
        RoadMap("x", GOOD)
