"""The command line of CARLA's own server, as options of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

# CARLA's flags by their lower-case names; Unreal reads them without regard to case.
_OURS: Final = {
    "carla-rpc-port": "--port",
    "carla-port": "--port",
    "carla-world-port": "--port",
    "world-port": "--port",
    "carla-streaming-port": "--streaming-port",
    "carla-map": "--town",
    "fps": "--fps",
    "quality-level": "--quality",
}
_WITHOUT_MEANING: Final = {
    "renderoffscreen", "nosound", "windowed", "fullscreen", "resx", "resy", "benchmark", "opengl", "opengl3", "vulkan",
    "dx11", "dx12", "prefernvidia", "carla-server", "carla-server-timeout", "carla-settings", "carla-no-hud",
    "carla-secondary-port", "carla-primary-host", "carla-primary-port", "no-rendering", "unattended", "stdout",
    "fullstdoutlogoutput", "nullrhi", "log", "graphicsadapter", "ros2", "ini", "notexturestreaming", "nosplash",
}  # fmt: skip
_MAPS: Final = "/Game/"


def translate(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Turn CARLA's flags into ours and leave ours as they are.

    >>> translate(["-carla-rpc-port=3000", "-RenderOffScreen", "--host", "0.0.0.0"])
    (['--port', '3000', '--host', '0.0.0.0'], ['-RenderOffScreen'])

    :param arguments: the command line without the program's name
    :return: the options for our own parser, and the flags that mean nothing here
    """
    own: list[str] = []
    ignored: list[str] = []
    for argument in arguments:
        name, _, value = argument.lstrip("-").partition("=")
        name = name.lower().partition(":")[0]
        if argument.startswith(_MAPS):  # a map to start with, as Unreal takes it
            own += ["--town", argument.rsplit("/", 1)[-1]]
        elif not argument.startswith("-") or (argument.startswith("--") and name not in _WITHOUT_MEANING):
            own.append(argument)
        elif name in _OURS and value:
            # CARLA's streaming port 0 means the next one.
            own += [] if name == "carla-streaming-port" and value == "0" else [_OURS[name], value]
        elif name in _WITHOUT_MEANING:
            ignored.append(argument)
        else:
            own.append(argument)
    return own, ignored
