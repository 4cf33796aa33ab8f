"""The trainer's end of the client process: start, ask with a deadline, notice its loss, end it.

Camera frames travel inside the answer over a local socket. Shared memory would save one copy of 7 kB per step and
cost a name that can leak; at this size there is nothing to win.
"""

from __future__ import annotations

import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Listener
from typing import Any, BinaryIO

from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.transfer import dumps, loads

AUTHKEY_VARIABLE = "SB3_CARLA_CLIENT_AUTHKEY"
START_TIMEOUT = 30.0  # [s] for the process to start and call back
POLL_SECONDS = 0.2  # [s] how often the server's life is looked at while an answer is awaited


class ClientLostError(Exception):
    """The client process ended, hung, or lost its server; the message says which."""


class ServerLostError(ClientLostError):
    """The server ended, or does not answer: one of ours has to be started anew."""


class ClientProcess:
    """A DrivingTask in a process of its own.

    :param server_is_alive: asked while an answer is late, so that a dead server is noticed before the client's own
        time-out
    :raises ClientLostError: if the process does not start
    """

    def __init__(self, server_is_alive: Callable[[], bool]) -> None:
        self._server_is_alive = server_is_alive
        self._stderr: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        authkey = secrets.token_bytes(32)
        with Listener(None, authkey=authkey) as listener:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sb3_carla.envs.client_process", str(listener.address)],
                stdin=subprocess.DEVNULL,
                stderr=self._stderr,
                env={**os.environ, AUTHKEY_VARIABLE: authkey.hex()},
            )
            self._connection: Connection[Any, Any] = self._accept(listener)
        self._selector: selectors.BaseSelector | None = None
        if os.name == "posix":  # a pipe of Windows cannot be selected
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._connection, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def open(self, host: str, port: int, scenario: Scenario, render: bool, timeout: float) -> str:
        """Connect to a server and build the task; return the server's version and map."""
        return str(self.ask("open", host, port, scenario, render, timeout=timeout))

    def ask(self, *request: Any, timeout: float) -> Any:
        """Send a request and wait for its answer.

        :param request: name and arguments, see :mod:`sb3_carla.envs.client_process`
        :param timeout: [s] after which the process counts as hung and is killed
        :raises ClientLostError: if process or server are lost; the process is ended then
        :raises CarlaEnvError: what the task raised on purpose
        """
        try:
            self._connection.send_bytes(dumps(request))
            deadline = time.monotonic() + timeout
            while not self._answered(POLL_SECONDS):
                if not self._server_is_alive():
                    raise ServerLostError("the server process ended")
                if time.monotonic() > deadline:
                    raise ServerLostError(f"the client process did not answer '{request[0]}' in {timeout:g} s")
            kind, value = loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            error = ClientLostError(f"the client process ended{self._exit_reason()}")
            self.kill()
            raise error from None
        except ClientLostError:
            self.kill()
            raise
        if kind == "ok":
            return value
        if isinstance(value, ConnectionError):
            self.kill()
            raise ServerLostError(f"the server did not answer: {value}")
        raise value

    def close(self, timeout: float = 15.0) -> None:
        """Have the task put the server back as it was, then end the process, by force if it does not go."""
        try:
            self.ask("close", timeout=timeout)
            self._process.wait(5.0)
        except (ClientLostError, subprocess.TimeoutExpired):
            pass
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        if self._selector is not None:
            self._selector.close()
        self._connection.close()
        self._stderr.close()

    def _answered(self, seconds: float) -> bool:
        """Wait so long for an answer. Connection.poll() does the same, but builds a new selector for every call."""
        if self._selector is None:
            return self._connection.poll(seconds)
        return bool(self._selector.select(seconds))

    def _accept(self, listener: Listener) -> Connection[Any, Any]:
        """Wait for the call back; Listener has no time-out of its own, so the process is looked at meanwhile."""
        import threading

        accepted: list[Connection[Any, Any]] = []
        waiter = threading.Thread(target=lambda: accepted.append(listener.accept()), daemon=True)
        waiter.start()
        deadline = time.monotonic() + START_TIMEOUT
        while waiter.is_alive() and time.monotonic() < deadline and self._process.poll() is None:
            waiter.join(0.02)
        waiter.join(0.1)
        if not accepted:
            reason = self._exit_reason()
            self._process.kill()
            self._process.wait()
            raise ClientLostError(f"the client process did not start{reason}")
        return accepted[0]

    def _exit_reason(self) -> str:
        """How the process ended and the last thing it said, for a message."""
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return ""
        if self._stderr.closed:
            return f" (exit code {code})"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        lines = [line for line in lines if not line.startswith("WARNING")]  # the wheel's everyday remarks
        return f" (exit code {code}{': ' + lines[-1] if lines else ''})"
