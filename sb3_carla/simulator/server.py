"""The server as a process: ``python -m sb3_carla.simulator.server``, or ``sb3-carla serve``.

For a program that started it, it prints one line of JSON when it is ready, ``{"ready": true, "port": ...}``; when it
cannot start, ``{"error": ...}``, and ends with status 2. In a terminal it says the same in words and then keeps one
line about clients, actors and speed. It ends by SIGTERM, SIGINT, or with its parent process when told to.

The flags of CARLA's own server (``-carla-rpc-port=2000 -RenderOffScreen`` ...) are understood too.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final, NoReturn

import cv2

from sb3_carla.simulator.carla_flags import translate
from sb3_carla.simulator.loop import Loop
from sb3_carla.simulator.roads import MapError
from sb3_carla.simulator.town import Atlas

log = logging.getLogger(__name__)

_CANNOT_START: Final = 2  # exit status
_PROG: Final = "python -m sb3_carla.simulator.server"
_LOOK_ROUND: Final = 0.5  # how often to see whether the parent lives, and to renew the status line [s]


def serve(
    map: str,
    host: str,
    port: int,
    parent: int | None = None,
    *,
    town: str | None = None,
    stream_port: int | None = None,
    fps: float | None = None,
    prog: str = _PROG,
) -> int:
    """Serve until a signal comes or the parent ends.

    :param map: built-in town, path of an OpenDRIVE file, or a folder of such files
    :param host: address to listen on
    :param port: of the rpc server, 0 for any free one
    :param parent: id of the process with which to end
    :param town: the town to start with (default: the map's)
    :param stream_port: of the streaming server (default: the one after ``port``)
    :param fps: steps per second of simulated time (default: as clients ask for)
    :param prog: how the program is called, for what it says when it cannot start
    :return: exit status
    """
    # Waking OpenCV's threads for a small picture costs more than they save, and the client needs the other core.
    cv2.setNumThreads(1)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    try:
        loop = Loop(Atlas(map, town), host, port, stream_port)
    except MapError as error:
        return _cannot_start(prog, str(error))
    except OSError as error:
        return _cannot_start(
            prog,
            f"Port {port} of {host} cannot be used: {error.strerror or error}. Choose another port, or 0 for any.",
        )
    # What was built so far stays; collecting it again and again would cost ticks.
    gc.collect()
    gc.freeze()
    world = loop.service.world
    if fps is not None:
        world.settings = world.settings._replace(fixed_delta=1.0 / fps)
    status = _Status(loop) if sys.stdout.isatty() else None
    if status is None:
        ports = {"port": loop.port, "stream_port": loop.stream_port}
        _announce(ready=True, host=host, **ports, map=world.town.name, pid=os.getpid())
    else:
        print(f"CARLA 0.9.16 (embedded simulator) on {host}:{loop.port}, map {world.town.name}. Ctrl-C ends it.")

    def wanted() -> bool:
        if status is not None:
            status.show()
        return parent is None or os.getppid() == parent

    try:
        loop.run(wanted, _LOOK_ROUND)
    except SystemExit:
        pass
    finally:
        loop.close()
        if status is not None:
            print()
    return 0


class _Status:
    """One line in the terminal about what the server does."""

    def __init__(self, loop: Loop):
        self._loop = loop
        self._frame, self._at = loop.service.world.frame, time.monotonic()

    def show(self) -> None:
        """Write the line over the one before."""
        world, now = self._loop.service.world, time.monotonic()
        rate = (world.frame - self._frame) / max(now - self._at, 1e-6)
        self._frame, self._at = world.frame, now
        mode = "synchronous" if world.settings.synchronous else "asynchronous"
        line = (
            f"{world.town.name}, {mode}: {self._loop.clients} clients, {len(world.vehicles)} vehicles, "
            f"{len(world.walkers)} walkers, {len(world.sensors)} sensors, {rate:.0f} ticks/s, {world.elapsed:.1f} s"
        )
        print(f"\r{line:<110.110}", end="", flush=True)


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _announce(**message: object) -> None:
    try:
        print(json.dumps(message), flush=True)
    except OSError:
        log.warning("nobody reads our standard output")


def _cannot_start(prog: str, message: str) -> int:
    print(f"{prog}: {message}", file=sys.stderr)
    if not sys.stdout.isatty():
        _announce(error=message)
    return _CANNOT_START


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with an option."""

    def error(self, message: str) -> NoReturn:
        self.exit(_CANNOT_START, f"{self.prog}: {message[:1].upper()}{message[1:]}. '--help' lists the options.\n")


def main(arguments: Sequence[str] | None = None, prog: str = _PROG) -> int:
    """Command line.

    :param arguments: without the program's name (default: the process's own)
    :param prog: how the program is called, for its help
    :return: exit status
    """
    parser = _Parser(prog=prog, description="Embedded CARLA 0.9.16 server", allow_abbrev=False)
    parser.add_argument(
        "--map", default="Town_Blocks", help="built-in town, OpenDRIVE file, or folder of such files (%(default)s)"
    )
    parser.add_argument("--town", help="the town to start with, built-in or from the folder")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=2000, help="rpc port, 0 for any free one (%(default)s)")
    parser.add_argument("--streaming-port", type=int, help="port of the sensor data (the one after the rpc port)")
    parser.add_argument("--fps", type=_positive, help="steps per second of simulated time (as clients ask for)")
    parser.add_argument("--quality", help="taken for CARLA's sake; there is one quality here")
    parser.add_argument("--parent", type=int, help="end with the process of this id, our parent")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    own, ignored = translate(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(own)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if ignored:
        log.info("without meaning here: %s", " ".join(ignored))
    return serve(
        options.map,
        options.host,
        options.port,
        options.parent,
        town=options.town,
        stream_port=options.streaming_port,
        fps=options.fps,
        prog=prog,
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0.1 <= number <= 10_000.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 10000")
    return number


if __name__ == "__main__":
    sys.exit(main())
