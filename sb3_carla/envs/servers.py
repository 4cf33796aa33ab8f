"""Where the CARLA server comes from: embedded, at an address, started from a path or as a container."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from sb3_carla.envs.errors import ConfigurationError, ServerUnavailableError
from sb3_carla.simulator import EmbeddedServer, ServerError

SERVER_VARIABLE = "SB3_CARLA_SERVER"  # replaces the default of CarlaEnv(server=...)
CONNECT_TIMEOUT = 3.0  # [s] to find out whether anything listens at an address
CONTAINER_PREFIX = "docker:"
DOCKER_TIMEOUT = 30.0  # [s] to end a container
LAUNCH_TIMEOUT = 120.0  # [s] for a CARLA server to load its first map


class Server(Protocol):
    """A source of a CARLA server that can be asked for it again after it was lost."""

    name: str

    def start(self) -> tuple[str, int]:
        """Make sure that a server runs and return its host and RPC port."""

    @property
    def pid(self) -> int | None:
        """The id of the server's process; None when it does not run or is not ours."""

    def is_alive(self) -> bool:
        """False when the server is known to have ended."""

    def stop(self) -> None:
        """End the server if it was started here."""


def make_server(server: str | None, town: str | None) -> Server:
    """The server that ``CarlaEnv(server=...)`` names.

    :param server: ``"embedded"``, ``"host:port"``, the path of a CARLA server's start script, or ``"docker:"`` and
        the name of a container image; None takes the environment variable ``SB3_CARLA_SERVER``, else ``"embedded"``
    :param town: the map to begin with, for an embedded server also an OpenDRIVE file
    :raises ConfigurationError: if it is none of these
    """
    given = server or os.environ.get(SERVER_VARIABLE) or "embedded"
    if given == "embedded":
        return Embedded(town)
    if town is not None and town.endswith(".xodr"):
        raise ConfigurationError(
            f"The server {given!r} cannot load the file town={town!r}. "
            "Use a map that this server has, or server='embedded'."
        )
    if given.startswith(CONTAINER_PREFIX):
        return Container(given.removeprefix(CONTAINER_PREFIX))
    if Path(given).is_file():
        return Launched(Path(given))
    host, separator, port = given.rpartition(":")
    if separator and host and port.isdigit() and 0 < int(port) < 65536 and not {"/", " "} & set(host):
        return Remote(host, int(port))
    raise ConfigurationError(
        f"server={given!r} is neither 'embedded', nor an address like 'localhost:2000', nor a file. Give one of these."
    )


class Embedded:
    """Our simulator as a child process; started anew when it was lost."""

    def __init__(self, town: str | None) -> None:
        self.name = "the embedded simulator"
        self._server = EmbeddedServer() if town is None else EmbeddedServer(map=town)

    def start(self) -> tuple[str, int]:
        """Start the simulator unless it runs."""
        if not self._server.is_alive():
            self._server.stop()
            try:
                self._server.start()
            except ServerError as error:
                raise ServerUnavailableError(str(error)) from error
        return self._server.host, self._server.port

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._server.is_alive()

    def stop(self) -> None:
        """End the process."""
        self._server.stop()

    @property
    def pid(self) -> int | None:
        """The simulator's process id."""
        return self._server.pid if self._server.is_alive() else None


class Remote:
    """A server that somebody else runs."""

    pid: int | None = None

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self._address = host, port

    def start(self) -> tuple[str, int]:
        """Check that something listens at the address, which the carla client would find out only by a time-out."""
        try:
            socket.create_connection(self._address, timeout=CONNECT_TIMEOUT).close()
        except OSError as error:
            raise ServerUnavailableError(
                f"No CARLA server listens at {self.name} ({error.strerror or error}). Start one there "
                f"(CarlaUE4.sh -carla-rpc-port={self._address[1]}), or leave out server= to use the embedded simulator."
            ) from error
        return self._address

    def is_alive(self) -> bool:
        """Nothing is known about somebody else's process: the client's time-outs decide."""
        return True

    def stop(self) -> None:
        """Leave it running: it is not ours."""


class Launched:
    """A CARLA server started from its script (``CarlaUE4.sh``) without a window, ended by process group."""

    def __init__(self, script: Path) -> None:
        if not os.access(script, os.X_OK):
            raise ConfigurationError(f"server={str(script)!r} is not executable. Make it so (chmod +x).")
        self.name = str(script)
        self._script = script
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> tuple[str, int]:
        """Start the script on a free port unless it runs, and wait until its port answers."""
        if not self.is_alive():
            self.stop()
            self._port = _free_port_pair()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sb3_carla.envs.leash", str(os.getpid()), *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # the script starts children: the whole group is ended by its id
            )
            self._await_port()
        return "127.0.0.1", self._port

    def _command(self) -> list[str]:
        return [str(self._script), "-RenderOffScreen", f"-carla-rpc-port={self._port}"]

    @property
    def pid(self) -> int | None:
        """The id of the process that leads the script's group."""
        return self._process.pid if self._process is not None and self.is_alive() else None

    def is_alive(self) -> bool:
        """Whether the script runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the script and all that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _await_port(self) -> None:
        deadline = time.monotonic() + LAUNCH_TIMEOUT
        while time.monotonic() < deadline and self.is_alive():
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1.0).close()
                return
            except OSError:
                time.sleep(0.2)
        ended = not self.is_alive()
        self.stop()
        raise ServerUnavailableError(
            f"The CARLA server {self.name} {'ended before' if ended else 'ran, but did not open'} port {self._port}. "
            "Start it by hand with -RenderOffScreen to see what it says."
        )


class Container(Launched):
    """A CARLA server in a container that docker runs on the host's network, with all its GPUs.

    :param image: name of the image, such as ``carlasim/carla:0.9.16``
    :raises ConfigurationError: where there is no docker
    """

    def __init__(self, image: str) -> None:
        docker = shutil.which("docker")
        if docker is None:
            raise ConfigurationError(
                f"server={CONTAINER_PREFIX + image!r} needs docker and there is none on the PATH. "
                "Install it, or give the path of CarlaUE4.sh."
            )
        super().__init__(Path(docker))
        self.name = f"the container {image}"
        self._docker, self._image = docker, image
        self._container = ""

    def stop(self) -> None:
        """End the container, and docker's client with it."""
        if self._container:
            subprocess.run(
                [self._docker, "rm", "--force", self._container],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DOCKER_TIMEOUT,
                check=False,
            )
            self._container = ""
        super().stop()

    def _command(self) -> list[str]:
        self._container = f"sb3_carla_{os.getpid()}_{self._port}"
        run = [self._docker, "run", "--rm", "--init", f"--name={self._container}", "--network=host", "--gpus=all"]
        return [*run, self._image, "./CarlaUE4.sh", "-RenderOffScreen", f"-carla-rpc-port={self._port}"]


def _free_port_pair() -> int:
    """A port that was free just now together with the next one, which CARLA uses for its streams."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def resident_memory(pid: int) -> int:
    """The memory [byte] that a process and its children hold; 0 where the system does not tell.

    :param pid: the process; on a CARLA server's start script the memory is its children's
    """
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            waiting += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return total
