"""Start, watch and end an embedded server from a program that wants to drive in it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

_LAST_LINES: Final = 15  # of a dead server's log that an error shows
_GRACE: Final = 3.0  # between SIGTERM and SIGKILL [s]


class ServerError(RuntimeError):
    """The embedded server could not start, or has died."""


class EmbeddedServer:
    """A CARLA 0.9.16 server of our own, as a child process.

    It is a process and not a thread because some calls of the ``carla`` client hold Python's lock while they wait for
    the server. It ends with :meth:`stop`, with the ``with`` block, or when the process that started it ends.

    >>> with EmbeddedServer() as server:  # doctest: +SKIP
    ...     world = carla.Client(server.host, server.port).get_world()

    :param map: built-in town, path of an OpenDRIVE file, or of a folder of such files
    :param port: TCP port, 0 for any free one
    :param host: address to listen on; the default is this machine only
    :param town: the town to start with, built-in or from the folder (default: the map's)
    :param timeout: how long the start may take [s]; large maps take some seconds to read, and the first start on a
        machine compiles the cameras' loops
    :param log_file: where the server's log goes (default: a temporary file, shown when the server dies)
    :param log_level: debug, info, warning or error
    """

    def __init__(
        self,
        map: str = "Town_Blocks",
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        town: str | None = None,
        timeout: float = 180.0,
        log_file: str | os.PathLike[str] | None = None,
        log_level: str = "warning",
    ):
        self.map = map
        self.town = town
        self.host = host
        self.port = port
        self.stream_port = 0
        self._asked_port = port
        self._owner = os.getpid()
        self._timeout = timeout
        self._log_file = log_file
        self._log_level = log_level
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None when there is none."""
        return self._process.pid if self._process is not None else None

    def is_alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> EmbeddedServer:
        """Start the server and wait until it accepts clients.

        :return: the server itself
        :raises ServerError: when it cannot start; the message says why
        """
        if self.is_alive():
            return self
        self.stop()
        command = [
            sys.executable, "-m", "sb3_carla.simulator.server",
            "--map", self.map, "--host", self.host, "--port", str(self._asked_port),
            "--parent", str(os.getpid()), "--log-level", self._log_level,
            *(("--town", self.town) if self.town is not None else ()),
        ]  # fmt: skip
        self._log = open(self._log_file, "ab+") if self._log_file is not None else tempfile.TemporaryFile()  # noqa: SIM115
        # A session of its own: Ctrl-C in a terminal must reach the program first, which then ends the server.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(),
            start_new_session=True,
        )
        try:
            ready = self._wait_for_line()
            if "error" in ready:
                raise ServerError(str(ready["error"]))
        except BaseException:
            self.stop()
            raise
        self.port, self.stream_port = int(ready["port"]), int(ready["stream_port"])
        return self

    def stop(self) -> None:
        """End the server; does nothing when there is none."""
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_GRACE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def last_log_lines(self) -> str:
        """The end of the server's log."""
        if self._log is None:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), 16384, max(0, size - 16384)).decode(errors="replace")
        return "\n".join(text.splitlines()[-_LAST_LINES:])

    def _wait_for_line(self) -> dict[str, Any]:
        """The server's one line."""
        assert self._process is not None
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        deadline = time.monotonic() + self._timeout
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise ServerError(
                    f"The embedded server did not start within {self._timeout:g} s. Its log ends with:\n"
                    f"{self.last_log_lines()}\nAllow more time with timeout=, or use a smaller map."
                )
            part = os.read(output, 4096)
            if not part:
                status = self._process.wait()
                raise ServerError(
                    f"The embedded server ended with status {status} while it started. Its log ends with:\n"
                    f"{self.last_log_lines()}"
                )
            line += part
        message: dict[str, Any] = json.loads(line)
        return message

    def __enter__(self) -> EmbeddedServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __del__(self) -> None:
        # A forked child holds a copy of this object; the server is not the child's to end.
        if getattr(self, "_process", None) is not None and self._owner == os.getpid():
            self.stop()


def _environment() -> dict[str, str]:
    """Ours, with the folder of this package on the path: the child must find it wherever it was imported from."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": root if not path else os.pathsep.join((root, path)), "OMP_NUM_THREADS": "1"}
