"""Red lights and stop signs: which of them the ego vehicle ran, and how far ahead the next red light is."""

from __future__ import annotations

from typing import Any

import carla
import numpy as np
import numpy.typing as npt

STOP_SIGN = "206"  # OpenDRIVE's type of a stop sign, as CARLA's maps use it
HALT_SPEED = 0.5  # [m/s] slower than this counts as a halt
HALT_METRES = 8.0  # [m] before the line within which the halt must be
JUMP = 5.0  # [m] farther than this behind its line the car was put there, it did not drive


class TrafficRules:
    """The stop lines of one map.

    :param world: the lights are its actors
    :param town: the signs are its landmarks
    """

    def __init__(self, world: carla.World, town: carla.Map) -> None:
        self.lights: list[carla.TrafficLight] = sorted(
            world.get_actors().filter("traffic.traffic_light*"), key=lambda light: int(light.id)
        )
        lines: list[tuple[carla.Waypoint, carla.TrafficLight | None]] = [
            (waypoint, light) for light in self.lights for waypoint in light.get_stop_waypoints()
        ]
        lines += [
            (waypoint, None) for sign in town.get_all_landmarks_of_type(STOP_SIGN) for waypoint in _lanes(town, sign)
        ]
        self._lights = [light for _, light in lines]
        poses: list[Any] = [waypoint.transform for waypoint, _ in lines]
        self._points = np.array([(pose.location.x, pose.location.y) for pose in poses]).reshape(-1, 2)
        yaws = np.radians([pose.rotation.yaw for pose in poses])
        self._directions = np.stack([np.cos(yaws), np.sin(yaws)], axis=1).reshape(-1, 2)
        self._half_widths = np.array([waypoint.lane_width / 2.0 for waypoint, _ in lines])
        self.begin()

    def begin(self) -> None:
        """Begin an episode."""
        self._before: npt.NDArray[np.float64] | None = None
        self._slowest = np.full(len(self._lights), np.inf)  # [m/s] on the last metres before each line

    def passed(self, front: tuple[float, float], speed: float) -> tuple[int, int]:
        """Take a tick in: how many red lights and how many stop signs were run.

        :param front: world point [m] of the car's front bumper
        :param speed: [m/s]
        """
        if not self._lights:
            return 0, 0
        offset = np.array(front) - self._points
        along = (offset * self._directions).sum(axis=1)
        across = np.abs(offset[:, 0] * self._directions[:, 1] - offset[:, 1] * self._directions[:, 0])
        on_lane = across < self._half_widths
        near = on_lane & (along > -HALT_METRES) & (along <= 0.0)
        self._slowest = np.where(near, np.minimum(self._slowest, speed), self._slowest)
        self._slowest[along < -HALT_METRES] = np.inf
        red_lights = stop_signs = 0
        if self._before is not None:
            crossed = (self._before < 0.0) & (along >= 0.0) & on_lane & (along - self._before < JUMP)
            for index in np.flatnonzero(crossed):
                light = self._lights[index]
                if light is None:
                    stop_signs += bool(self._slowest[index] > HALT_SPEED)
                else:
                    red_lights += light.get_state() == carla.TrafficLightState.Red
        self._before = along
        return red_lights, stop_signs

    def red_light_ahead(self, path: npt.NDArray[np.float64], spacing: float) -> float | None:
        """How far along a path the next stop line of a red or yellow light is [m]; None without one.

        :param path: (n, 2) points [m] of the lane's centre ahead
        :param spacing: [m] between them
        """
        stopping = [
            index
            for index, light in enumerate(self._lights)
            if light is not None and light.get_state() in (carla.TrafficLightState.Red, carla.TrafficLightState.Yellow)
        ]
        if not stopping:
            return None
        steps = np.diff(path, axis=0, append=path[-1:])
        nearest = None
        for index in stopping:
            distances = np.hypot(*(path - self._points[index]).T)
            station = int(distances.argmin())
            if distances[station] < spacing and float(steps[max(station - 1, 0)] @ self._directions[index]) > 0.0:
                along = spacing * station + float((self._points[index] - path[station]) @ self._directions[index])
                nearest = along if nearest is None else min(nearest, along)
        return nearest

    def hold_green(self) -> None:
        """Let every light be green and stay so."""
        for light in self.lights:
            light.set_state(carla.TrafficLightState.Green)
            light.freeze(True)

    def let_change(self) -> None:
        """Let the lights change again."""
        for light in self.lights:
            light.freeze(False)


def _lanes(town: carla.Map, sign: carla.Landmark) -> list[carla.Waypoint]:
    """Where the driving lanes for which a sign stands pass it."""
    ids = [lane for first, last in sign.get_lane_validities() for lane in range(min(first, last), max(first, last) + 1)]
    found = [town.get_waypoint_xodr(sign.road_id, lane, sign.s) for lane in ids if lane != 0]
    return [waypoint for waypoint in found if waypoint is not None and waypoint.lane_type == carla.LaneType.Driving]
