"""What the server does with requests, without sockets: dispatch, the clock, and what each step publishes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

from sb3_carla.simulator.methods import METHODS, Refused
from sb3_carla.simulator.sensors import Message
from sb3_carla.simulator.traffic_manager import TrafficManagers
from sb3_carla.simulator.wire import rpc
from sb3_carla.simulator.wire.layouts import WORLD_STREAM
from sb3_carla.simulator.world import World

log = logging.getLogger(__name__)

FREE_RUN: Final = 0.02  # step of the asynchronous mode when the client asks for no fixed one [s]
_SHORTEST: Final = 0.002  # between two asynchronous steps [s]; clients' calls come first
_LONGEST: Final = 0.2  # simulated time of one variable step, however late it is [s]
_SUBSCRIBE: Final = 0.25  # how long a tick waits for a subscription that was announced [s]
TICK: Final = "tick_cue"


class Publisher(Protocol):
    """Where the data of a step goes."""

    def listening(self, stream_id: int) -> bool:
        """Whether anyone subscribes to a stream."""

    def publish(self, stream_id: int, message: Message) -> None:
        """Send a message to all subscribers of a stream; it need not stay valid after the call."""


@dataclass
class Client:
    """One rpc connection."""

    id: int


class Service:
    """Answers requests and moves the world.

    :param world: the simulation
    :param publisher: where its data goes
    """

    def __init__(self, world: World, publisher: Publisher):
        self.world = world
        self.traffic_managers = TrafficManagers()
        self._publisher = publisher
        self._announced: Counter[int] = Counter()  # stream id -> subscriptions that are to come
        self._announced_until = 0.0
        self._unknown: set[str] = set()
        self._pictures_due = False
        self._stepped = time.monotonic()
        self._started = self._stepped

    def answer(self, client: Client, request: rpc.Request) -> bytes:
        """Do what a request asks and return the reply.

        :param client: who asks
        :param request: what it asks
        """
        msgid, name, params, _ = request
        method = METHODS.get(name)
        if method is None:
            if name not in self._unknown and len(self._unknown) < 1000:
                self._unknown.add(name)
                log.warning("a client called %.80r, which the embedded simulator does not know", name)
            return rpc.failure(msgid, f"The embedded simulator does not know the call {name:.80}")
        readers = method.readers
        try:
            if len(params) < len(readers):
                raise ValueError(f"{len(params)} arguments came, {len(readers)} are needed")
            arguments = [read(value) for read, value in zip(readers, params, strict=False)]
        except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            return self._refuse(request, f"{name}: the arguments cannot be read: {error}")
        try:
            result = method.handler(self, client, *arguments)
            if method.void:
                reply = rpc.void_reply(msgid)
            elif method.bare:
                reply = rpc.bare_reply(msgid, result)
            else:
                reply = rpc.value_reply(msgid, result)
        except Refused as refused:
            return self._refuse(request, str(refused))
        except Exception:
            # A fault of ours must not take the other clients' world away.
            log.exception("the call %s failed", name)
            return self._refuse(request, f"{name} failed inside the embedded simulator; its log has the details")
        pacing = self.traffic_managers.pacing(client.id)
        if pacing is not None:
            if name == TICK:
                pacing.ticked(time.monotonic())
            else:
                pacing.called(name, time.monotonic())
        return reply

    def delay(self, client: Client) -> float:
        """How long the reply to the client's last request should be kept back [s]."""
        pacing = self.traffic_managers.pacing(client.id)
        return pacing.delay if pacing is not None else 0.0

    def _refuse(self, request: rpc.Request, message: str) -> bytes:
        method = METHODS[request.method]
        if method.bare:
            return rpc.failure(request.msgid, message)
        return rpc.refusal(request.msgid, message, void=method.void)

    def destroy(self, actor_id: int) -> bool:
        """End an actor; False when there is none."""
        return self.world.destroy(actor_id)

    # Subscriptions

    def announce(self, stream_id: int) -> None:
        """A client was told where a stream is: it will connect, and the next tick is to reach it."""
        self._announced[stream_id] += 1
        self._announced_until = time.monotonic() + _SUBSCRIBE

    def subscribed(self, stream_id: int) -> None:
        """A subscriber has connected."""
        self._announced[stream_id] -= 1
        if self._announced[stream_id] <= 0:
            del self._announced[stream_id]

    def disconnected(self, client: Client) -> None:
        """An rpc connection has closed."""
        self.traffic_managers.drop(client.id)

    # Clock

    def hold(self, client: Client, asked: float, now: float) -> float:
        """How long a tick is still to be held [s]; zero or less: not at all.

        :param client: who asked for it
        :param asked: when it was asked for
        :param now: the time
        """
        if self._announced:
            until = min(self._announced_until, asked + _SUBSCRIBE)
            if now < until:
                return until - now
            self._announced.clear()
        pacing = self.traffic_managers.pacing(client.id)
        return pacing.wait(asked, now) if pacing is not None else 0.0

    def until_free_run(self, now: float) -> float | None:
        """How long until the asynchronous mode's next step is due [s]; None in synchronous mode."""
        settings = self.world.settings
        if settings.synchronous:
            return None
        return self._stepped + max(_SHORTEST, settings.fixed_delta or FREE_RUN) - now

    def step(self) -> None:
        """One step of the world, published to all subscribers but for its pictures."""
        world = self.world
        settings = world.settings
        if settings.fixed_delta is not None and settings.synchronous:
            world.step(settings.fixed_delta)
        else:
            now = time.monotonic()
            passed = min(max(now - self._stepped, 1e-4), _LONGEST)
            self._stepped = now
            world.step(settings.fixed_delta or passed, now - self._started)
        self._publish()

    def publish_pictures(self) -> None:
        """Publish what cameras, lidars and radars saw in the last step, if that is still to be done.

        As with CARLA, a tick is answered before its pictures are there: the client works while they are drawn.
        """
        if self._pictures_due:
            self._pictures_due = False
            self._measure(pictures=True)

    def _publish(self) -> None:
        world, publisher = self.world, self._publisher
        snapshot = world.snapshot()
        if publisher.listening(WORLD_STREAM):
            publisher.publish(WORLD_STREAM, (snapshot,))
        self._measure(pictures=False)
        self._pictures_due = True
        for detector, other, impulse in world.collisions():
            if publisher.listening(detector.stream_id):
                publisher.publish(detector.stream_id, detector.report(world, other, impulse))

    def _measure(self, *, pictures: bool) -> None:
        """Publish what the sensors that take long, or all others, measure in this frame."""
        world, publisher = self.world, self._publisher
        for stream_id, sensor in world.sensors.items():
            if sensor.late is not pictures:
                continue
            if publisher.listening(stream_id) and sensor.due(world.elapsed):
                try:
                    message = sensor.measure(world)
                except Exception:
                    # A fault of ours in one sensor must not take everyone's world away.
                    log.exception(
                        "sensor %d (%s) cannot measure and is silent now", sensor.id, sensor.blueprint.type_id
                    )
                    sensor.silence()
                    continue
                if message is not None:
                    publisher.publish(stream_id, message)
