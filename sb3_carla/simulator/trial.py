"""Try a map in a process of its own: on some damaged maps ``carla.Map`` takes its whole process down, or never ends."""

from __future__ import annotations

import subprocess
import sys

from sb3_carla.simulator.opendrive import MapError

_PATIENCE = 60.0  # [s]; a map of ten square kilometres takes about one
_PROGRAM = """
import sys
import xml.etree.ElementTree
import carla
try:
    text = sys.stdin.buffer.read().decode()
    map = carla.Map("trial", text)
    for road in xml.etree.ElementTree.fromstring(text.encode()).iter("road"):
        for section in road.iter("laneSection"):
            for lane in section.iter("lane"):
                map.get_waypoint_xodr(int(road.get("id")), int(lane.get("id")), float(section.get("s")) + 0.001)
    map.get_topology()
    for waypoint in map.generate_waypoints(5.0):
        waypoint.next(5.0), waypoint.previous(5.0)
        waypoint.left_lane_marking, waypoint.right_lane_marking
        waypoint.get_left_lane(), waypoint.get_right_lane()
except Exception as error:
    print(error, file=sys.stderr)
    sys.exit(3)
"""


def try_map(name: str, opendrive: str) -> None:
    """Load a map as a client program would, and ask for the way on from everywhere.

    :param name: for the error's text
    :param opendrive: the OpenDRIVE text
    :raise MapError: when the carla client fails, crashes or hangs over it
    """
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=opendrive.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MapError(
            f"The carla client was still busy with map {name!r} after {_PATIENCE:.0f} s. Check the lengths in the file."
        ) from error
    if trial.returncode == 0:
        return
    if trial.returncode == 3:
        reason = trial.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise MapError(f"The carla client cannot read map {name!r}: {''.join(reason)}. Check the file's roads.")
    raise MapError(
        f"Map {name!r} crashes the carla client (exit status {trial.returncode}). "
        "Check the file's roads, lanes and links, or export it again."
    )
