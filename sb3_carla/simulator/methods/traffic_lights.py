"""Calls for traffic lights: state, times, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sb3_carla.simulator.methods.actors import find
from sb3_carla.simulator.methods.table import Refused, method
from sb3_carla.simulator.roadside import light_boxes
from sb3_carla.simulator.traffic_lights import LightState, TrafficLight
from sb3_carla.simulator.wire.values import read_bool, read_float, read_int

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service


def light(service: Service, actor_id: int) -> TrafficLight:
    """The traffic light of an id.

    :raises Refused: when there is none
    """
    actor = find(service, actor_id)
    if not isinstance(actor, TrafficLight):
        raise Refused(f"Actor {actor_id} is a {actor.blueprint.type_id}, not a traffic light")
    return actor


@method("reset_all_traffic_lights", void=True)
def reset_all_traffic_lights(service: Service, client: Client) -> None:
    """Begin the cycles of all junctions anew."""
    for junction in service.world.signals.junctions:
        junction.reset()
    service.world.signals.redraw()


@method("freeze_all_traffic_lights", read_bool, void=True)
def freeze_all_traffic_lights(service: Service, client: Client, frozen: bool) -> None:
    """Stop the clocks of all junctions, or let them go on."""
    for junction in service.world.signals.junctions:
        junction.freeze(frozen)


@method("freeze_traffic_light", read_int, read_bool, void=True)
def freeze_traffic_light(service: Service, client: Client, actor_id: int, frozen: bool) -> None:
    """Stop the clock of a light's junction, or let it go on."""
    light(service, actor_id).group.freeze(frozen)


@method("reset_traffic_light_group", read_int, void=True)
def reset_traffic_light_group(service: Service, client: Client, actor_id: int) -> None:
    """Begin the cycle of a light's junction anew."""
    light(service, actor_id).group.reset()
    service.world.signals.redraw()


@method("set_traffic_light_state", read_int, read_int, void=True)
def set_traffic_light_state(service: Service, client: Client, actor_id: int, state: int) -> None:
    """Switch one light; unless it is frozen, its junction's cycle will switch it again."""
    one = light(service, actor_id)
    try:
        one.state = LightState(state)
    except ValueError:
        raise Refused(f"There is no traffic light state {state}: use 0 (red) to 4 (unknown)") from None
    one.changed = True
    service.world.signals.redraw()


def _time(name: str, part: str) -> None:
    """Enter the call that sets one of a phase's times."""

    @method(name, read_int, read_float, void=True)
    def set_time(service: Service, client: Client, actor_id: int, seconds: float) -> None:
        one = light(service, actor_id)
        setattr(one.phase, part, max(0.0, seconds))
        for other in one.phase.lights:
            other.changed = True


_time("set_traffic_light_green_time", "green")
_time("set_traffic_light_yellow_time", "yellow")
_time("set_traffic_light_red_time", "red")


@method("get_group_traffic_lights", read_int)
def get_group_traffic_lights(service: Service, client: Client, actor_id: int) -> list[int]:
    """The lights of the same junction."""
    return [one.id for one in light(service, actor_id).group.lights]


@method("get_light_boxes", read_int)
def get_light_boxes(service: Service, client: Client, actor_id: int) -> list[Any]:
    """The boxes of a traffic light's housings, in the world."""
    one = light(service, actor_id)
    return [(*box, one.id) for box in light_boxes(one.post)]
