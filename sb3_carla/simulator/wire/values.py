"""The struct-like values of CARLA's calls: arrays on the wire, named tuples here.

Every ``read_*`` function takes what msgpack gave and raises :class:`ValueError` or :class:`TypeError` for anything
that cannot be meant, numbers that are not finite included: one NaN in a pose would spread through the whole world.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from sb3_carla.simulator.geometry import Transform

Vector = tuple[float, float, float]
T = TypeVar("T")


class VehicleControl(NamedTuple):
    """What drives a vehicle until the next command; wire order."""

    throttle: float = 0.0  # 0..1
    steer: float = 0.0  # -1..1, right positive
    brake: float = 0.0  # 0..1
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


class AckermannControl(NamedTuple):
    """Target-based driving: the simulator finds throttle and brake itself; wire order."""

    steer: float = 0.0  # [rad], right positive
    steer_speed: float = 0.0  # [rad/s], 0 = at once
    speed: float = 0.0  # [m/s]
    acceleration: float = 0.0  # [m/s2], 0 = as fast as it goes
    jerk: float = 0.0  # [m/s3], not used


class WalkerControl(NamedTuple):
    """Direction and speed of a walker; wire order."""

    direction: Vector = (1.0, 0.0, 0.0)
    speed: float = 0.0  # [m/s]
    jump: bool = False


class EpisodeSettings(NamedTuple):
    """World settings in wire order; only the first three and the substeps change anything here."""

    synchronous: bool = False
    no_rendering: bool = False
    fixed_delta: float | None = None  # [s]
    substepping: bool = True
    max_substep_delta: float = 0.01  # [s]
    max_substeps: int = 10
    max_culling_distance: float = 0.0
    deterministic_ragdolls: bool = True
    tile_stream_distance: float = 3000.0
    actor_active_distance: float = 2000.0
    spectator_as_ego: bool = True

    def to_wire(self) -> list[Any]:
        """As the client reads it."""
        fixed = [False] if self.fixed_delta is None else [True, self.fixed_delta]
        return [self.synchronous, self.no_rendering, fixed, *self[3:]]


class ActorDescription(NamedTuple):
    """Which blueprint to spawn, with which attribute values."""

    type_id: str
    attributes: dict[str, str]


def read_float(value: Any) -> float:
    """A finite number."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"expected a finite number, not {value!r:.40}")
    return float(value)


def read_int(value: Any) -> int:
    """An integer."""
    if not isinstance(value, int):
        raise TypeError(f"expected an integer, not {value!r:.40}")
    return value


def read_bool(value: Any) -> bool:
    """A truth value; 0 and 1 are taken too."""
    if not isinstance(value, int):
        raise TypeError(f"expected true or false, not {value!r:.40}")
    return bool(value)


def read_str(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, not {value!r:.40}")
    return value


def read_anything(value: Any) -> Any:
    """A value that the simulator accepts and does not use."""
    return value


def read_vector(value: Any) -> Vector:
    """Location, velocity, impulse: three finite numbers."""
    x, y, z = value
    if math.isfinite(x + y + z):
        return float(x), float(y), float(z)
    raise ValueError(f"expected three finite numbers, not {value!r:.60}")


def read_transform(value: Any) -> Transform:
    """``[[x, y, z], [pitch, yaw, roll]]``."""
    (x, y, z), (pitch, yaw, roll) = value
    if math.isfinite(x + y + z + pitch + yaw + roll):
        return Transform(float(x), float(y), float(z), float(pitch), float(yaw), float(roll))
    raise ValueError(f"expected a location and a rotation of finite numbers, not {value!r:.80}")


def read_list(item: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    """A reader for an array of one kind of value."""

    def read(value: Any) -> list[T]:
        if not isinstance(value, list):
            raise TypeError(f"expected an array, not {value!r:.40}")
        return [item(one) for one in value]

    return read


def read_optional(value: Any, item: Callable[[Any], T]) -> T | None:
    """``[false]`` or ``[true, value]``."""
    return item(value[1]) if value[0] else None


def read_control(value: Any) -> VehicleControl:
    """Vehicle control, held to its ranges as CARLA's own input axes are."""
    throttle, steer, brake, hand_brake, reverse, manual, gear = value
    if not math.isfinite(throttle + steer + brake):
        raise ValueError(f"expected finite throttle, steer and brake, not {value!r:.80}")
    return VehicleControl(
        min(1.0, max(0.0, throttle)),
        min(1.0, max(-1.0, steer)),
        min(1.0, max(0.0, brake)),
        bool(hand_brake),
        bool(reverse),
        bool(manual),
        min(100, max(-1, int(gear))),
    )


def read_ackermann(value: Any) -> AckermannControl:
    """Ackermann control."""
    return AckermannControl(*(read_float(one) for one in value[:5]))


def read_walker_control(value: Any) -> WalkerControl:
    """Walker control."""
    direction, speed, jump = value
    return WalkerControl(read_vector(direction), read_float(speed), bool(jump))


def read_settings(value: Any) -> EpisodeSettings:
    """Episode settings; a fixed step of zero means none, as in CARLA."""
    fixed = read_optional(value[2], read_float)
    if fixed is not None and not 0.0 <= fixed <= 10.0:
        raise ValueError(f"fixed_delta_seconds is {fixed}, it must lie between 0 and 10 s")
    rest = [read_float(one) if isinstance(one, float) else read_int(one) for one in value[3:11]]
    return EpisodeSettings(read_bool(value[0]), read_bool(value[1]), fixed or None, *rest)  # type: ignore[arg-type]


def read_description(value: Any) -> ActorDescription:
    """``[uid, type id, [[attribute, kind, value]...]]``; the type id alone identifies the blueprint."""
    _, type_id, attributes = value
    return ActorDescription(read_str(type_id), {read_str(name): read_str(text) for name, _, text in attributes})


def wire_transform(pose: Transform) -> tuple[Sequence[float], Sequence[float]]:
    """A pose as the client reads it."""
    return pose[:3], pose[3:]
