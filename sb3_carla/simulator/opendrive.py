"""What an OpenDRIVE text says about its roads, and whether it can be handed to ``carla.Map``.

``carla.Map`` accepts a map without roads and can take the whole process down on a damaged one, so everything that it
relies on is checked here first. Only tables are read here (ids, types, limits); all geometry comes from ``carla.Map``.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from typing import NamedTuple

_SHAPES = {"line", "arc", "spiral", "poly3", "paramPoly3"}
_KMH = {"km/h": 1.0, "mph": 1.609344, "m/s": 3.6}


class MapError(ValueError):
    """The map cannot be used; the message says why and what to do."""


class LaneSection(NamedTuple):
    """A stretch of a road over which its lanes stay the same."""

    start: float  # s where it begins [m]
    end: float  # s where it ends [m]
    lanes: tuple[tuple[int, str], ...]  # (lane id, type), without the middle lane 0


class RoadEntry(NamedTuple):
    """The tables of one road."""

    id: int
    length: float  # [m]
    junction: int  # -1 outside junctions
    sections: tuple[LaneSection, ...]
    speeds: tuple[tuple[float, float], ...]  # (s from which it holds [m], limit [km/h]), only where the map says one


def read_roads(text: str) -> list[RoadEntry]:
    """Check an OpenDRIVE text and list its roads.

    :param text: the whole document
    :return: one entry per road, in the document's order
    :raise MapError: when it is not a usable OpenDRIVE map
    """
    try:
        root = ET.fromstring(text.encode())
    except (ET.ParseError, ValueError, LookupError) as error:
        raise MapError(f"The map is not XML: {error}. Give an OpenDRIVE (.xodr) file.") from error
    if root.tag != "OpenDRIVE":
        raise MapError(f"The map's root element is <{root.tag}>, not <OpenDRIVE>. Give an OpenDRIVE (.xodr) file.")
    roads = [_read_road(element) for element in root.findall("road")]
    if not roads:
        raise MapError("The OpenDRIVE map has no road. Export it again with its roads.")
    twice, times = Counter(road.id for road in roads).most_common(1)[0]
    if times > 1:
        raise MapError(f"The OpenDRIVE map has {times} roads with id {twice}. Give every road an id of its own.")
    if not any(kind == "driving" for road in roads for section in road.sections for _, kind in section.lanes):
        raise MapError("The OpenDRIVE map has no driving lane. Mark the lanes for vehicles as type 'driving'.")
    _check_links(root, {road.id for road in roads})
    return roads


def _read_road(element: ET.Element) -> RoadEntry:
    name = f"Road {element.get('id')!r}"
    length = _number(element, "length", name)
    geometries = element.findall("planView/geometry")
    if length <= 0 or not geometries:
        raise MapError(f"{name} of the OpenDRIVE map has no course. Remove it or give it a length and a planView.")
    for geometry in geometries:
        for attribute in ("s", "x", "y", "hdg", "length"):
            _number(geometry, attribute, f"{name}, geometry")
        shapes = [child.tag for child in geometry if child.tag in _SHAPES]
        if len(shapes) != 1:
            raise MapError(f"{name} of the OpenDRIVE map has a geometry without a shape. Use one of {sorted(_SHAPES)}.")
    sections = element.findall("lanes/laneSection")
    if not sections:
        raise MapError(f"{name} of the OpenDRIVE map has no lane section. Remove the road or give it lanes.")
    starts = [_number(section, "s", f"{name}, lane section") for section in sections]
    return RoadEntry(
        _integer(element, "id", name),
        length,
        _integer(element, "junction", name) if element.get("junction") is not None else -1,
        tuple(
            LaneSection(start, end, _read_lanes(section, name))
            for section, start, end in zip(sections, starts, [*starts[1:], length], strict=True)
        ),
        tuple(_read_speeds(element, name)),
    )


def _read_lanes(section: ET.Element, road: str) -> tuple[tuple[int, str], ...]:
    lanes = []
    for lane in (*section.findall("left/lane"), *section.findall("right/lane")):
        lane_id = _integer(lane, "id", f"{road}, lane")
        widths = lane.findall("width")
        for width in widths:
            for attribute in ("sOffset", "a", "b", "c", "d"):
                _number(width, attribute, f"{road}, lane {lane_id}, width")
        if not widths and not lane.findall("border"):
            raise MapError(f"{road}, lane {lane_id} of the OpenDRIVE map has no width. Give every lane a <width>.")
        if lane_id == 0:
            raise MapError(f"{road} of the OpenDRIVE map has lane 0 at a side. Lane 0 belongs in <center>.")
        lanes.append((lane_id, lane.get("type", "none")))
    return tuple(lanes)


def _read_speeds(road: ET.Element, name: str) -> list[tuple[float, float]]:
    speeds = []
    for kind in road.findall("type"):
        speed = kind.find("speed")
        if speed is None or speed.get("max") in (None, "no limit", "undefined"):
            continue
        factor = _KMH.get(speed.get("unit", "m/s"), 3.6)
        limit = _number(speed, "max", f"{name}, speed") * factor
        if limit > 0:
            speeds.append((_number(kind, "s", f"{name}, type"), limit))
    return speeds


def _check_links(root: ET.Element, roads: set[int]) -> None:
    """Every road and junction that something refers to must be there."""
    junctions = {_integer(element, "id", "Junction") for element in root.findall("junction")}
    for element in root.findall("road"):
        name = f"Road {element.get('id')!r}"
        for link in (*element.findall("link/predecessor"), *element.findall("link/successor")):
            known = junctions if link.get("elementType") == "junction" else roads
            if _integer(link, "elementId", f"{name}, link") not in known:
                raise MapError(
                    f"{name} of the OpenDRIVE map leads to {link.get('elementType')} {link.get('elementId')}, which is "
                    "not in the file. Export the map again as a whole."
                )
        junction = element.get("junction")
        if junction is not None and int(junction) != -1 and int(junction) not in junctions:
            raise MapError(f"{name} of the OpenDRIVE map belongs to junction {junction}, which is not in the file.")
    for connection in root.findall("junction/connection"):
        for attribute in ("incomingRoad", "connectingRoad"):
            if _integer(connection, attribute, "Junction connection") not in roads:
                raise MapError(
                    f"A junction connection of the OpenDRIVE map names {attribute} {connection.get(attribute)}, which "
                    "is not in the file. Export the map again as a whole."
                )


def _number(element: ET.Element, attribute: str, where: str) -> float:
    value = element.get(attribute)
    try:
        number = float(value)  # type: ignore[arg-type]  # None is reported like any other wrong value
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise MapError(
            f"{where} of the OpenDRIVE map: {attribute}={value!r} is not a number. Correct or export it again."
        )
    return number


def _integer(element: ET.Element, attribute: str, where: str) -> int:
    value = element.get(attribute)
    try:
        return int(value)  # type: ignore[arg-type]  # None is reported like any other wrong value
    except (TypeError, ValueError):
        raise MapError(
            f"{where} of the OpenDRIVE map: {attribute}={value!r} is not a whole number. Correct or export it again."
        ) from None


def read_light_phases(text: str) -> list[tuple[tuple[str, ...], ...]]:
    """Which traffic lights change together: per junction its phases, per phase the ids of the signals that are green.

    A junction's controllers take turns; a controller that no junction names is a junction of its own.

    :param text: an OpenDRIVE document that :func:`read_roads` accepts
    """
    root = ET.fromstring(text.encode())
    signals = {
        controller.get("id", ""): tuple(dict.fromkeys(one.get("signalId", "") for one in controller.findall("control")))
        for controller in root.findall("controller")
    }
    groups, named = [], set()
    for junction in root.findall("junction"):
        ids = [one.get("id", "") for one in junction.findall("controller")]
        named.update(ids)
        groups.append(tuple(signals[one] for one in ids if signals.get(one)))
    groups += [(phase,) for one, phase in signals.items() if one not in named]
    return [group for group in groups if group]
