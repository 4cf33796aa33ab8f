"""Calls that go for any actor: spawn, destroy, move, push, ask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sb3_carla.simulator.actors import Actor, SolidActor
from sb3_carla.simulator.attachment import Attachment
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.methods.table import Refused, method
from sb3_carla.simulator.road_users import Vehicle, Walker
from sb3_carla.simulator.wire.values import (
    ActorDescription,
    Vector,
    read_anything,
    read_bool,
    read_description,
    read_int,
    read_list,
    read_transform,
    read_vector,
)
from sb3_carla.simulator.world import SpawnError

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service


def find(service: Service, actor_id: int) -> Actor:
    """The actor of an id.

    :raises Refused: when there is none
    """
    actor = service.world.actors.get(actor_id)
    if actor is None:
        raise Refused(f"There is no actor {actor_id}: it was destroyed or never existed")
    return actor


@method("get_spectator")
def get_spectator(service: Service, client: Client) -> tuple[Any, ...]:
    """The spectator."""
    return service.world.spectator.record()


@method("get_actors_by_id", read_list(read_int))
def get_actors_by_id(service: Service, client: Client, ids: list[int]) -> list[Any]:
    """Records of those actors that exist."""
    actors = service.world.actors
    return [actors[one].record() for one in ids if one in actors]


@method("spawn_actor", read_description, read_transform)
def spawn_actor(service: Service, client: Client, description: ActorDescription, pose: Transform) -> tuple[Any, ...]:
    """Make an actor in the world."""
    return spawn(service, description, pose, 0).record()


def _read_attachment(value: Any) -> Attachment:
    return Attachment(read_int(value))


@method("spawn_actor_with_parent", read_description, read_transform, read_int, _read_attachment, read_anything)
def spawn_actor_with_parent(
    service: Service,
    client: Client,
    description: ActorDescription,
    pose: Transform,
    parent: int,
    attachment: Attachment,
    socket: Any,
) -> tuple[Any, ...]:
    """Make an actor mounted on another; the sockets of the parent's model are not known here."""
    return spawn(service, description, pose, parent, attachment).record()


def spawn(
    service: Service,
    description: ActorDescription,
    pose: Transform,
    parent: int,
    attachment: Attachment = Attachment.RIGID,
) -> Actor:
    """Make an actor.

    :raises Refused: with the reason that the client is to see
    """
    try:
        return service.world.spawn(description, pose, parent, attachment)
    except SpawnError as error:
        raise Refused(str(error)) from None


@method("destroy_actor", read_int)
def destroy_actor(service: Service, client: Client, actor_id: int) -> bool:
    """End an actor."""
    if not service.destroy(actor_id):
        raise Refused(f"unable to destroy actor {actor_id}: it was destroyed before or never existed")
    return True


@method("set_actor_transform", read_int, read_transform, void=True)
def set_actor_transform(service: Service, client: Client, actor_id: int, pose: Transform) -> None:
    """Teleport; for a mounted actor the pose is relative to its parent."""
    actor = find(service, actor_id)
    if actor.parent is not None:
        actor.attach(actor.parent, pose, actor.attachment)
    else:
        actor.place(pose)


@method("set_actor_location", read_int, read_vector, void=True)
def set_actor_location(service: Service, client: Client, actor_id: int, location: Vector) -> None:
    """Teleport without turning."""
    actor = find(service, actor_id)
    now = actor.relative if actor.parent is not None else actor.pose
    set_actor_transform(service, client, actor_id, Transform(*location, now.pitch, now.yaw, now.roll))


@method("set_actor_target_velocity", read_int, read_vector, void=True)
def set_actor_target_velocity(service: Service, client: Client, actor_id: int, velocity: Vector) -> None:
    """Give an actor a velocity in the world [m/s]."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle):
        if actor.motion.simulated:
            actor.motion.set_velocity(*velocity)
    elif isinstance(actor, Walker):
        actor.set_velocity(velocity[0], velocity[1])


@method("set_actor_target_angular_velocity", read_int, read_vector, void=True)
def set_actor_target_angular_velocity(service: Service, client: Client, actor_id: int, rates: Vector) -> None:
    """Give an actor turning rates [deg/s]; vehicles turn about the vertical only."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle) and actor.motion.simulated:
        actor.motion.r = math.radians(rates[2])
        actor.motion.resting = False


@method("set_actor_simulate_physics", read_int, read_bool, void=True)
def set_actor_simulate_physics(service: Service, client: Client, actor_id: int, on: bool) -> None:
    """Switch an actor's physics. The traffic manager aborts its process on an error, so unknown ids are taken."""
    actor = service.world.actors.get(actor_id)
    if isinstance(actor, Vehicle):
        actor.simulate(on)
    elif isinstance(actor, Walker):
        actor.simulated = on


@method("set_actor_collisions", read_int, read_bool, void=True)
def set_actor_collisions(service: Service, client: Client, actor_id: int, on: bool) -> None:
    """Let an actor be hit, or go through everything."""
    actor = service.world.actors.get(actor_id)
    if isinstance(actor, SolidActor):
        service.world.set_collides(actor, on)


@method("set_actor_enable_gravity", read_int, read_bool, void=True)
def set_actor_enable_gravity(service: Service, client: Client, actor_id: int, on: bool) -> None:
    """Switch gravity for an actor."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle):
        actor.motion.gravity = on
        actor.motion.resting = False


@method("set_actor_dead", read_int, void=True)
def set_actor_dead(service: Service, client: Client, actor_id: int) -> None:
    """A dead actor stays where it is."""
    actor = find(service, actor_id)
    if isinstance(actor, (Vehicle, Walker)):
        set_actor_simulate_physics(service, client, actor_id, False)


@method("add_actor_impulse", read_int, read_vector, void=True)
def add_actor_impulse(service: Service, client: Client, actor_id: int, impulse: Vector) -> None:
    """Push an actor at once [N s]."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle):
        x, y, z = (one * actor.inverse_mass for one in impulse)
        actor.motion.push(x, y, z, 0.0)
    elif isinstance(actor, Walker):
        actor.push(impulse[0], impulse[1], 0.0)


@method("add_actor_impulse_at_location", read_int, read_vector, read_vector, void=True)
def add_actor_impulse_at_location(service: Service, client: Client, actor_id: int, impulse: Vector, at: Vector) -> None:
    """Push an actor at a point of the world, which also turns it."""
    actor = find(service, actor_id)
    add_actor_impulse(service, client, actor_id, impulse)
    if isinstance(actor, Vehicle):
        moment = (at[0] - actor.motion.x) * impulse[1] - (at[1] - actor.motion.y) * impulse[0]
        actor.motion.push(0.0, 0.0, 0.0, moment * actor.inverse_inertia)


@method("add_actor_force", read_int, read_vector, void=True)
def add_actor_force(service: Service, client: Client, actor_id: int, force: Vector) -> None:
    """Push an actor during the next step [N]."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle):
        x, y, z = actor.motion.force
        actor.motion.force = (x + force[0], y + force[1], z + force[2])
        actor.motion.resting = False
        actor.motion.airborne = actor.motion.airborne or force[2] > 0.0


@method("add_actor_force_at_location", read_int, read_vector, read_vector, void=True)
def add_actor_force_at_location(service: Service, client: Client, actor_id: int, force: Vector, at: Vector) -> None:
    """Push an actor during the next step at a point of the world."""
    actor = find(service, actor_id)
    add_actor_force(service, client, actor_id, force)
    if isinstance(actor, Vehicle):
        actor.motion.torque += (at[0] - actor.motion.x) * force[1] - (at[1] - actor.motion.y) * force[0]


@method("add_actor_angular_impulse", read_int, read_vector, void=True)
def add_actor_angular_impulse(service: Service, client: Client, actor_id: int, impulse: Vector) -> None:
    """Turn an actor at once [kg m2/s]; vehicles turn about the vertical only."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle):
        actor.motion.push(0.0, 0.0, 0.0, impulse[2] * actor.inverse_inertia)


@method("add_actor_torque", read_int, read_vector, void=True)
def add_actor_torque(service: Service, client: Client, actor_id: int, torque: Vector) -> None:
    """Turn an actor during the next step [N m]; vehicles turn about the vertical only."""
    actor = find(service, actor_id)
    if isinstance(actor, Vehicle):
        actor.motion.torque += torque[2]
        actor.motion.resting = False


@method("get_actor_bounding_box", read_int)
def get_actor_bounding_box(service: Service, client: Client, actor_id: int) -> tuple[Any, ...]:
    """The bounding box. The traffic manager aborts its process on an error, so unknown ids get an empty one."""
    actor = service.world.actors.get(actor_id)
    if actor is None:
        return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), actor_id & 0xFFFFFFFF
    return actor.bounding_box()
