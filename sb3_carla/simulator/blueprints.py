"""Actor definitions as CARLA 0.9.16 has them: what can be spawned, with which attributes and defaults."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple

from sb3_carla.simulator.catalogue import VEHICLES, WALKER_COUNT, VehicleModel
from sb3_carla.simulator.props import PROPS, PropModel
from sb3_carla.simulator.wire.layouts import SensorType


class AttributeType(IntEnum):
    """How the client converts an attribute's text."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    RGB_COLOUR = 5  # "r,g,b"


class Attribute(NamedTuple):
    """One attribute of a blueprint; wire order."""

    name: str
    type: AttributeType
    value: str
    recommended: tuple[str, ...] = ()
    modifiable: bool = True
    restricted: bool = False


class Blueprint(NamedTuple):
    """What one kind of actor is; ``uid`` is its place in the library, from 1."""

    uid: int
    type_id: str
    attributes: tuple[Attribute, ...]
    vehicle: VehicleModel | None = None
    prop: PropModel | None = None
    sensor: SensorType | None = None

    def definition(self) -> tuple[int, str, str, tuple[Attribute, ...]]:
        """As the client reads it; the tags are the words of the type id."""
        return self.uid, self.type_id, ",".join(self.type_id.split(".")), self.attributes


def _text(name: str, value: str, *recommended: str) -> Attribute:
    return Attribute(name, AttributeType.STRING, value, recommended)


def _number(name: str, value: float) -> Attribute:
    return Attribute(name, AttributeType.FLOAT, repr(float(value)), (repr(float(value)),))


def _whole(name: str, value: int) -> Attribute:
    return Attribute(name, AttributeType.INT, str(value), (str(value),))


def _flag(name: str, value: bool) -> Attribute:
    text = "true" if value else "false"
    return Attribute(name, AttributeType.BOOL, text, (text,))


def _fixed(name: str, kind: AttributeType, value: str) -> Attribute:
    return Attribute(name, kind, value, modifiable=False)


_LENS: Final = (
    _number("lens_circle_falloff", 5.0),
    _number("lens_circle_multiplier", 0.0),
    _number("lens_k", -1.0),
    _number("lens_kcube", 0.0),
    _number("lens_x_size", 0.08),
    _number("lens_y_size", 0.08),
)
_IMAGE: Final = (
    _whole("image_size_x", 800),
    _whole("image_size_y", 600),
    _number("fov", 90.0),
    *_LENS,
    _number("sensor_tick", 0.0),
)
# Taken and reported as CARLA does; the embedded camera has no film, lens or post-processing to apply them to.
_FILM: Final = (
    _flag("enable_postprocess_effects", True),
    _number("bloom_intensity", 0.675),
    _number("lens_flare_intensity", 0.1),
    _number("gamma", 2.2),
    _number("motion_blur_intensity", 0.45),
    _number("motion_blur_max_distortion", 0.35),
    _number("motion_blur_min_object_screen_size", 0.1),
    Attribute("exposure_mode", AttributeType.STRING, "histogram", ("histogram", "manual"), restricted=True),
    _number("exposure_compensation", 0.0),
    _number("exposure_min_bright", 10.0),
    _number("exposure_max_bright", 12.0),
    _number("exposure_speed_up", 3.0),
    _number("exposure_speed_down", 1.0),
    _number("calibration_constant", 16.0),
    _number("shutter_speed", 200.0),
    _number("iso", 100.0),
    _number("fstop", 1.4),
    _number("min_fstop", 1.2),
    _number("focal_distance", 1000.0),
    _whole("blade_count", 5),
    _number("blur_amount", 1.0),
    _number("blur_radius", 0.0),
    _number("slope", 0.88),
    _number("toe", 0.55),
    _number("shoulder", 0.26),
    _number("black_clip", 0.0),
    _number("white_clip", 0.04),
    _number("temp", 6500.0),
    _number("tint", 0.0),
    _number("white_temp", 6500.0),
    _number("chromatic_aberration_intensity", 0.0),
    _number("chromatic_aberration_offset", 0.0),
)
_GNSS_NOISE: Final = tuple(
    _number(f"noise_{axis}_{kind}", 0.0) for axis in ("alt", "lat", "lon") for kind in ("stddev", "bias")
)
_IMU_NOISE: Final = (
    *(_number(f"noise_accel_stddev_{axis}", 0.0) for axis in "xyz"),
    *(_number(f"noise_gyro_stddev_{axis}", 0.0) for axis in "xyz"),
    *(_number(f"noise_gyro_bias_{axis}", 0.0) for axis in "xyz"),
)
_SEED: Final = _whole("noise_seed", 0)
_TICK: Final = _number("sensor_tick", 0.0)
_EVENTS: Final = (
    _number("positive_threshold", 0.3),
    _number("negative_threshold", 0.3),
    _number("sigma_positive_threshold", 0.0),
    _number("sigma_negative_threshold", 0.0),
    _whole("refractory_period_ns", 0),
    _flag("use_log", True),
    _number("log_eps", 0.001),
)
_SCAN: Final = (
    _whole("channels", 32),
    _number("range", 10.0),
    _whole("points_per_second", 56_000),
    _number("rotation_frequency", 10.0),
    _number("upper_fov", 10.0),
    _number("lower_fov", -30.0),
    _number("horizontal_fov", 360.0),
    _TICK,
)
_AIR: Final = (
    _number("atmosphere_attenuation_rate", 0.004),
    _number("dropoff_general_rate", 0.45),
    _number("dropoff_intensity_limit", 0.8),
    _number("dropoff_zero_intensity", 0.4),
    _number("noise_stddev", 0.0),
    _SEED,
)
_CONE: Final = (
    _number("horizontal_fov", 30.0),
    _number("vertical_fov", 30.0),
    _number("range", 100.0),
    _whole("points_per_second", 1500),
    _SEED,
    _TICK,
)
_WAY_AHEAD: Final = (
    _number("distance", 5.0),
    _number("hit_radius", 0.5),
    _flag("only_dynamics", False),
    _flag("debug_linetrace", False),
    _TICK,
)

_SENSORS: Final[tuple[tuple[str, SensorType, tuple[Attribute, ...]], ...]] = (
    ("sensor.camera.rgb", SensorType.RGB, (*_IMAGE, *_FILM)),
    ("sensor.camera.depth", SensorType.DEPTH, _IMAGE),
    ("sensor.camera.semantic_segmentation", SensorType.SEMANTIC_SEGMENTATION, _IMAGE),
    ("sensor.camera.instance_segmentation", SensorType.INSTANCE_SEGMENTATION, _IMAGE),
    ("sensor.camera.normals", SensorType.NORMALS, _IMAGE),
    ("sensor.camera.cosmos_visualization", SensorType.COSMOS, _IMAGE),
    ("sensor.camera.optical_flow", SensorType.OPTICAL_FLOW, _IMAGE),
    ("sensor.camera.dvs", SensorType.DVS, (*_IMAGE, *_FILM, *_EVENTS)),
    ("sensor.lidar.ray_cast", SensorType.LIDAR, (*_SCAN, *_AIR)),
    ("sensor.lidar.ray_cast_semantic", SensorType.SEMANTIC_LIDAR, _SCAN),
    ("sensor.other.radar", SensorType.RADAR, _CONE),
    ("sensor.other.collision", SensorType.COLLISION, ()),
    ("sensor.other.lane_invasion", SensorType.LANE_INVASION, ()),
    ("sensor.other.gnss", SensorType.GNSS, (*_GNSS_NOISE, _SEED, _TICK)),
    ("sensor.other.imu", SensorType.IMU, (*_IMU_NOISE, _SEED, _TICK)),
    ("sensor.other.obstacle", SensorType.OBSTACLE, _WAY_AHEAD),
)
# Where programs mount sensors; what other blueprints recommend for their role differs.
_MOUNTS: Final = ("front", "back", "left", "right", "front_left", "front_right", "back_left", "back_right")


def _role(value: str) -> Attribute:
    return (
        _text("role_name", value, "autopilot", "scenario", "ego_vehicle", "hero") if value else _text("role_name", "")
    )


def _vehicle(uid: int, model: VehicleModel) -> Blueprint:
    string, boolean = AttributeType.STRING, AttributeType.BOOL
    attributes = [
        _role("autopilot"),
        _flag("sticky_control", True),
        _flag("terramechanics", False),
        _fixed("number_of_wheels", AttributeType.INT, str(model.wheels)),
        _fixed("object_type", string, "other"),
        _fixed("base_type", string, model.base_type),
        _fixed("special_type", string, model.special_type),
        _fixed("generation", AttributeType.INT, model.generation),
        _fixed("has_dynamic_doors", boolean, "true" if model.doors else "false"),
        _fixed("has_lights", boolean, "true" if model.lights else "false"),
        Attribute("color", AttributeType.RGB_COLOUR, model.colours[0], model.colours, True, False),
    ]
    if model.base_type in ("motorcycle", "bicycle"):
        attributes.append(Attribute("driver_id", AttributeType.INT, "1", ("1", "2", "3"), restricted=True))
    return Blueprint(uid, model.type_id, tuple(attributes), vehicle=model)


_CHILDREN: Final = (9, 10, 11, 12, 13, 14, 48, 49)


def _walker(uid: int, number: int) -> Blueprint:
    child = number in _CHILDREN
    attributes = (
        _role("pedestrian"),
        _fixed("gender", AttributeType.STRING, "female" if number % 2 else "male"),
        _fixed("age", AttributeType.STRING, "child" if child else "adult"),
        _fixed("generation", AttributeType.INT, "2" if number >= 15 else "1"),
        Attribute("speed", AttributeType.FLOAT, "1.4", ("0.0", "1.4", "2.8")),
        _flag("is_invincible", True),
        _flag("use_wheelchair", False),
        _fixed("can_use_wheelchair", AttributeType.BOOL, "false"),
    )
    return Blueprint(uid, f"walker.pedestrian.{number:04d}", attributes)


def _library() -> dict[str, Blueprint]:
    library: list[Blueprint] = []
    for model in VEHICLES:
        library.append(_vehicle(len(library) + 1, model))
    for number in range(1, WALKER_COUNT + 1):
        library.append(_walker(len(library) + 1, number))
    for type_id, kind, attributes in _SENSORS:
        library.append(
            Blueprint(len(library) + 1, type_id, (_text("role_name", "front", *_MOUNTS), *attributes), sensor=kind)
        )
    for type_id in ("controller.ai.walker", "util.actor.empty"):
        library.append(Blueprint(len(library) + 1, type_id, (_text("role_name", "default", "default"),)))
    extents = (_number(f"extent_{axis}", 1.0) for axis in "xyz")
    trigger = (_text("role_name", "prop", "prop"), _number("friction", 3.5), *extents)
    library.append(Blueprint(len(library) + 1, "static.trigger.friction", trigger))
    for prop in PROPS:
        attributes = (_text("role_name", "prop", "prop"), _fixed("size", AttributeType.STRING, prop.size))
        library.append(Blueprint(len(library) + 1, prop.type_id, attributes, prop=prop))
    return {blueprint.type_id: blueprint for blueprint in library}


BLUEPRINTS: Final[dict[str, Blueprint]] = _library()
# Not in the library: the world makes it, one per episode.
SPECTATOR: Final = Blueprint(0, "spectator", ())


def definitions() -> list[Any]:
    """All definitions as ``get_actor_definitions`` sends them."""
    return [blueprint.definition() for blueprint in BLUEPRINTS.values()]
