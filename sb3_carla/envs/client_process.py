"""The client process: ``python -m sb3_carla.envs.client_process ADDRESS`` answers requests of one CarlaEnv.

It exists because the ``carla`` wheel ends or hangs its whole process when a server dies under a traffic manager; here
it takes no trainer with it. Requests and answers are pickled tuples over a local socket:

- ``("open", host, port, scenario, render)``, ``("reset", seed)``, ``("step", steer, pedal)``, ``("render",)`` and
  ``("close",)``
- answered by ``("ok", value)`` or ``("error", exception)``
"""

from __future__ import annotations

import os
import sys
import traceback
from multiprocessing.connection import Client, Connection
from typing import Any

from sb3_carla.envs.errors import CarlaEnvError, ClientDefectError
from sb3_carla.envs.isolation import AUTHKEY_VARIABLE
from sb3_carla.envs.transfer import dumps, loads


def serve(connection: Connection[Any, Any]) -> None:
    """Answer requests until the trainer closes the task or goes away."""
    from sb3_carla.envs.task import DrivingTask  # imports carla

    task: DrivingTask | None = None
    try:
        while True:
            name, *arguments = loads(connection.recv_bytes())
            try:
                if name == "open":
                    task = DrivingTask(*arguments)
                    answer: Any = task.description
                elif name == "close":
                    break
                else:
                    answer = getattr(task, name)(*arguments)
            except CarlaEnvError as error:
                connection.send_bytes(dumps(("error", error)))
            except RuntimeError as error:  # what the carla client raises for a lost or slow server
                connection.send_bytes(dumps(("error", ConnectionError(" ".join(str(error).split())))))
            except Exception:  # a defect: it must reach the user, not look like one lost server after the other
                connection.send_bytes(dumps(("error", ClientDefectError(traceback.format_exc()))))
            else:
                connection.send_bytes(dumps(("ok", answer)))
    finally:
        if task is not None:
            task.close()
    connection.send_bytes(dumps(("ok", None)))


def main() -> None:
    """Connect back to the trainer and serve it."""
    connection = Client(sys.argv[1], authkey=bytes.fromhex(os.environ.pop(AUTHKEY_VARIABLE)))
    try:
        serve(connection)
    except (EOFError, ConnectionError):
        pass  # the trainer is gone
    finally:
        sys.stderr.flush()
        os._exit(0)  # the wheel's threads can abort an ordinary exit


if __name__ == "__main__":
    main()
