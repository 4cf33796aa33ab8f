"""Scripted road users that do one thing to the ego vehicle: cross its way, be slow before it, brake before it.

They are made once and put into place at the beginning of each episode, on the way that the ego vehicle has ahead.
"""

from __future__ import annotations

import math
from typing import Protocol

import carla
import numpy as np

from sb3_carla.envs.client import CarlaClient
from sb3_carla.envs.observation import POINTS_AHEAD, state_vector
from sb3_carla.envs.planner import RouteTracker
from sb3_carla.envs.pursuit import PursuitDriver
from sb3_carla.envs.route import LaneTracker, angle_difference

PARKED = carla.Location(z=-500.0)  # where actors wait until an episode needs them
CAR = "vehicle.audi.tt"
DROP = 0.3  # [m] above the road, so that no wheel begins inside it

FIRST_WALKER, WALKER_SPACING = 35.0, 30.0  # [m] along the way
WALKERS = 5
WALKER_SPEED = 1.4  # [m/s]
KERB = 1.0  # [m] from the lane's edge to where a walker waits
NOTICE = (14.0, 24.0)  # [m] of distance to the ego vehicle at which a walker begins to cross, drawn

SLOW_SPEED = 2.5  # [m/s]
SLOW_DISTANCE = 30.0  # [m] ahead at the beginning

BRAKING_SPEED = 7.0  # [m/s]
BRAKING_DISTANCE = 18.0  # [m] ahead at the beginning
CRUISE_SECONDS, BRAKE_SECONDS = (4.0, 8.0), (2.0, 4.0)  # drawn


class Incident(Protocol):
    """One kind of scripted road user."""

    actors: list[carla.Actor]

    def begin(self, tracker: LaneTracker | RouteTracker, rng: np.random.Generator) -> None:
        """Put the road users into place for an episode."""

    def tick(self, ego: carla.Transform) -> None:
        """Let them act for the next tick."""


def make_incident(name: str, client: CarlaClient) -> Incident:
    """The incident of that name, see ``Scenario.incident``."""
    if name == "pedestrians":
        return Pedestrians(client)
    if name == "slow_vehicle":
        return CarAhead(client, SLOW_SPEED, SLOW_DISTANCE, brakes=False)
    return CarAhead(client, BRAKING_SPEED, BRAKING_DISTANCE, brakes=True)


class Pedestrians:
    """Walkers at the roadside who cross when the ego vehicle comes near.

    :param client: spawns them
    """

    def __init__(self, client: CarlaClient) -> None:
        self._map = client.map
        self.actors = [client.spawn_npc("walker.pedestrian.*", index) for index in range(WALKERS)]

    def begin(self, tracker: LaneTracker | RouteTracker, rng: np.random.Generator) -> None:
        """Put the walkers along the way, on drawn sides."""
        self._directions = []
        self._notices = rng.uniform(*NOTICE, len(self.actors))
        self._crossing = [False] * len(self.actors)
        for index, walker in enumerate(self.actors):
            distance = FIRST_WALKER + WALKER_SPACING * index
            x, y = tracker.ahead(distance)
            lane = self._map.get_waypoint(carla.Location(x=x, y=y))
            yaw = math.radians(lane.transform.rotation.yaw)
            side = 1.0 if rng.random() < 0.7 else -1.0  # right of the lane, mostly
            offset = side * (lane.lane_width / 2.0 + KERB)
            place = carla.Location(
                x - math.sin(yaw) * offset, y + math.cos(yaw) * offset, lane.transform.location.z + 1.0
            )
            across = carla.Vector3D(side * math.sin(yaw), -side * math.cos(yaw), 0.0)
            walker.apply_control(carla.WalkerControl(across, 0.0))
            walker.set_transform(
                carla.Transform(place, carla.Rotation(yaw=math.degrees(math.atan2(across.y, across.x))))
            )
            self._directions.append(across)

    def tick(self, ego: carla.Transform) -> None:
        """Send those who see the ego vehicle come."""
        for index, walker in enumerate(self.actors):
            if not self._crossing[index] and walker.get_location().distance(ego.location) < self._notices[index]:
                self._crossing[index] = True
                walker.apply_control(carla.WalkerControl(self._directions[index], WALKER_SPEED))


class CarAhead:
    """A car before the ego vehicle that keeps its lane: slow all the time, or fast with sudden stops.

    :param client: spawns it
    :param speed: [m/s]
    :param distance: [m] ahead at the beginning
    :param brakes: whether it brakes to a halt now and then
    """

    def __init__(self, client: CarlaClient, speed: float, distance: float, brakes: bool) -> None:
        self._client = client
        self._car = client.spawn_npc(CAR, 0)
        self.actors = [self._car]
        self._driver = PursuitDriver(target_speed=speed, max_steer=1.0, max_brake=1.0)
        self._speed, self._distance, self._brakes = speed, distance, brakes
        self._steer = 0.0

    def begin(self, tracker: LaneTracker | RouteTracker, rng: np.random.Generator) -> None:
        """Put the car into place; its sudden stops are drawn."""
        self._rng = rng
        lane = self._client.map.get_waypoint(carla.Location(*tracker.ahead(self._distance)))
        pose = lane.transform
        pose.location.z += DROP
        self._car.set_transform(pose)
        self._car.set_target_velocity(carla.Vector3D())
        self._tracker = LaneTracker(self._client.lanes, pose.location.x, pose.location.y, pose.rotation.yaw)
        self._braking = False
        self._seconds = float(rng.uniform(*CRUISE_SECONDS))

    def tick(self, ego: carla.Transform) -> None:
        """Drive on, or stand on the brake."""
        if self._brakes:
            self._seconds -= self._client.scenario.fixed_delta_seconds
            if self._seconds <= 0.0:
                self._braking = not self._braking
                self._seconds = float(self._rng.uniform(*(BRAKE_SECONDS if self._braking else CRUISE_SECONDS)))
        if self._braking:
            self._car.apply_control(carla.VehicleControl(brake=1.0, steer=self._steer))
            return
        transform, velocity = self._car.get_transform(), self._car.get_velocity()
        x, y, yaw_deg = transform.location.x, transform.location.y, transform.rotation.yaw
        position = self._tracker.update(x, y, yaw_deg)
        points = [self._tracker.ahead(distance) for distance in POINTS_AHEAD]
        heading_error = angle_difference(yaw_deg, position.yaw_deg)
        speed = math.hypot(velocity.x, velocity.y)
        state = state_vector(speed, self._steer, position.lateral, heading_error, (x, y, yaw_deg), points)
        self._steer, pedal = self._driver.act(state)
        self._car.apply_control(
            carla.VehicleControl(throttle=max(pedal, 0.0), brake=max(-pedal, 0.0), steer=self._steer)
        )
