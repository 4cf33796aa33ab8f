"""``sb3-carla doctor``: what this machine and this installation can do, one line each, with the fix if one is needed.

Every check is a function that returns a :class:`Finding`; none starts anything that outlives it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

CARLA_VERSION = "0.9.16"
PYTHONS = ((3, 10), (3, 13))  # from, below
PORTS = (2000, 2001, 2002, 8000)  # RPC, streams, secondary servers, traffic manager: CARLA's defaults
FRAME_BYTES = 84 * 84  # [byte] of one frame of the default observation
ROW_BYTES = 64  # [byte] of the rest of a transition
MEMORY_SHARE = 0.8  # of the free memory that a replay buffer may take
CONNECT_SECONDS = 3.0

# What pip calls a package that is imported by another name
INSTALLED_AS = {
    "stable_baselines3": "stable-baselines3",
    "sb3_contrib": "sb3-contrib",
    "rl_zoo3": "rl-zoo3",
    "cv2": "opencv-python",
}

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    subject: str
    state: State  # "error" makes the exit code 1
    text: str
    fix: str = ""


def check_python() -> Finding:
    """The interpreter's version and platform."""
    version = platform.python_version()
    low, high = PYTHONS
    if not low <= sys.version_info[:2] < high:
        return Finding(
            "Python", "error", version, "Install Python 3.10, 3.11 or 3.12: CARLA's client has no other wheel"
        )
    return Finding("Python", "ok", f"{version} on {platform.system()} {platform.machine()}")


def check_wheel() -> Finding:
    """The carla client."""
    try:
        version = importlib.metadata.version("carla")
    except importlib.metadata.PackageNotFoundError:
        return Finding("carla client", "error", "not installed", f"pip install carla=={CARLA_VERSION}")
    if version != CARLA_VERSION:
        return Finding("carla client", "error", version, f"pip install carla=={CARLA_VERSION}")
    return Finding("carla client", "ok", version)


def check_packages() -> Finding:
    """The other packages that are imported late."""
    names = ("torch", "stable_baselines3", "sb3_contrib", "rl_zoo3", "cv2", "numba", "msgpack", "tensorboard")
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        fix = f"pip install {' '.join(INSTALLED_AS.get(name, name) for name in missing)}"
        return Finding("packages", "error", f"{', '.join(missing)} missing", fix)
    try:
        importlib.import_module("cv2")
    except ImportError as error:  # the wheel leaves out what a desktop has and a bare server may lack
        return Finding("packages", "error", f"OpenCV: {error}", "apt-get install libgl1 libglib2.0-0")
    return Finding("packages", "ok", f"stable-baselines3 {importlib.metadata.version('stable_baselines3')}")


def check_server(server: str | None) -> Finding:
    """Whether the server that CarlaEnv would use can be used, and its version; an embedded one is started and ended."""
    from sb3_carla.envs.errors import CarlaEnvError
    from sb3_carla.envs.isolation import ClientLostError, ClientProcess
    from sb3_carla.envs.scenario import Scenario
    from sb3_carla.envs.servers import make_server

    try:
        source = make_server(server, None)
    except CarlaEnvError as error:
        return Finding("server", "error", *_two_sentences(error))
    try:
        host, port = source.start()
        client = ClientProcess(source.is_alive)
        try:
            description = client.open(host, port, Scenario(), False, 60.0)
        finally:
            client.close()
    except (CarlaEnvError, ClientLostError) as error:
        text, fix = _two_sentences(error)
        return Finding("server", "error", text, fix or f"Start a CARLA {CARLA_VERSION} server there")
    finally:
        source.stop()
    if CARLA_VERSION not in description:
        return Finding("server", "error", f"{source.name}: {description}", f"Use a CARLA {CARLA_VERSION} server")
    return Finding("server", "ok", f"{source.name}: {description}")


def check_ports() -> Finding:
    """Which of CARLA's default ports are taken; only a server that is started on them needs them."""
    taken = [port for port in PORTS if not _is_free(port)]
    if taken:
        names = ", ".join(str(port) for port in taken)
        return Finding(
            "ports", "warning", f"{names} in use", "Start further servers with -carla-rpc-port=N of their own"
        )
    return Finding("ports", "ok", f"{', '.join(str(port) for port in PORTS)} are free")


def check_memory(buffer_size: int) -> Finding:
    """Whether a replay buffer of so many transitions fits.

    :param buffer_size: transitions, each of one new 84x84 frame, as FrameReplayBuffer stores them
    """
    needed = buffer_size * (FRAME_BYTES + ROW_BYTES)
    free = _free_memory()
    text = f"{needed / 1e9:.1f} GB for {buffer_size:,} transitions"
    if free is None:
        return Finding("memory", "warning", f"{text}; the free memory is not known", "Watch it in the first steps")
    text += f", {free / 1e9:.1f} GB free"
    if needed > MEMORY_SHARE * free:
        fits = int(MEMORY_SHARE * free / (FRAME_BYTES + ROW_BYTES))
        return Finding("memory", "error", text, f"Train with buffer_size of at most {fits:,}")
    return Finding("memory", "ok", text)


def check_threads() -> Finding:
    """How many threads torch will use beside server and client process."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    text = f"{cores} cores, torch uses {threads}"
    if threads > 1 and threads >= cores:
        fix = f"export OMP_NUM_THREADS={max(cores - 1, 1)}: server and client process need a core"
        return Finding("threads", "warning", text, fix)
    return Finding("threads", "ok", text)


def check_gpu() -> Finding:
    """Whether torch has a GPU."""
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", "ok", torch.cuda.get_device_name(0))
    if shutil.which("nvidia-smi"):
        return Finding("GPU", "warning", "there is one that torch cannot use", "Install a CUDA build of torch")
    return Finding("GPU", "ok", "none: training runs on the CPU")


def check_window() -> Finding:
    """Whether render_mode="human" can open a window."""
    if importlib.util.find_spec("cv2") is None:
        return Finding("window", "warning", "OpenCV is missing", "pip install opencv-python")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding("window", "warning", "no display", "Use render_mode='rgb_array' or --video")
    import cv2

    lines = [line for line in cv2.getBuildInformation().splitlines() if "GUI:" in line]
    if lines and "NONE" in lines[0]:
        fix = "pip uninstall opencv-python-headless; pip install --force-reinstall opencv-python"
        return Finding("window", "warning", "this OpenCV has no windows", fix)
    return Finding("window", "ok", "render_mode='human' can open one")


def examine(server: str | None, buffer_size: int) -> list[Finding]:
    """All checks, in the order in which they depend on each other.

    :param server: as CarlaEnv takes it
    :param buffer_size: transitions of the replay buffer that is planned
    """
    findings = [check_python(), check_wheel(), check_packages()]
    whole = all(finding.state == "ok" for finding in findings)
    findings += [check_ports(), check_memory(buffer_size)]
    late: list[Callable[[], Finding]] = [check_threads, check_gpu, check_window, lambda: check_server(server)]
    if whole:  # they import what else would be missing
        findings += [check() for check in late]
    return findings


def _two_sentences(error: Exception) -> tuple[str, str]:
    """An error's text and its advice."""
    text, _, fix = str(error).partition(". ")
    return text.rstrip("."), fix.rstrip(".")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_memory() -> int | None:
    """The memory [byte] that can be had without swapping; the limit of a container counts."""
    try:
        with open("/proc/meminfo") as table:
            lines = dict(line.split(":", 1) for line in table)
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        with open("/sys/fs/cgroup/memory.max") as limit, open("/sys/fs/cgroup/memory.current") as used:
            return min(free, int(limit.read()) - int(used.read()))
    except (OSError, ValueError):  # no container, or no limit
        return free
