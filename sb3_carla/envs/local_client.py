"""The driving task in the trainer's own process, for a debugger."""

from __future__ import annotations

from typing import Any

from sb3_carla.envs.errors import CarlaEnvError
from sb3_carla.envs.isolation import ServerLostError
from sb3_carla.envs.scenario import Scenario


class LocalClient:
    """The task in this process, with the same face as ClientProcess but neither deadline nor protection."""

    def __init__(self) -> None:
        self._task: Any = None

    def open(self, host: str, port: int, scenario: Scenario, render: bool, timeout: float) -> str:
        """Connect to a server and build the task; return the server's version and map."""
        from sb3_carla.envs.task import DrivingTask  # imports carla

        self._task = DrivingTask(host, port, scenario, render)
        return str(self._task.description)

    def ask(self, name: str, *arguments: Any, timeout: float) -> Any:
        """Call a method of the task."""
        try:
            return getattr(self._task, name)(*arguments)
        except CarlaEnvError:
            raise
        except RuntimeError as error:
            self.close()
            raise ServerLostError(f"the server did not answer: {error}") from error

    def close(self) -> None:
        """Put the server back as it was."""
        task, self._task = self._task, None
        if task is not None:
            task.close()
