"""Calls about what is not an actor: street lights, static objects, rays, debug drawing; and what is not simulated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sb3_carla.simulator.collision import Box, first_on_ray
from sb3_carla.simulator.methods.table import Refused, method
from sb3_carla.simulator.wire.values import Vector, read_anything, read_float, read_vector

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service

_ROAD_LABEL, _ANY_LABEL = 1, 255  # semantic labels


def _constant(name: str, arguments: int, value: Any) -> None:
    """Enter a call whose answer is always the same."""

    @method(name, *[read_anything] * arguments)
    def answer(service: Service, client: Client, *values: Any) -> Any:
        return value


def _ignored(name: str, arguments: int) -> None:
    """Enter a call that is taken without effect."""

    @method(name, *[read_anything] * arguments, void=True)
    def ignore(service: Service, client: Client, *values: Any) -> None:
        return None


# No street lights, no level assets.
_constant("query_lights_state", 1, [])
_constant("get_names_of_all_objects", 0, [])

for _name, _arguments in (
    ("update_lights_state", 2),
    ("update_day_night_cycle", 2),
    ("load_map_layer", 1),
    ("unload_map_layer", 1),
    ("enable_environment_objects", 2),
    ("draw_debug_shape", 1),
    ("clear_debug_shape", 0),
    ("clear_debug_string", 0),
    ("console_command", 1),
):
    _ignored(_name, _arguments)


def _scenery(service: Service, label: Any) -> list[tuple[int, Vector, Vector, Vector, int]]:
    """Row, centre, half sizes, rotation and label of the scenery's boxes with a label, 255 for all."""
    bodies = service.world.town.bodies
    columns = (bodies[name].tolist() for name in ("centre", "extent", "rotation", "tag"))
    return [(row, *one) for row, one in enumerate(zip(*columns, strict=True)) if label in (_ANY_LABEL, one[3])]


@method("get_all_level_BBs", read_anything)
def get_all_level_boxes(service: Service, client: Client, label: Any) -> list[Any]:
    """Boxes of the scenery with a semantic label."""
    return [(centre, extent, rotation, 0) for _, centre, extent, rotation, _ in _scenery(service, label)]


@method("get_environment_objects", read_anything)
def get_environment_objects(service: Service, client: Client, label: Any) -> list[Any]:
    """The scenery with a semantic label as objects; they cannot be switched off."""
    return [
        ((centre, rotation), (centre, extent, rotation, 0), row + 1, f"Scenery_{row + 1}", tag)
        for row, centre, extent, rotation, tag in _scenery(service, label)
    ]


@method("cast_ray", read_vector, read_vector)
def cast_ray(service: Service, client: Client, start: Vector, end: Vector) -> list[Any]:
    """What a ray from one point to another meets, the nearest first: a point and a semantic label each."""
    world = service.world
    reach = math.dist(start, end)
    if reach == 0.0:
        return []
    ahead = ((end[0] - start[0]) / reach, (end[1] - start[1]) / reach, (end[2] - start[2]) / reach)
    half = 0.5 * max(abs(end[0] - start[0]), abs(end[1] - start[1])) + 1.0
    around = Box(None, half, half)
    around.place(0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]), -math.inf, math.inf, 0.0)
    met: list[tuple[float, int]] = []
    for box, tag in (
        *((one, int(world.town.bodies[one.owner]["tag"])) for one in world.town.scenery.within(around)),
        *((solid.box, solid.tag) for solid in world.solids),
    ):
        found = first_on_ray((box,), start, ahead, reach, 0.0)
        if found is not None:
            met.append((found[0], tag))
    hit, (ground, label) = project_point(service, client, start, ahead, reach)
    if hit:
        met.append((math.dist(start, ground), label))
    return [
        ([one + distance * step for one, step in zip(start, ahead, strict=True)], tag) for distance, tag in sorted(met)
    ]


@method("project_point", read_vector, read_vector, read_float)
def project_point(service: Service, client: Client, start: Vector, direction: Vector, reach: float) -> tuple[Any, ...]:
    """Where a ray from above meets the ground."""
    x, y, z = start
    ground = service.world.town.roads.height(x, y, z)
    if direction[2] < 0.0 and 0.0 <= z - ground <= -direction[2] * reach:
        along = (z - ground) / -direction[2]
        return True, ((x + along * direction[0], y + along * direction[1], ground), _ROAD_LABEL)
    return False, ((0.0, 0.0, 0.0), 0)


def _not_simulated(names: str, what: str, *, void: bool) -> None:
    """Enter calls that are refused with one clear sentence, whatever their arguments."""

    def enter(name: str) -> None:
        @method(name, void=void)
        def refuse(service: Service, client: Client) -> None:
            raise Refused(f"{name}: the embedded simulator has no {what}. Use a CARLA server for this call.")

    for one in names.split():
        enter(one)


_not_simulated(
    "start_recorder show_recorder_file_info show_recorder_collisions show_recorder_actors_blocked",
    "recorder",
    void=False,
)
_not_simulated("replay_file", "replayer", void=False)
_not_simulated(
    "stop_recorder stop_replayer set_replayer_time_factor set_replayer_ignore_hero set_replayer_ignore_spectator",
    "recorder or replayer",
    void=True,
)
_not_simulated("enable_gbuffers enable_sensor_for_ros disable_sensor_for_ros", "G-buffers or ROS", void=True)
_not_simulated("is_gbuffer_enabled is_sensor_enabled_for_ros", "G-buffers or ROS", void=False)
_not_simulated(
    "enable_carsim use_carsim_road enable_chrono_physics restore_physx_physics", "other physics engine", void=True
)
_not_simulated("apply_color_texture_to_objects apply_float_color_texture_to_objects", "textures", void=True)
_not_simulated("send", "V2X radio", void=True)
_not_simulated(
    "get_bones_transform get_actor_bone_names get_actor_bone_world_transforms get_actor_bone_relative_transforms "
    "get_actor_component_names get_actor_component_world_transform get_actor_component_relative_transform "
    "get_actor_socket_names get_actor_socket_world_transforms get_actor_socket_relative_transforms",
    "skeletons, components or sockets",
    void=False,
)
