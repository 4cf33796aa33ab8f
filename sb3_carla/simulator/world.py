"""The world: episode, clock, settings and actors. It knows nothing of sockets; :mod:`service` speaks for it."""

from __future__ import annotations

import math
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sb3_carla.simulator.actors import Actor, SolidActor
from sb3_carla.simulator.attachment import Attachment, free_way
from sb3_carla.simulator.blueprints import BLUEPRINTS, SPECTATOR, Blueprint
from sb3_carla.simulator.collision import Hit, contact, resolve
from sb3_carla.simulator.drivetrain import GRAVITY
from sb3_carla.simulator.friction import TYPE_ID as TRIGGER
from sb3_carla.simulator.friction import FrictionTrigger
from sb3_carla.simulator.geometry import BODY, Transform
from sb3_carla.simulator.road_users import Vehicle, Walker
from sb3_carla.simulator.sensors import SENSOR_CLASSES, CollisionSensor, Sensor
from sb3_carla.simulator.town import Atlas
from sb3_carla.simulator.traffic_lights import TrafficLight, TrafficLights
from sb3_carla.simulator.vehicle import MAX_STEP
from sb3_carla.simulator.weather import Weather
from sb3_carla.simulator.wire.layouts import (
    EPISODE_HEADER,
    LIGHT_ELAPSED,
    RECORD_SIZE,
    WORLD_STREAM,
    SensorType,
    SnapshotFlag,
)
from sb3_carla.simulator.wire.streams import HEADED, token, write_head
from sb3_carla.simulator.wire.values import ActorDescription, EpisodeSettings, Vector

Bodies = npt.NDArray[Any]

_HEAD: Final = HEADED + EPISODE_HEADER.size  # [bytes] of the snapshot message in front of its records
_ORIGIN: Final = Transform()
MAX_ACTORS: Final = 5000  # a client that spawns without end must not take all memory


class SpawnError(ValueError):
    """An actor cannot be made; the client sees the message."""


class World:
    """Everything that a client can see of the simulation.

    :param atlas: the maps; the world starts on its first
    :param stream_port: TCP port that the sensors' tokens name
    """

    def __init__(self, atlas: Atlas, stream_port: int):
        self.atlas = atlas
        self.stream_port = stream_port
        self.town = atlas.start
        self.settings = EpisodeSettings()
        self.weather = Weather()
        self.gravity = GRAVITY
        self.frame = 0
        self.elapsed = 0.0  # [s] since the episode began
        self.episode_id = 1
        self._platform = 0.0  # [s] on the clock that the snapshots call the platform's
        self.delta = 0.0  # [s] of the last step
        self._next_actor = 1
        self._next_stream = WORLD_STREAM + 1
        self._map_changed = False
        self.actors: dict[int, Actor] = {}
        self.vehicles: list[Vehicle] = []
        self.walkers: list[Walker] = []
        self.solids: list[SolidActor] = []  # what can be hit, in the order of the ids
        self.sensors: dict[int, Sensor] = {}  # by stream id
        self.hits: list[Hit] = []  # of the last step
        self._forgetful: list[Vehicle] = []  # without sticky control
        self._triggers: list[FrictionTrigger] = []
        self._attached: list[Actor] = []
        self._visible: list[SolidActor] = []
        self._bodies: Bodies = np.zeros(0, BODY)
        self._bodies_frame = -1
        self._middles: npt.NDArray[np.float64] = np.zeros(0)  # of the visible actors, above their places [m]
        self._lamps: Bodies = np.zeros(0, BODY)  # as they stand in the bodies
        self._recast = True  # actors came or went since the bodies were last gathered
        self._snapshot = bytearray(_HEAD)
        self._reordered = True  # actors came or went since the last snapshot
        self.spectator = self._add(Actor(self._new_id(), SPECTATOR, {}, Transform(z=10.0)))
        self._put_up_signals()

    # Episode

    def load(self, name: str, *, reset_settings: bool) -> None:
        """Begin a new episode.

        :param name: of the map; empty for the present one
        :param reset_settings: whether to fall back to asynchronous mode and the other defaults
        :raises MapError: when there is no such map or it is not usable
        """
        town = self.atlas.town(name) if name else self.town
        self.town = town
        for actor in list(self.actors.values()):
            if actor is not self.spectator:
                self.destroy(actor.id)
        self._put_up_signals()
        if reset_settings:
            self.settings = EpisodeSettings()
        self.weather = Weather()
        self.gravity = GRAVITY
        self.elapsed = 0.0
        self.episode_id += 1
        self._map_changed = True

    def _put_up_signals(self) -> None:
        """Make the actors of the map's lights and signs; they come first, right behind the spectator."""
        self.signals = TrafficLights(self.town.signals, self._next_actor)
        for sign in (*self.signals.lights, *self.signals.signs):
            self.actors[self._new_id()] = sign
        self._sort()

    # Actors

    def spawn(
        self,
        description: ActorDescription,
        pose: Transform,
        parent_id: int = 0,
        attachment: Attachment = Attachment.RIGID,
    ) -> Actor:
        """Make an actor.

        :param description: blueprint and attribute values
        :param pose: in the world, or relative to the parent
        :param parent_id: of the actor to mount it on, 0 for none
        :param attachment: how it hangs on its parent
        :raises SpawnError: when the blueprint or the parent is unknown, or the place is taken
        """
        blueprint = BLUEPRINTS.get(description.type_id)
        if blueprint is None:
            raise SpawnError(f"Spawn failed: there is no blueprint {description.type_id!r}")
        parent = self.actors.get(parent_id)
        if parent_id and parent is None:
            raise SpawnError(f"Spawn failed: unable to find the parent actor {parent_id}")
        if len(self.actors) >= MAX_ACTORS:
            raise SpawnError(f"Spawn failed: the world already holds {MAX_ACTORS} actors")
        actor = self._make(blueprint, description.attributes, pose)
        if parent is not None:
            actor.attach(parent, pose, attachment)
        elif isinstance(actor, SolidActor) and self._occupied(actor):
            raise SpawnError("Spawn failed because of collision at spawn position")
        return self._add(actor)

    def _make(self, blueprint: Blueprint, attributes: dict[str, str], pose: Transform) -> Actor:
        id = self._new_id()
        if blueprint.vehicle is not None:
            return Vehicle(id, blueprint, attributes, pose, self.town.flat)
        if blueprint.type_id.startswith("walker."):
            return Walker(id, blueprint, attributes, pose)
        if blueprint.prop is not None:
            return SolidActor(id, blueprint, attributes, pose)
        if blueprint.sensor is not None and blueprint.sensor in SENSOR_CLASSES:
            try:
                sensor = SENSOR_CLASSES[blueprint.sensor](id, blueprint, attributes, pose, self._next_stream)
                sensor.prepare(self.town)
            except ValueError as error:  # an attribute that the sensor or its camera refuses
                raise SpawnError(f"Spawn failed: {error}") from None
            sensor.token = token(self._next_stream, self.stream_port)
            self._next_stream += 1
            return sensor
        if blueprint.type_id == TRIGGER:
            try:
                return FrictionTrigger(id, blueprint, attributes, pose)
            except ValueError as error:
                raise SpawnError(f"Spawn failed: {error}") from None
        return Actor(id, blueprint, attributes, pose)

    def _occupied(self, actor: SolidActor) -> bool:
        box = actor.box
        return self.town.scenery.overlaps(box) or any(contact(box, other.box) is not None for other in self.solids)

    def _new_id(self) -> int:
        self._next_actor += 1
        return self._next_actor - 1

    def _add(self, actor: Actor) -> Actor:
        self.actors[actor.id] = actor
        if isinstance(actor, Vehicle):
            actor.set_limit(self.town.roads.speed_limit_kmh(actor.pose.x, actor.pose.y))
        self._sort()
        return actor

    def destroy(self, actor_id: int) -> bool:
        """End an actor; what is mounted on it stays in the world where it was.

        :return: whether there was such an actor; the spectator cannot be destroyed
        """
        actor = self.actors.get(actor_id)
        if actor is None or actor is self.spectator:
            return False
        del self.actors[actor_id]
        if isinstance(actor, TrafficLight):
            self.signals.forget(actor)
            for vehicle in self.vehicles:
                if vehicle.light is actor:
                    vehicle.light, vehicle.changed = None, True
        if isinstance(actor, FrictionTrigger):
            actor.release()
        for other in self._attached:
            if other.parent is actor:
                other.parent = None
        self._sort()
        return True

    def set_collides(self, actor: SolidActor, on: bool) -> None:
        """Let an actor be hit, or go through everything."""
        actor.collides = on
        self._sort()

    def _sort(self) -> None:
        """Rebuild the lists by kind."""
        actors = list(self.actors.values())
        self.vehicles = [one for one in actors if isinstance(one, Vehicle)]
        self._forgetful = [one for one in self.vehicles if not one.sticky]
        self.walkers = [one for one in actors if isinstance(one, Walker)]
        self._triggers = [one for one in actors if isinstance(one, FrictionTrigger)]
        self._visible = [one for one in actors if isinstance(one, SolidActor)]
        self.solids = [one for one in self._visible if one.collides]
        self.sensors = {one.stream_id: one for one in actors if isinstance(one, Sensor)}
        self._attached = [one for one in actors if one.parent is not None]
        self._reordered = self._recast = True

    # Clock

    def step(self, delta: float, platform: float | None = None) -> None:
        """Advance everything.

        :param delta: simulated time [s]
        :param platform: what the snapshot's platform clock shows [s]; None for the simulated time, which makes equal
            runs equal to the last byte
        """
        pieces = max(1, math.ceil(delta / MAX_STEP - 1e-9))
        part = delta / pieces
        roads = self.town.roads
        self.hits = []
        for vehicle in self._forgetful:
            vehicle.forget()
        for _ in range(pieces):
            for vehicle in self.vehicles:
                vehicle.advance(part, roads)
            for walker in self.walkers:
                walker.advance(part, roads)
            if self.solids:
                self.hits += resolve(self.solids, self.town.scenery)
        for vehicle in self.vehicles:
            if vehicle.needs_limit():
                vehicle.set_limit(roads.speed_limit_kmh(vehicle.motion.x, vehicle.motion.y))
        for trigger in self._triggers:
            trigger.act(self.vehicles)
        self.signals.advance(delta, self.vehicles)
        for actor in self._attached:
            assert actor.parent is not None
            if actor.parent.changed or actor.swings:
                actor.follow(delta, partial(free_way, self.solids, self.town.scenery, actor.parent))
        self.frame += 1
        self.elapsed += delta
        self.delta = delta
        self._platform = self.elapsed if platform is None else platform

    def snapshot(self) -> bytearray:
        """The message for the subscribers of the world stream; valid until the next call."""
        snapshot = self._snapshot
        if self._reordered:
            snapshot = self._snapshot = bytearray(_HEAD + RECORD_SIZE * len(self.actors))
        everything = self._reordered
        self._reordered = False
        offset = _HEAD
        for actor in self.actors.values():
            if actor.changed or everything:
                actor.write(snapshot, offset)
                actor.changed = False
            offset += RECORD_SIZE
        if self.signals.lights:
            np.ndarray(len(self.signals.lights), "<f4", snapshot, _HEAD + RECORD_SIZE + LIGHT_ELAPSED, RECORD_SIZE)[
                :
            ] = [light.group.elapsed for light in self.signals.lights]
        write_head(snapshot, offset - HEADED, SensorType.WORLD, self.frame, self.elapsed, _ORIGIN)
        flags = SnapshotFlag.MAP_CHANGE if self._map_changed else 0
        self._map_changed = False
        EPISODE_HEADER.pack_into(snapshot, HEADED, self.episode_id, self._platform, self.delta, 0, 0, 0, flags)
        return snapshot

    def bodies(self) -> Bodies:
        """What cameras see of the actors in this frame."""
        if self._bodies_frame != self.frame:
            self._bodies_frame = self.frame
            self._bodies = self._gather()
        return self._bodies

    def _gather(self) -> Bodies:
        visible, lamps, bodies = self._visible, self.signals.lamps(), self._bodies
        count = len(visible)
        if self._recast or lamps is not self._lamps:
            self._recast, self._lamps = False, lamps
            bodies = np.zeros(count + len(lamps), BODY)
            for row, one in zip(bodies, visible, strict=False):
                row["id"], row["tag"], row["colour"], row["extent"] = one.id, one.tag, one.colour, one.box_extent
            self._middles = np.array([one.box_centre[2] for one in visible])
            bodies[count:] = lamps
        if visible:
            poses = np.fromiter(chain.from_iterable(one.pose for one in visible), np.float64, 6 * count)
            places = poses.reshape(count, 6)
            bodies["centre"][:count] = places[:, :3]
            bodies["centre"][:count, 2] += self._middles
            bodies["rotation"][:count] = places[:, 3:]
        return bodies

    def collisions(self) -> list[tuple[CollisionSensor, SolidActor | int, Vector]]:
        """The contacts of the last step, for each collision sensor that they concern."""
        told: list[tuple[CollisionSensor, SolidActor | int, Vector]] = []
        if not self.hits:
            return told
        detectors = [one for one in self.sensors.values() if isinstance(one, CollisionSensor)]
        for body, other, (jx, jy) in self.hits:
            for sensor in detectors:
                if sensor.parent is body:
                    told.append((sensor, other, (jx, jy, 0.0)))
                elif sensor.parent is other:
                    told.append((sensor, body, (-jx, -jy, 0.0)))
        return told
