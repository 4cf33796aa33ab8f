"""The built-in towns: what the committed files are, and that traffic can flow everywhere in them."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_carla.simulator import maps
from sb3_carla.simulator.maps.alignment import Corner, Pose, course, turn
from sb3_carla.simulator.maps.draw import main, town_blocks, towns
from sb3_carla.simulator.maps.network import Town
from sb3_carla.simulator.maps.random_town import random_town

carla = pytest.importorskip("carla")

FOLDER = Path(maps.__file__).parent


@pytest.fixture(scope="module", params=towns(), ids=lambda town: town.name)
def town(request: pytest.FixtureRequest) -> Town:
    return request.param


@pytest.fixture(scope="module")
def road_map(town: Town) -> Any:
    return carla.Map(town.name, town.opendrive())


def lane_of(waypoint: Any) -> tuple[int, int]:
    return waypoint.road_id, waypoint.lane_id


def reached(start: Any, neighbours: dict[Any, list[Any]]) -> set[Any]:
    """All nodes that can be reached from one."""
    seen, waiting = {start}, [start]
    while waiting:
        for node in neighbours.get(waiting.pop(), []):
            if node not in seen:
                seen.add(node)
                waiting.append(node)
    return seen


def test_the_committed_file_is_what_the_program_draws(town: Town) -> None:
    assert (FOLDER / f"{town.name}.xodr").read_text(encoding="utf-8") == town.opendrive()


def test_every_committed_town_is_drawn_by_the_program() -> None:
    assert {path.stem for path in FOLDER.glob("*.xodr")} == {town.name for town in towns()}


def test_the_program_writes_its_files_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_carla.simulator.maps.draw.__file__", str(tmp_path / "draw.py"))
    main()
    assert {path.name for path in tmp_path.iterdir()} == {f"{town.name}.xodr" for town in towns()}


def test_traffic_can_go_on_and_come_from_everywhere(road_map: Any) -> None:
    waypoints = road_map.generate_waypoints(3.0)
    assert [lane_of(w) for w in waypoints if not w.next(2.0) or not w.previous(2.0)] == []


def test_every_lane_can_be_reached_from_every_other(road_map: Any) -> None:
    ahead: dict[Any, list[Any]] = {}
    behind: dict[Any, list[Any]] = {}
    for first, second in road_map.get_topology():
        ahead.setdefault(lane_of(first), []).append(lane_of(second))
        behind.setdefault(lane_of(second), []).append(lane_of(first))
    lanes = {lane_of(w) for w in road_map.generate_waypoints(3.0)}
    for waypoint in road_map.generate_waypoints(3.0):
        for beside, allowed in (
            (waypoint.get_left_lane(), carla.LaneChange.Left),
            (waypoint.get_right_lane(), carla.LaneChange.Right),
        ):
            if waypoint.lane_change in (allowed, carla.LaneChange.Both):
                ahead.setdefault(lane_of(waypoint), []).append(lane_of(beside))
                behind.setdefault(lane_of(beside), []).append(lane_of(waypoint))
    start = min(lanes)
    assert reached(start, ahead) == lanes
    assert reached(start, behind) == lanes


def test_no_lane_has_a_kink_or_a_gap(road_map: Any) -> None:
    for waypoint in road_map.generate_waypoints(2.0):
        for following in waypoint.next(0.2):
            bend = math.remainder(following.transform.rotation.yaw - waypoint.transform.rotation.yaw, 360)
            assert abs(bend) < 2.0
            assert following.transform.location.distance(waypoint.transform.location) == pytest.approx(
                0.2, abs=0.05
            )  # outside of bends


@pytest.mark.parametrize(("in_junction", "smallest"), [(True, 8.0), (False, 18.0)])
def test_bends_are_wide_enough_to_drive(road_map: Any, in_junction: bool, smallest: float) -> None:
    radii = []
    for waypoint in road_map.generate_waypoints(2.0):
        for following in waypoint.next(0.5):
            bend = abs(math.remainder(following.transform.rotation.yaw - waypoint.transform.rotation.yaw, 360))
            if bend > 0.1 and waypoint.is_junction == following.is_junction == in_junction:
                radii.append(0.5 / math.radians(bend))
    assert min(radii) > smallest
    assert max(radii) > 30.0


def test_no_road_touches_the_same_junction_with_both_ends(town: Town) -> None:
    for road in ET.fromstring(town.opendrive().encode()).findall("road"):
        if road.get("junction") == "-1":
            ends = [end.get("elementId") for end in road.find("link") or ()]
            assert len(set(ends)) == 2


def test_the_big_town_has_blocks_junctions_of_both_kinds_and_an_avenue() -> None:
    drawn = town_blocks()
    arms = [sum(name in (road.start, road.end) for road in drawn.roads) for name in drawn.junctions]
    assert set(arms) == {3, 4}
    xs, ys = zip(*drawn.junctions.values(), strict=True)
    assert 300 <= max(xs) - min(xs) <= 500
    assert 250 <= max(ys) - min(ys) <= 500
    road_map = carla.Map(drawn.name, drawn.opendrive())
    beside = [
        w
        for w in road_map.generate_waypoints(5.0)
        if (right := w.get_right_lane()) is not None
        and right.lane_type == carla.LaneType.Driving
        and right.lane_id * w.lane_id > 0
    ]
    assert len(beside) > 20
    assert {str(w.lane_change) for w in beside} == {"Right"}


def test_a_course_ends_where_it_should_with_a_continuous_heading() -> None:
    pieces = course((0, 0), [Corner(60, 0, 30, 10), Corner(80, 70, 25, 8), Corner(160, 70, 40)], (170, 150))
    assert pieces[-1].end[:2] == pytest.approx((170, 150), abs=1e-3)
    assert_smooth(pieces)


def assert_smooth(pieces: Iterable[Any]) -> None:
    pieces = list(pieces)
    for piece, following in itertools.pairwise(pieces):
        assert piece.end == pytest.approx(following.start, abs=1e-9)


def test_legs_too_short_for_their_radius_are_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        course((0, 0), [Corner(10, 0, 30)], (10, 10))


@given(angle=st.floats(0.2, 2.4), left=st.booleans(), leg_in=st.floats(5, 30), leg_out=st.floats(5, 30))
def test_a_turn_arrives_where_it_should(angle: float, left: bool, leg_in: float, leg_out: float) -> None:
    angle = angle if left else -angle
    start = Pose(3, -2, 0.7)
    corner = start.ahead(leg_in)
    end = Pose(corner.x, corner.y, start.heading + angle).ahead(leg_out)
    pieces = turn(start, end)
    assert_smooth(pieces)
    assert pieces[-1].end[:2] == pytest.approx(end[:2], abs=1e-3)
    assert math.remainder(pieces[-1].end.heading - end.heading, math.tau) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("end", [Pose(10, 1, 0), Pose(-10, -10, -1.5)])
def test_turns_that_no_arc_can_make_are_refused(end: Pose) -> None:
    with pytest.raises(ValueError, match=r"No single arc|cannot be joined"):
        turn(Pose(0, 0, 0), end)


def test_drawing_twice_gives_the_same() -> None:
    assert [town.opendrive() for town in towns()] == [town.opendrive() for town in towns()]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_traffic_can_flow_everywhere_in_a_town_of_any_seed(seed: int) -> None:
    drawn = carla.Map("Town_Drawn", random_town("Town_Drawn", seed).opendrive())
    test_traffic_can_go_on_and_come_from_everywhere(drawn)
    test_every_lane_can_be_reached_from_every_other(drawn)
    test_bends_are_wide_enough_to_drive(drawn, in_junction=True, smallest=8.0)
