"""The driving task in the client process: what reset and step do with the world, and when an episode ends."""

from __future__ import annotations

import math
from typing import Any

import carla
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.actions import ControlFilter, bend_speed, pedals_for
from sb3_carla.envs.client import CarlaClient
from sb3_carla.envs.ego import Ego
from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.incidents import Incident, make_incident
from sb3_carla.envs.metrics import EpisodeRecorder
from sb3_carla.envs.observation import POINTS_AHEAD, Parts, Sensing, State, state_vector
from sb3_carla.envs.places import lanes_of, spawn_points_before, spawn_points_straight_on
from sb3_carla.envs.planner import RouteTracker, plan_route
from sb3_carla.envs.reward import Motion, potential, reward_terms
from sb3_carla.envs.route import LaneKey, LaneTracker, angle_difference
from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.traffic import still_there

SETTLE_TICKS = 10  # a real server drops a teleported vehicle onto its wheels, and its first camera frames come late
NPC_CLEARANCE = 15.0  # [m] from the ego's spawn point to the nearest NPC
APPROACH_SHARE = 0.6  # of a planned route's length, within which the place that it has to pass begins
OFF_ROUTE = 10.0  # [m] from a planned route that end the episode
GOAL = 2.0  # [m] before a planned route's end that count as there
TOWN_STEPS = 1000  # env steps in a town, at least, before another one of the scenario's is drawn
WAITING = 10.0  # [m] before a red light or behind a vehicle within which standing is not being stuck
FIELD = 10.0  # [m] reach of the artificial potential field around road users


# What one env step did: observation's parts, reward, terminated, info. A plain tuple, since it travels to the trainer,
# which would have to import this module, and with it carla, for a class of its own.
Step = tuple[Parts, float, bool, dict[str, Any]]


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
        self._control = ControlFilter(scenario)
        self._sensing = Sensing(scenario)
        self._autopilot = False
        self._route_length = scenario.route_length
        self._x = self._y = 0.0
        self._address, self._render = (host, port), render
        self._rng = np.random.default_rng()
        self._enter(scenario.towns[0])

    @property
    def description(self) -> str:
        """The server's version and map."""
        return f"CARLA {self.client.server_version}, map {self.client.map.name.rsplit('/', 1)[-1]}"

    def round_trip(self) -> float:
        """How long the answer to a call takes [s]."""
        return self.client.round_trip()

    def reset(self, seed: int | None, autopilot: bool = False) -> tuple[Parts, dict[str, Any]]:
        """Begin an episode at a drawn spawn point.

        :param seed: makes all that follows reproducible: a new generator, and the traffic anew
        :param autopilot: let the traffic manager drive the ego vehicle; the actions count for nothing then
        :return: the first observation's parts and info
        """
        scenario = self.scenario
        if seed is not None:
            self._rng = np.random.default_rng(seed)
            self._sensing.seed(seed)
        if len(scenario.towns) > 1 and (seed is not None or self._steps_in_town >= TOWN_STEPS):
            self._move(scenario.towns[int(self._rng.integers(len(scenario.towns)))])
        client = self.client
        client.traffic.release(self.ego)
        self._autopilot = autopilot
        if seed is not None and scenario.traffic_rules:
            client.world.reset_all_traffic_lights()
        if len(scenario.weathers) > 1:
            client.set_weather(scenario.weathers[int(self._rng.integers(len(scenario.weathers)))])
        count = scenario.npc_vehicles
        if seed is not None or len(client.traffic.vehicles) != count:
            order = self._rng.permutation(len(client.spawn_points))
            points = [client.spawn_points[int(i)] for i in order]
            self._ego.hold(points[0])  # the ego's place is taken before the traffic's
            client.traffic.start(count, int(self._rng.integers(2**31)), points[1:])
        self._ego.hold(self._free_spawn_point())
        self._tracker: LaneTracker | RouteTracker
        if self._incident is not None:
            client.tick()  # the incident is placed on the way ahead of where the ego vehicle is now
            self._begin_way(self.ego.get_transform())
            self._incident.begin(self._tracker, self._rng)
        for _ in range(SETTLE_TICKS):
            frame = client.tick()
        self._ego.collision.clear()
        transform = self.ego.get_transform()
        self._begin_way(transform)
        if autopilot:
            self._hand_over()
        self.client.rules.begin()
        self._recorder = EpisodeRecorder(self._route_length, scenario.step_seconds, scenario.max_steer)
        self._recorder.acceleration_change(0.0)
        self._control.begin()
        self._steer = 0.0
        self._speed = 0.0
        self._slow_seconds = 0.0
        self._distance = 0.0
        self._completed = 0.0
        self._steps = 0
        info = self._info(transform)
        info["route_length"] = self._route_length
        return self._sensing.begin(self._parts(frame, transform)), info

    def step(self, steer: float, pedal: float) -> Step:
        """Drive for one env step.

        :param steer: -1 (left) to 1 (right), CARLA's sign, in units of the scenario's ``max_steer``
        :param pedal: throttle if positive, brake if negative, -1 to 1; with ``actions="speed"`` the wanted speed, from
            standing to the target speed
        """
        scenario = self.scenario
        target_speed = self._target_speed()
        steer, pedal = self._control(steer, pedal)
        allowed = bend_speed(steer * scenario.max_steer, scenario.max_lateral_acceleration)
        metres = 0.0
        red_lights = stop_signs = 0
        for _ in range(scenario.action_repeat):
            if not self._autopilot:
                if scenario.actions == "speed":
                    wanted = min(0.5 * (pedal + 1.0) * target_speed, allowed)
                    throttle, brake = pedals_for(wanted, self._speed, scenario.max_brake)
                else:
                    limited = scenario.speed_limiter and self._speed > target_speed
                    throttle = 0.0 if limited else max(pedal, 0.0)
                    brake = max(-pedal, 0.0) * scenario.max_brake
                control = carla.VehicleControl(throttle=throttle, steer=steer * scenario.max_steer, brake=brake)
                self.ego.apply_control(control)
            if self._incident is not None:
                self._incident.tick(self.ego.get_transform())
            frame = self.client.tick()
            transform = self.ego.get_transform()
            x, y = transform.location.x, transform.location.y
            position = self._tracker.update(x, y, transform.rotation.yaw)
            direction = math.radians(position.yaw_deg)
            metres += (x - self._x) * math.cos(direction) + (y - self._y) * math.sin(direction)
            self._x, self._y = x, y
            velocity = self.ego.get_velocity()
            self._speed = math.hypot(velocity.x, velocity.y)
            if scenario.traffic_rules:
                yaw = math.radians(transform.rotation.yaw)
                front = (
                    x + math.cos(yaw) * self._ego.surroundings.front,
                    y + math.sin(yaw) * self._ego.surroundings.front,
                )
                passed = self.client.rules.passed(front, self._speed)
                red_lights, stop_signs = red_lights + passed[0], stop_signs + passed[1]
        if self._autopilot:
            steer = self.ego.get_control().steer / scenario.max_steer
        self._steps += 1
        self._steps_in_town += 1
        self._distance += metres
        self._completed = position.s if isinstance(self._tracker, RouteTracker) else self._distance
        if self._speed >= scenario.stuck_speed:
            self._slow_seconds = 0.0
        elif not self._has_to_wait():
            self._slow_seconds += scenario.step_seconds
        collisions = self._ego.collision.before_frame(frame)
        event = self._event(transform, bool(collisions))
        heading_error_deg = angle_difference(transform.rotation.yaw, position.yaw_deg)
        road_users = self._road_users()
        field = scenario.reward.potential_field > 0.0
        motion = Motion(
            metres=metres,
            seconds=scenario.step_seconds,
            speed=self._speed,
            target_speed=target_speed,
            lateral_deviation=position.lateral,
            half_width=position.half_width,
            steering_change=abs(steer - self._steer),
            heading_error=math.radians(heading_error_deg),
            acceleration_change=self._recorder.acceleration_change(self._speed),
            potential=potential(self._ego.surroundings.distances(road_users), FIELD) if field else 0.0,
            impact=sum(one.normal_impulse.length() for one in collisions) / self._ego.mass,
            red_lights=min(red_lights, 1),
            stop_signs=min(stop_signs, 1),
        )
        self._steer = steer
        terms = reward_terms(motion, event, scenario.reward)
        info = self._info(transform)
        info["reward_terms"] = terms
        if event is not None:
            info["termination"] = event
        infractions = sorted({f"collision_{_kind(one.other_actor)}" for one in collisions})
        infractions += ["red_light"] * red_lights + ["stop_sign"] * stop_signs
        self._recorder.add(self._speed, position.lateral, steer, infractions, terms)
        if event is not None or self._steps >= scenario.max_episode_steps:
            info["metrics"] = self._recorder.finish(event, self._distance, self._completed).as_dict()
        parts = self._sensing(self._parts(frame, transform))
        return parts, sum(terms.values()), event is not None, info

    def render(self) -> npt.NDArray[np.uint8]:
        """The camera behind the vehicle at the newest frame: (height, width, 3), RGB."""
        return self._ego.render()

    def close(self) -> None:
        """Put the server back as it was."""
        self.client.close()

    def lane_lines(self) -> list[npt.NDArray[np.float64]]:
        """The centre lines of all lanes, to draw a map with: (n, 2) world points [m] each."""
        return [lane.points for lane in self.client.lanes.lanes.values()]

    def route_line(self) -> npt.NDArray[np.float64] | None:
        """The planned route of this episode: (n, 2) world points [m]; None for a free one."""
        return self._tracker.route.points if isinstance(self._tracker, RouteTracker) else None

    def _enter(self, town: str | None) -> None:
        """Connect to the server, load the town, make the actors."""
        self._town, self._steps_in_town = town, 0
        self.client = CarlaClient(*self._address, self.scenario, town)
        try:
            self._find_place()
            self._ego = Ego(self.client, self.scenario, self._render)
            self.ego = self._ego.vehicle
            kind = self.scenario.incident
            self._incident: Incident | None = None if kind is None else make_incident(kind, self.client)
        except BaseException:
            self.client.close()
            raise

    def _move(self, town: str | None) -> None:
        """Go on in a town, which may be the one that is loaded."""
        self._steps_in_town = 0
        if town != self._town:
            self.client.close()
            self._enter(town)

    def _find_place(self) -> None:
        """Find the kind of place that the scenario needs, and the spawn points before one."""
        client, scenario = self.client, self.scenario
        self._place: frozenset[LaneKey] = frozenset()
        if scenario.route == "free" and not scenario.forced_turns:
            farthest = scenario.target_speed * scenario.step_seconds * scenario.max_episode_steps
            self._starts = spawn_points_straight_on(client.map, client.lanes, client.spawn_points, farthest)
        else:
            self._starts = client.spawn_points
        if scenario.place is not None:
            self._place = lanes_of(scenario.place, client.lanes, client.map.name)
            reach = APPROACH_SHARE * scenario.route_length
            self._starts = spawn_points_before(self._place, client.lanes, client.spawn_points, reach)
            if not self._starts:
                raise ConfigurationError(
                    f"No spawn point of {client.map.name} lies within {reach:.0f} m before a {scenario.place}. "
                    "Give a longer route_length, or choose another town."
                )

    def _begin_way(self, transform: carla.Transform) -> None:
        """Find the lane, or plan the route, from where the ego vehicle is."""
        self._x, self._y = transform.location.x, transform.location.y
        self._tracker = LaneTracker(self.client.lanes, self._x, self._y, transform.rotation.yaw)
        self._route_length = self.scenario.route_length
        if self.scenario.route == "planned":
            start, position = self._tracker.lane, self._tracker.position
            # The traffic manager follows a path through junctions only, not from lane to lane.
            changes = not self._autopilot
            route = plan_route(
                self.client.lanes,
                start,
                position.s,
                self._route_length,
                self._rng,
                lane_changes=changes,
                through=self._place,
            )
            self._tracker = RouteTracker(route, self._x, self._y)
            self._route_length = route.length

    def _hand_over(self) -> None:
        """Let the traffic manager drive."""
        path = None
        if isinstance(self._tracker, RouteTracker):
            path = [carla.Location(x, y, 0.5) for x, y in self._tracker.route.signposts()[1:]]
        seed = int(self._rng.integers(2**31))
        self.client.traffic.take(self.ego, seed, self._target_speed() * 3.6, path)

    def _has_to_wait(self) -> bool:
        """Whether there is a reason to stand: a red light or a road user just ahead."""
        road_users = self._road_users()
        if not road_users and not (self.scenario.traffic_rules and self.client.rules.lights):
            return False
        ahead = self._ego.surroundings.ahead(self._tracker, road_users)
        return min(ahead.lead_distance, ahead.red_light_distance) < WAITING

    def _road_users(self) -> list[carla.Actor]:
        """All road users but the ego vehicle."""
        return self.client.traffic.vehicles + (self._incident.actors if self._incident is not None else [])

    def _free_spawn_point(self) -> carla.Transform:
        """A drawn spawn point away from traffic; the one farthest from it if the roads are full."""
        if self.scenario.spawn_point is not None:
            return self.client.spawn_points[self.scenario.spawn_point]
        points = self._starts
        vehicles = self.client.traffic.vehicles
        places = [transform.location for _, transform, _ in still_there(vehicles)]
        taken = np.array([(place.x, place.y) for place in places]).reshape(-1, 2)
        clearance = np.array([np.hypot(*(taken - (p.location.x, p.location.y)).T).min(initial=np.inf) for p in points])
        free = np.flatnonzero(clearance > NPC_CLEARANCE)
        return points[int(self._rng.choice(free)) if len(free) else int(clearance.argmax())]

    def _target_speed(self) -> float:
        limit = self.ego.get_speed_limit() / 3.6
        return min(self.scenario.target_speed, limit) if limit > 0.0 else self.scenario.target_speed

    def _event(self, transform: carla.Transform, collided: bool) -> str | None:
        """What ends the episode, if anything does; the first of several counts."""
        if collided:
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
        if isinstance(self._tracker, RouteTracker):
            if position.distance > OFF_ROUTE:
                return "off_route"
            if self._tracker.remaining < GOAL:
                return "goal"
        return None

    def _parts(self, frame: int, transform: carla.Transform) -> Parts:
        # The picture comes last: the server draws it meanwhile.
        state = None if self.scenario.observation == "image" else self._state(transform.rotation.yaw)
        return self._ego.picture(frame, transform, self._tracker, self._road_users()), state

    def _state(self, yaw_deg: float) -> State:
        position = self._tracker.position
        points = [self._tracker.ahead(distance) for distance in POINTS_AHEAD]
        heading_error = angle_difference(yaw_deg, position.yaw_deg)
        pose = (self._x, self._y, yaw_deg)
        ahead = (
            self._ego.surroundings.ahead(self._tracker, self._road_users()) if self.scenario.state == "traffic" else ()
        )
        return state_vector(self._speed, self._steer, position.lateral, heading_error, pose, points, ahead)

    def _info(self, transform: carla.Transform) -> dict[str, Any]:
        position = self._tracker.position
        return {
            "speed_kmh": self._speed * 3.6,
            "lateral_deviation": position.lateral,
            "heading_error_deg": angle_difference(transform.rotation.yaw, position.yaw_deg),
            "distance": self._distance,
            "pose": (self._x, self._y, transform.rotation.yaw),
        }


def _kind(actor: carla.Actor) -> str:
    """What the ego vehicle collided with, in the leaderboard's kinds."""
    type_id = str(actor.type_id)
    return "pedestrian" if type_id.startswith("walker") else "vehicle" if type_id.startswith("vehicle") else "static"
