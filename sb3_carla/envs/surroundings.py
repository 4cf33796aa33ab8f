"""What is around the ego vehicle: the lane ahead, the vehicle in front, the next red light."""

from __future__ import annotations

import math
from typing import NamedTuple

import carla
import numpy as np

from sb3_carla.envs.planner import RouteTracker
from sb3_carla.envs.route import Lane, LaneTracker
from sb3_carla.envs.traffic import still_there
from sb3_carla.envs.traffic_rules import TrafficRules

SIGHT = 50.0  # [m] of the lane ahead; nothing farther away is seen
SPACING = 2.0  # [m]
MARGIN = 0.5  # [m] beside the car's own width that must be free


class Ahead(NamedTuple):
    """What is on the lane ahead; :data:`SIGHT` where there is nothing."""

    lead_distance: float  # [m] from the front bumper to the next road user on the lane
    lead_speed: float  # [m/s] of it along the lane
    red_light_distance: float  # [m] from the front bumper to the next stop line with a red or yellow light


class Surroundings:
    """Looks around one ego vehicle.

    :param ego: the vehicle
    :param rules: the map's stop lines
    """

    def __init__(self, ego: carla.Vehicle, rules: TrafficRules) -> None:
        self._ego, self._rules = ego, rules
        box = ego.bounding_box
        self.front = box.location.x + box.extent.x  # [m] from the vehicle's origin to its front bumper
        self._half_width = box.extent.y

    def ahead(self, tracker: LaneTracker | RouteTracker, others: list[carla.Actor]) -> Ahead:
        """Look along the lane ahead.

        :param tracker: of the ego vehicle
        :param others: the road users that may be there
        """
        path = np.array([tracker.ahead(distance) for distance in np.arange(0.0, SIGHT, SPACING)])
        way = Lane((0, 0, 0), path, np.zeros(len(path)), is_junction=False)
        position = self._ego.get_location()
        lead_distance, lead_speed = SIGHT, SIGHT
        for other, transform, velocity in still_there(others):
            x, y = transform.location.x, transform.location.y
            if math.hypot(x - position.x, y - position.y) > SIGHT:
                continue
            place, extent = way.locate(x, y), other.bounding_box.extent
            # Its outline seen along and across the lane: who crosses is as wide as it is long
            turned = math.radians(transform.rotation.yaw - place.yaw_deg)
            cosine, sine = abs(math.cos(turned)), abs(math.sin(turned))
            free = self._half_width + extent.y * cosine + extent.x * sine + MARGIN
            if place.distance > free or place.s < 0.5 * SPACING:
                continue
            gap = place.s - self.front - extent.x * cosine - extent.y * sine
            if gap < lead_distance:
                yaw = math.radians(place.yaw_deg)
                lead_distance, lead_speed = max(gap, 0.0), velocity.x * math.cos(yaw) + velocity.y * math.sin(yaw)
        light = self._rules.red_light_ahead(path, SPACING)
        light_distance = SIGHT if light is None else min(max(light - self.front, 0.0), SIGHT)
        return Ahead(lead_distance, float(lead_speed), light_distance)

    def distances(self, others: list[carla.Actor]) -> list[float]:
        """The distances [m] from the ego's outline to the other road users', as circles of their widths."""
        position = self._ego.get_location()
        return [
            position.distance(transform.location) - self._half_width - other.bounding_box.extent.y
            for other, transform, _ in still_there(others)
        ]
