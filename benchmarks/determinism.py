"""Two runs with the same commands: are they the same to the last byte, and if not, who made the first difference?

    python benchmarks/determinism.py [--ticks 2000] [--npcs 50] [--traffic manager constant] [--map Town_Blocks]

Each run has a fresh server and a fresh process with the real client. Both go side by side, and after every tick what
they received is compared: each message of one sensor of every kind on the ego car, the state of every actor in the
snapshot, the pose of every vehicle and its controls. The table says per stream: identical (with the digest of all its
bytes, to compare with another machine), or the first tick that differs, by how much there and at most in the whole run.

The NPCs are driven by the client's traffic manager (seeded, synchronous), or by constant controls. The traffic manager
runs in the client's process: where its runs differ and those with constant controls do not, the difference is its own.
Controls that differ while all poses of the tick before are equal say the same of a single tick.

Exit status 1 when runs with constant controls differ, which only the server could be the reason for.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import multiprocessing
import os
import queue
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import carla
import numpy as np
import numpy.typing as npt

from sb3_carla.simulator import EmbeddedServer

SECONDS_PER_TICK = 0.05
SEED = 7
DEADLINE = 60.0  # [s] for a sensor's data, on a machine as busy as it may be
EVENTS = ("collision", "dvs", "lane_invasion", "obstacle")  # come when something happens, all others with every tick
ATTRIBUTES = {
    "image_size_x": "84",
    "image_size_y": "84",
    "noise_seed": "5",
    "noise_stddev": "0.02",
    "noise_accel_stddev_x": "0.1",
    "noise_gyro_stddev_z": "0.1",
    "noise_lat_stddev": "0.001",
    "distance": "20",
}

Array = npt.NDArray[Any]
Message = tuple[int, Array]  # the tick, and all that was told


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def content(data: Any) -> Array:
    """What a sensor's message says, as numbers."""
    if isinstance(data, carla.OpticalFlowImage | carla.LidarMeasurement | carla.RadarMeasurement):
        return np.frombuffer(bytes(data.raw_data), np.float32)
    if hasattr(data, "raw_data"):
        return np.frombuffer(bytes(data.raw_data), np.uint8)
    if isinstance(data, carla.IMUMeasurement):
        a, g = data.accelerometer, data.gyroscope
        return np.array([a.x, a.y, a.z, g.x, g.y, g.z, data.compass])
    if isinstance(data, carla.GnssMeasurement):
        return np.array([data.latitude, data.longitude, data.altitude])
    if isinstance(data, carla.CollisionEvent):
        impulse = data.normal_impulse
        return np.array([data.other_actor.id, impulse.x, impulse.y, impulse.z])
    if isinstance(data, carla.ObstacleDetectionEvent):
        return np.array([data.other_actor.id, data.distance])
    assert isinstance(data, carla.LaneInvasionEvent)
    return np.array([[int(one.type), int(one.color), one.width] for one in data.crossed_lane_markings], float)


def numbers(*vectors: Any) -> list[float]:
    return list(itertools.chain.from_iterable((v.x, v.y, v.z) for v in vectors))


def pose(transform: Any) -> list[float]:
    rotation = transform.rotation
    return [*numbers(transform.location), rotation.pitch, rotation.yaw, rotation.roll]


class Run:
    """One run: a world as it is after a reload, an ego car with all sensors, and NPCs.

    :param port: of the server
    :param npcs: how many
    :param seed: of the traffic manager that drives; None for constant controls
    """

    def __init__(self, port: int, npcs: int, seed: int | None) -> None:
        self.managed = seed is not None
        self.client = carla.Client("127.0.0.1", port)
        self.client.set_timeout(60.0)
        world = self.client.get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, SECONDS_PER_TICK
        world.apply_settings(settings)
        self.world = self.client.reload_world(False)  # its clock begins anew: the server ran by itself before
        library = self.world.get_blueprint_library()
        cars = sorted((one for one in library.filter("vehicle.*")), key=lambda one: str(one.id))
        places = self.world.get_map().get_spawn_points()
        if len(places) <= npcs:
            raise SystemExit(f"The map has {len(places)} spawn points, {npcs + 1} are needed. Give fewer --npcs.")
        self.ego = self.world.spawn_actor(library.find("vehicle.tesla.model3"), places[0])
        chosen = [places[1 + index * (len(places) - 1) // npcs] for index in range(npcs)]
        self.npcs = [self.world.spawn_actor(cars[i % len(cars)], place) for i, place in enumerate(chosen)]
        self.vehicles = [self.ego, *self.npcs]
        self.queues: dict[str, queue.SimpleQueue[Any]] = {}
        self.sensors = []
        for blueprint in sorted(library.filter("sensor.*"), key=lambda one: str(one.id)):
            for name, value in ATTRIBUTES.items():
                if blueprint.has_attribute(name):
                    blueprint.set_attribute(name, value)
            try:
                mount = carla.Transform(carla.Location(x=1.5, z=2.0))
                sensor = self.world.spawn_actor(blueprint, mount, attach_to=self.ego)
            except RuntimeError:
                continue  # in the library, but not served
            received: queue.SimpleQueue[Any] = queue.SimpleQueue()
            sensor.listen(received.put)
            self.sensors.append(sensor)
            self.queues[str(blueprint.id).removeprefix("sensor.")] = received
        self.manager: Any = None
        self.world.tick()
        if self.managed:
            self.manager = self.client.get_trafficmanager(free_port())
            self.manager.set_synchronous_mode(True)
            self.manager.set_random_device_seed(seed)
            self.world.tick()  # ends what it began before it heard of the mode: a race if it had cars already
            for vehicle in self.vehicles:
                vehicle.set_autopilot(True, self.manager.get_port())
        self.first = self.world.tick()

    def tick(self) -> dict[str, list[Message]]:
        """One tick; what came, by stream."""
        if not self.managed:
            number = self.world.get_snapshot().frame - self.first
            for index, vehicle in enumerate(self.vehicles):
                steer = 0.15 * ((number // 40 + index) % 3 - 1)
                vehicle.apply_control(carla.VehicleControl(throttle=0.5, steer=steer))
        frame = self.world.tick()
        number = frame - self.first
        snapshot = self.world.get_snapshot()
        clock = snapshot.timestamp
        told: dict[str, list[Message]] = {}
        state = [[clock.elapsed_seconds, clock.delta_seconds, clock.platform_timestamp, *[0.0] * 13]]
        for one in sorted(snapshot, key=lambda one: int(one.id)):
            motion = numbers(one.get_velocity(), one.get_angular_velocity(), one.get_acceleration())
            state.append([float(one.id), *pose(one.get_transform()), *motion])
        told["snapshot"] = [(number, np.array(state))]
        told["vehicles: poses"] = [(number, np.array([pose(one.get_transform()) for one in self.vehicles]))]
        controls = [one.get_control() for one in self.vehicles]
        told["vehicles: controls"] = [
            (number, np.array([[one.throttle, one.steer, one.brake, one.hand_brake, one.gear] for one in controls]))
        ]
        for name, received in self.queues.items():
            data = None
            if name.split(".")[-1] not in EVENTS:
                while data is None or data.frame <= self.first:  # the pictures of the first tick may come now
                    data = received.get(timeout=DEADLINE)
            told[name] = self._received(received, data)
        return told

    def finish(self) -> dict[str, list[Message]]:
        """Events that were still on their way."""
        time.sleep(0.5)
        return {name: self._received(received, None) for name, received in self.queues.items()}

    def _received(self, received: queue.SimpleQueue[Any], awaited: Any) -> list[Message]:
        every = [] if awaited is None else [awaited]
        while not received.empty():
            every.append(received.get())
        return [(data.frame - self.first, content(data)) for data in every if data.frame > self.first]

    def close(self) -> None:
        """End the threads that the client has in this process."""
        if self.manager is not None:
            self.manager.shut_down()
        for sensor in self.sensors:
            sensor.stop()


def work(connection: Connection, map_name: str, ticks: int, npcs: int, seed: int | None) -> None:
    """One run in a process of its own; everything received goes to the parent."""
    with EmbeddedServer(map_name) as server:
        run = Run(server.port, npcs, seed)
        for _ in range(ticks):
            connection.send(run.tick())
        connection.send(run.finish())
        run.close()
    connection.close()
    os._exit(0)  # the client's threads do not always end by themselves


class Stream:
    """Compares two runs' messages of one stream as they come."""

    def __init__(self) -> None:
        self.messages = 0
        self.digest = hashlib.sha256()
        self.first: tuple[int, str] | None = None  # tick and size of the first difference
        self.last_equal = 0  # tick
        self.most = 0.0
        self._waiting: tuple[deque[Message], deque[Message]] = deque(), deque()

    def add(self, side: int, messages: list[Message]) -> None:
        """Take what one of the runs has received."""
        self._waiting[side].extend(messages)
        one, other = self._waiting
        while one and other:
            self._compare(one.popleft(), other.popleft())

    def end(self) -> None:
        """What only one of the runs has received is a difference, too."""
        for side in self._waiting:
            if side and self.first is None:
                self.first = (side[0][0], f"{len(side)} messages in one run only")

    def _compare(self, one: Message, other: Message) -> None:
        self.messages += 1
        (tick, a), (other_tick, b) = one, other
        self.digest.update(tick.to_bytes(8, "little") + a.tobytes())
        if tick == other_tick and a.shape == b.shape and a.tobytes() == b.tobytes():
            if self.first is None:
                self.last_equal = tick
            return
        if tick != other_tick:
            size = f"in tick {max(tick, other_tick)} of the other run"
        elif a.shape != b.shape:
            size = f"{len(a)} and {len(b)} values"
        else:
            apart = np.abs(a.astype(float) - b.astype(float))
            self.most = max(self.most, float(np.nanmax(apart)))
            size = f"{np.count_nonzero(apart)} of {a.size} values, at most {np.nanmax(apart):.3g}"
        if self.first is None:
            self.first = (min(tick, other_tick), size)

    def verdict(self) -> str:
        """What there is to say about the stream, in one line."""
        if self.first is None:
            return f"identical, sha256 {self.digest.hexdigest()[:16]}"
        tick, size = self.first
        return f"differs from tick {tick}: {size}" + (f"; in the whole run at most {self.most:.3g}" * (self.most > 0))


def side_by_side(map_name: str, ticks: int, npcs: int, seeds: tuple[int | None, int | None]) -> dict[str, Stream]:
    """Two runs, compared while they go on; seeds as :class:`Run` takes them."""
    context = multiprocessing.get_context("spawn")
    streams: dict[str, Stream] = {}
    ends, processes = [], []
    for seed in seeds:
        mine, its = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(its, map_name, ticks, npcs, seed))
        process.start()
        its.close()
        ends.append(mine)
        processes.append(process)
    begin = time.monotonic()
    for number in range(ticks + 1):
        for side, end in enumerate(ends):
            try:
                told = end.recv()
            except EOFError:
                raise SystemExit(f"One of the runs broke off after tick {number}. See above.") from None
            for name, messages in told.items():
                streams.setdefault(name, Stream()).add(side, messages)
        if number and number % 100 == 0:
            differing = sum(stream.first is not None for stream in streams.values())
            print(
                f"  tick {number}, {time.monotonic() - begin:.0f} s, {differing} streams differ",
                file=sys.stderr,
                flush=True,
            )
    for process in processes:
        process.join()
    for stream in streams.values():
        stream.end()
    return streams


def origin(streams: dict[str, Stream]) -> Iterator[str]:
    """Who made the first difference."""
    poses, controls = streams["vehicles: poses"].first, streams["vehicles: controls"].first
    if controls is not None and (poses is None or controls[0] <= poses[0]):
        yield (
            f"Controls differ from tick {controls[0]}, and all poses were equal until tick "
            f"{streams['vehicles: poses'].last_equal}: the difference came from the client."
        )
    elif poses is not None:
        yield f"Poses differ from tick {poses[0]} under equal controls: the difference came from the server."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=2000)
    parser.add_argument("--npcs", type=int, default=50)
    parser.add_argument("--map", default="Town_Blocks")
    parser.add_argument("--traffic", nargs="+", choices=("manager", "constant"), default=["constant", "manager"])
    options = parser.parse_args()
    good = True
    for traffic in options.traffic:
        seed = SEED if traffic == "manager" else None
        streams = side_by_side(options.map, options.ticks, options.npcs, (seed, seed))
        print(f"\n{options.ticks} ticks in {options.map}, {options.npcs} NPCs driven by: {traffic}\n")
        print("| stream | messages | two runs |\n|---|---|---|")
        for name, stream in streams.items():
            print(f"| {name} | {stream.messages} | {stream.verdict()} |")
        print("", *origin(streams), sep="\n", flush=True)
        good = good and (traffic == "manager" or all(stream.first is None for stream in streams.values()))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
