"""Calls of and about traffic managers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sb3_carla.simulator.methods.table import method
from sb3_carla.simulator.wire.values import read_int, read_str

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
