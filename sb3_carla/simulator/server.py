"""The server as a process: ``python -m sb3_carla.simulator.server --port N --map X``.

It prints one line of JSON when it is ready, ``{"ready": true, "port": ...}``; when it cannot start, ``{"error": ...}``,
and ends with status 2. It ends by SIGTERM, SIGINT, or with its parent process when told to.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import cv2

from sb3_carla.simulator.loop import Loop
from sb3_carla.simulator.roads import MapError
from sb3_carla.simulator.town import Atlas

log = logging.getLogger(__name__)

_CANNOT_START = 2  # exit status
_LOOK_ROUND = 0.5  # how often to see whether the parent lives [s]


def serve(map: str, host: str, port: int, parent: int | None = None) -> int:
    """Serve until a signal comes or the parent ends.

    :param map: built-in town or path of an OpenDRIVE file
    :param host: address to listen on
    :param port: of the rpc server, 0 for any free one
    :param parent: id of the process with which to end
    :return: exit status
    """
    # Waking OpenCV's threads for a small picture costs more than they save, and the client needs the other core.
    cv2.setNumThreads(1)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    try:
        loop = Loop(Atlas(map), host, port)
    except MapError as error:
        return _announce_error(str(error))
    except OSError as error:
        return _announce_error(
            f"Port {port} of {host} cannot be used: {error.strerror or error}. Choose another port, or 0 for any."
        )
    # What was built so far stays; collecting it again and again would cost ticks.
    gc.collect()
    gc.freeze()
    world = loop.service.world
    _announce(ready=True, host=host, port=loop.port, stream_port=loop.stream_port, map=world.town.name, pid=os.getpid())
    try:
        loop.run(lambda: parent is None or os.getppid() == parent, _LOOK_ROUND)
    except SystemExit:
        pass
    finally:
        loop.close()
    return 0


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _announce(**message: object) -> None:
    try:
        print(json.dumps(message), flush=True)
    except OSError:
        log.warning("nobody reads our standard output")


def _announce_error(message: str) -> int:
    log.error("%s", message)
    _announce(error=message)
    return _CANNOT_START


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sb3_carla.simulator.server", description="Embedded CARLA 0.9.16 server"
    )
    parser.add_argument("--map", default="Town_Blocks", help="a built-in town or the path of an OpenDRIVE file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=2000, help="rpc port, 0 for any free one")
    parser.add_argument("--parent", type=int, default=None, help="end with the process of this id, our parent")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return serve(options.map, options.host, options.port, options.parent)


if __name__ == "__main__":
    sys.exit(main())
