"""Traffic lights that change, and the signs beside them: the actors of a map's signals.

The lights of a junction take turns as in CARLA: one phase (an OpenDRIVE controller) is green, then yellow, then all
are red for a moment, then the next phase is green. Times belong to the phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.actors import Actor
from sb3_carla.simulator.blueprints import Attribute, AttributeType, Blueprint
from sb3_carla.simulator.geometry import BODY
from sb3_carla.simulator.road_users import Vehicle
from sb3_carla.simulator.roadside import lamp_places
from sb3_carla.simulator.signals import Post, Signals, StopLane
from sb3_carla.simulator.wire.layouts import ACTIVE, TRAFFIC_LIGHT_RECORD, TRAFFIC_SIGN_RECORD

_CELL: Final = 32.0  # of the grid in which vehicles find stop lines [m]
_LIGHT_TAG, _SIGN_TAG = 7, 8  # semantic labels
_ROLE: Final = (Attribute("role_name", AttributeType.STRING, ""),)


class LightState(IntEnum):
    """The wire's values."""

    RED = 0
    YELLOW = 1
    GREEN = 2
    OFF = 3
    UNKNOWN = 4


_LIT: Final = {  # R, G, B of the lamp that is on
    LightState.RED: (255, 40, 30),
    LightState.YELLOW: (255, 200, 40),
    LightState.GREEN: (60, 255, 110),
}
_DARK: Final = (40, 40, 40)


class Sign(Actor):
    """A stop, yield or speed limit sign."""

    tag = _SIGN_TAG

    def __init__(self, id: int, post: Post):
        super().__init__(id, Blueprint(0, post.type_id, _ROLE), {}, post.pose)
        self.post = post
        self.box_centre, self.box_extent = post.trigger_centre, post.trigger_extent

    def write(self, snapshot: bytearray, offset: int) -> None:
        """Write this sign's record into the snapshot."""
        TRAFFIC_SIGN_RECORD.pack_into(
            snapshot, offset, self.id, ACTIVE, *self.pose, 0, 0, 0, 0, 0, 0, 0, 0, 0, self.post.id.encode()[:31]
        )


class TrafficLight(Sign):
    """One traffic light; its state is its own, its times are its phase's."""

    tag = _LIGHT_TAG

    def __init__(self, id: int, post: Post):
        super().__init__(id, post)
        self.state = LightState.RED
        self.pole = 0  # place within the junction
        self.group: Junction
        self.phase: Phase

    def write(self, snapshot: bytearray, offset: int) -> None:
        """Write this light's record into the snapshot."""
        phase, group = self.phase, self.group
        TRAFFIC_LIGHT_RECORD.pack_into(
            snapshot, offset, self.id, ACTIVE, *self.pose, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            self.post.id.encode()[:31], phase.green, phase.yellow, phase.red, group.elapsed, self.pole,
            group.frozen, self.state,
        )  # fmt: skip


class Phase:
    """Lights that are green together; CARLA's default times."""

    def __init__(self, lights: list[TrafficLight]):
        self.lights = lights
        self.green = 10.0  # [s]
        self.yellow = 3.0
        self.red = 2.0  # all lights of the junction, after this phase


class Junction:
    """The lights of one junction and where they are in their cycle.

    :param phases: in the order of their turns
    """

    _CYCLE: Final = (LightState.GREEN, LightState.YELLOW, LightState.RED)

    def __init__(self, phases: list[Phase]):
        self.phases = phases
        self.lights = [light for phase in phases for light in phase.lights]
        self.frozen = False
        for phase in phases:
            for light in phase.lights:
                light.group, light.phase = self, phase
        for place, light in enumerate(self.lights):
            light.pole = place
        self.reset()

    def reset(self) -> None:
        """Begin the cycle anew."""
        self._turn, self._stage, self.elapsed = 0, 0, 0.0
        self._show()

    def freeze(self, frozen: bool) -> None:
        """Stop or go on."""
        self.frozen = frozen
        for light in self.lights:
            light.changed = True

    def advance(self, dt: float) -> bool:
        """Let time [s] pass; returns whether a light changed."""
        if self.frozen:
            return False
        self.elapsed += dt
        phase = self.phases[self._turn]
        lasts = (phase.green, phase.yellow, phase.red)[self._stage]
        if self.elapsed < lasts - 1e-9:
            return False
        self.elapsed = 0.0
        self._stage = (self._stage + 1) % len(self._CYCLE)
        if self._stage == 0:
            self._turn = (self._turn + 1) % len(self.phases)
        self._show()
        return True

    def _show(self) -> None:
        for turn, phase in enumerate(self.phases):
            state = self._CYCLE[self._stage] if turn == self._turn else LightState.RED
            for light in phase.lights:
                light.state, light.changed = state, True


class TrafficLights:
    """All lights and signs of a map as actors.

    :param signals: of the map
    :param first_id: actor id of the first one; the others follow
    """

    def __init__(self, signals: Signals, first_id: int):
        self.lights = [TrafficLight(first_id + row, post) for row, post in enumerate(signals.lights)]
        after = first_id + len(self.lights)
        self.signs = [Sign(after + row, post) for row, post in enumerate(signals.signs)]
        self.junctions = [
            Junction([Phase([self.lights[row] for row in phase]) for phase in group]) for group in signals.groups
        ]
        self._grid: dict[tuple[int, int], list[tuple[StopLane, TrafficLight]]] = {}
        for light in self.lights:
            for lane in light.post.lanes:
                for cell in {_cell(x, y) for x, y in lane.corners()}:
                    self._grid.setdefault(cell, []).append((lane, light))
        self._lamps: npt.NDArray[Any] | None = None

    def advance(self, dt: float, vehicles: Iterable[Vehicle]) -> None:
        """Let time [s] pass and tell the vehicles which light concerns them."""
        if not self.lights:
            return
        changed = [junction.advance(dt) for junction in self.junctions]
        if any(changed):
            self._lamps = None
        for vehicle in vehicles:
            if vehicle.moving or vehicle.changed:
                self.concern(vehicle)
            elif vehicle.light is not None and vehicle.light.changed:
                vehicle.changed = True

    def concern(self, vehicle: Vehicle) -> None:
        """Find the light before which a vehicle is: its front or its middle stands on the stretch before the line."""
        box = vehicle.box
        front = box.x + box.half_length * box.c, box.y + box.half_length * box.s
        found = self._before(*front, box.c, box.s) or self._before(box.x, box.y, box.c, box.s)
        if found is not vehicle.light:
            vehicle.light, vehicle.changed = found, True

    def _before(self, x: float, y: float, cos: float, sin: float) -> TrafficLight | None:
        for lane, light in self._grid.get(_cell(x, y), ()):
            if lane.holds(x, y, cos, sin):
                return light
        return None

    def forget(self, light: TrafficLight) -> None:
        """Take a light out of the traffic: a client has destroyed it."""
        self.lights.remove(light)
        light.phase.lights.remove(light)
        light.group.lights.remove(light)
        for lanes in self._grid.values():
            lanes[:] = [one for one in lanes if one[1] is not light]
        self._lamps = None

    def redraw(self) -> None:
        """A light was switched by hand."""
        self._lamps = None

    def lamps(self) -> npt.NDArray[Any]:
        """The lamps that are lit, as bodies with dtype :data:`sb3_carla.simulator.geometry.BODY`."""
        if self._lamps is None:
            self._lamps = np.array(
                [
                    (light.id, _LIGHT_TAG, _LIT.get(light.state, _DARK), *place)
                    for light in self.lights
                    for place in lamp_places(light.post, light.state)
                ],
                BODY,
            )
        return self._lamps


def _cell(x: float, y: float) -> tuple[int, int]:
    return math.floor(x / _CELL), math.floor(y / _CELL)
