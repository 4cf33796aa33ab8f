"""Who counts as the next road user on the lane, seen by the real client on the embedded server."""

from __future__ import annotations

import math
from collections.abc import Iterator

import carla
import pytest

from sb3_carla.envs.route import LaneGraph, LaneTracker
from sb3_carla.envs.surroundings import SIGHT, Surroundings
from sb3_carla.envs.traffic_rules import TrafficRules
from sb3_carla.simulator import EmbeddedServer


class Road:
    """An ego vehicle on a straight lane of a town, and others that are put beside and before it."""

    def __init__(self, world: carla.World) -> None:
        self.world, self.town = world, world.get_map()
        self.graph = LaneGraph(self.town)
        self.blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
        self.start = next(point for point in self.town.get_spawn_points() if self._is_straight(point))
        self.ego = self.put(0.0, 0.0, 0.0)
        location = self.start.location
        self.tracker = LaneTracker(self.graph, location.x, location.y, self.start.rotation.yaw)
        self.surroundings = Surroundings(self.ego, TrafficRules(world, self.town))

    def _is_straight(self, point: carla.Transform) -> bool:
        tracker = LaneTracker(self.graph, point.location.x, point.location.y, point.rotation.yaw)
        forward = point.get_forward_vector()
        x, y = tracker.ahead(40.0)
        return math.hypot(point.location.x + 40.0 * forward.x - x, point.location.y + 40.0 * forward.y - y) < 0.5

    def put(self, ahead: float, right: float, turned: float) -> carla.Vehicle:
        """A vehicle that stands beside or before the ego vehicle's place [m], turned against its direction [deg]."""
        start = self.start
        forward, sideways = start.get_forward_vector(), start.get_right_vector()
        location = carla.Location(
            start.location.x + ahead * forward.x + right * sideways.x,
            start.location.y + ahead * forward.y + right * sideways.y,
            start.location.z,
        )
        rotation = carla.Rotation(yaw=start.rotation.yaw + turned)
        return self.world.spawn_actor(self.blueprint, carla.Transform(location, rotation))

    def lead_distance(self, ahead: float, right: float, turned: float) -> float:
        """What the ego vehicle sees with one other vehicle."""
        other = self.put(ahead, right, turned)
        self.world.tick()
        seen = self.surroundings.ahead(self.tracker, [other]).lead_distance
        other.destroy()
        return seen


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    with EmbeddedServer() as server:
        client = carla.Client(server.host, server.port)
        client.set_timeout(20.0)
        world = client.get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        yield Road(world)


@pytest.mark.parametrize(
    ("ahead", "right", "turned"),
    [(20.0, 0.0, 0.0), (20.5, 0.5, 5.0), (13.0, -1.0, 180.0)],
)
def test_a_vehicle_on_the_lane_is_seen_at_its_distance_between_the_bumpers(
    road: Road, ahead: float, right: float, turned: float
) -> None:
    length = 2.0 * road.ego.bounding_box.extent.x
    assert road.lead_distance(ahead, right, turned) == pytest.approx(ahead - length, abs=0.4)


@pytest.mark.parametrize("ahead", [8.0, 13.0, 20.0, 33.0])
def test_oncoming_traffic_on_its_own_lane_is_not_on_ours(road: Road, ahead: float) -> None:
    assert road.lead_distance(ahead, -3.5, 180.0) == SIGHT


def test_who_stands_across_from_the_next_lane_reaches_into_ours(road: Road) -> None:
    assert road.lead_distance(20.0, -3.5, 180.0) == SIGHT
    assert road.lead_distance(20.0, -3.5, 90.0) < 20.0


@pytest.mark.parametrize("ahead", [-8.0, -20.0])
def test_who_is_behind_is_not_ahead(road: Road, ahead: float) -> None:
    assert road.lead_distance(ahead, 0.0, 0.0) == SIGHT


def test_who_is_destroyed_between_two_ticks_is_seen_no_more_and_no_error(road: Road) -> None:
    other = road.put(20.0, 0.0, 0.0)
    road.world.tick()
    assert road.surroundings.ahead(road.tracker, [other]).lead_distance < SIGHT
    other.destroy()  # as the traffic manager does with who stands for long
    assert road.surroundings.ahead(road.tracker, [other]).lead_distance == SIGHT
    assert road.surroundings.distances([other]) == []
