"""What a driving task is made of: one frozen record per scenario, one for the reward's weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from sb3_carla.envs.errors import ConfigurationError, did_you_mean

Record = TypeVar("Record", bound="RewardWeights | Scenario")


@dataclass(frozen=True)
class RewardWeights:
    """Weights of the reward's terms; each term is documented in :mod:`sb3_carla.envs.reward`.

    Terms are paid per metre driven or once per event, never per step: a bonus per step pays for standing still.
    """

    progress: float = 1.0  # per metre along the lane, up to the target speed
    centring: float = 0.5  # share of the progress lost at the edge of the lane, 0..1
    overspeed: float = 1.0  # per metre driven above the target speed
    steering: float = 0.1  # per metre and unit of change of the steering wheel
    collision: float = 10.0  # once
    off_road: float = 10.0  # once
    wrong_way: float = 10.0  # once
    stuck: float = 10.0  # once

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            _require_number(f"reward weight {name}", value, minimum=0.0)


@dataclass(frozen=True)
class Scenario:
    """A driving task. ``CarlaEnv(scenario=NAME, **overrides)`` replaces single fields by name.

    Physical quantities are SI where the name has no unit.
    """

    name: str = "lane_following"
    # World
    town: str | None = None  # map name, or for the embedded server an OpenDRIVE file; None: the server's current map
    weather: str = "ClearNoon"  # a preset of carla.WeatherParameters
    npc_vehicles: int = 0  # driven by CARLA's traffic manager
    fixed_delta_seconds: float = 0.05  # [s] one tick, 20 Hz
    action_repeat: int = 1  # ticks per env step
    # Ego vehicle
    vehicle: str = "vehicle.tesla.model3"
    max_steer: float = 0.4  # share of the full lock that action 1 stands for: full lock turns within the lane's width
    max_brake: float = 0.3  # share of full braking that action -1 stands for: random actions must get the car to move
    target_speed_kmh: float = 30.0  # [km/h] faster than this (or than the speed limit) earns nothing
    speed_limiter: bool = True  # no throttle above the target speed, as the limiter of a real car
    # Observation: the front camera, grayscale, the newest frames stacked
    observation: str = "image"  # or "dict": the image and a state vector, see observation.py
    image_size: int = 84  # [pixel] height and width
    frame_stack: int = 4
    camera_x: float = 2.0  # [m] in front of the vehicle's origin
    camera_z: float = 1.5  # [m] above it
    camera_pitch_deg: float = 0.0  # [deg] nose up
    camera_fov_deg: float = 90.0  # [deg] horizontal
    # Episode
    max_episode_steps: int = 1000  # env steps, then truncated
    stuck_speed: float = 0.5  # [m/s] slower than this ...
    stuck_seconds: float = 1.5  # [s] ... for this long ends the episode
    # Reward
    reward: RewardWeights = field(default_factory=RewardWeights)

    def __post_init__(self) -> None:
        if isinstance(self.reward, Mapping):  # as YAML gives it
            object.__setattr__(self, "reward", _replaced(RewardWeights(), dict(self.reward), "reward weight"))
        if not isinstance(self.speed_limiter, bool):
            raise ConfigurationError(
                f"speed_limiter={self.speed_limiter!r} is neither True nor False. Give one of them."
            )
        if self.observation not in ("image", "dict"):
            raise ConfigurationError(f"observation={self.observation!r} is not known. Give 'image' or 'dict'.")
        for name, minimum in _MINIMUM_INTEGERS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise ConfigurationError(
                    f"{name}={value!r} is not an integer of at least {minimum}. Give such a number."
                )
        for name, (low, high) in _RANGES.items():
            _require_number(name, getattr(self, name), minimum=low, maximum=high)

    @property
    def target_speed(self) -> float:
        """The target speed [m/s]."""
        return self.target_speed_kmh / 3.6

    @property
    def reward_range(self) -> tuple[float, float]:
        """The least and the greatest reward that one env step can give.

        The upper end is the progress at the target speed; the lower end is that of a vehicle at 50 m/s against the
        lane which jerks the wheel from lock to lock and ends the episode in the most expensive way.
        """
        weights, seconds = self.reward, self.fixed_delta_seconds * self.action_repeat
        fastest = 50.0 * seconds
        event = max(weights.collision, weights.off_road, weights.wrong_way, weights.stuck)
        return (
            -(weights.progress + weights.overspeed + 2.0 * weights.steering) * fastest - event,
            weights.progress * self.target_speed * seconds,
        )


_MINIMUM_INTEGERS = {"npc_vehicles": 0, "action_repeat": 1, "image_size": 16, "frame_stack": 1, "max_episode_steps": 1}
_RANGES = {
    "fixed_delta_seconds": (0.001, 0.1),  # CARLA's own limit for stable physics
    "target_speed_kmh": (1.0, 200.0),
    "max_steer": (0.01, 1.0),
    "max_brake": (0.01, 1.0),
    "camera_x": (-50.0, 50.0),
    "camera_z": (0.1, 100.0),
    "camera_pitch_deg": (-90.0, 90.0),
    "camera_fov_deg": (10.0, 170.0),
    "stuck_speed": (0.0, 50.0),
    "stuck_seconds": (0.0, 3600.0),
}


def make_scenario(name: str, overrides: Mapping[str, Any]) -> Scenario:
    """The scenario of that name with single fields replaced.

    :param name: one of :data:`SCENARIOS`
    :param overrides: fields of :class:`Scenario`; ``reward`` may be a mapping over single weights
    :raises ConfigurationError: for an unknown name, an unknown field or a value that cannot be

    >>> make_scenario("light_traffic", {"npc_vehicles": 5, "reward": {"collision": 3}}).reward.collision
    3
    >>> make_scenario("lane_folowing", {})
    Traceback (most recent call last):
    ...
    sb3_carla.envs.errors.ConfigurationError: There is no scenario 'lane_folowing'. Did you mean 'lane_following'?
    """
    if name not in SCENARIOS:
        raise ConfigurationError(f"There is no scenario {name!r}. {did_you_mean(name, SCENARIOS)}")
    return _replaced(SCENARIOS[name], dict(overrides), "option of CarlaEnv")


def _replaced(record: Record, changes: dict[str, Any], kind: str) -> Record:
    known = [item.name for item in dataclasses.fields(record) if item.name != "name"]
    for key in changes:
        if key not in known:
            raise ConfigurationError(f"There is no {kind} {key!r}. {did_you_mean(key, known)}")
    if isinstance(record, Scenario) and isinstance(changes.get("reward"), Mapping):
        changes["reward"] = _replaced(record.reward, dict(changes["reward"]), "reward weight")
    return dataclasses.replace(record, **changes)


def _require_number(name: str, value: object, minimum: float, maximum: float = float("inf")) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value <= maximum:
        raise ConfigurationError(
            f"{name}={value!r} is not a number from {minimum:g} to {maximum:g}. Give such a number."
        )


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("lane_following"),
            Scenario("light_traffic", npc_vehicles=20, max_brake=1.0),
        )
    }
)
