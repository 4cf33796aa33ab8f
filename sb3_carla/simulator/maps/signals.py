"""Traffic lights, signs and crosswalks in OpenDRIVE, with the signal types that CARLA's own maps use."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final

from sb3_carla.simulator.maps.alignment import Pose

STOP_LINE: Final = 6.5  # before the end of the road [m]
CROSSWALK: Final = (1.5, 4.5)  # begins and ends so far before it [m]
_TYPES: Final = {"light": "1000001", "stop": "206", "yield": "205"}


def write_light(
    signals: ET.Element, id: str, length: float, at_start: bool, lanes: Sequence[int], post: Pose, height: float
) -> None:
    """A traffic light whose post stands at the road's end, some metres behind its stop line.

    :param signals: the road's list
    :param id: of the signal
    :param length: of the road [m]
    :param at_start: whether the junction lies at the road's start
    :param lanes: that lead to the junction
    :param post: where it stands, heading as the traffic does
    :param height: of the junction [m]
    """
    signal = _signal(signals, id, "light", length, at_start, lanes, STOP_LINE, 0.0, dynamic=True)
    ET.SubElement(
        signal,
        "positionInertial",
        x=f"{post.x:.4f}",
        y=f"{post.y:.4f}",
        z=f"{height:.4f}",
        hdg=f"{math.remainder(post.heading, math.tau):.6f}",
        pitch="0.0",
        roll="0.0",
    )


def write_sign(
    signals: ET.Element, id: str, kind: str, length: float, at_start: bool, lanes: Sequence[int], side: float
) -> None:
    """A stop or yield sign beside the road's end.

    :param kind: stop or yield
    :param side: distance from the road's middle [m]
    """
    _signal(signals, id, kind, length, at_start, lanes, 1.0, side, dynamic=False)


def _signal(
    signals: ET.Element,
    id: str,
    kind: str,
    length: float,
    at_start: bool,
    lanes: Sequence[int],
    before: float,
    side: float,
    *,
    dynamic: bool,
) -> ET.Element:
    signal = ET.SubElement(
        signals,
        "signal",
        name=kind,
        id=id,
        s=f"{before if at_start else length - before:.4f}",
        t=f"{side if at_start else -side:.4f}",
        zOffset="0.0",
        hOffset="0.0",
        roll="0.0",
        pitch="0.0",
        orientation="-" if at_start else "+",
        dynamic="yes" if dynamic else "no",
        country="OpenDRIVE",
        type=_TYPES[kind],
        subtype="-1",
        value="-1",
        text="",
        height="1.2",
        width="0.5",
    )
    ET.SubElement(signal, "validity", fromLane=str(min(lanes)), toLane=str(max(lanes)))
    return signal


def write_crosswalk(objects: ET.Element, id: str, length: float, at_start: bool, reach: float) -> None:
    """A crosswalk over a road near its end.

    :param reach: from the road's middle to the sidewalks on both sides [m]
    """
    middle = 0.5 * sum(CROSSWALK)
    half = 0.5 * (CROSSWALK[1] - CROSSWALK[0])
    crosswalk = ET.SubElement(
        objects,
        "object",
        id=id,
        name="crosswalk",
        type="crosswalk",
        s=f"{middle if at_start else length - middle:.4f}",
        t="0.0",
        zOffset="0.0",
        hdg="0.0",
        pitch="0.0",
        roll="0.0",
        orientation="none",
        length=f"{2 * half:.4f}",
        width=f"{2 * reach:.4f}",
    )
    outline = ET.SubElement(crosswalk, "outline")
    for u, v in ((-half, -reach), (half, -reach), (half, reach), (-half, reach), (-half, -reach)):
        ET.SubElement(outline, "cornerLocal", u=f"{u:.4f}", v=f"{v:.4f}", z="0.0")


def write_controllers(root: ET.Element, junction: ET.Element, lights: Sequence[str]) -> None:
    """Let a junction's lights take turns, one after the other.

    :param root: of the document
    :param junction: whose lights these are
    :param lights: ids of the signals, in the order of their turns
    """
    for turn, light in enumerate(lights):
        controller = ET.SubElement(root, "controller", name=f"turn {turn}", id=f"{light}0", sequence=str(turn))
        ET.SubElement(controller, "control", signalId=light, type="")
        ET.SubElement(junction, "controller", id=f"{light}0", type="0", sequence=str(turn))
