"""What a driving task is made of: one frozen record per scenario."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sb3_carla.envs.checks import require_bool, require_choice, require_integer, require_number
from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.reward import RewardWeights, reward_range, reward_weights


@dataclass(frozen=True)
class Scenario:
    """A driving task. ``CarlaEnv(scenario=NAME, **overrides)`` replaces single fields by name.

    Physical quantities are SI where the name has no unit.
    """

    name: str = "lane_following"
    # World
    # Map name, or for the embedded server an OpenDRIVE file; None: the server's current map. Of several names one is
    # drawn as an episode begins, once 1000 env steps were done in the one before: a CARLA server loads for seconds
    town: str | tuple[str, ...] | None = None
    weather: str | tuple[str, ...] = (
        "ClearNoon"  # a preset of carla.WeatherParameters; of several one is drawn per episode
    )
    npc_vehicles: int = 0  # driven by CARLA's traffic manager
    npc_speed_difference: float = 0.0  # [%] that they stay below the speed limit; negative: faster
    npc_distance: float = 2.5  # [m] that they keep to the vehicle in front
    npc_ignore_lights: float = 0.0  # [%] of the red lights that they run
    npc_lane_changes: bool = True
    incident: str | None = None  # what a scripted road user does to the ego vehicle, see incidents.py
    traffic_rules: bool = False  # whether red lights and stop signs count; without, all lights are held at green
    fixed_delta_seconds: float = 0.05  # [s] one tick, 20 Hz
    action_repeat: int = 1  # ticks per env step
    # Ego vehicle
    vehicle: str = "vehicle.tesla.model3"
    max_steer: float = 0.4  # share of the full lock that action 1 stands for: full lock turns within the lane's width
    max_brake: float = 0.3  # share of full braking that action -1 stands for: random actions must get the car to move
    target_speed_kmh: float = 30.0  # [km/h] faster than this (or than the speed limit) earns nothing
    speed_limiter: bool = True  # no throttle above the target speed, as the limiter of a real car
    # Actions
    actions: str = "continuous"  # steer and pedal; or "speed": steer and wanted speed; or "discrete": 15 pairs
    action_smoothing: float = 0.0  # share of the previous control in the new one, 0..1: a low-pass filter
    max_lateral_acceleration: float = math.inf  # [m/s^2] with actions="speed": hard steering slows
    steer_rate: float = 0.0  # [1/s] greatest change of the steering of full lock 1; 0: no limit
    # Observation: the front camera, the newest frames stacked
    observation: str = "image"  # or "dict": the image and a state vector, see observation.py
    state: str = "lane"  # what the vector holds: "lane" (12 values) or "traffic" (15 values)
    camera: str = "gray"  # or "rgb", "semantic", "depth", "birdview"
    image_size: int = 84  # [pixel] height, and width unless image_width is given
    image_width: int | None = None  # [pixel]
    frame_stack: int = 4
    image_noise: float = 0.0  # standard deviation in grey levels, 0..255
    state_noise: float = 0.0  # standard deviation as a share of each value
    observation_delay: int = 0  # env steps that an observation is late
    camera_x: float = 2.0  # [m] in front of the vehicle's origin
    camera_z: float = 1.5  # [m] above it
    camera_pitch_deg: float = 0.0  # [deg] nose up
    camera_fov_deg: float = 90.0  # [deg] horizontal
    # Episode
    route: str = "free"  # follow the lane, any branch is right; or "planned": to a drawn goal
    forced_turns: bool = False  # whether a free route may begin where the road goes on by a turn only, such as at a T
    route_length: float = 200.0  # [m] of a planned route; of a free one: how much counts as complete in the metrics
    place: str | None = None  # what a planned route has to pass: "junction", "roundabout", or anything
    spawn_point: int | None = None  # index among the map's spawn points; None: drawn per episode
    max_episode_steps: int = 1000  # env steps, then truncated
    stuck_speed: float = 0.5  # [m/s] slower than this ...
    stuck_seconds: float = 1.5  # [s] ... for this long, without a reason to wait, ends the episode
    # Reward
    reward: RewardWeights = field(default_factory=RewardWeights)  # or a preset's name, or a mapping of weights

    def __post_init__(self) -> None:
        if not isinstance(self.reward, RewardWeights):  # as YAML gives it
            object.__setattr__(self, "reward", reward_weights(self.reward, RewardWeights()))
        for name in ("town", "weather"):
            given = getattr(self, name)
            if isinstance(given, Sequence) and not isinstance(given, (str, tuple)):
                object.__setattr__(self, name, tuple(given))
        if not self.towns or not all(town is None or isinstance(town, str) for town in self.towns):
            raise ConfigurationError(f"town={self.town!r} is no name and no list of names. Give one of these.")
        if len(self.towns) > 1 and any(town is None or town.endswith(".xodr") for town in self.towns):
            raise ConfigurationError(f"town={self.town!r}: one of several towns is no file. Give names of maps.")
        if not self.weathers or not all(isinstance(name, str) for name in self.weathers):
            raise ConfigurationError(f"weather={self.weather!r} is no name and no list of names. Give one of these.")
        for name in ("speed_limiter", "traffic_rules", "npc_lane_changes", "forced_turns"):
            require_bool(name, getattr(self, name))
        for name, known in CHOICES.items():
            require_choice(name, getattr(self, name), known)
        for name, known in _OPTIONAL_CHOICES.items():
            if getattr(self, name) is not None:
                require_choice(name, getattr(self, name), known)
        if self.place is not None and self.route != "planned":
            raise ConfigurationError(f"place={self.place!r} needs a route to it. Give route='planned' too.")
        if self.forced_turns and self.route == "planned":
            raise ConfigurationError("forced_turns=True is for route='free': a planned route turns anyway. Drop it.")
        for name, minimum in _MINIMUM_INTEGERS.items():
            if getattr(self, name) is not None or name not in _OPTIONAL:
                require_integer(name, getattr(self, name), minimum)
        for name, (low, high) in _RANGES.items():
            require_number(name, getattr(self, name), minimum=low, maximum=high)
        for name, (default, reader, reads) in _READ_ONLY_WITH.items():
            if getattr(self, name) != default and not reads(self):
                raise ConfigurationError(
                    f"{name}={getattr(self, name)!r} is read only with {reader}. Give that, or {name}={default!r}."
                )

    @property
    def towns(self) -> tuple[str | None, ...]:
        """The maps of which one is drawn; None stands for the server's current one."""
        return self.town if isinstance(self.town, tuple) else (self.town,)

    @property
    def weathers(self) -> tuple[str, ...]:
        """The weather presets of which one is drawn per episode."""
        return (self.weather,) if isinstance(self.weather, str) else tuple(self.weather)

    @property
    def target_speed(self) -> float:
        """The target speed [m/s]."""
        return self.target_speed_kmh / 3.6

    @property
    def step_seconds(self) -> float:
        """How long an env step takes in the world [s]."""
        return self.fixed_delta_seconds * self.action_repeat

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the camera's picture [pixel]."""
        return self.image_size, self.image_width or self.image_size

    @property
    def reward_range(self) -> tuple[float, float]:
        """The least and the greatest reward that one env step can give."""
        planned = self.route == "planned"
        return reward_range(
            self.reward, self.step_seconds, self.target_speed, planned=planned, rules=self.traffic_rules
        )


_OPTIONAL_CHOICES = {
    "incident": ("pedestrians", "slow_vehicle", "braking_vehicle"),
    "place": ("junction", "roundabout"),
}
CHOICES = {
    "observation": ("image", "dict"),
    "state": ("lane", "traffic"),
    "camera": ("gray", "rgb", "semantic", "depth", "birdview"),
    "actions": ("continuous", "speed", "discrete"),
    "route": ("free", "planned"),
}
_OPTIONAL = ("image_width", "spawn_point")


def _with_state(scenario: Scenario) -> bool:
    return scenario.observation == "dict"


def _with_speed(scenario: Scenario) -> bool:
    return scenario.actions == "speed"


def _with_pedals(scenario: Scenario) -> bool:
    return scenario.actions != "speed"


def _with_traffic(scenario: Scenario) -> bool:
    return scenario.npc_vehicles != 0


# Fields that nothing reads otherwise: their default, what they need, and whether a scenario has it
_READ_ONLY_WITH: dict[str, tuple[object, str, Callable[[Scenario], bool]]] = {
    "state": ("lane", "observation='dict'", _with_state),
    "state_noise": (0.0, "observation='dict'", _with_state),
    "max_lateral_acceleration": (math.inf, "actions='speed'", _with_speed),
    "speed_limiter": (True, "actions='continuous' or 'discrete'", _with_pedals),
    "npc_speed_difference": (0.0, "npc_vehicles", _with_traffic),
    "npc_distance": (2.5, "npc_vehicles", _with_traffic),
    "npc_ignore_lights": (0.0, "npc_vehicles", _with_traffic),
    "npc_lane_changes": (True, "npc_vehicles", _with_traffic),
}
_MINIMUM_INTEGERS = {
    "npc_vehicles": 0,
    "action_repeat": 1,
    "image_size": 16,
    "image_width": 16,
    "frame_stack": 1,
    "observation_delay": 0,
    "spawn_point": 0,
    "max_episode_steps": 1,
}
_RANGES = {
    "fixed_delta_seconds": (0.001, 0.1),  # CARLA's own limit for stable physics
    "npc_speed_difference": (-100.0, 100.0),
    "npc_distance": (0.0, 100.0),
    "npc_ignore_lights": (0.0, 100.0),
    "target_speed_kmh": (1.0, 200.0),
    "max_steer": (0.01, 1.0),
    "max_brake": (0.01, 1.0),
    "action_smoothing": (0.0, 0.99),
    "max_lateral_acceleration": (0.1, math.inf),
    "steer_rate": (0.0, 1000.0),
    "image_noise": (0.0, 255.0),
    "state_noise": (0.0, 10.0),
    "camera_x": (-50.0, 50.0),
    "camera_z": (0.1, 100.0),
    "camera_pitch_deg": (-90.0, 90.0),
    "camera_fov_deg": (10.0, 170.0),
    "route_length": (10.0, 100_000.0),
    "stuck_speed": (0.0, 50.0),
    "stuck_seconds": (0.0, 3600.0),
}
