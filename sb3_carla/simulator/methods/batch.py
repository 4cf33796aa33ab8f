"""``apply_batch``: many commands in one call, in their order, each with an answer of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sb3_carla.simulator.methods.actors import spawn
from sb3_carla.simulator.methods.table import METHODS, Refused, method
from sb3_carla.simulator.methods.vehicles import walker
from sb3_carla.simulator.wire.values import (
    read_anything,
    read_description,
    read_float,
    read_int,
    read_list,
    read_optional,
    read_transform,
)

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service

log = logging.getLogger(__name__)

_SPAWN, _DESTROY, _WALKER_STATE, _AUTOPILOT, _TELEMETRY, _LIGHTS, _CONSOLE = 0, 1, 7, 16, 17, 18, 20
# Commands that do just what a call of the same arguments does.
_AS_CALL: Final = {
    2: "apply_control_to_vehicle",
    3: "apply_ackermann_control_to_vehicle",
    4: "apply_control_to_walker",
    5: "apply_physics_control",
    6: "set_actor_transform",
    8: "set_actor_target_velocity",
    9: "set_actor_target_angular_velocity",
    10: "add_actor_impulse",
    11: "add_actor_force",
    12: "add_actor_angular_impulse",
    13: "add_actor_torque",
    14: "set_actor_simulate_physics",
    15: "set_actor_enable_gravity",
    19: "set_actor_location",
    21: "set_traffic_light_state",
}


@method("apply_batch", read_list(read_anything), read_anything, bare=True)
def apply_batch(service: Service, client: Client, commands: list[Any], do_tick: Any) -> list[Any]:
    """Run commands; one that fails does not stop the rest."""
    return [_answer(service, client, command) for command in commands]


def _answer(service: Service, client: Client, command: Any) -> Any:
    try:
        ((index, body),) = command
        return ((1, _run(service, client, index, body)),)
    except Refused as refused:
        return ((0, (str(refused),)),)
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        log.debug("batch command %.200r: %s", command, error)
        return ((0, (f"A command of the batch cannot be read: {error}",)),)


def _run(service: Service, client: Client, index: int, body: list[Any]) -> int:
    """One command; returns the actor id that it was for."""
    name = _AS_CALL.get(index)
    if name is not None:
        call = METHODS[name]
        call.handler(service, client, *[read(value) for read, value in zip(call.readers, body, strict=True)])
        return int(body[0])
    special = _SPECIAL.get(index)
    if special is None:
        raise Refused(f"The embedded simulator knows no batch command of kind {index!r:.20}")
    return special(service, client, body)


def _spawn(service: Service, client: Client, body: list[Any]) -> int:
    """Spawn, then run the commands that were chained to it with the new id in the place of the future actor."""
    description, pose, parent, _attachment, _socket, after = body
    actor = spawn(service, read_description(description), read_transform(pose), read_optional(parent, read_int) or 0)
    for command in after:
        ((index, chained),) = command
        if index == _SPAWN:
            # A chained spawn names no actor; the future actor can only be its parent.
            if chained[2][0] and chained[2][1] == 0:
                chained[2] = [True, actor.id]
        elif chained and chained[0] == 0:
            chained[0] = actor.id
        outcome = _answer(service, client, command)
        if outcome[0][0] == 0:
            log.info("command chained to the spawn of actor %d failed: %s", actor.id, outcome[0][1][0])
    return actor.id


def _destroy(service: Service, client: Client, body: list[Any]) -> int:
    actor_id = read_int(body[0])
    if not service.destroy(actor_id):
        raise Refused(f"unable to destroy actor {actor_id}: it was destroyed before or never existed")
    return actor_id


def _walker_state(service: Service, client: Client, body: list[Any]) -> int:
    """Pose and speed of a walker that the client's navigation moves."""
    actor_id, pose, speed = body
    one, target = walker(service, read_int(actor_id)), read_transform(pose)
    ground = service.world.town.roads.height(target.x, target.y, target.z)
    one.lead(target._replace(z=ground), read_float(speed))
    return one.id


def _lights(service: Service, client: Client, body: list[Any]) -> int:
    actor_id, flags = body
    METHODS["set_vehicle_light_state"].handler(service, client, read_int(actor_id), [read_int(flags)])
    return int(actor_id)


def _nothing(service: Service, client: Client, body: list[Any]) -> int:
    """Autopilot is the client's work; telemetry overlays and console commands have nothing to act on."""
    return body[0] if body and isinstance(body[0], int) else 0


_SPECIAL: Final[dict[int, Callable[..., int]]] = {
    _SPAWN: _spawn,
    _DESTROY: _destroy,
    _WALKER_STATE: _walker_state,
    _AUTOPILOT: _nothing,
    _TELEMETRY: _nothing,
    _LIGHTS: _lights,
    _CONSOLE: _nothing,
}
