"""Everything static that cameras can see, laid out for the kernels."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.camera.bodies import Solids, solids_of
from sb3_carla.simulator.camera.decks import split
from sb3_carla.simulator.camera.ground import paint_ground
from sb3_carla.simulator.camera.look import look_of
from sb3_carla.simulator.camera.terrain import terrain_of
from sb3_carla.simulator.camera.veil import Veil
from sb3_carla.simulator.roads import RoadMap
from sb3_carla.simulator.weather import Weather


class Scene:
    """Everything static that a camera can see. Build it once per map and share it between cameras.

    :param roads: the map
    :param scenery: static boxes, see :func:`sb3_carla.simulator.scenery.place_scenery`
    """

    def __init__(self, roads: RoadMap, scenery: npt.NDArray[np.void]) -> None:
        self.roads = roads
        self.terrain = terrain_of(roads.raster)
        if not self.terrain.flat:  # compile what draws hills now rather than for the first picture
            import_module("sb3_carla.simulator.camera.hills")
        on_ground, self.decks = split(roads.lanes, roads.raster)
        self.ground = paint_ground(roads, on_ground)
        self.solids = solids_of(scenery, scenery=True)
        self.veil = Veil(self.ground, self.terrain, self.solids)
        self.veil.lay(look_of(Weather()))  # now rather than in the first picture
        self._stage = self.solids

    def stage(self, moving: Solids) -> Solids:
        """The scenery with moving bodies below it; valid until the next call."""
        still = self.solids.number
        stage = self._stage
        if stage.number < still + moving.number:
            room = 2 * moving.number + 16
            stage = self._stage = Solids(
                np.concatenate([self.solids.numbers, np.zeros((room, 7))]),
                np.concatenate([self.solids.turns, np.zeros((room, 3, 3))]),
                np.concatenate([self.solids.traits, np.zeros((room, 7), np.int64)]),
            )
        end = still + moving.number
        for whole, part in zip(stage, moving, strict=True):
            whole[still:end] = part
        return stage
