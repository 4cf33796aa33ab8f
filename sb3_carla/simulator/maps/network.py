"""Roads and junctions, and their OpenDRIVE text (ASAM OpenDRIVE 1.4, the subset that carla.Map reads).

A town is a graph: junctions are nodes, roads are edges with a course between them. Each junction shortens the roads
that meet there and gets one connecting road per turn that a lane may take. Traffic keeps to the right.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sb3_carla.simulator.maps.alignment import Corner, Piece, Point, Pose, course, turn
from sb3_carla.simulator.maps.signals import write_controllers, write_crosswalk, write_light, write_sign

LANE = 3.5  # width of a driving lane [m]
SHOULDER = 0.5  # [m]
SIDEWALK = 2.5  # [m]
VERGE = 1.5  # shoulder of a road without sidewalks [m]
CORNER = 9.0  # radius of a turn's inner edge, roughly [m]
_IN_LINE = math.radians(35)  # roads that meet at less than this go straight on
_RAMP = 46.0  # distance from the middle of a junction in which a ramp parts from the road, or joins it [m]
_ALONE = 8.0  # distance at which a road ends that only ramps meet [m]


@dataclass(frozen=True)
class Road:
    """A road between two junctions."""

    start: str  # name of the junction at s = 0
    end: str  # name of the junction at the end
    corners: tuple[Corner, ...] = ()
    lanes: int = 1  # per direction
    speed_kmh: int = 30
    one_way: bool = False  # from start to end only
    ramp: bool = False  # meets the road at its far end at a sharp angle, beside the outermost lane
    hills: tuple[tuple[float, float], ...] = ()  # (share of the way, height [m]) of tops and dips in between


class Arm(NamedTuple):
    """One road as a junction sees it."""

    road: int  # index of the road
    at_start: bool  # whether the road's s = 0 lies at the junction
    outward: float  # heading away from the junction [rad]
    setback: float  # distance from the junction's centre to the end of the road [m]
    lanes: int
    centre: Point
    leads_in: bool = True  # whether its traffic may enter the junction
    leads_out: bool = True  # whether traffic may leave by it
    ramp: bool = False

    @property
    def leaving(self) -> Pose:
        """The pose on the road's middle of somebody who leaves the junction."""
        return Pose(*self.centre, self.outward).ahead(self.setback)

    def lane_in(self, lane: int) -> int:
        """The OpenDRIVE id of the ``lane``-th lane (0 next to the middle) that leads into the junction."""
        return lane + 1 if self.at_start else -lane - 1

    def lane_out(self, lane: int) -> int:
        """The OpenDRIVE id of the ``lane``-th lane that leads out of the junction."""
        return -self.lane_in(lane)


class Turn(NamedTuple):
    """One way of one lane through a junction."""

    source: Arm
    source_lane: int
    target: Arm
    target_lane: int
    kerb: bool  # whether it runs along the junction's edge, so that shoulder and sidewalk go with it


@dataclass
class Town:
    """Named junctions and the roads between them."""

    name: str
    junctions: dict[str, Point]  # centre of each [m]
    roads: Sequence[Road]
    middle_mark: str = "yellow"  # colour of the line between the two directions
    sidewalks: bool = True  # or a verge
    lights: frozenset[str] = frozenset()  # junctions with traffic lights
    signs: dict[tuple[str, str], str] = field(default_factory=dict)  # (junction, other end of the road): stop or yield
    heights: dict[str, float] = field(default_factory=dict)  # of junctions that do not lie at 0 [m]
    _arms: dict[str, list[Arm]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find out how the roads meet."""
        for name in self.junctions:
            self._arms[name] = self._meeting_at(name)

    def _meeting_at(self, name: str) -> list[Arm]:
        """The arms of a junction in counter-clockwise order, each shortened until the corners have room."""
        centre = self.junctions[name]
        ends: list[tuple[float, int, bool, Road]] = []
        for i, road in enumerate(self.roads):
            points = [self.junctions[road.start], *((c.x, c.y) for c in road.corners), self.junctions[road.end]]
            for at_start, here, there in ((True, road.start, points[1]), (False, road.end, points[-2])):
                if here == name:
                    ends.append((math.atan2(there[1] - centre[1], there[0] - centre[0]), i, at_start, road))
        arms = []
        for outward, i, at_start, road in sorted(ends, key=lambda end: end[:2]):
            crossing = [other for other in ends if not _in_line(other[0], outward)]
            setback = max((_room(other[0] - outward, other[3].lanes) for other in crossing), default=_ALONE)
            ramp = road.ramp and not crossing
            arms.append(
                Arm(
                    i,
                    at_start,
                    outward,
                    _RAMP if ramp else setback,
                    road.lanes,
                    centre,
                    not (road.one_way and at_start),
                    not road.one_way or at_start,
                    ramp,
                )
            )
        return arms

    def arms(self, name: str) -> list[Arm]:
        """The arms of a junction in counter-clockwise order."""
        return self._arms[name]

    def turns(self, name: str) -> list[Turn]:
        """Every way through a junction: right from the outermost lane, left from the innermost, straight in lane."""
        arms = self.arms(name)
        turns = []
        for i, source in enumerate(arms):
            for step in range(1, len(arms)):
                target = arms[(i + step) % len(arms)]
                if not source.leads_in or not target.leads_out:
                    continue
                angle = math.remainder(target.outward - source.outward - math.pi, math.tau)
                if source.ramp or target.ramp:
                    pairs = [(source.lanes - 1, target.lanes - 1)] if abs(angle) < _IN_LINE else []
                elif abs(angle) < _IN_LINE:
                    pairs = [(lane, lane) for lane in range(min(source.lanes, target.lanes))]
                elif angle < 0:
                    pairs = [(source.lanes - 1, target.lanes - 1)]
                else:
                    pairs = [(0, 0)]
                for lane_in, lane_out in pairs:
                    kerb = step == 1 and lane_in == source.lanes - 1 and lane_out == target.lanes - 1
                    turns.append(Turn(source, lane_in, target, lane_out, kerb))
        return turns

    def opendrive(self) -> str:
        """The town as OpenDRIVE text."""
        root = ET.Element("OpenDRIVE")
        header = ET.SubElement(root, "header", revMajor="1", revMinor="4", name=self.name, version="1")
        # Any place on the globe will do; at (0, 0) a gnss sensor would read like a bug.
        ET.SubElement(header, "geoReference").text = "+proj=tmerc +lat_0=49 +lon_0=8 +k=1 +x_0=0 +y_0=0 +datum=WGS84"
        junction_ids = {name: 1000 + i for i, name in enumerate(self.junctions)}
        for i, road in enumerate(self.roads):
            self._write_road(root, i, road, junction_ids)
        next_id = len(self.roads)
        junctions = []
        for name, junction_id in junction_ids.items():
            junction = ET.Element("junction", name=name, id=str(junction_id))
            junctions.append(junction)
            for way in self.turns(name):
                self._write_turn(root, junction, next_id, way)
                next_id += 1
        for name, junction in zip(self.junctions, junctions, strict=True):
            if name in self.lights:
                entries = [arm for arm in self._arms[name] if arm.leads_in]
                ids = [self._signal_id(name, self._arms[name].index(arm)) for arm in entries]
                write_controllers(root, junction, ids)
        root.extend(junctions)
        ET.indent(root, " ")
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"

    def _write_road(self, root: ET.Element, index: int, road: Road, junction_ids: dict[str, int]) -> None:
        first = next(arm for arm in self._arms[road.start] if arm.road == index and arm.at_start)
        last = next(arm for arm in self._arms[road.end] if arm.road == index and not arm.at_start)
        pieces = course(first.leaving[:2], road.corners, last.leaving[:2])
        length = sum(piece.length for piece in pieces)
        heights = [
            (0.0, self._height(road.start)),
            *((share * length, height) for share, height in road.hills),
            (length, self._height(road.end)),
        ]
        element = _road_element(root, index, f"{road.start}-{road.end}", pieces, -1, road.speed_kmh, heights)
        link = element[0]
        ET.SubElement(link, "predecessor", elementType="junction", elementId=str(junction_ids[road.start]))
        ET.SubElement(link, "successor", elementType="junction", elementId=str(junction_ids[road.end]))
        section = _lane_section(element)
        if not road.one_way:
            left = ET.SubElement(section, "left")
            # OpenDRIVE lists lanes from left to right.
            for lane in self._cross_section(road.lanes, 1)[::-1]:
                _write_lane(left, *lane)
        middle = "solid" if road.one_way else "solid solid" if road.lanes > 1 else "broken"
        centre = ET.SubElement(ET.SubElement(section, "center"), "lane", id="0", type="none", level="false")
        _write_mark(centre, middle, self.middle_mark)
        right = ET.SubElement(section, "right")
        for lane in self._cross_section(road.lanes, -1):
            _write_lane(right, *lane)
        self._write_signals(element, road, (first, last))

    def _write_signals(self, element: ET.Element, road: Road, ends: tuple[Arm, Arm]) -> None:
        """What stands at a road's two ends: traffic lights with their crosswalks, and signs."""
        objects, signals = ET.Element("objects"), ET.Element("signals")
        length = float(element.get("length", 0))
        for name, other, arm in ((road.start, road.end, ends[0]), (road.end, road.start, ends[1])):
            if not arm.leads_in:
                continue
            row = self._arms[name].index(arm)
            side = arm.lanes * LANE + (SHOULDER if self.sidewalks else VERGE) + 0.7
            post = arm.leaving.reversed().to_the_right(side)
            lanes = [arm.lane_in(lane) for lane in range(arm.lanes)]
            if name in self.lights:
                write_light(signals, self._signal_id(name, row), length, arm.at_start, lanes, post, self._height(name))
                reach = arm.lanes * LANE + SHOULDER
                write_crosswalk(objects, f"{self._signal_id(name, row)}9", length, arm.at_start, reach)
            elif (name, other) in self.signs:
                kind = self.signs[name, other]
                write_sign(signals, self._signal_id(name, row), kind, length, arm.at_start, lanes, side)
        element.extend(part for part in (objects, signals) if len(part))

    def _signal_id(self, junction: str, arm: int) -> str:
        return str(5000 + 10 * list(self.junctions).index(junction) + arm)

    def _height(self, junction: str) -> float:
        return self.heights.get(junction, 0.0)

    def _cross_section(self, lanes: int, side: int) -> list[tuple[int, str, float, str]]:
        """The lanes of one side from the middle outwards: (id, type, width, line at the outer edge)."""
        driving = [(i + 1, "driving", LANE, "broken" if i < lanes - 1 else "solid") for i in range(lanes)]
        if self.sidewalks:
            edge = [(lanes + 1, "shoulder", SHOULDER, "curb"), (lanes + 2, "sidewalk", SIDEWALK, "none")]
        else:
            edge = [(lanes + 1, "shoulder", VERGE, "none")]
        return [(side * i, kind, width, mark) for i, kind, width, mark in (*driving, *edge)]

    def _write_turn(self, root: ET.Element, junction: ET.Element, road_id: int, way: Turn) -> None:
        """A connecting road, whose reference line is the left edge of its only driving lane, and its junction entry."""
        source, target = way.source, way.target
        start = source.leaving.reversed().to_the_right(way.source_lane * LANE)
        end = target.leaving.to_the_right(way.target_lane * LANE)
        name = junction.get("name", "")
        height = self._height(name)
        speed = 30 if self.sidewalks else min(self.roads[arm.road].speed_kmh for arm in (source, target))
        road = _road_element(
            root, road_id, f"{name}-{road_id}", turn(start, end), int(junction.get("id", 0)), speed, [(0.0, height)]
        )
        for tag, arm, contact in (
            ("predecessor", source, "start" if source.at_start else "end"),
            ("successor", target, "start" if target.at_start else "end"),
        ):
            ET.SubElement(road[0], tag, elementType="road", elementId=str(arm.road), contactPoint=contact)
        section = _lane_section(road)
        centre = ET.SubElement(ET.SubElement(section, "center"), "lane", id="0", type="none", level="false")
        _write_mark(centre, "none", "white")
        right = ET.SubElement(section, "right")
        lanes = self._cross_section(1, -1) if way.kerb else [(-1, "driving", LANE, "none")]
        for lane_id, kind, width, mark in lanes:
            # The n-th lane beside the driving lane continues the n-th one beside it on the roads before and behind.
            outer = -1 - lane_id
            link = (
                _further_out(source.lane_in(way.source_lane), outer),
                _further_out(target.lane_out(way.target_lane), outer),
            )
            _write_lane(right, lane_id, kind, width, mark, link)
        connection = ET.SubElement(
            junction,
            "connection",
            id=str(len(junction)),
            incomingRoad=str(source.road),
            connectingRoad=str(road_id),
            contactPoint="start",
        )
        for lane_id, *_ in lanes:
            incoming = _further_out(source.lane_in(way.source_lane), -1 - lane_id)
            ET.SubElement(connection, "laneLink", {"from": str(incoming), "to": str(lane_id)})


def _in_line(heading: float, other: float) -> bool:
    """Whether two headings away from a junction are (nearly) the same or opposite."""
    return abs(math.sin(heading - other)) < math.sin(_IN_LINE)


def _room(angle: float, lanes: int) -> float:
    """How far before the middle an arm ends [m], so that turns fit between it and a crossing road of so many lanes."""
    sharpness = 1 / math.tan(abs(math.remainder(angle, math.tau)) / 2)
    return lanes * LANE / abs(math.sin(angle)) + CORNER * max(1.0, sharpness)


def _number(value: float) -> str:
    """A number as text, rounded far below what matters so that every machine writes the same."""
    return f"{round(value, 7) + 0.0:.7f}"


def _road_element(
    root: ET.Element,
    road_id: int,
    name: str,
    pieces: Sequence[Piece],
    junction: int,
    speed_kmh: int,
    heights: Sequence[Point],
) -> ET.Element:
    """A road with its course and the heights (s, z) that it passes level; its ``link`` child is still empty."""
    length = sum(round(piece.length, 7) for piece in pieces)
    road = ET.SubElement(root, "road", name=name, length=_number(length), id=str(road_id), junction=str(junction))
    ET.SubElement(road, "link")
    kind = ET.SubElement(road, "type", s="0.0", type="town")
    ET.SubElement(kind, "speed", max=str(speed_kmh), unit="km/h")
    plan = ET.SubElement(road, "planView")
    s = 0.0
    for piece in pieces:
        geometry = ET.SubElement(
            plan,
            "geometry",
            s=_number(s),
            x=_number(piece.start.x),
            y=_number(piece.start.y),
            hdg=_number(math.remainder(piece.start.heading, math.tau)),
            length=_number(piece.length),
        )
        s += round(piece.length, 7)
        if piece.curvature != piece.end_curvature:
            curvatures = {"curvStart": _number(piece.curvature), "curvEnd": _number(piece.end_curvature)}
            ET.SubElement(geometry, "spiral", curvatures)
        elif piece.curvature:
            ET.SubElement(geometry, "arc", curvature=_number(piece.curvature))
        else:
            ET.SubElement(geometry, "line")
    _write_heights(ET.SubElement(road, "elevationProfile"), heights)
    return road


def _write_heights(profile: ET.Element, heights: Sequence[Point]) -> None:
    """Cubic pieces from one height to the next, level at each of them; a single height is a level road."""
    ends = heights[1:] or [(math.inf, heights[0][1])]
    for (s, height), (end, next_height) in zip(heights, ends, strict=False):
        rise, run = next_height - height, end - s
        numbers = (s, height, 0.0, 3 * rise / run**2, -2 * rise / run**3)
        written = {name: f"{number:.9g}" if number else "0.0" for name, number in zip("sabcd", numbers, strict=True)}
        ET.SubElement(profile, "elevation", written)


def _lane_section(road: ET.Element) -> ET.Element:
    return ET.SubElement(ET.SubElement(road, "lanes"), "laneSection", s="0.0")


def _write_lane(
    side: ET.Element, lane_id: int, kind: str, width: float, mark: str, link: tuple[int, int] | None = None
) -> None:
    """One lane; ``link`` holds the ids of the lanes before and behind it."""
    lane = ET.SubElement(side, "lane", id=str(lane_id), type=kind, level="false")
    links = ET.SubElement(lane, "link")
    if link is not None:
        ET.SubElement(links, "predecessor", id=str(link[0]))
        ET.SubElement(links, "successor", id=str(link[1]))
    ET.SubElement(lane, "width", sOffset="0.0", a=str(width), b="0.0", c="0.0", d="0.0")
    _write_mark(lane, mark, "white", change=kind == "driving" and mark == "broken")


def _write_mark(lane: ET.Element, kind: str, colour: str, change: bool = False) -> None:
    """The line at a lane's outer edge; ``change`` says that one may cross it to the neighbouring lane."""
    attributes = {"sOffset": "0.0", "type": kind, "weight": "standard", "color": colour, "width": "0.15"}
    ET.SubElement(lane, "roadMark", attributes, laneChange="both" if change else "none")


def _further_out(lane_id: int, steps: int) -> int:
    return lane_id + steps if lane_id > 0 else lane_id - steps
