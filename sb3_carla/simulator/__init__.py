"""The embedded simulator: a CARLA 0.9.16 server that needs no GPU, spoken to by the real ``carla`` client.

- :class:`EmbeddedServer` starts one as a child process and ends it again; :class:`ServerError` says what went wrong.
- ``python -m sb3_carla.simulator.server`` is that process (:mod:`server`, :mod:`loop`, :mod:`subscribers`).
- :mod:`service`, :mod:`methods` and :mod:`wire` are CARLA's calls and their encoding.
- :mod:`world`, :mod:`actors`, :mod:`vehicle`, :mod:`collision` and :mod:`sensors` are the simulation.
- :mod:`town`, :mod:`roads`, :mod:`scenery` and :mod:`camera` are the place and how it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_carla.simulator.embedded import EmbeddedServer, ServerError

__all__ = ["EmbeddedServer", "ServerError"]


def __getattr__(name: str) -> Any:
    # The server process imports this package too and has no use for the starter.
    if name in __all__:
        from sb3_carla.simulator import embedded

        return getattr(embedded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
