"""The driving task in the client process: what reset and step do with the world, and when an episode ends."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import carla
import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.client import CameraImage, CarlaClient, image_array
from sb3_carla.envs.observation import POINTS_AHEAD, State, state_vector
from sb3_carla.envs.reward import Motion, reward_terms
from sb3_carla.envs.route import LaneTracker, angle_difference
from sb3_carla.envs.scenario import Scenario

GrayFrame = npt.NDArray[np.uint8]  # (image_size, image_size)
Parts = tuple[GrayFrame, State | None]  # what one observation is made of: the newest frame, the state if asked for

SETTLE_TICKS = 10  # a real server drops a teleported vehicle onto its wheels, and its first camera frames come late
NPC_CLEARANCE = 15.0  # [m] from the ego's spawn point to the nearest NPC
RENDER_WIDTH, RENDER_HEIGHT = 640, 360  # [pixel] of render()
CHASE_MOUNT = carla.Transform(carla.Location(x=-7.0, z=3.5), carla.Rotation(pitch=-12.0))  # behind the vehicle


class Step(NamedTuple):
    """What one env step did, as it travels to the trainer."""

    parts: Parts
    reward: float
    terminated: bool
    info: dict[str, Any]


class DrivingTask:
    """One ego vehicle with its sensors in one world. Actors are made once; episodes begin by teleport.

    :param host: name or address of the server
    :param port: its RPC port
    :param scenario: the task
    :param render: also carry a camera behind the vehicle, for :meth:`render`
    :raises CarlaEnvError: when the server or something asked of it is not to be had
    """

    def __init__(self, host: str, port: int, scenario: Scenario, render: bool) -> None:
        self.scenario = scenario
        self.client = CarlaClient(host, port, scenario)
        try:
            self._rng = np.random.default_rng()
            self._make_ego(render)
        except BaseException:
            self.client.close()
            raise

    @property
    def description(self) -> str:
        """The server's version and map."""
        return f"CARLA {self.client.server_version}, map {self.client.map.name.rsplit('/', 1)[-1]}"

    def reset(self, seed: int | None) -> tuple[Parts, dict[str, Any]]:
        """Begin an episode at a drawn spawn point.

        :param seed: makes all that follows reproducible: a new generator, and the traffic anew
        :return: the first observation's parts and info
        """
        count = self.scenario.npc_vehicles
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if seed is not None or len(self.client.npcs) != count:
            order = self._rng.permutation(len(self.client.spawn_points))
            points = [self.client.spawn_points[int(i)] for i in order]
            self._hold(points[0])  # the ego's place is taken before the traffic's
            self.client.start_traffic(count, int(self._rng.integers(2**31)), points[1:])
        self._hold(self._free_spawn_point())
        for _ in range(SETTLE_TICKS):
            frame = self.client.tick()
        self._collision.clear()
        transform = self.ego.get_transform()
        self._x, self._y = transform.location.x, transform.location.y
        self._tracker = LaneTracker(self.client.lanes, self._x, self._y, transform.rotation.yaw)
        self._steer = 0.0
        self._speed = 0.0
        self._slow_seconds = 0.0
        self._distance = 0.0
        return self._parts(frame, transform), self._info(transform)

    def step(self, steer: float, pedal: float) -> Step:
        """Drive for one env step.

        :param steer: -1 (left) to 1 (right), CARLA's sign, in units of the scenario's ``max_steer``
        :param pedal: throttle if positive, brake if negative, -1 to 1
        """
        target_speed = self._target_speed()
        metres = 0.0
        for _ in range(self.scenario.action_repeat):
            limited = self.scenario.speed_limiter and self._speed > target_speed
            control = carla.VehicleControl(
                throttle=0.0 if limited else max(pedal, 0.0),
                steer=steer * self.scenario.max_steer,
                brake=max(-pedal, 0.0) * self.scenario.max_brake,
            )
            self.ego.apply_control(control)
            frame = self.client.tick()
            transform = self.ego.get_transform()
            x, y = transform.location.x, transform.location.y
            position = self._tracker.update(x, y)
            direction = math.radians(position.yaw_deg)
            metres += (x - self._x) * math.cos(direction) + (y - self._y) * math.sin(direction)
            self._x, self._y = x, y
            velocity = self.ego.get_velocity()
            self._speed = math.hypot(velocity.x, velocity.y)
        seconds = self.scenario.fixed_delta_seconds * self.scenario.action_repeat
        motion = Motion(
            metres=metres,
            seconds=seconds,
            speed=self._speed,
            target_speed=target_speed,
            lateral_deviation=position.lateral,
            half_width=position.half_width,
            steering_change=abs(steer - self._steer),
        )
        self._steer = steer
        self._distance += metres
        self._slow_seconds = self._slow_seconds + seconds if self._speed < self.scenario.stuck_speed else 0.0
        event = self._event(frame, transform)
        terms = reward_terms(motion, event, self.scenario.reward)
        info = self._info(transform)
        info["reward_terms"] = terms
        if event is not None:
            info["termination"] = event
        return Step(self._parts(frame, transform), sum(terms.values()), event is not None, info)

    def render(self) -> npt.NDArray[np.uint8]:
        """The camera behind the vehicle at the newest frame: (height, width, 3), RGB."""
        return cv2.cvtColor(self._chase_image, cv2.COLOR_BGRA2RGB)  # type: ignore[return-value]

    def close(self) -> None:
        """Put the server back as it was."""
        self.client.close()

    def _make_ego(self, render: bool) -> None:
        scenario, client = self.scenario, self.client
        self.ego = client.spawn_ego(scenario.vehicle, client.spawn_points)
        mount = carla.Transform(
            carla.Location(x=scenario.camera_x, z=scenario.camera_z), carla.Rotation(pitch=scenario.camera_pitch_deg)
        )
        size, fov = scenario.image_size, scenario.camera_fov_deg
        rgb = "sensor.camera.rgb"
        self._camera = client.attach_sensor(rgb, self.ego, mount, image_size_x=size, image_size_y=size, fov=fov)
        self._collision = client.attach_sensor("sensor.other.collision", self.ego, carla.Transform())
        self._chase = (
            client.attach_sensor(rgb, self.ego, CHASE_MOUNT, image_size_x=RENDER_WIDTH, image_size_y=RENDER_HEIGHT)
            if render
            else None
        )
        self._chase_image: CameraImage = np.zeros((RENDER_HEIGHT, RENDER_WIDTH, 4), np.uint8)

    def _hold(self, point: carla.Transform) -> None:
        """Teleport the ego vehicle and hold it there."""
        self.ego.apply_control(carla.VehicleControl(brake=1.0, hand_brake=True))
        self.ego.set_target_velocity(carla.Vector3D())
        self.ego.set_target_angular_velocity(carla.Vector3D())
        self.ego.set_transform(point)

    def _free_spawn_point(self) -> carla.Transform:
        """A drawn spawn point away from traffic; the one farthest from it if the roads are full."""
        points = self.client.spawn_points
        taken = np.array([(p.x, p.y) for p in (npc.get_location() for npc in self.client.npcs)]).reshape(-1, 2)
        clearance = np.array([np.hypot(*(taken - (p.location.x, p.location.y)).T).min(initial=np.inf) for p in points])
        free = np.flatnonzero(clearance > NPC_CLEARANCE)
        return points[int(self._rng.choice(free)) if len(free) else int(clearance.argmax())]

    def _target_speed(self) -> float:
        limit = self.ego.get_speed_limit() / 3.6
        return min(self.scenario.target_speed, limit) if limit > 0.0 else self.scenario.target_speed

    def _event(self, frame: int, transform: carla.Transform) -> str | None:
        """What ends the episode, if anything does; the first of several counts."""
        if self._collision.before_frame(frame):
            return "collision"
        position = self._tracker.position
        lane_yaw_deg, in_junction = position.yaw_deg, self._tracker.lane.is_junction
        if position.distance > position.half_width:  # not on the lane that is followed: on another one, or on none
            lane = self.client.map.get_waypoint(
                transform.location, project_to_road=False, lane_type=carla.LaneType.Driving
            )
            if lane is None:
                return "off_road"
            lane_yaw_deg, in_junction = lane.transform.rotation.yaw, lane.is_junction
        if abs(angle_difference(lane_yaw_deg, transform.rotation.yaw)) > 90.0 and not in_junction:
            return "wrong_way"
        if self._slow_seconds > self.scenario.stuck_seconds:
            return "stuck"
        return None

    def _take_frames(self, frame: int) -> GrayFrame:
        if self._chase is not None:
            self._chase_image = image_array(self._chase.at_frame(frame))
        bgra = image_array(self._camera.at_frame(frame))
        return cv2.cvtColor(bgra, cv2.COLOR_BGRA2GRAY)  # type: ignore[return-value]

    def _parts(self, frame: int, transform: carla.Transform) -> Parts:
        gray = self._take_frames(frame)
        if self.scenario.observation == "image":
            return gray, None
        position, yaw_deg = self._tracker.position, transform.rotation.yaw
        points = [self._tracker.ahead(distance) for distance in POINTS_AHEAD]
        heading_error = angle_difference(yaw_deg, position.yaw_deg)
        pose = (self._x, self._y, yaw_deg)
        return gray, state_vector(self._speed, self._steer, position.lateral, heading_error, pose, points)

    def _info(self, transform: carla.Transform) -> dict[str, Any]:
        position = self._tracker.position
        return {
            "speed_kmh": self._speed * 3.6,
            "lateral_deviation": position.lateral,
            "heading_error_deg": angle_difference(transform.rotation.yaw, position.yaw_deg),
            "distance": self._distance,
        }
