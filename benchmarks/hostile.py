"""What becomes of the embedded server, and of a good client, among malformed bytes and clients that vanish.

    python benchmarks/hostile.py [--inputs 100000] [--clients 100] [--seed 0] [--map Town_Blocks]

A good client (the real one: a car, a camera, synchronous ticks) drives throughout and checks every frame. Meanwhile
both ports get random bytes, broken and oversized msgpack, requests of the wrong shape, known calls with arguments that
they cannot mean, connections that say nothing, and streams that are subscribed and never read; then real clients
connect, listen, and vanish. Prints what was sent, the server's memory, and what the good client saw. Exit status 1
when the server died, logged a fault of its own, or the good client saw an error.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from sb3_carla.simulator import EmbeddedServer
from sb3_carla.simulator.methods import METHODS

KEPT_OPEN = 60  # connections that were abandoned and not yet closed
PIPELINED = 8  # hostile calls per connection
AT_ONCE = 8  # vanishing clients
# These do to everyone's world what they say, whoever calls them with arguments that can be read.
SHARED = ("tick_cue", "set_episode_settings", "load_new_episode", "copy_opendrive_to_file")

GOOD_CLIENT = """
import carla, json, os, queue, sys, threading, time
client = carla.Client("127.0.0.1", int(sys.argv[1])); client.set_timeout(20.0)
world = client.get_world()
settings = world.get_settings(); settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
library, places = world.get_blueprint_library(), world.get_map().get_spawn_points()
car = world.spawn_actor(library.find("vehicle.tesla.model3"), places[0])
eye = library.find("sensor.camera.rgb")
eye.set_attribute("image_size_x", "84"); eye.set_attribute("image_size_y", "84")
camera = world.spawn_actor(eye, carla.Transform(carla.Location(x=1.5, z=2.4)), car)
pictures = queue.Queue(); camera.listen(pictures.put)
ended = threading.Event(); threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
ticks, errors, slowest, last = 0, [], 0.0, None
print("ready", flush=True)
while not ended.is_set():
    start = time.monotonic()
    try:
        car.apply_control(carla.VehicleControl(throttle=0.3, steer=0.3 if ticks % 2 else 0.29))
        frame = world.tick(); picture = pictures.get(timeout=20.0)
        if picture.frame != frame or (last is not None and frame != last + 1) or not car.is_alive:
            errors.append(f"tick {frame} after {last}, picture {picture.frame}, car alive: {car.is_alive}")
        last = frame
    except Exception as error:
        errors.append(repr(error))
        if len(errors) > 20: break
    ticks += 1; slowest = max(slowest, time.monotonic() - start)
    time.sleep(0.002)
print(json.dumps(dict(ticks=ticks, errors=errors, slowest=slowest)), flush=True); os._exit(0)
"""
VANISHING_CLIENT = """
import carla, os, queue, sys
client = carla.Client("127.0.0.1", int(sys.argv[1])); client.set_timeout(20.0)
world = client.get_world()
place = world.get_map().get_spawn_points()[3 + int(sys.argv[2])]
place.location.z += 5.0
camera = world.spawn_actor(world.get_blueprint_library().find("sensor.camera.depth"), place)
pictures = queue.Queue(); camera.listen(pictures.put); pictures.get(timeout=20.0)
os._exit(0)
"""


class Attacker:
    """Sends one hostile input after the other.

    :param server: whom to
    :param seed: of what is drawn
    """

    def __init__(self, server: EmbeddedServer, seed: int):
        self.server = server
        self.sent: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._abandoned: deque[socket.socket] = deque()
        self._names = sorted(set(METHODS) - set(SHARED))
        self._kinds: list[tuple[Callable[[], None], int]] = [
            (self.noise, 4),
            (self.truncated, 4),
            (self.oversized, 2),
            (self.wrong_shape, 4),
            (self.hostile_calls, 3),
            (self.silent, 1),
            (self.stream_noise, 3),
            (self.abandoned_stream, 1),
        ]

    def attack(self) -> None:
        """One connection's worth of inputs of a drawn kind."""
        (kind,) = self._random.choices([kind for kind, _ in self._kinds], [share for _, share in self._kinds])
        kind()

    def close(self) -> None:
        """Let go of all that was left open."""
        while self._abandoned:
            self._abandoned.popleft().close()

    def noise(self) -> None:
        """Bytes that mean nothing."""
        self._send("random bytes", self.server.port, self._random.randbytes(self._random.randrange(1, 300)))

    def truncated(self) -> None:
        """A request that breaks off."""
        request = self._request(self._random.choice(self._names))
        self._send("truncated requests", self.server.port, request[: self._random.randrange(1, len(request))])

    def oversized(self) -> None:
        """Announcements of gigabytes, and nesting without end."""
        size = struct.pack(">I", self._random.randrange(2**26, 2**32))
        head = self._random.choice(
            (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9", b"\x94\x00\x01\xdb", b"\x94\x00\x01\xa1a\xdd")
        )
        deep = self._random.choice((b"\x91", b"\x81", b"\x94\x00\x01\xa1a")) * self._random.randrange(500, 20_000)
        self._send("oversized or nested", self.server.port, self._random.choice((head + size + b"\x00" * 64, deep)))

    def wrong_shape(self) -> None:
        """Good msgpack that is no request."""
        value = self._junk(3)
        if self._random.random() < 0.5:
            value = [self._random.choice((0, 1, 2, -1)), self._junk(0), self._junk(0), self._junk(2)]
        self._send("msgpack, no request", self.server.port, msgpack.packb(value))

    def hostile_calls(self) -> None:
        """Known and unknown calls with arguments that they cannot mean; the answers are read or not."""
        with contextlib.suppress(OSError), self._connect(self.server.port) as sock:
            for _ in range(PIPELINED):
                name = self._random.choice(self._names) if self._random.random() < 0.95 else str(self._junk(0))
                sock.sendall(self._request(name))
                self.sent["calls with hostile arguments"] += 1
            if self._random.random() < 0.8:
                sock.settimeout(5.0)
                sock.recv(65536)

    def silent(self) -> None:
        """A connection that says nothing, or only half a byte more."""
        port = self._random.choice((self.server.port, self.server.stream_port))
        self._abandon("connections that say nothing", port, self._random.choice((b"", b"\x94", b"\x00\x00")))

    def stream_noise(self) -> None:
        """The streaming port: no handshake, or too much of one."""
        size = self._random.choice((1, 2, 3, 4, 5, 8, 200))
        self._send("streaming port: random bytes", self.server.stream_port, self._random.randbytes(size))

    def abandoned_stream(self) -> None:
        """The world's stream, or one that is not there, subscribed and never read."""
        stream = struct.pack("<I", self._random.choice((1, 1, 2, 99, 2**32 - 1)))
        self._abandon("streams subscribed and never read", self.server.stream_port, stream)

    def _request(self, name: str) -> bytes:
        arguments = [self._junk(2) for _ in range(self._random.randrange(0, 5))]
        metadata = self._random.choice(([False], [False], [True], [], None, 7))
        return bytes(msgpack.packb([0, self._random.randrange(2**32), name, [metadata, *arguments]]))

    def _junk(self, depth: int) -> Any:
        draw = self._random
        simple = (
            None, True, -1, 0, 2**31, 2**32 - 1, 2**63, -(2**63), math.nan, math.inf, -math.inf, 1e300, 5e-324,
            "", "x" * 2000, "vehicle.tesla.model3", "sensor.camera.rgb", "\u0000\ud7ff", "../../../etc/passwd",
            b"", b"\xff" * 300,
        )  # fmt: skip
        if depth == 0 or draw.random() < 0.4:
            return draw.choice(simple)
        if draw.random() < 0.15:
            return {str(draw.random()): self._junk(depth - 1)}
        return [self._junk(depth - 1) for _ in range(draw.choice((0, 1, 2, 3, 4, 14, 40)))]

    def _connect(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=10.0)

    def _send(self, kind: str, port: int, data: bytes) -> None:
        self.sent[kind] += 1
        with contextlib.suppress(OSError), self._connect(port) as sock:
            sock.sendall(data)
            if self._random.random() < 0.3:  # gone with a reset and not with a goodbye
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _abandon(self, kind: str, port: int, data: bytes) -> None:
        self.sent[kind] += 1
        with contextlib.suppress(OSError):
            sock = self._connect(port)
            self._abandoned.append(sock)
            sock.sendall(data)
        if len(self._abandoned) > KEPT_OPEN:
            self._abandoned.popleft().close()


def memory(pid: int) -> dict[str, float]:
    """A process's memory now and at its peak [MB]."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {line[0]: int(line[1]) / 1024 for line in lines if line[0] in ("VmRSS:", "VmHWM:")}


def vanish(port: int, count: int) -> int:
    """Let real clients connect, listen and vanish; how many of them failed before that."""
    failed = 0
    numbers = iter(range(count))
    while batch := list(itertools.islice(numbers, AT_ONCE)):
        clients = [
            subprocess.Popen(
                [sys.executable, "-c", VANISHING_CLIENT, str(port), str(number)], stderr=subprocess.DEVNULL
            )
            for number in batch
        ]
        failed += sum(client.wait(120) != 0 for client in clients)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--map", default="Town_Blocks")
    arguments = parser.parse_args()
    with (
        tempfile.NamedTemporaryFile(mode="r") as log,
        EmbeddedServer(arguments.map, log_level="error", log_file=log.name) as server,
    ):
        assert server.pid is not None
        good = subprocess.Popen(
            [sys.executable, "-c", GOOD_CLIENT, str(server.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert good.stdin is not None
        assert good.stdout is not None
        assert good.stdout.readline() == "ready\n", "the good client did not start"
        time.sleep(1.0)
        before, started = memory(server.pid), time.monotonic()
        attacker = Attacker(server, arguments.seed)
        done, told = 0, 0
        while done < arguments.inputs and server.is_alive() and good.poll() is None:
            attacker.attack()
            done = attacker.sent.total()
            if done - told >= 10_000:
                told = done
                print(
                    f"{done} inputs, {time.monotonic() - started:.0f} s, {memory(server.pid)['VmRSS:']:.0f} MB",
                    flush=True,
                )
        attacker.close()
        spent = time.monotonic() - started
        between = memory(server.pid) if server.is_alive() else {}
        failed = vanish(server.port, arguments.clients) if server.is_alive() else 0
        good.stdin.close()
        last = good.stdout.readline()
        good.wait(30)
        alive = server.is_alive()
        after = memory(server.pid) if alive else {}
        faults = [line for line in log if " ERROR " in line]
    seen = json.loads(last or '{"ticks": 0, "errors": ["the good client died"], "slowest": 0.0}')
    for kind, count in attacker.sent.most_common():
        print(f"{kind:36s} {count:8d}")
    print(f"{'all':36s} {done:8d} in {spent:.0f} s")
    print(f"real clients that vanished           {arguments.clients:8d}, of which {failed} failed before")
    for title, figures in (("before", before), ("after the inputs", between), ("after the clients", after)):
        if figures:
            print(f"memory {title:20s} {figures['VmRSS:']:6.0f} MB, peak {figures['VmHWM:']:.0f} MB")
    print(f"good client: {seen['ticks']} ticks, slowest {seen['slowest']:.2f} s, errors: {len(seen['errors'])}")
    for error in seen["errors"][:5]:
        print(f"  {error}")
    print(f"server: {'alive' if alive else 'DEAD'}, faults of its own in its log: {len(faults)}")
    for line in sorted({line.split(" ", 3)[-1].strip() for line in faults})[:10]:
        print(f"  {line}")
    return 0 if alive and not seen["errors"] and not failed and not faults else 1


if __name__ == "__main__":
    sys.exit(main())
