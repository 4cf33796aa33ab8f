"""Calls of and about traffic managers, and traffic lights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sb3_carla.simulator.methods.actors import find
from sb3_carla.simulator.methods.table import Refused, method
from sb3_carla.simulator.wire.values import read_anything, read_bool, read_float, read_int, read_str

if TYPE_CHECKING:
    from sb3_carla.simulator.service import Client, Service


@method("is_traffic_manager_running", read_int)
def is_traffic_manager_running(service: Service, client: Client, port: int) -> bool:
    """Whether a traffic manager was announced for a port."""
    return service.traffic_managers.host(port) is not None


@method("get_traffic_manager_running", read_int)
def get_traffic_manager_running(service: Service, client: Client, port: int) -> tuple[str, int]:
    """Where the traffic manager of a port runs."""
    host = service.traffic_managers.host(port)
    return ("", 0) if host is None else (host, port)


def _read_address(value: Any) -> tuple[str, int]:
    host, port = value
    return read_str(host), read_int(port)


@method("add_traffic_manager_running", _read_address)
def add_traffic_manager_running(service: Service, client: Client, address: tuple[str, int]) -> bool:
    """Announce a traffic manager; it is forgotten when the announcing connection closes."""
    return service.traffic_managers.add(*address, client.id)


@method("destroy_traffic_manager", read_int)
def destroy_traffic_manager(service: Service, client: Client, port: int) -> bool:
    """Forget a traffic manager."""
    return service.traffic_managers.remove(port)


@method("reset_all_traffic_lights", void=True)
def reset_all_traffic_lights(service: Service, client: Client) -> None:
    """Begin all light phases anew: the towns of this stage have no lights."""


@method("freeze_all_traffic_lights", read_bool, void=True)
def freeze_all_traffic_lights(service: Service, client: Client, frozen: bool) -> None:
    """Stop all light phases: the towns of this stage have no lights."""


def _only_lights(name: str, *readers: Any) -> None:
    """Enter a call that needs a traffic light."""

    @method(name, read_int, *readers, void=True)
    def refuse(service: Service, client: Client, actor_id: int, *arguments: Any) -> None:
        raise Refused(f"Actor {actor_id} is a {find(service, actor_id).blueprint.type_id}, not a traffic light")


_only_lights("reset_traffic_light_group")
_only_lights("set_traffic_light_state", read_int)
_only_lights("set_traffic_light_green_time", read_float)
_only_lights("set_traffic_light_yellow_time", read_float)
_only_lights("set_traffic_light_red_time", read_float)
_only_lights("freeze_traffic_light", read_bool)


@method("get_group_traffic_lights", read_anything)
def get_group_traffic_lights(service: Service, client: Client, actor_id: int) -> list[int]:
    """The lights of a junction."""
    return []


@method("get_light_boxes", read_anything)
def get_light_boxes(service: Service, client: Client, actor_id: int) -> list[Any]:
    """The boxes of a traffic light's lamps."""
    return []
