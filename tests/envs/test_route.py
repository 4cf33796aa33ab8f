from __future__ import annotations

import math
import random

import carla
import pytest

from sb3_carla.envs.route import Lane, LaneGraph, LaneTracker, angle_difference
from sb3_carla.simulator.roads import RoadMap, built_in_maps


@pytest.fixture(scope="module", params=built_in_maps())
def graph(request: pytest.FixtureRequest) -> LaneGraph:
    road_map = RoadMap.load(request.param)
    return LaneGraph(carla.Map(road_map.name, road_map.opendrive))


def walk(graph: LaneGraph, metres: float, seed: int) -> list[tuple[Lane, float, float]]:
    """Points along lane centres, turning at random at every fork."""
    rng = random.Random(seed)
    lane = rng.choice(sorted(graph.lanes.values(), key=lambda lane: lane.key))
    path: list[tuple[Lane, float, float]] = []
    while len(path) < metres:
        path += [(lane, *lane.point_at(s)) for s in range(int(lane.length) + 1)]
        lane = rng.choice(lane.successors)
    return path


@pytest.mark.parametrize("seed", range(5))
def test_a_walk_along_lane_centres_is_tracked_through_every_junction(graph: LaneGraph, seed: int) -> None:
    path = walk(graph, 500, seed)
    _, x, y = path[0]
    tracker = LaneTracker(graph, x, y, path[0][0].locate(x, y).yaw_deg)
    for lane, x, y in path:
        assert tracker.update(x, y, lane.locate(x, y).yaw_deg).distance < 0.6


def test_a_car_that_turns_back_where_no_lane_does_is_found_on_its_new_lane(graph: LaneGraph) -> None:
    lane = max((lane for lane in graph.lanes.values() if not lane.is_junction), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 2)
    yaw = lane.locate(x, y).yaw_deg
    tracker = LaneTracker(graph, x, y, yaw)
    back = graph.nearest(x, y, yaw + 180.0)
    start = back.locate(x, y).s
    for metres in range(int(back.length - start)):
        x, y = back.point_at(start + metres)
        position = tracker.update(x, y, yaw + 180.0)
    assert tracker.lane.key == back.key
    assert position.distance < 0.1


def test_a_car_turned_round_is_put_on_a_lane_beside_it_and_not_on_a_far_one(graph: LaneGraph) -> None:
    for lane in graph.lanes.values():
        x, y = lane.point_at(lane.length / 2)
        yaw = lane.locate(x, y).yaw_deg
        assert graph.nearest(x, y, yaw + 180.0).locate(x, y).distance < 8.0


def two_sections(length: float = 60.0) -> str:
    """A road whose lane -2 goes on as lane -1 of its second section."""
    lane = (
        '<lane id="{}" type="{}" level="false"><link>{}</link><width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
        '<roadMark sOffset="0" type="solid" color="white" width="0.15" laneChange="none"/></lane>'
    )
    center = '<center><lane id="0" type="none" level="false"/></center>'
    first = lane.format(-1, "none", "") + lane.format(-2, "driving", '<successor id="-1"/>')
    second = lane.format(-1, "driving", '<predecessor id="-2"/>')
    sections = "".join(
        f'<laneSection s="{s}">{center}<right>{lanes}</right></laneSection>'
        for s, lanes in ((0.0, first), (length / 2, second))
    )
    return (
        f'<OpenDRIVE><header revMajor="1" revMinor="4"/><road name="r" length="{length}" id="0" junction="-1"><link/>'
        f'<planView><geometry s="0" x="0" y="0" hdg="0" length="{length}"><line/></geometry></planView>'
        '<elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile>'
        f"<lanes>{sections}</lanes></road></OpenDRIVE>"
    )


def test_a_lane_ends_where_its_section_of_the_road_ends() -> None:
    graph = LaneGraph(carla.Map("sections", two_sections()))
    for lane in graph.lanes.values():
        assert lane.length == pytest.approx(30.0, abs=4.0), "the step aside to the next lane is 3.5 m"
        for following in lane.successors:
            assert math.dist(lane.points[-1], following.points[0]) < 2.0


def test_lateral_deviation_is_positive_to_the_right(graph: LaneGraph) -> None:
    lane = max(graph.lanes.values(), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 2)
    yaw = math.radians(lane.locate(x, y).yaw_deg)
    right = lane.locate(x - math.sin(yaw), y + math.cos(yaw))
    assert right.lateral == pytest.approx(1.0, abs=0.05)
    assert right.s == pytest.approx(lane.length / 2, abs=0.5)


def test_the_point_ahead_lies_that_far_along_the_lane(graph: LaneGraph) -> None:
    lane = max((lane for lane in graph.lanes.values() if not lane.is_junction), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 3)
    tracker = LaneTracker(graph, x, y, lane.locate(x, y).yaw_deg)
    tracker.update(x, y, tracker.position.yaw_deg)
    ahead = tracker.lane.locate(*tracker.ahead(5.0))
    assert ahead.s - tracker.position.s == pytest.approx(5.0, abs=0.1)


def test_a_lane_in_the_direction_of_the_car_is_preferred(graph: LaneGraph) -> None:
    lane = max((lane for lane in graph.lanes.values() if not lane.is_junction), key=lambda lane: lane.length)
    x, y = lane.point_at(lane.length / 2)
    yaw = lane.locate(x, y).yaw_deg
    behind = graph.nearest(x, y, yaw + 180.0)
    assert abs(angle_difference(behind.locate(x, y).yaw_deg, yaw)) > 90.0
